// SPDX-License-Identifier: Apache-2.0
//
// The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Sums are kept as plain numbers and folded at the end.

/// A ones'-complement sum of 16-bit words in progress.
public struct InternetChecksum: Sendable {
  @usableFromInline var sum: UInt64

  @inlinable public init(_ sum: UInt32 = 0) { self.sum = UInt64(sum) }

  @inlinable @inline(__always)
  public mutating func add(_ word: UInt16) { sum &+= UInt64(word) }

  @inlinable @inline(__always)
  public mutating func add(_ word: UInt32) { sum &+= UInt64(word >> 16) &+ UInt64(word & 0xFFFF) }

  @inlinable
  public mutating func add(_ address: IPAddress) {
    switch address {
    case .v4(let a): add(a.rawValue)
    case .v6(let a):
      add(UInt32(truncatingIfNeeded: a.high >> 32))
      add(UInt32(truncatingIfNeeded: a.high))
      add(UInt32(truncatingIfNeeded: a.low >> 32))
      add(UInt32(truncatingIfNeeded: a.low))
    }
  }

  /// Adds bytes; an odd last one counts as the high half of a word.
  public mutating func add(_ bytes: PacketBytes) {
    var i = 0
    while i + 4 <= bytes.count {
      sum &+= UInt64(bytes.u32(i))
      i += 4
    }
    if i + 2 <= bytes.count {
      sum &+= UInt64(bytes.u16(i))
      i += 2
    }
    if i < bytes.count { sum &+= UInt64(bytes.u8(i)) << 8 }
  }

  /// The sum folded to 16 bits, not complemented.
  @inlinable @inline(__always)
  public var folded: UInt16 {
    var s = (sum & 0xFFFF_FFFF) &+ (sum >> 32)
    s = (s & 0xFFFF) &+ (s >> 16)
    s = (s & 0xFFFF) &+ (s >> 16)
    s = (s & 0xFFFF) &+ (s >> 16)
    return UInt16(truncatingIfNeeded: s)
  }

  /// What goes into the packet.
  @inlinable @inline(__always)
  public var checksum: UInt16 { ~folded }

  /// The checksum after the 16-bit word `old` became `new` (RFC 1624, equation 3).
  @inlinable @inline(__always)
  public static func updated(_ checksum: UInt16, from old: UInt16, to new: UInt16) -> UInt16 {
    self.checksum(of: UInt32(~checksum) &+ UInt32(~old) &+ UInt32(new))
  }

  /// The checksum of a sum of up to 65,537 words: adding the halves in both orders leaves the sum with its carry on top.
  @inlinable @inline(__always)
  public static func checksum(of sum: UInt32) -> UInt16 {
    ~UInt16(truncatingIfNeeded: (sum &+ (sum << 16 | sum >> 16)) >> 16)
  }

  /// The UDP checksum over the pseudo-header (RFC 768, RFC 8200 8.1) and `datagram` (header and payload, its checksum field
  /// taken as it is: 0 to compute, the received one to verify — then the result is 0 if it is right). Never 0 when computed
  /// over a field of 0: that value means "none" and goes out as 0xFFFF.
  public static func udp(source: IPAddress, destination: IPAddress, datagram: PacketBytes) -> UInt16 {
    var sum = InternetChecksum()
    sum.add(source)
    sum.add(destination)
    sum.add(UInt16(IPProtocol.udp.rawValue))
    sum.add(UInt32(truncatingIfNeeded: datagram.count))
    sum.add(datagram)
    return sum.checksum
  }
}
