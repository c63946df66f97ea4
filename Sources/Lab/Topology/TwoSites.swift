// SPDX-License-Identifier: Apache-2.0
//
// The topology of `xtr demo` and of most namespace tests: two LISP sites, each with two tenants that use the same addresses, and
// between their routers a core that knows only RLOCs.
//
//     hostA1 ─── site1 ┐                                             ┌ site1 ─── hostB1      instance 1
//                      xtrA ─── core ─ xtrA:core:xtrB ─ core ─── xtrB
//     hostA2 ─── site2 ┘                                             └ site2 ─── hostB2      instance 2
//
//     EIDs                            RLOCs                                      EIDs
//     10.1.0.0/24                     192.0.2.2       198.51.100.2           10.2.0.0/24
//     fd00:1::/64                     2001:db8:a::2   2001:db8:b::2          fd00:2::/64
//
// Hosts are .10 / ::10 and have one default route, to their router: .1 / ::1 in instance 1, .2 / ::2 in instance 2. The outer next hop
// of each router is the core, a gateway, not the other router. The core has no route to any EID, so that nothing but LISP can carry a
// packet from one site to the other. There is no VRF: in the routers, instance 2's prefixes are in routing table 102.

import Wire

/// One LISP site: its router and its two hosts.
public struct Site: Sendable {
  public let letter: String
  public let router: Namespace
  /// Host of instance 1, host of instance 2; the same addresses in both.
  public let hosts: [Namespace]
  /// The router's site interface per instance.
  public let siteInterfaces = ["site1", "site2"]
  public let coreInterface = "core"
  /// What the router is called from the core: the core's interface towards it.
  public let coreSideInterface: String

  /// The router's own address on the site interface of `instance` (1 or 2).
  public func gateway(_ family: AddressFamily, instance: Int) -> String {
    switch family {
    case .ipv4: "10.\(number).0.\(instance)"
    case .ipv6: "fd00:\(number)::\(instance)"
    }
  }

  /// What the site announces in both instances.
  public func eidPrefix(_ family: AddressFamily) -> IPPrefix { IPPrefix(masking: host(family), length: family.linkPrefixLength) }

  /// The hosts' address.
  public func host(_ family: AddressFamily) -> IPAddress {
    switch family {
    case .ipv4: .v4(IPv4Address(10, UInt8(number), 0, 10))
    case .ipv6: .v6(IPv6Address(high: 0xFD00 << 48 | UInt64(number) << 32, low: 0x10))
    }
  }

  /// The router's RLOC.
  public func rloc(_ family: AddressFamily) -> IPAddress {
    switch family {
    case .ipv4: number == 1 ? .v4(IPv4Address(192, 0, 2, 2)) : .v4(IPv4Address(198, 51, 100, 2))
    case .ipv6: .v6(IPv6Address(high: 0x2001_0DB8 << 32 | UInt64(number + 9) << 16, low: 2))
    }
  }

  /// The core's address in this site's RLOC subnet.
  public func coreGateway(_ family: AddressFamily) -> String {
    switch family {
    case .ipv4: number == 1 ? "192.0.2.1" : "198.51.100.1"
    case .ipv6: "2001:db8:\(letter.lowercased())::1"
    }
  }

  var number: Int { letter == "A" ? 1 : 2 }

  init(_ letter: String, lab: Lab) throws {
    self.letter = letter
    router = try lab.namespace("xtr\(letter)")
    hosts = [try lab.namespace("host\(letter)1"), try lab.namespace("host\(letter)2")]
    coreSideInterface = "xtr\(letter)"
  }
}

public struct TwoSites: Sendable {
  public let lab: Lab
  public let core: Namespace
  public let siteA: Site
  public let siteB: Site

  /// The routing table that holds instance 2's prefixes in both routers.
  public static let secondTable = 102
  /// The outer header of an IPv6 RLOC is 56 bytes: room for a 1500-byte inner packet and some more.
  public static let coreMTU = 1600

