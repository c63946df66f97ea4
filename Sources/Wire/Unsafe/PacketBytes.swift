// SPDX-License-Identifier: Apache-2.0
//
// A window on the bytes of a packet: loads and stores in network byte order. Every header view reads through it; byte order
// lives here and nowhere else.

/// Bytes of a packet in memory that someone else owns. Trivial to copy.
///
/// The accessors assert their bounds in debug builds only: whoever makes a view proves, once and for all, that what the view
/// reads lies inside (`init?` of the header views). Thread: the owner's of the memory.
@safe public struct PacketBytes: @unchecked Sendable {
  public let base: UnsafeMutableRawPointer
  public let count: Int

  /// SAFETY: `base ..< base + count` stays valid and unshared while the window is used.
  @unsafe @inlinable @inline(__always)
  public init(base: UnsafeMutableRawPointer, count: Int) {
    unsafe self.base = unsafe base
    self.count = count
  }

  /// The bytes from `offset` on. Negative offsets look at what lies before (headroom): the caller knows that it is there.
  @inlinable @inline(__always)
  public func dropFirst(_ offset: Int) -> PacketBytes {
    assert(offset <= count)
    return unsafe PacketBytes(base: base + offset, count: count &- offset)
  }

  /// The first `length` bytes.
  @inlinable @inline(__always)
  public func prefix(_ length: Int) -> PacketBytes {
    assert(length <= count && length >= 0)
    return unsafe PacketBytes(base: base, count: length)
  }

  @inlinable @inline(__always)
  public func u8(_ offset: Int) -> UInt8 {
    assert(offset >= 0 && offset < count)
    return unsafe base.load(fromByteOffset: offset, as: UInt8.self)
  }

  @inlinable @inline(__always)
  public func u16(_ offset: Int) -> UInt16 {
    assert(offset >= 0 && offset &+ 2 <= count)
    return unsafe UInt16(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inlinable @inline(__always)
  public func u32(_ offset: Int) -> UInt32 {
    assert(offset >= 0 && offset &+ 4 <= count)
    return unsafe UInt32(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @inlinable @inline(__always)
  public func u64(_ offset: Int) -> UInt64 {
    assert(offset >= 0 && offset &+ 8 <= count)
    return unsafe UInt64(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// Four bytes as they lie there, in no particular order: for hashing, comparing and copying.
  @inlinable @inline(__always)
  public func raw32(_ offset: Int) -> UInt32 {
    assert(offset >= 0 && offset &+ 4 <= count)
    return unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
  }

  /// Eight bytes as they lie there.
  @inlinable @inline(__always)
  public func raw64(_ offset: Int) -> UInt64 {
    assert(offset >= 0 && offset &+ 8 <= count)
    return unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
  }

  @inlinable @inline(__always)
  public func store(_ value: UInt8, at offset: Int) {
    assert(offset >= 0 && offset < count)
    unsafe base.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
  }

  @inlinable @inline(__always)
  public func store(_ value: UInt16, at offset: Int) {
    assert(offset >= 0 && offset &+ 2 <= count)
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  @inlinable @inline(__always)
  public func store(_ value: UInt32, at offset: Int) {
    assert(offset >= 0 && offset &+ 4 <= count)
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }

  @inlinable @inline(__always)
  public func store(_ value: UInt64, at offset: Int) {
    assert(offset >= 0 && offset &+ 8 <= count)
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
  }

  /// Copies `bytes` here. Not for the packet path.
  public func store(_ bytes: [UInt8], at offset: Int) {
    precondition(offset >= 0 && offset + bytes.count <= count)
    for (i, byte) in bytes.enumerated() { store(byte, at: offset + i) }
  }

  /// A copy of the bytes. Not for the packet path.
  public var array: [UInt8] { (0..<count).map { u8($0) } }

  /// Calls `body` with the bytes as a buffer. Not for the packet path.
  public func withBuffer<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    // SAFETY: the invariant of init.
    unsafe try body(UnsafeRawBufferPointer(start: base, count: count))
  }
}

/// Memory for one packet, for tests, tools and the slow path. Starts as 0xA5, so that nothing relies on zeros.
@safe public struct PacketBuffer: ~Copyable {
  /// The whole buffer.
  public let bytes: PacketBytes

  public init(capacity: Int) {
    let base = UnsafeMutableRawPointer.allocate(byteCount: max(capacity, 1), alignment: 64)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0xA5, count: capacity)
    bytes = unsafe PacketBytes(base: base, count: capacity)
  }

  /// A packet with room before it.
  public init(_ packet: [UInt8], headroom: Int = 0, tailroom: Int = 0) {
    self.init(capacity: headroom + packet.count + tailroom)
    bytes.store(packet, at: headroom)
  }

  /// Calls `body` with the bytes, which live as long as the call: `bytes` of a buffer that nobody names any more are gone.
  public borrowing func withBytes<R>(_ body: (PacketBytes) -> R) -> R { body(bytes) }

  deinit { unsafe bytes.base.deallocate() }
}
