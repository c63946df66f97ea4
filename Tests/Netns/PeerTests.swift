// SPDX-License-Identifier: Apache-2.0
//
// Who sends data is remembered: `xtr show peers` at both ends of a tunnel.

import Foundation
import Lab
import Testing
import Wire

extension Netns {
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

    @Test(arguments: AddressFamily.allCases) func `D16 show peers names the other router, and nobody before it has sent data`(
      rlocs: AddressFamily
    ) throws {
      try TestBed.run(.init(rlocFamily: rlocs)) { bed in
        for router in bed.routers { #expect(try Self.peers(of: router) == []) }
        let ping = try bed.ping(.ipv4)
        #expect(ping.isComplete, "\(ping.output)")
        for (router, other) in [(bed.a, bed.sites.siteB), (bed.b, bed.sites.siteA)] {
          #expect(try Self.peers(of: router) == [Row(rloc: "\(other.rloc(rlocs))", secondsAgo: 0)])
        }
        try Interruption.sleep(.seconds(7))
        for router in bed.routers {
          let rows = try Self.peers(of: router)
          #expect(rows.count == 1 && rows.allSatisfy { (5...60).contains($0.secondsAgo) }, "\(rows)")
        }
      }
    }
  }
}
