// SPDX-License-Identifier: Apache-2.0
//
// The pinhole: what is not LISP data and not a site's packet to elsewhere is the kernel's, as if there were no router.

import Lab
import Testing
import Wire

extension Netns {
  @Suite struct OwnTrafficTests {
    @Test(arguments: AddressFamily.allCases) func `ARP, ND and pings to the router's own addresses reach the kernel`(family: AddressFamily)
      throws
    {
      try TestBed.run { bed in
        for instance in [1, 2] {
          let host = bed.sites.siteA.hosts[instance - 1]
          try host.ip("neigh flush dev eth0")
          let own = try #require(IPAddress(bed.sites.siteA.gateway(family, instance: instance)))
          let result = try Ping(to: own).run(from: host)
          #expect(result.isComplete, "\(result.output)")
        }
        try bed.sites.core.ip("neigh flush dev xtrA")
        let result = try Ping(to: bed.sites.siteA.rloc(family)).run(from: bed.sites.core)
        #expect(result.isComplete, "\(result.output)")
        let totals = try bed.a.quietStatus().totals
        #expect(totals.encapsulated == 0 && totals.decapsulated == 0)
      }
    }

    @Test(arguments: AddressFamily.allCases) func `TCP to the router's addresses, from a host and from the core, is untouched`(
      family: AddressFamily
    ) throws {
      try TestBed.run { bed in
        let payload = try Payload(byteCount: 1 << 20, seed: 11)
        let own = try #require(IPAddress(bed.sites.siteA.gateway(family, instance: 1)))
        for (peer, address) in [(bed.hostA1, own), (bed.sites.core, bed.sites.siteA.rloc(family))] {
          var transfer = TCPTransfer(from: peer, to: bed.sites.siteA.router, destination: address, payload: payload)
          transfer.port = 22
          #expect(try transfer.run().isIntact)
        }
      }
    }

    @Test(arguments: AddressFamily.allCases) func `LISP control, UDP 4342, reaches a socket of the host`(family: AddressFamily) throws {
      try TestBed.run { bed in
        var flow = UDPFlow(from: bed.sites.core, to: bed.sites.siteA.router, destination: bed.sites.siteA.rloc(family))
        flow.port = 4342
        let result = try flow.run(packets: 50)
        #expect(result.isClean, "\(result)")
      }
    }
  }
}
