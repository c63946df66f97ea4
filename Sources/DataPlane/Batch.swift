// SPDX-License-Identifier: Apache-2.0
//
// Up to 64 packets on their way through the engine, all received on one port. The stages fill in a packet's fields one after
// the other; the frame's bytes stay where they are, only its start moves.

import CLinux
import Wire
import XDP

/// One packet: where it is, what has been found out about it, what becomes of it.
@safe @usableFromInline struct Packet {
  /// Room that must be free before a frame: the longest header (VLAN + IPv6 + UDP + LISP) in whole vector stores, less the
  /// Ethernet header that is taken off.
  static let minimumHeadroom = 80
  /// A `sourcePlace` that says: no lookup was needed, the source is ours. Lookups of sources stand behind the packets' own.
  static let knownSource: UInt16 = 0

  /// First byte of the frame.
  @usableFromInline var start: UnsafeMutableRawPointer
  /// Bytes from `start`.
  @usableFromInline var byteCount: UInt32
  @usableFromInline var verdict: Verdict = .pending
  /// Where the inner IP header begins, from `start`.
  @usableFromInline var innerOffset: UInt16 = 0
  /// The inner packet, header and payload, by its own account.
  @usableFromInline var innerByteCount: UInt16 = 0
  /// Where the source is looked up. The destination has the packet's own place.
  @usableFromInline var sourcePlace: UInt16 = 0
  /// 4 or 6.
  @usableFromInline var innerFamily: UInt8 = 0
  /// Encapsulation: the inner TTL, not yet decremented. Decapsulation: the smaller of outer and inner.
  @usableFromInline var timeToLive: UInt8 = 0
  /// Encapsulation: the inner traffic class. Decapsulation: the one to deliver with.
  @usableFromInline var trafficClass: UInt8 = 0
  @usableFromInline var flowHash: UInt32 = 0
  /// 24 bits.
  @usableFromInline var instanceID: UInt32 = 0
  /// The header to put before the inner packet; nil until it is chosen.
  @usableFromInline var template: UnsafeMutableRawPointer?
  @usableFromInline var counter: UInt32 = 0
  /// Decapsulation: where the outer IP header begins, from `start`, if its source is to be noted; else 0.
  @usableFromInline var outerOffset: UInt16 = 0

  @inlinable @inline(__always)
  init(start: UnsafeMutableRawPointer, byteCount: UInt32) {
    unsafe self.start = unsafe start
    self.byteCount = byteCount
    unsafe template = nil
  }

  @inlinable @inline(__always) var frame: PacketBytes {
    // SAFETY: the frame's owner put start and byteCount there (Batch.append).
    unsafe PacketBytes(base: start, count: Int(byteCount))
  }

  /// The frame's address in the memory it lies in.
  @inline(__always)
  func address(in memory: FrameMemory) -> FrameAddress { unsafe FrameAddress(UInt(bitPattern: start - memory.base)) }

  /// The byte at `offset` from `start` will be read soon; it need not be there.
  @inline(__always)
  func prefetch(_ offset: Int) { unsafe clinux_prefetch(start + offset) }

  /// The frame from the outer IP header on, where `outerOffset` says.
  @inline(__always) var outer: PacketBytes { frame.dropFirst(Int(outerOffset)) }

  /// Decapsulation: the LISP header before the inner packet.
  @inline(__always) var lispWord: UInt64 { frame.u64(Int(innerOffset) &- LISPView.byteCount) }

  /// The inner packet.
  @inline(__always) var inner: PacketBytes {
    frame.dropFirst(Int(innerOffset)).prefix(Int(innerByteCount))
  }
}

/// Where a batch's packets are: one per cache line. Trivial; valid as long as the batch.
@safe @usableFromInline struct PacketArray {
  @usableFromInline static var stride: Int { 64 }

  @usableFromInline let base: UnsafeMutableRawPointer

  @unsafe @inlinable @inline(__always) init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  @unsafe @inlinable @inline(__always)
  func packet(_ i: Int) -> UnsafeMutablePointer<Packet> {
    unsafe (base + i &* Self.stride).assumingMemoryBound(to: Packet.self)
  }

  @inlinable @inline(__always)
  subscript(i: Int) -> Packet {
    // SAFETY: i < count ≤ capacity, kept by the stages' loops.
    _read { yield unsafe packet(i).pointee }
    nonmutating _modify { yield unsafe &packet(i).pointee }
  }
}

/// Room for 64 packets. Thread: its worker. Allocated once.
@safe public struct Batch: ~Copyable {
  public static let capacity = 64

  @usableFromInline let base: UnsafeMutableRawPointer
  @usableFromInline var filled = 0
  public var count: Int { @inlinable @inline(__always) get { filled } }

  public init() {
    precondition(MemoryLayout<Packet>.size <= PacketArray.stride)
    unsafe base = .allocate(byteCount: PacketArray.stride * Self.capacity, alignment: PacketArray.stride)
    // SAFETY: the whole allocation. Packets are trivial: `append` overwrites, nobody destroys.
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: PacketArray.stride * Self.capacity)
  }

  deinit { unsafe base.deallocate() }

  @inlinable @inline(__always) public mutating func clear() { filled = 0 }

  /// Adds a frame that begins at `start`; false when the batch is full.
  ///
  /// SAFETY: `byteCount` ≤ 65,535 bytes at `start` and `Packet.minimumHeadroom` bytes before it are the caller's until the
  /// batch is cleared.
  @unsafe @inlinable @inline(__always) @discardableResult
  public mutating func append(_ start: UnsafeMutableRawPointer, byteCount: UInt32) -> Bool {
    guard filled < Self.capacity else { return false }
    packets[filled] = unsafe Packet(start: start, byteCount: byteCount)
    unsafe clinux_prefetch(start)
    filled &+= 1
    return true
  }

  /// A frame in a buffer, for tests and tools.
  @discardableResult
  public mutating func append(_ frame: PacketBytes) -> Bool {
    unsafe append(frame.base, byteCount: UInt32(frame.count))
  }

  /// The packets, to be held over a loop.
  @inlinable @inline(__always) var packets: PacketArray { unsafe PacketArray(base: base) }

  @inlinable @inline(__always)
  subscript(i: Int) -> Packet {
    _read { yield packets[i] }
    nonmutating _modify { yield &packets[i] }
  }

  /// What became of packet `i`, and its bytes as they are now: to be transmitted, punted, or dropped.
  @inlinable @inline(__always)
  public func outcome(_ i: Int) -> (verdict: Verdict, frame: PacketBytes, instanceID: UInt32) {
    precondition(i >= 0 && i < filled)
    return (self[i].verdict, self[i].frame, self[i].instanceID)
  }
}
