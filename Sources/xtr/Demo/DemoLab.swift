// SPDX-License-Identifier: Apache-2.0
//
// What the demo stands on: the two-site topology, a map-server in its core, and a router for each site that knows of the other site
// only what the map-server says.

import ControlAPI
import Glibc
import Lab
import Wire

struct DemoLab {
  /// From Debian's iproute2, ethtool, iputils-ping and coreutils.
  static let programs = ["ip", "ethtool", "ping", "sha256sum"]

  let lab: Lab
  let sites: TwoSites
  let mapServer: RouterProcess
  let routers: [RouterProcess]

  /// Namespaces and files; nothing runs yet. What was made is removed again when this throws.
  init(binary: String) throws {
    let lab = try Lab(needing: Self.programs)
    do {
      let sites = try TwoSites(in: lab)
      mapServer = RouterProcess("map-server", in: sites.core, binary: binary, directory: lab.directory, role: .mapServer)
      try mapServer.write(text: MapServerFile(for: sites, controlSocket: mapServer.controlSocket).text)
      routers = [sites.siteA, sites.siteB].map { RouterProcess($0.router.name, in: $0.router, binary: binary, directory: lab.directory) }
      self.sites = sites
      self.lab = lab
      try configure(.ipv4)
    } catch {
      lab.tearDown()
      throw error
    }
  }

  /// The sites are reached by their RLOCs of this family.
  private func configure(_ family: AddressFamily) throws(LabError) {
    for (router, letter) in zip(routers, ["A", "B"]) {
      let site = sites.site(letter)
      var configuration = RouterConfiguration(site: site, controlSocket: router.controlSocket)
      configuration.locators = ["\(site.rloc(family))"]
      configuration.use(mapServer: site.coreGateway(.ipv4), key: MapServerFile.key(of: letter))
      try router.write(configuration)
    }
  }

  func start() throws(LabError) {
    try mapServer.start()
    try mapServer.waitUntilForwarding()
    for router in routers { try router.start() }
    for router in routers { try router.waitUntilForwarding() }
    try waitForRegistrations(.ipv4)
  }

  /// Both sites change their RLOCs while they run: they register anew and solicit Map-Requests from each other.
  func change(to family: AddressFamily) throws(LabError) {
    try configure(family)
    for router in routers { router.signal(SIGHUP) }
    try waitForRegistrations(family)
    for (router, remote) in zip(routers, [sites.siteB, sites.siteA]) {
      try Interruption.wait(for: "\(router.name) to hear of the change", atMost: .seconds(15)) { () throws(LabError) in
        try router.mappings().allSatisfy { $0.rlocs == ["\(remote.rloc(family))"] }
      }
    }
  }

  private func waitForRegistrations(_ family: AddressFamily) throws(LabError) {
    let wanted = Set([sites.siteA, sites.siteB].map { "\($0.rloc(family))" })
    try Interruption.wait(for: "the registrations", atMost: .seconds(10)) { () throws(LabError) in
      let registered = try mapServer.registered()
      return registered.count == 8 && Set(registered.flatMap(\.locators).map(\.address)) == wanted
    }
  }

  func tearDown() {
    for router in routers + [mapServer] { router.stop() }
    lab.tearDown()
  }

  /// How to enter a lab that is kept.
  var invitation: String {
    let host = sites.siteA.hosts[0].identifier
    return """
        The lab stays until Ctrl-C. In another terminal, as root:
          ip netns exec \(host) ping 10.2.0.10
          ip netns exec \(sites.core.identifier) tcpdump -n -i xtrA udp port 4341 or udp port 4342
          xtr show status --socket \(routers[0].controlSocket)
          xtr show map-cache --socket \(routers[0].controlSocket)
          xtr show registrations --socket \(mapServer.controlSocket)
          ip netns exec \(sites.siteA.router.identifier) xtr lig 10.2.0.10 -i 1 --socket \(routers[0].controlSocket)
          ip netns list

      """
  }
}

extension MappingEntry {
  /// The addresses of its locators.
  fileprivate var rlocs: [String] {
    switch target {
    case .locators(let locators): locators.map { "\($0.locator.address)" }
    case .action: []
    }
  }
}
