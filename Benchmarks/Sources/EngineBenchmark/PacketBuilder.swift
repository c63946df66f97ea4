// SPDX-License-Identifier: Apache-2.0
//
// One packet of a case, from header values: what a host of the site sends, or what a peer's ITR makes of it.

import DataPlane
import Measuring
import Wire

enum PacketBuilder {
  /// The head of a frame (all its headers) and the length of the whole.
  static func frame(_ shape: Case, _ site: Site, _ random: inout SplitMix64) -> (head: [UInt8], byteCount: Int) {
    let inner = inner(shape, site, &random)
    let ethernet = EthernetHeader(
      destination: Site.siteMAC, source: Site.peerMAC, etherType: inner.head[0] >> 4 == 4 ? .ipv4 : .ipv6)
    guard shape.direction == .decap else { return (ethernet.array + inner.head, 14 + inner.byteCount) }
    return outer(shape, inner, &random)
  }

  /// An IP packet with UDP ports: its head and its whole length.
  private static func inner(_ shape: Case, _ site: Site, _ random: inout SplitMix64) -> (head: [UInt8], byteCount: Int) {
    let byteCount = shape.innerFrameByteCount(&random) - 14
    let prefix = site.destinations[Int(random.next() % UInt64(site.destinations.count))]
    let destination = host(of: prefix, &random)
    let source =
      shape.hostCount > 0
      ? Site.host(Int(random.next() % UInt64(shape.hostCount)), of: site.localPrefix) : host(of: site.localPrefix, &random)
    let udp = UDPHeader(
      sourcePort: UInt16(truncatingIfNeeded: random.next()), destinationPort: 443,
      payloadLength: byteCount - (destination.family == .ipv4 ? 28 : 48))
    switch (source, destination) {
    case (.v4(let source), .v4(let destination)):
      let ip = IPv4Header(protocolNumber: .udp, source: source, destination: destination, payloadLength: byteCount - 20)
      return (ip.array + udp.array, byteCount)
    case (.v6(let source), .v6(let destination)):
      var ip = IPv6Header(nextHeader: .udp, source: source, destination: destination)
      ip.payloadLength = UInt16(byteCount - 40)
      return (ip.array + udp.array, byteCount)
    default: preconditionFailure("one family per case")
    }
  }

  private static func outer(
    _ shape: Case, _ inner: (head: [UInt8], byteCount: Int), _ random: inout SplitMix64
  ) -> (head: [UInt8], byteCount: Int) {
    let udp = UDPHeader(
      sourcePort: 0xC000 | UInt16(random.next() & 0x3FFF), destinationPort: LISPPort.data, payloadLength: 8 + inner.byteCount)
    let tunnel = udp.array + LISPHeader(instanceID: Site.instance).array + inner.head
    switch Site.ownRLOCs[shape.families.outerIsIPv6 ? 1 : 0] {
    case .v4(let own):
      let ip = IPv4Header(
        protocolNumber: .udp, source: IPv4Address(rawValue: 0xC633_6401), destination: own, payloadLength: 16 + inner.byteCount)
      let ethernet = EthernetHeader(destination: Site.coreMAC, source: Site.peerMAC, etherType: .ipv4)
      return (ethernet.array + ip.array + tunnel, 14 + 36 + inner.byteCount)
    case .v6(let own):
      var ip = IPv6Header(nextHeader: .udp, source: IPv6Address(high: 0x2001_0DB8_0000_0009, low: 9), destination: own)
      ip.payloadLength = UInt16(16 + inner.byteCount)
      let ethernet = EthernetHeader(destination: Site.coreMAC, source: Site.peerMAC, etherType: .ipv6)
      return (ethernet.array + ip.array + tunnel, 14 + 56 + inner.byteCount)
    }
  }

  /// A random address inside `prefix`.
  private static func host(of prefix: IPPrefix, _ random: inout SplitMix64) -> IPAddress {
    switch prefix.address {
    case .v4(let address):
      return .v4(IPv4Address(rawValue: address.rawValue | UInt32(truncatingIfNeeded: random.next()) >> UInt32(prefix.length)))
    case .v6(let address):
      return .v6(
        IPv6Address(
          high: address.high | random.next() >> UInt64(prefix.length),
          low: address.low | random.next() >> UInt64(max(0, prefix.length - 64))))
    }
  }
}
