// SPDX-License-Identifier: Apache-2.0
//
// The IPv4 header (RFC 791 3.1). Inner headers are read and decremented in place, outer ones come from header templates.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────┼───────┼───────────┼───┼───────────────────────────────┤  0
//    │version│  IHL  │   DSCP    │ECN│         total length          │
//    ├───────┴───────┴───────────┴───┼─────┼─────────────────────────┤  4
//    │         identification        │flags│    fragment offset      │
//    ├───────────────┼───────────────┼─────┴─────────────────────────┤  8
//    │      TTL      │   protocol    │        header checksum        │
//    ├───────────────┴───────────────┴───────────────────────────────┤ 12
//    │                         source address                        │
//    ├───────────────────────────────────────────────────────────────┤ 16
//    │                      destination address                      │
//    └───────────────────────────────────────────────────────────────┘ 20  options up to 60

/// Protocol numbers (IANA), the ones a router looks at.
public struct IPProtocol: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  @inlinable public static var hopByHop: IPProtocol { IPProtocol(rawValue: 0) }
  @inlinable public static var icmp: IPProtocol { IPProtocol(rawValue: 1) }
  @inlinable public static var tcp: IPProtocol { IPProtocol(rawValue: 6) }
  @inlinable public static var udp: IPProtocol { IPProtocol(rawValue: 17) }
  @inlinable public static var routing: IPProtocol { IPProtocol(rawValue: 43) }
  @inlinable public static var fragment: IPProtocol { IPProtocol(rawValue: 44) }
  @inlinable public static var icmpv6: IPProtocol { IPProtocol(rawValue: 58) }
  @inlinable public static var noNext: IPProtocol { IPProtocol(rawValue: 59) }
  @inlinable public static var destinationOptions: IPProtocol { IPProtocol(rawValue: 60) }
  @inlinable public static var sctp: IPProtocol { IPProtocol(rawValue: 132) }
}

/// A view on an IPv4 packet whose header and total length lie within the bytes.
public struct IPv4View: Sendable {
  public static let minimumByteCount = 20

  public let bytes: PacketBytes

  /// nil unless version, header length and total length agree with each other and with the bytes there are.
  @inlinable @inline(__always)
  public init?(_ bytes: PacketBytes) {
    guard bytes.count >= Self.minimumByteCount else { return nil }
    self.bytes = bytes
    // Version 4, and a header length of 5 to 15 words.
    let first = bytes.u8(0)
    let length = Int(bytes.u16(2))
    guard first &- 0x45 <= 10, length <= bytes.count, Int(first & 0x0F) << 2 <= length else { return nil }
  }

  /// A packet that has been viewed before, so that nothing is left to prove.
  @inlinable @inline(__always)
  public init(proven bytes: PacketBytes) { self.bytes = bytes }

  /// 20…60 bytes.
  @inlinable @inline(__always) public var headerByteCount: Int { Int(bytes.u8(0) & 0x0F) << 2 }
  /// Header and payload, in bytes.
  @inlinable @inline(__always) public var totalLength: Int { Int(bytes.u16(2)) }
  /// DSCP and ECN (RFC 2474, RFC 3168).
  @inlinable @inline(__always) public var trafficClass: UInt8 { bytes.u8(1) }
  @inlinable @inline(__always) public var timeToLive: UInt8 { bytes.u8(8) }
  @inlinable @inline(__always) public var protocolNumber: UInt8 { bytes.u8(9) }
  @inlinable @inline(__always) public var source: UInt32 { bytes.u32(12) }
  @inlinable @inline(__always) public var destination: UInt32 { bytes.u32(16) }
  /// As they lie in the packet, for hashing, comparing and copying.
  @inlinable @inline(__always) public var rawSource: UInt32 { bytes.raw32(12) }
  @inlinable @inline(__always) public var rawDestination: UInt32 { bytes.raw32(16) }
  @inlinable public var identification: UInt16 { bytes.u16(4) }
  @inlinable public var dontFragment: Bool { bytes.u16(6) & 0x4000 != 0 }
  @inlinable public var headerChecksum: UInt16 { bytes.u16(10) }
  /// More fragments follow, or this is not the first.
  @inlinable @inline(__always) public var isFragment: Bool { bytes.u16(6) & 0x3FFF != 0 }
  @inlinable @inline(__always) public var isLaterFragment: Bool { bytes.u16(6) & 0x1FFF != 0 }
  @inlinable @inline(__always) public var payload: PacketBytes { bytes.prefix(totalLength).dropFirst(headerByteCount) }

