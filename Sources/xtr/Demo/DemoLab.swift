// SPDX-License-Identifier: Apache-2.0
//
// What the demo stands on: the two-site topology, a configuration file and a router process for each site.

import Lab
import Wire

struct DemoLab {
  /// From Debian's iproute2, ethtool, iputils-ping and coreutils.
  static let programs = ["ip", "ethtool", "ping", "sha256sum"]

  let lab: Lab
  let sites: TwoSites
  let routers: [RouterProcess]

  /// Namespaces and files; no router runs yet. What was made is removed again when this throws.
  init(binary: String) throws {
    let lab = try Lab(needing: Self.programs)
    do {
      sites = try TwoSites(in: lab)
      routers = try [sites.siteA, sites.siteB].map { site in
        let router = RouterProcess(site.router.name, in: site.router, binary: binary, directory: lab.directory)
        try router.write(RouterConfiguration(site: site, controlSocket: router.controlSocket))
        return router
      }
      self.lab = lab
    } catch {
      lab.tearDown()
      throw error
    }
  }

  func startRouters() throws(LabError) {
    for router in routers { try router.start() }
    for router in routers { try router.waitUntilForwarding() }
  }

  /// Each router learns, in one change while it runs, that the other site is behind its RLOC of this family.
  func map(over family: AddressFamily) throws(LabError) {
    try routers[0].replace(RouterConfiguration.mappings(to: sites.siteB, over: family))
    try routers[1].replace(RouterConfiguration.mappings(to: sites.siteA, over: family))
  }

  func tearDown() {
    for router in routers { router.stop() }
    lab.tearDown()
  }

  /// How to enter a lab that is kept.
  var invitation: String {
    let host = sites.siteA.hosts[0].identifier
    return """
        The lab stays until Ctrl-C. In another terminal, as root:
          ip netns exec \(host) ping 10.2.0.10
          ip netns exec \(sites.core.identifier) tcpdump -n -i xtrA udp port 4341
          xtr show status --socket \(routers[0].controlSocket)
          xtr map list --socket \(routers[0].controlSocket)
          ip netns list

      """
  }
}
