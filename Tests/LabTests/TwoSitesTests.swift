// SPDX-License-Identifier: Apache-2.0
//
// The lab itself, checked with plain kernel forwarding: what it builds, and that nothing stays.

import Lab
import Testing

#if canImport(Glibc)
  import Glibc
#endif

let isRoot = geteuid() == 0

@Suite(.serialized, .enabled(if: isRoot, "network namespaces need root")) struct TwoSitesTests {
  @Test func `hosts reach their own router in both instances, and not the other site`() throws {
    let lab = try Lab()
    defer { lab.tearDown() }
    let clock = ContinuousClock.now
    let sites = try TwoSites(in: lab)
    print("built in", ContinuousClock.now - clock)
    for site in [sites.siteA, sites.siteB] {
      for (index, host) in site.hosts.enumerated() {
        try host.execute("ping", "-c1", "-W1", site.gateway(.ipv4, instance: index + 1))
        try host.execute("ping", "-c1", "-W1", site.gateway(.ipv6, instance: index + 1))
      }
    }
  }
}
