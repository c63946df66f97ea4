// SPDX-License-Identifier: Apache-2.0
//
// Ethernet II frames (IEEE 802.3) with at most one VLAN tag (IEEE 802.1Q). Read by Classify, written into header templates.
//
//    0      6      12    14                    0      6      12     14    16    18
//    ├──────┼──────┼─────┤                     ├──────┼──────┼──────┼─────┼─────┤
//    │ dst  │ src  │type │ payload             │ dst  │ src  │ 8100 │ TCI │type │ payload
//    └──────┴──────┴─────┘                     └──────┴──────┴──────┴─────┴─────┘

/// The type of an Ethernet payload.
public struct EtherType: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  @inlinable public static var ipv4: EtherType { EtherType(rawValue: 0x0800) }
  @inlinable public static var ipv6: EtherType { EtherType(rawValue: 0x86DD) }
  @inlinable public static var arp: EtherType { EtherType(rawValue: 0x0806) }
  @inlinable public static var vlan: EtherType { EtherType(rawValue: 0x8100) }
  @inlinable public static var providerVLAN: EtherType { EtherType(rawValue: 0x88A8) }
}

/// A VLAN identifier, 1…4094 (IEEE 802.1Q 9.6).
public struct VLANID: RawRepresentable, Hashable, Sendable, Comparable {
  public let rawValue: UInt16

  public init?(rawValue: UInt16) {
    guard (1...4094).contains(rawValue) else { return nil }
    self.rawValue = rawValue
  }

  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

/// A view on a frame's Ethernet header, with or without one tag.
public struct EthernetView: Sendable {
  public static let untaggedByteCount = 14
  public static let taggedByteCount = 18

  public let bytes: PacketBytes
  /// The type of what follows the header: behind the tag, if there is one.
  public let etherType: UInt16
  /// Where the payload begins: 14 or 18.
  public let payloadOffset: Int
  /// The identifier of the tag; 0 for an untagged or priority-tagged frame.
  public let vlan: UInt16

  /// nil when the frame is shorter than its header.
  @inlinable @inline(__always)
  public init?(_ bytes: PacketBytes) {
    guard bytes.count >= Self.untaggedByteCount else { return nil }
    self.bytes = bytes
    let type = bytes.u16(12)
    if type != 0x8100 {
      etherType = type
      payloadOffset = Self.untaggedByteCount
      vlan = 0
    } else {
      guard bytes.count >= Self.taggedByteCount else { return nil }
      etherType = bytes.u16(16)
      payloadOffset = Self.taggedByteCount
      vlan = bytes.u16(14) & 0x0FFF
    }
  }

  public var destination: MACAddress { MACAddress(rawValue: bytes.u64(0) >> 16) }
  public var source: MACAddress { MACAddress(rawValue: bytes.u64(6) >> 16) }
}

/// An Ethernet header as a value.
public struct EthernetHeader: Equatable, Sendable {
  public var destination: MACAddress
  public var source: MACAddress
  public var vlan: VLANID?
  public var etherType: EtherType

  public init(destination: MACAddress, source: MACAddress, vlan: VLANID? = nil, etherType: EtherType) {
    self.destination = destination
    self.source = source
    self.vlan = vlan
    self.etherType = etherType
  }

  /// Throws `.truncated`.
  public init(parsing bytes: PacketBytes) throws(WireError) {
    guard let view = EthernetView(bytes) else {
      let isTagged = bytes.count >= EthernetView.untaggedByteCount
      throw .truncated(
        .ethernet, needed: isTagged ? EthernetView.taggedByteCount : EthernetView.untaggedByteCount, available: bytes.count)
    }
    self.init(
      destination: view.destination, source: view.source, vlan: VLANID(rawValue: view.vlan),
      etherType: EtherType(rawValue: view.etherType))
  }

  /// 14, or 18 with a tag.
  public var byteCount: Int { vlan == nil ? EthernetView.untaggedByteCount : EthernetView.taggedByteCount }

  public var array: [UInt8] {
    destination.octets + source.octets + (vlan.map { [0x81, 0x00] + $0.rawValue.octets } ?? []) + etherType.rawValue.octets
  }
}

extension FixedWidthInteger {
  /// The octets, most significant first.
  public var octets: [UInt8] {
    (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> (Self.bitWidth - 8 * ($0 + 1))) }
  }
}
