// SPDX-License-Identifier: Apache-2.0
//
// A site with two RLOCs whose first one becomes unreachable in the core: the router's own link and neighbours say nothing of it. If it falls
// silent, probes find it; where the core answers with ICMP, that does.

import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct LocatorFailureTests {
    private static let probeSeconds = 1

    /// Site B's RLOC of `family` is the first, the other family's the second.
    private static func options(_ family: AddressFamily) -> MappingSystemLab.Options {
      MappingSystemLab.Options(configure: { settings in
        settings.lines = ["probe-interval = \(probeSeconds)"]
        settings.prefer(settings.letter == "B" ? family : .ipv4)
      })
    }

    private static func other(_ family: AddressFamily) -> AddressFamily { family == .ipv4 ? .ipv6 : .ipv4 }

    /// Changes something in the core, and waits until traffic leaves site A for `rloc`. Returns how long both took.
    private func waitForTraffic(
      to rloc: IPAddress, _ tap: PacketSocket, within limit: Duration, after change: () throws -> Void = {}
    ) throws -> Duration {
      let start = ContinuousClock.now
      try change()
      try tap.clear()
      let frame = try tap.receive(atMost: limit) { $0.lisp?.outer.destination == rloc && $0.lisp?.inner.isUDP == true }
      try #require(frame != nil, "nothing for \(rloc) within \(limit)")
      return ContinuousClock.now - start
    }

    /// Both RLOCs have answered a probe.
    private func waitForProbes(_ bed: MappingSystemLab) throws {
      try bed.eventually("answered probes of both RLOCs") {
        let rows = try bed.a.probes()
        return rows.count == 2 && rows.allSatisfy { $0.state == "up" && $0.reachable && $0.roundTripMilliseconds != nil }
      }
    }

    @Test(arguments: AddressFamily.allCases)
    func `C7 when an RLOC falls silent, traffic is on the next within a probe interval and a second, and returns`(
      family: AddressFamily
    ) throws {
      try MappingSystemLab.run(Self.options(family)) { bed in
        try bed.warmUp()
        try waitForProbes(bed)
        let (first, second) = (bed.sites.siteB.rloc(family), bed.sites.siteB.rloc(Self.other(family)))
        let tap = try PacketSocket(in: bed.sites.core, interface: "xtrA")
        let traffic = try bed.traffic()
        _ = try waitForTraffic(to: first, tap, within: .seconds(2))

        let limit = Duration.seconds(Self.probeSeconds + 1)
        let down = try waitForTraffic(to: second, tap, within: limit + .seconds(3)) {
          try bed.sites.core.ip("route add blackhole \(first)")
        }
        #expect(down < limit, "interval \(Self.probeSeconds) s")
        let row = try #require(try bed.a.probes().first { $0.rloc == "\(first)" })
        #expect(row.state == "down" && !row.reachable && row.why == "It does not answer probes.", "\(row)")
        #expect(bed.a.log.contains("RLOC \(first) is unusable"), "\(bed.a.log)")

        let up = try waitForTraffic(to: first, tap, within: limit + .seconds(3)) { try bed.sites.core.ip("route del blackhole \(first)") }
        #expect(up < limit)
        print("\(family) RLOC silent: next RLOC after \(down); answers again: back after \(up)")
        #expect(try bed.a.probes().allSatisfy { $0.reachable })
        _ = try traffic.finish()
        #expect(try bed.ping(.ipv4).isComplete)
      }
    }

    @Test(arguments: AddressFamily.allCases) func `C7 when the core says that an RLOC is unreachable, traffic is on the next at once`(
      family: AddressFamily
    ) throws {
      try MappingSystemLab.run(Self.options(family)) { bed in
        try bed.warmUp()
        try waitForProbes(bed)
        let (first, second) = (bed.sites.siteB.rloc(family), bed.sites.siteB.rloc(Self.other(family)))
        let tap = try PacketSocket(in: bed.sites.core, interface: "xtrA")
        let traffic = try bed.traffic()
        _ = try waitForTraffic(to: first, tap, within: .seconds(2))

        let time = try waitForTraffic(to: second, tap, within: .seconds(3)) { try bed.sites.core.ip("route add unreachable \(first)") }
        #expect(time < .milliseconds(300))
        let row = try #require(try bed.a.probes().first { $0.rloc == "\(first)" })
        #expect(!row.reachable, "\(row)")
        print("\(family) RLOC unreachable by ICMP: next RLOC after \(time): \(row.why)")
        // The probe that verifies it is not answered either: it stays so.
        try bed.eventually("the probe's word") { try bed.a.probes().first { $0.rloc == "\(first)" }?.state == "down" }

        let up = try waitForTraffic(to: first, tap, within: .seconds(Self.probeSeconds + 4)) {
          try bed.sites.core.ip("route del unreachable \(first)")
        }
        #expect(up < .seconds(Self.probeSeconds + 1))
        _ = try traffic.finish()
        #expect(try bed.ping(.ipv4).isComplete)
      }
    }
  }
}
