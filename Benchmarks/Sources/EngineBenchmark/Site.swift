// SPDX-License-Identifier: Apache-2.0
//
// The forwarding state of a case, built through the router's own publisher. Every prefix has a set and a template of its own: as
// many locators (or hosts) as prefixes, nothing shared that a real table might not share. Only the table of the Internet shares them:
// its prefixes lie behind a thousand sites. A mapping and a counter of its own has every prefix there, too.

import DataPlane
import Measuring
import PrefixTable
import Wire

struct Site {
  static let sitePort = 0
  static let corePort = 1
  static let instance = InstanceID(truncating: 7)
  static let siteMAC = MACAddress(rawValue: 0x0200_0000_0001)
  static let coreMAC = MACAddress(rawValue: 0x0200_0000_0002)
  static let peerMAC = MACAddress(rawValue: 0x0200_0000_0003)
  static let ownRLOCs: [IPAddress] = [.v4(IPv4Address(rawValue: 0xC000_0201)), .v6(IPv6Address(high: 0x2001_0DB8_0000_0001, low: 1))]

  let publisher: ForwardingPublisher
  /// The prefixes that packets go to: remote ones for encapsulation, local ones for decapsulation.
  let destinations: [IPPrefix]
  /// Where the site's packets come from (encapsulation).
  let localPrefix: IPPrefix

  init(_ shape: Case, seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    publisher = try ForwardingPublisher()
    localPrefix =
      shape.families.innerIsIPv6
      ? IPPrefix(masking: .v6(IPv6Address(high: 0x2001_0DB8_0AAA_0000, low: 0)), length: 48)
      : IPPrefix(masking: .v4(IPv4Address(rawValue: 0x0A00_0100)), length: shape.hostCount > 0 ? 16 : 24)
    destinations = shape.isInternet ? Self.internet(shape) : Self.prefixes(shape, &random)
    publisher.setPort(Self.sitePort, PortState(role: .site, instance: Self.instance))
    publisher.setPort(Self.corePort, PortState(role: .core))
    try publisher.setOwnRLOCs(Self.ownRLOCs)
    let action: ForwardingAction = shape.direction == .encap ? .encapsulate : .local
    var sets: [SetHandle] = []
    for i in 0..<(shape.isInternet ? Self.internetSetCount : destinations.count) {
      let template = try publisher.addTemplate(Self.template(shape, i))
      sets.append(try publisher.addSet(LocatorSet(action, [LocatorChoice(ordinal: 0, template: template, weight: 100)])))
    }
    for (i, prefix) in destinations.enumerated() {
      let set = i < sets.count ? sets[i] : sets[Int(random.next() % UInt64(sets.count))]
      try publisher.setMapping(EIDPrefix(Self.instance, prefix), set: set, counters: UInt32(i + 1))
    }
    if shape.direction == .encap {
      let local = try publisher.addSet(LocatorSet(.local))
      try publisher.setMapping(EIDPrefix(Self.instance, localPrefix), set: local, counters: 0)
      for host in 0..<shape.hostCount {
        try publisher.setMapping(EIDPrefix(Self.instance, IPPrefix(host: Self.host(host, of: localPrefix))), set: local, counters: 0)
      }
    }
    publisher.setLocalSpaces(shape.direction == .encap ? [EIDPrefix(Self.instance, localPrefix)] : [])
    publisher.publish()
  }

  static let internetSetCount = 1000

  /// Those of one family that are not the site's own.
  private static func internet(_ shape: Case) -> [IPPrefix] {
    let prefixes = Prefixes.internet()
    return shape.families.innerIsIPv6 ? prefixes.ipv6 : prefixes.ipv4
  }

  /// The site's hosts are numbered from the beginning of its prefix.
  static func host(_ number: Int, of prefix: IPPrefix) -> IPAddress {
    let bits = prefix.address.leftAligned
    switch prefix.family {
    case .ipv4: return .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: bits.high >> 32) + UInt32(number)))
    case .ipv6: return .v6(IPv6Address(high: bits.high, low: UInt64(number)))
    }
  }

  /// Distinct random /24 of the unicast space, or /48 of 2000::/3; none inside the local prefix.
  private static func prefixes(_ shape: Case, _ random: inout SplitMix64) -> [IPPrefix] {
    var seen: Set<IPPrefix> = []
    while seen.count < shape.prefixCount {
      let bits = random.next()
      if shape.families.innerIsIPv6 {
        seen.insert(IPPrefix(masking: .v6(IPv6Address(high: bits >> 3 | 1 << 61, low: 0)), length: 48))
      } else {
        let address = UInt32(truncatingIfNeeded: bits)
        guard (1...223).contains(address >> 24), address >> 24 != 10, address >> 24 != 127 else { continue }
        seen.insert(IPPrefix(masking: .v4(IPv4Address(rawValue: address)), length: 24))
      }
    }
    return seen.sorted { $0.description < $1.description }
  }

  /// The way to the `i`-th RLOC, or to the `i`-th host.
  private static func template(_ shape: Case, _ i: Int) -> HeaderTemplate {
    guard shape.direction == .encap else {
      return HeaderTemplate(
        tunnel: nil, port: UInt8(sitePort), sourceMAC: siteMAC, destinationMAC: MACAddress(rawValue: 0x0200_0100_0000 | UInt64(i)),
        mtu: 9000)
    }
    let rloc: IPAddress =
      shape.families.outerIsIPv6
      ? .v6(IPv6Address(high: 0x2001_0DB8_0000_0002, low: UInt64(i + 1)))
      : .v4(IPv4Address(rawValue: 0xC612_0000 + UInt32(i)))
    let tunnel = HeaderTemplate.Tunnel(source: ownRLOCs[shape.families.outerIsIPv6 ? 1 : 0], destination: rloc)
    return HeaderTemplate(tunnel: tunnel, port: UInt8(corePort), sourceMAC: coreMAC, destinationMAC: peerMAC, mtu: 9000)
  }
}
