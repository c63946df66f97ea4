// SPDX-License-Identifier: Apache-2.0
//
// One entry of a receive or transmit ring, as the kernel lays it out (struct xdp_desc of linux/if_xdp.h). The worker
// reads descriptors from ReceiveRing and writes them to TransmitRing.

/// A byte position in `FrameMemory`, counted from its start. A frame's first byte, or any byte inside a frame: the
/// kernel leaves headroom before a received packet.
public typealias FrameAddress = UInt64

/// A packet in the frame memory. Layout: 16 bytes, address at 0, length at 8, options at 12.
public struct Descriptor: BitwiseCopyable, Equatable, Sendable {
  /// Where the packet's first byte (of its Ethernet header) lies.
  public var address: FrameAddress
  /// The packet's length in bytes, without the frame check sequence.
  public var length: UInt32
  /// Kernel flags: 0 for a packet in one frame; bit 0 (XDP_PKT_CONTD) says that the packet goes on in the next descriptor.
  public var options: UInt32

  @inlinable public init(address: FrameAddress, length: UInt32, options: UInt32 = 0) {
    self.address = address
    self.length = length
    self.options = options
  }
}
