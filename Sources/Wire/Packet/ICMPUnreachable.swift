// SPDX-License-Identifier: Apache-2.0
//
// What an ICMP destination-unreachable message (RFC 792, RFC 4443 3.1) says of a UDP packet that somebody sent: the reader of what ICMPError
// writes. The slow path learns by it that an RLOC cannot be reached (RFC 9300 10, RFC 9301 7).
//
//    ├───────────────┬───────────────┬───────────────────────────────┤ 0   ICMP header
//    │     type      │     code      │           checksum            │
//    ├───────────────┴───────────────┴───────────────────────────────┤ 4
//    │                            unused                             │
//    ├───────────────────────────────────────────────────────────────┤ 8
//    │ the IP header of the packet in question and, at least, its UDP ports
//    └────────────────────────────────────────────────────────────────

/// The UDP packet that did not arrive, as the message quotes it. Anybody can send such a message: believe it only if the packet is one that you
/// could have sent.
public struct ICMPUnreachable: Hashable, Sendable {
  public var source: IPAddress
  public var destination: IPAddress
  public var sourcePort: UInt16
  public var destinationPort: UInt16

  static let byteCount = 8

  /// From a whole ICMP message, without the IP header in front of it. nil for other messages, for IPv4's "fragmentation needed" (code 4), which
  /// tells of a size, and for what quotes no UDP packet.
  public init?(_ message: PacketBytes, family: AddressFamily) {
    guard message.count > Self.byteCount else { return nil }
    let quoted = message.dropFirst(Self.byteCount)
    switch family {
    case .ipv4:
      guard message.u8(0) == 3, message.u8(1) != 4 else { return nil }
      self.init(ipv4: quoted)
    case .ipv6:
      guard message.u8(0) == 1 else { return nil }
      self.init(ipv6: quoted)
    }
  }

  /// A quote is cut, so that its length field says nothing.
  private init?(ipv4 quoted: PacketBytes) {
    guard quoted.count >= IPv4View.minimumByteCount, quoted.u8(0) >> 4 == 4 else { return nil }
    let headerByteCount = Int(quoted.u8(0) & 0xF) * 4
    guard headerByteCount >= IPv4View.minimumByteCount, quoted.u8(9) == IPProtocol.udp.rawValue,
      quoted.u16(6) & 0x1FFF == 0, quoted.count >= headerByteCount + 4
    else { return nil }
    source = .v4(IPv4Address(rawValue: quoted.u32(12)))
    destination = .v4(IPv4Address(rawValue: quoted.u32(16)))
    sourcePort = quoted.u16(headerByteCount)
    destinationPort = quoted.u16(headerByteCount + 2)
  }

  private init?(ipv6 quoted: PacketBytes) {
    guard quoted.count >= 44, quoted.u8(0) >> 4 == 6, quoted.u8(6) == IPProtocol.udp.rawValue else { return nil }
    source = .v6(IPv6Address(high: quoted.u64(8), low: quoted.u64(16)))
    destination = .v6(IPv6Address(high: quoted.u64(24), low: quoted.u64(32)))
    sourcePort = quoted.u16(40)
    destinationPort = quoted.u16(42)
  }
}
