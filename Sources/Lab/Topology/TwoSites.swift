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
    try waitForLinks()
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

  /// The kernel tells of a new link's state a little later; until then routes say "linkdown" and what a test sees is not yet quiet.
  private func waitForLinks() throws(LabError) {
    for namespace in lab.allNamespaces {
      try Interruption.wait(for: "the links of \(namespace.name)", atMost: .seconds(5)) { () throws(LabError) in
        let links = try namespace.ip("-br addr").split(separator: "\n").filter { !$0.hasPrefix("lo ") }
        return links.allSatisfy { $0.contains(" UP ") && $0.contains(" fe80:") }
      }
    }
  }

  private func connectCore(_ site: Site, mtu: Int, queues: Int) throws {
    let end = LinkEnd(
      core, site.coreSideInterface, addresses: ["\(site.coreGateway(.ipv4))/24", "\(site.coreGateway(.ipv6))/64"])
    let routerEnd = LinkEnd(
      site.router, site.coreInterface, addresses: AddressFamily.allCases.map { "\(site.rloc($0))/\($0.linkPrefixLength)" },
      offloads: .untouched)
    try lab.connect(end, routerEnd, mtu: mtu, queues: queues)
    try site.router.ip(AddressFamily.allCases.map { "route add default via \(site.coreGateway($0))" })
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
    try host.ip(AddressFamily.allCases.map { "route add default via \(site.gateway($0, instance: instance))" })
  }

  /// Instance 2 has the addresses of instance 1: its routes are in a table of their own, which packets from its own site interface and
  /// from the router's address there look into.
  private func separateSecondInstance(_ site: Site) throws {
    let interface = site.siteInterfaces[1]
    for family in AddressFamily.allCases {
      try site.router.ip(
        [
          "route add \(site.eidPrefix(family)) dev \(interface) table \(Self.secondTable)",
          "route add default via \(site.coreGateway(family)) table \(Self.secondTable)",
          "rule add iif \(interface) lookup \(Self.secondTable) priority 1000",
          "rule add from \(site.gateway(family, instance: 2)) lookup \(Self.secondTable) priority 1001",
        ], family: family)
    }
  }
}
