// SPDX-License-Identifier: Apache-2.0
//
// What the kernel counts for one AF_XDP socket (struct xdp_statistics). Read by the slow path for metrics and `xtr show`.

/// The kernel's counters of one socket, all since it was bound.
public struct SocketStatistics: Equatable, Sendable {
  /// Packets lost on the way to the receive ring: mostly too long for a frame.
  public var receiveDropped: UInt64 = 0
  /// Fill-ring addresses that lie outside the frame memory. A defect of ours.
  public var receiveInvalidDescriptors: UInt64 = 0
  /// Transmit descriptors that the kernel refused: outside the memory, across a frame's end, unknown options. A defect of ours.
  public var transmitInvalidDescriptors: UInt64 = 0
  /// Packets lost because the receive ring was full: the worker is too slow, or the ring too small.
  public var receiveRingFull: UInt64 = 0
  /// Times that the kernel found no frame in the fill ring: packets were lost, or waited in the card.
  public var fillRingEmpty: UInt64 = 0
  /// Times that the kernel looked for something to send and found nothing.
  public var transmitRingEmpty: UInt64 = 0

  public init() {}

  /// Of a socket that another thread owns. Thread: any, while the socket is open.
  public static func read(fileDescriptor: CInt) -> SocketStatistics { readStatistics(fileDescriptor) }
}