  /// Build it. `queues`: receive and transmit queues of every link at the routers.
  public init(in lab: Lab, queues: Int = 1, coreMTU: Int = TwoSites.coreMTU) throws {
    self.lab = lab
    core = try lab.namespace("core")
    siteA = try Site("A", lab: lab)
    siteB = try Site("B", lab: lab)
    for namespace in [core, siteA.router, siteB.router] {
      try namespace.set("net/ipv4/ip_forward", "1")
      try namespace.set("net/ipv6/conf/all/forwarding", "1")
    }
    for site in [siteA, siteB] {
      try connectCore(site, mtu: coreMTU, queues: queues)
      for instance in [1, 2] { try connectHost(site, instance: instance, queues: queues) }
      try separateSecondInstance(site)
    }
  }

  /// The same drawing for people who run the demo.
  public static let picture = """
      hostA1 ──┐                                                  ┌── hostB1    instance 1
               ├─ xtrA ─────────────── core ─────────────── xtrB ─┤
      hostA2 ──┘    192.0.2.2                    198.51.100.2     └── hostB2    instance 2
                    2001:db8:a::2               2001:db8:b::2

      10.1.0.0/24          the core knows only RLOCs              10.2.0.0/24
      fd00:1::/64                                                 fd00:2::/64
    """

  public func site(_ letter: String) -> Site { letter == "A" ? siteA : siteB }

  private func connectCore(_ site: Site, mtu: Int, queues: Int) throws {
    let end = LinkEnd(
      core, site.coreSideInterface, addresses: ["\(site.coreGateway(.ipv4))/24", "\(site.coreGateway(.ipv6))/64"])
    let routerEnd = LinkEnd(
      site.router, site.coreInterface, addresses: AddressFamily.allCases.map { "\(site.rloc($0))/\($0.linkPrefixLength)" },
      offloads: .untouched)
    try lab.connect(end, routerEnd, mtu: mtu, queues: queues)
    for family in AddressFamily.allCases { try site.router.ip("route add default via \(site.coreGateway(family))") }
  }

  private func connectHost(_ site: Site, instance: Int, queues: Int) throws {
    let host = site.hosts[instance - 1]
    let addresses = AddressFamily.allCases.map { "\(site.host($0))/\($0.linkPrefixLength)" }
    let routerAddresses = AddressFamily.allCases.map { "\(site.gateway($0, instance: instance))/\($0.linkPrefixLength)" }
    try lab.connect(
      LinkEnd(host, "eth0", addresses: addresses),
      LinkEnd(
        site.router, site.siteInterfaces[instance - 1], addresses: routerAddresses, prefixRoutes: instance == 1, offloads: .untouched),
      queues: queues)
    for family in AddressFamily.allCases { try host.ip("route add default via \(site.gateway(family, instance: instance))") }
  }

  /// Instance 2 has the addresses of instance 1: its routes are in a table of their own, which packets from its own site interface and
  /// from the router's address there look into.
  private func separateSecondInstance(_ site: Site) throws {
    let interface = site.siteInterfaces[1]
    for family in AddressFamily.allCases {
      let flag = family == .ipv4 ? "-4" : "-6"
      let router = site.router
      try router.ip("\(flag) route add \(site.eidPrefix(family)) dev \(interface) table \(Self.secondTable)")
      try router.ip("\(flag) route add default via \(site.coreGateway(family)) table \(Self.secondTable)")
      try router.ip("\(flag) rule add iif \(interface) lookup \(Self.secondTable) priority 1000")
      try router.ip("\(flag) rule add from \(site.gateway(family, instance: 2)) lookup \(Self.secondTable) priority 1001")
    }
  }
}

extension AddressFamily {
  /// All links of the lab: a /24 and a /64.
  var linkPrefixLength: Int { self == .ipv4 ? 24 : 64 }
}
