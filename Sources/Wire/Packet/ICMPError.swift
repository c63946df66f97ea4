// SPDX-License-Identifier: Apache-2.0
//
// ICMP errors (RFC 792, RFC 4443): what a source is told when its packet could not go on. Made on the slow path.
//
//    ├───────────────┼───────────────┼───────────────────────────────┤ 0   ICMP header
//    │     type      │     code      │           checksum            │
//    ├───────────────┴───────────────┴───────────────────────────────┤ 4
//    │        unused, or the MTU (v4: low 16 bits; v6: 32 bits)      │
//    ├───────────────────────────────────────────────────────────────┤ 8
//    │   as much of the packet as fits: 576 octets in all (RFC 1812 4.3.2.3), 1280 for IPv6
//    └────────────────────────────────────────────────────────────────

/// Why a packet is not forwarded, in ICMP's words.
public enum ICMPErrorKind: Equatable, Sendable {
  case timeExceeded
  /// Communication administratively prohibited.
  case prohibited
  case hostUnreachable
  /// Fragmentation needed, packet too big; names the largest packet that fits.
  case tooBig(mtu: Int)
}

/// The complete IP packet that tells the source of `packet` why it was not forwarded; nil when the rules forbid an answer:
/// to an ICMP error, a later fragment, or from or to an address that is not one host's (RFC 1122 3.2.2, RFC 4443 2.4).
public func icmpError(_ kind: ICMPErrorKind, about packet: PacketBytes, from source: IPAddress) -> [UInt8]? {
  switch source {
  case .v4(let address): icmpv4Error(kind, packet, address)
  case .v6(let address): icmpv6Error(kind, packet, address)
  }
}

private func icmpv4Error(_ kind: ICMPErrorKind, _ packet: PacketBytes, _ source: IPv4Address) -> [UInt8]? {
  guard let original = IPv4View(packet), !original.isLaterFragment else { return nil }
  let destination = IPv4Address(rawValue: original.source)
  guard !destination.isUnspecified, !destination.isMulticast, !destination.isBroadcast, !destination.isLoopback else { return nil }
  let target = IPv4Address(rawValue: original.destination)
  guard !target.isMulticast, !target.isBroadcast else { return nil }
  if original.protocolNumber == IPProtocol.icmp.rawValue {
    // Only queries and their answers may be answered with an error.
    guard original.payload.count >= 1, [0, 8, 13, 14].contains(original.payload.u8(0)) else { return nil }
  }
  let (type, code, rest): (UInt8, UInt8, UInt32) =
    switch kind {
    case .timeExceeded: (11, 0, 0)
    case .prohibited: (3, 13, 0)
    case .hostUnreachable: (3, 1, 0)
    case .tooBig(let mtu): (3, 4, UInt32(UInt16(clamping: mtu)))
    }
  let quoted = packet.prefix(min(original.totalLength, 576 - 28)).array
  var message: [UInt8] = [type, code, 0, 0] + rest.octets + quoted
  message.replaceSubrange(2..<4, with: checksum(message).octets)
  var header = IPv4Header(protocolNumber: .icmp, source: source, destination: destination, payloadLength: message.count)
  header.dontFragment = false
  header.trafficClass = 0xC0  // internetwork control (RFC 1812 4.3.2.5)
  return header.array + message
}

private func icmpv6Error(_ kind: ICMPErrorKind, _ packet: PacketBytes, _ source: IPv6Address) -> [UInt8]? {
  guard let original = IPv6View(packet) else { return nil }
  let destination = original.source
  guard !destination.isUnspecified, !destination.isMulticast, !destination.isLoopback else { return nil }
  if case .tooBig = kind {} else if original.destination.isMulticast { return nil }
  guard let upper = original.upperLayer(), !upper.isLaterFragment else { return nil }
  if upper.protocolNumber == IPProtocol.icmpv6.rawValue {
    // Types below 128 are errors; 137 is a redirect.
    guard upper.offset < original.totalLength, packet.u8(upper.offset) >= 128, packet.u8(upper.offset) != 137 else { return nil }
  }
  let (type, code, rest): (UInt8, UInt8, UInt32) =
    switch kind {
    case .timeExceeded: (3, 0, 0)
    case .prohibited: (1, 1, 0)
    case .hostUnreachable: (1, 3, 0)
    case .tooBig(let mtu): (2, 0, UInt32(clamping: mtu))
    }
  let quoted = packet.prefix(min(original.totalLength, 1280 - 48)).array
  var message: [UInt8] = [type, code, 0, 0] + rest.octets + quoted
  var sum = InternetChecksum()
  sum.add(.v6(source))
  sum.add(.v6(destination))
  sum.add(UInt32(message.count))
  sum.add(UInt16(IPProtocol.icmpv6.rawValue))
  message.replaceSubrange(2..<4, with: checksum(message, sum).octets)
  return IPv6Header(nextHeader: .icmpv6, source: source, destination: destination, payloadLength: message.count).array + message
}

private func checksum(_ octets: [UInt8], _ start: InternetChecksum = InternetChecksum()) -> UInt16 {
  var sum = start
  for i in stride(from: 0, to: octets.count, by: 2) {
    sum.add(UInt16(octets[i]) << 8 | (i + 1 < octets.count ? UInt16(octets[i + 1]) : 0))
  }
  return sum.checksum
}
