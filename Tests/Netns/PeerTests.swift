// SPDX-License-Identifier: Apache-2.0
//
// Who sends data is remembered: `xtr show peers` at both ends of a tunnel.

import Foundation
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct PeerTests {
    /// What the command prints about `router`.
    private static func peers(of router: RouterProcess) throws -> [Row] {
      let output = try ChildProcess.run([binaryUnderTest, "show", "peers", "--json", "--socket", router.controlSocket])
      return try JSONDecoder().decode([Row].self, from: Data(output.utf8))
    }

    private struct Row: Decodable, Equatable {
      var rloc: String
      var secondsAgo: Int

      enum CodingKeys: String, CodingKey {
        case rloc
        case secondsAgo = "seconds-ago"
      }
    }

    @Test func `D16 show peers names the other router, and nobody before it has sent data`() throws {
      // Site A sends over IPv4, site B over IPv6.
      let options = TestBed.Options(configure: { configuration, site in
        guard site.letter == "B" else { return }
        for index in configuration.mappings.indices { configuration.mappings[index].locators = ["2001:db8:a::2"] }
      })
      try TestBed.run(options) { bed in
        for router in bed.routers { #expect(try Self.peers(of: router) == []) }
        let ping = try bed.ping(.ipv4)
        #expect(ping.isComplete, "\(ping.output)")
        for (router, other) in [(bed.a, bed.sites.siteB.rloc(.ipv6)), (bed.b, bed.sites.siteA.rloc(.ipv4))] {
          #expect(try Self.peers(of: router) == [Row(rloc: "\(other)", secondsAgo: 0)])
        }
        // Longer than between two looks of the router's own.
        try Interruption.sleep(.seconds(6))
        for router in bed.routers {
          let rows = try Self.peers(of: router)
          #expect(rows.count == 1 && rows.allSatisfy { (5...60).contains($0.secondsAgo) }, "\(rows)")
        }
      }
    }
  }
}
