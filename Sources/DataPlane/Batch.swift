// SPDX-License-Identifier: Apache-2.0
//
// Up to 64 packets on their way through the engine, all received on one port. The stages fill in a packet's fields one after
// the other; the frame's bytes stay where they are, only its start moves.

import CLinux
import Wire
import XDP

/// One packet: where it is, what has been found out about it, what becomes of it. One cache line.
@safe struct Packet {
  /// Room that must be free before a frame: the longest header (VLAN + IPv6 + UDP + LISP) in whole vector stores, less the
  /// Ethernet header that is taken off.
  static let minimumHeadroom = 80

  /// First byte of the frame.
  var start: UnsafeMutableRawPointer
  /// Bytes from `start`.
  var byteCount: UInt32
  var verdict: Verdict
  /// Where the inner IP header begins, from `start`.
  var innerOffset: UInt16
  /// The inner packet, header and payload, by its own account.
  var innerByteCount: UInt16
  /// 4 or 6.
  var innerFamily: UInt8
  /// Encapsulation: the inner TTL, not yet decremented. Decapsulation: the smaller of outer and inner.
  var timeToLive: UInt8
  /// Encapsulation: the inner traffic class. Decapsulation: the one to deliver with.
  var trafficClass: UInt8
  /// Position of the choice in its mapping, for the counter.
  var ordinal: UInt8
  var flowHash: UInt32
  /// 24 bits.
  var instanceID: UInt32
  /// Positions in the lookup batch.
  var destinationPlace: UInt16
  var sourcePlace: UInt16
  var counter: UInt32
  /// The header to put before the inner packet; nil until it is chosen.
  var template: UnsafeMutableRawPointer?

  @inline(__always) var frame: PacketBytes {
    // SAFETY: the frame's owner put start and byteCount there (Batch.append).
    unsafe PacketBytes(base: start, count: Int(byteCount))
  }

  /// The frame's address in the memory it lies in.
  @inline(__always)
  func address(in memory: FrameMemory) -> FrameAddress { unsafe FrameAddress(UInt(bitPattern: start - memory.base)) }

  /// The inner packet.
  @inline(__always) var inner: PacketBytes {
    frame.dropFirst(Int(innerOffset)).prefix(Int(innerByteCount))
  }
}

/// Room for 64 packets. Thread: its worker. Allocated once.
@safe public struct Batch: ~Copyable {
  public static let capacity = 64

  private let packets: UnsafeMutablePointer<Packet>
  public internal(set) var count = 0

  public init() {
    // Aligned, so that a packet never straddles two lines.
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: MemoryLayout<Packet>.stride * Self.capacity, alignment: 64)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<Packet>.stride * Self.capacity)
    unsafe packets = memory.bindMemory(to: Packet.self, capacity: Self.capacity)
  }

  deinit { unsafe packets.deallocate() }

  @inline(__always) public mutating func clear() { count = 0 }

  /// Adds a frame that begins at `start`; false when the batch is full.
  ///
  /// SAFETY: `byteCount` ≤ 65,535 bytes at `start` and `Packet.minimumHeadroom` bytes before it are the caller's until the
  /// batch is cleared.
  @unsafe @inline(__always) @discardableResult
  public mutating func append(_ start: UnsafeMutableRawPointer, byteCount: UInt32) -> Bool {
    guard count < Self.capacity else { return false }
    unsafe (packets + count).initialize(
      to: Packet(
        start: start, byteCount: byteCount, verdict: .pending, innerOffset: 0, innerByteCount: 0, innerFamily: 0, timeToLive: 0,
        trafficClass: 0, ordinal: 0, flowHash: 0, instanceID: 0, destinationPlace: 0, sourcePlace: 0, counter: 0, template: nil))
    unsafe clinux_prefetch(start)
    count &+= 1
    return true
  }

  /// A frame in a buffer, for tests and tools.
  @discardableResult
  public mutating func append(_ frame: PacketBytes) -> Bool {
    unsafe append(frame.base, byteCount: UInt32(frame.count))
  }

  @inline(__always)
  subscript(i: Int) -> Packet {
    // SAFETY: i < count ≤ capacity, kept by the stages' loops.
    _read { yield unsafe packets[i] }
    nonmutating _modify { yield unsafe &packets[i] }
  }

  /// What became of packet `i`, and its bytes as they are now: to be transmitted, punted, or dropped.
  @inline(__always)
  public func outcome(_ i: Int) -> (verdict: Verdict, frame: PacketBytes, instanceID: UInt32) {
    precondition(i >= 0 && i < count)
    return (self[i].verdict, self[i].frame, self[i].instanceID)
  }
}
