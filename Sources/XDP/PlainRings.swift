// SPDX-License-Identifier: Apache-2.0
//
// The four rings of a socket on our own heap: what an XDPSocket is made over where there is no kernel. Tests of the poll loop
// play the kernel on the opposite sides (see RingMemory).

/// Four rings without a kernel. Thread: as each RingMemory, one on either side.
public struct PlainRings: Sendable {
  public let fill: RingMemory<FrameAddress>
  public let completion: RingMemory<FrameAddress>
  public let receive: RingMemory<Descriptor>
  public let transmit: RingMemory<Descriptor>

  /// Empty rings whose indices start at `index`; near `UInt32.max` to see them wrap around.
  public init(_ sizes: RingSizes, startingAt index: UInt32 = 0) {
    fill = RingMemory(capacity: sizes.fill, startingAt: index, filledWith: .max)
    completion = RingMemory(capacity: sizes.completion, startingAt: index, filledWith: .max)
    receive = RingMemory(capacity: sizes.receive, startingAt: index, filledWith: Descriptor(address: .max, length: .max))
    transmit = RingMemory(capacity: sizes.transmit, startingAt: index, filledWith: Descriptor(address: .max, length: .max))
  }
}
