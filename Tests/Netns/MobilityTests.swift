// SPDX-License-Identifier: Apache-2.0
//
// A host that moves from one site to another under traffic: first the new site registers, then the old one withdraws.

import ControlAPI
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct MobilityTests {
    /// Site C begins with a prefix of its own; parts of site B's may be registered, by either.
    private static func options(_ family: AddressFamily = .ipv4) -> MappingSystemLab.Options {
      MappingSystemLab.Options(
        hasThirdSite: true, rlocFamily: family,
        configureServer: { file, _ in
          file.sites[1].prefixes.append((1, "10.3.0.0/24"))
          file.sites[1].moreSpecifics = true
        },
        configure: { if $0.letter == "C" { $0.router.database = [(1, "10.3.0.0/24")] } })
    }

    private static func thirdRLOC(_ family: AddressFamily) -> [String] { MappingSystemLab.thirdRLOCs[family].map { ["\($0)"] } ?? [] }

    /// Holds that none of the next 500 packets goes to the old site.
    private func expectNothing(at router: RouterProcess, _ traffic: UDPFlow.Running, _ bed: MappingSystemLab) throws {
      let before = try router.quietStatus().totals
      let received = traffic.received
      try bed.eventually("500 more packets") { traffic.received >= received + 500 }
      let after = try router.status().totals
      #expect(after.decapsulated == before.decapsulated && after.dropped == before.dropped, "\(before) … \(after)")
    }

    @Test(arguments: AddressFamily.allCases)
    func `C6 a prefix moves to another site under traffic: the old one's withdrawal is heard of at once`(
      family: AddressFamily
    ) throws {
      try MappingSystemLab.run(Self.options(family)) { bed in
        try bed.warmUp()
        let rate = 1000
        let traffic = try bed.traffic(packetsPerSecond: rate)
        try bed.apply("C") { $0.router.database.append((1, "10.2.0.0/24")) }
        try bed.eventually("the new site's registration") { try bed.registeredLocators("10.2.0.0/24") == Self.thirdRLOC(family) }

        let start = ContinuousClock.now
        try bed.apply("B") { $0.router.database.removeAll { $0 == (1, "10.2.0.0/24") } }
        try bed.eventually("site A to hear of it") { try bed.mapping("10.2.0.0/24")?.rlocs == Self.thirdRLOC(family) }
        let time = ContinuousClock.now - start
        #expect(try bed.registeredLocators("10.2.0.0/24") == Self.thirdRLOC(family), "the withdrawal is the old site's alone")
        try expectNothing(at: bed.b, traffic, bed)
        let result = try traffic.finish()
        print("mobility of a prefix over \(family): known after \(time), \(result.lost) of \(result.sent) lost at \(rate) packets/s")
        #expect(result.lost < rate * 3 / 2 && result.duplicated == 0 && result.damaged == 0, "\(result)")
      }
    }

    @Test func `C12 a host moves there and back under traffic: who subscribed to its prefix is told at once`() throws {
      try MappingSystemLab.run(Self.options()) { bed in
        try bed.warmUp()
        try bed.apply("A") { $0.subscriptions = [(1, "10.2.0.0/24")] }
        try bed.eventually("the subscription") { bed.a.log.contains("subscription to [1]10.2.0.0/24: subscribed") }
        let traffic = try bed.traffic()
        try bed.apply("C") { $0.router.database.append((1, "10.2.0.10/32")) }
        try bed.eventually("site A to be told") { try bed.mapping("10.2.0.10/32")?.rlocs == Self.thirdRLOC(.ipv4) }
        try expectNothing(at: bed.b, traffic, bed)
        #expect(try bed.mapping("10.2.0.0/24")?.rlocs == ["\(bed.sites.siteB.rloc(.ipv4))"], "the others stay where they are")

        try bed.apply("C")
        try bed.eventually("site A to be told of the end") { try bed.mapping("10.2.0.10/32") == nil }
        try expectNothing(at: bed.router("C"), traffic, bed)
        let result = try traffic.finish()
        print("mobility of a host by subscription: \(result.lost) of \(result.sent) lost")
        // Going back, the packets between the new site's reload and the publication find no home there.
        #expect(result.lost < 500 && result.duplicated == 0 && result.damaged == 0, "\(result)")
      }
    }
  }
}
