// SPDX-License-Identifier: Apache-2.0
//
// The IPv6 header (RFC 8200 3) and the walk over its extension headers (RFC 8200 4).
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────┼───────────────┼───────────────────────────────────────┤  0
//    │version│ traffic class │              flow label               │
//    ├───────┴───────────────┴───────┼───────────────┼───────────────┤  4
//    │         payload length        │  next header  │   hop limit   │
//    ├───────────────────────────────┴───────────────┴───────────────┤  8
//    │                    source address, 16 octets                  │
//    ├───────────────────────────────────────────────────────────────┤ 24
//    │                 destination address, 16 octets                │
//    └───────────────────────────────────────────────────────────────┘ 40

/// A view on an IPv6 packet whose payload length lies within the bytes.
public struct IPv6View: Sendable {
  public static let byteCount = 40

  public let bytes: PacketBytes

  /// nil unless version and payload length agree with the bytes there are.
  @inlinable @inline(__always)
  public init?(_ bytes: PacketBytes) {
    guard bytes.count >= Self.byteCount else { return nil }
    self.bytes = bytes
    guard bytes.u8(0) >> 4 == 6, Int(bytes.u16(4)) &+ Self.byteCount <= bytes.count else { return nil }
  }

  /// A packet that has been viewed before, so that nothing is left to prove.
  @inlinable @inline(__always)
  public init(proven bytes: PacketBytes) { self.bytes = bytes }

  @inlinable @inline(__always) public var trafficClass: UInt8 { UInt8(truncatingIfNeeded: bytes.u16(0) >> 4) }
  @inlinable @inline(__always) public var flowLabel: UInt32 { bytes.u32(0) & 0xF_FFFF }
  @inlinable @inline(__always) public var payloadLength: Int { Int(bytes.u16(4)) }
  /// Header and payload, in bytes.
  @inlinable @inline(__always) public var totalLength: Int { payloadLength &+ Self.byteCount }
  @inlinable @inline(__always) public var nextHeader: UInt8 { bytes.u8(6) }
  @inlinable @inline(__always) public var hopLimit: UInt8 { bytes.u8(7) }
  @inlinable @inline(__always) public var source: IPv6Address { IPv6Address(high: bytes.u64(8), low: bytes.u64(16)) }
  @inlinable @inline(__always) public var destination: IPv6Address { IPv6Address(high: bytes.u64(24), low: bytes.u64(32)) }
  /// As they lie in the packet, first and second half, for hashing, comparing and copying.
  @inlinable @inline(__always) public var rawSource: (UInt64, UInt64) { (bytes.raw64(8), bytes.raw64(16)) }
  @inlinable @inline(__always) public var rawDestination: (UInt64, UInt64) { (bytes.raw64(24), bytes.raw64(32)) }
  @inlinable @inline(__always) public var payload: PacketBytes { bytes.prefix(totalLength).dropFirst(Self.byteCount) }

  @inlinable @inline(__always) public func setHopLimit(_ new: UInt8) { bytes.store(new, at: 7) }

  @inlinable @inline(__always)
  public func setTrafficClass(_ new: UInt8) {
    bytes.store(bytes.u16(0) & 0xF00F | UInt16(new) << 4, at: 0)
  }

  /// What the chain of extension headers ends in.
  public struct UpperLayer: Equatable, Sendable {
    public var protocolNumber: UInt8
    /// From the start of the IPv6 header, in bytes; may lie at the very end of the packet.
    public var offset: Int
    public var isFragment: Bool
    public var isLaterFragment: Bool
  }

  /// Walks at most eight extension headers; nil when the chain is longer, cut off, or runs past the packet.
  @inline(never)
  public func upperLayer() -> UpperLayer? {
    var found = UpperLayer(protocolNumber: nextHeader, offset: Self.byteCount, isFragment: false, isLaterFragment: false)
    for _ in 0...8 {
      switch IPProtocol(rawValue: found.protocolNumber) {
      case .hopByHop, .routing, .destinationOptions:
        guard found.offset + 8 <= totalLength else { return nil }
        found.protocolNumber = bytes.u8(found.offset)
        found.offset += (Int(bytes.u8(found.offset + 1)) + 1) * 8
      case .fragment:
        guard found.offset + 8 <= totalLength else { return nil }
        let word = bytes.u16(found.offset + 2)
        found.protocolNumber = bytes.u8(found.offset)
        found.isFragment = found.isFragment || word & 0xFFF9 != 0
        found.isLaterFragment = word & 0xFFF8 != 0
        found.offset += 8
        if found.isLaterFragment { return found }
      default:
        return found.offset <= totalLength ? found : nil
      }
      guard found.offset <= totalLength else { return nil }
    }
    return nil
  }
}

/// An IPv6 header as a value.
public struct IPv6Header: Equatable, Sendable {
  public var trafficClass: UInt8 = 0
  /// 20 bits.
  public var flowLabel: UInt32 = 0
  /// In bytes, extension headers included.
  public var payloadLength: UInt16 = 0
  public var nextHeader: IPProtocol
  public var hopLimit: UInt8 = 64
  public var source: IPv6Address
  public var destination: IPv6Address

  public init(nextHeader: IPProtocol, source: IPv6Address, destination: IPv6Address, payloadLength: Int = 0) {
    self.nextHeader = nextHeader
    self.source = source
    self.destination = destination
    self.payloadLength = UInt16(clamping: payloadLength)
  }

  /// Throws `.truncated` or `.invalid`.
  public init(parsing bytes: PacketBytes) throws(WireError) {
    guard bytes.count >= 40 else { throw .truncated(.ipv6, needed: 40, available: bytes.count) }
    guard bytes.u8(0) >> 4 == 6 else { throw .invalid(.ipv6, field: "version", value: UInt64(bytes.u8(0) >> 4)) }
    guard let view = IPv6View(bytes) else {
      throw .truncated(.ipv6, needed: 40 + Int(bytes.u16(4)), available: bytes.count)
    }
    self.init(
      nextHeader: IPProtocol(rawValue: view.nextHeader), source: view.source, destination: view.destination,
      payloadLength: view.payloadLength)
    trafficClass = view.trafficClass
    flowLabel = view.flowLabel
    hopLimit = view.hopLimit
  }

  /// 40 octets.
  public var array: [UInt8] {
    let first = 6 << 28 | UInt32(trafficClass) << 20 | flowLabel & 0xF_FFFF
    return first.octets + payloadLength.octets + [nextHeader.rawValue, hopLimit] + source.octets + destination.octets
  }
}