  /// Sets the TTL and keeps the checksum right.
  @inlinable @inline(__always)
  public func setTimeToLive(_ new: UInt8) {
    let third = bytes.u32(8)
    let old = UInt16(truncatingIfNeeded: third >> 16)
    let word = UInt16(new) << 8 | old & 0x00FF
    let checksum = InternetChecksum.updated(UInt16(truncatingIfNeeded: third), from: old, to: word)
    bytes.store(UInt32(word) << 16 | UInt32(checksum), at: 8)
  }

  /// Subtracts one from the TTL of a header that is known to be sound, and keeps the checksum right: the word holding the
  /// TTL falls by 0x0100, so the checksum rises by it, with the carry around (RFC 1141).
  @inlinable @inline(__always)
  public static func decrement(_ bytes: PacketBytes) {
    let word = bytes.u32(8)
    let carry: UInt32 = UInt16(truncatingIfNeeded: word) >= 0xFEFF ? 0xFFFF : 0
    bytes.store(word &- 0x0100_0000 &+ 0x0100 &- carry, at: 8)
  }

  /// Sets DSCP and ECN and keeps the checksum right.
  @inlinable @inline(__always)
  public func setTrafficClass(_ new: UInt8) {
    let old = bytes.u16(0)
    bytes.store(new, at: 1)
    bytes.store(InternetChecksum.updated(bytes.u16(10), from: old, to: old & 0xFF00 | UInt16(new)), at: 10)
  }

  /// Whether the header checksum is right: the words' sum is a multiple of 0xFFFF, in either byte order (RFC 1071).
  @inlinable @inline(__always)
  public var hasValidChecksum: Bool {
    guard headerByteCount == Self.minimumByteCount else { return hasValidChecksumWithOptions }
    let (first, second) = (bytes.raw64(0), bytes.raw64(8))
    let halves = (first & 0xFFFF_FFFF) &+ (first >> 32) &+ (second & 0xFFFF_FFFF) &+ (second >> 32)
    return (halves &+ UInt64(bytes.raw32(16))).isMultiple(of: 0xFFFF)
  }

  @usableFromInline @inline(never)
  var hasValidChecksumWithOptions: Bool {
    var sum = InternetChecksum()
    sum.add(bytes.prefix(headerByteCount))
    return sum.folded == 0xFFFF
  }
}

/// An IPv4 header without options, as a value.
public struct IPv4Header: Equatable, Sendable {
  public var trafficClass: UInt8 = 0
  /// Header and payload, in bytes.
  public var totalLength: UInt16 = 20
  public var identification: UInt16 = 0
  public var dontFragment = true
  public var moreFragments = false
  /// In units of 8 bytes, 0…8191.
  public var fragmentOffset: UInt16 = 0
  public var timeToLive: UInt8 = 64
  public var protocolNumber: IPProtocol
  public var source: IPv4Address
  public var destination: IPv4Address

  public init(protocolNumber: IPProtocol, source: IPv4Address, destination: IPv4Address, payloadLength: Int = 0) {
    self.protocolNumber = protocolNumber
    self.source = source
    self.destination = destination
    totalLength = UInt16(clamping: 20 + payloadLength)
  }

  /// Throws `.truncated` or `.invalid`; options are read over.
  public init(parsing bytes: PacketBytes) throws(WireError) {
    guard bytes.count >= 20 else { throw .truncated(.ipv4, needed: 20, available: bytes.count) }
    guard bytes.u8(0) >> 4 == 4 else { throw .invalid(.ipv4, field: "version", value: UInt64(bytes.u8(0) >> 4)) }
    guard let view = IPv4View(bytes) else { throw .invalid(.ipv4, field: "length", value: UInt64(bytes.u16(2))) }
    self.init(
      protocolNumber: IPProtocol(rawValue: view.protocolNumber), source: IPv4Address(rawValue: view.source),
      destination: IPv4Address(rawValue: view.destination))
    trafficClass = view.trafficClass
    totalLength = UInt16(view.totalLength)
    identification = view.identification
    dontFragment = view.dontFragment
    moreFragments = bytes.u16(6) & 0x2000 != 0
    fragmentOffset = bytes.u16(6) & 0x1FFF
    timeToLive = view.timeToLive
  }

  /// 20 octets, the checksum computed.
  public var array: [UInt8] {
    let flags = (dontFragment ? 0x4000 : 0) | (moreFragments ? 0x2000 : 0) | fragmentOffset & 0x1FFF
    var octets: [UInt8] = [0x45, trafficClass]
    octets += totalLength.octets + identification.octets + flags.octets + [timeToLive, protocolNumber.rawValue, 0, 0]
    octets += source.octets + destination.octets
    var sum = InternetChecksum()
    for i in stride(from: 0, to: 20, by: 2) { sum.add(UInt16(octets[i]) << 8 | UInt16(octets[i + 1])) }
    octets.replaceSubrange(10..<12, with: sum.checksum.octets)
    return octets
  }
}
