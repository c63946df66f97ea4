// SPDX-License-Identifier: Apache-2.0
//
// Packets that a caller holds as raw memory: a frame, a slot of the punt ring. Called by the slow path.

extension ExceptionDevice {
  /// As `inject(_: Span<UInt8>)`; `packet` must stay valid during the call.
  @unsafe public mutating func inject(_ packet: UnsafeRawBufferPointer) -> InjectResult {
    // SAFETY: the span does not outlive the call, for which the caller keeps the memory.
    unsafe inject(Span<UInt8>(_unsafeBytes: packet))
  }
}

extension RawSender {
  /// As `send(_: Span<UInt8>)`; `packet` must stay valid during the call.
  @unsafe public func send(_ packet: UnsafeRawBufferPointer) -> SendResult {
    // SAFETY: the span does not outlive the call, for which the caller keeps the memory.
    unsafe send(Span<UInt8>(_unsafeBytes: packet))
  }
}
