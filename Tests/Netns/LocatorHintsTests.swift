// SPDX-License-Identifier: Apache-2.0
//
// What packets tell of locators: status bits that the far site clears, and nonces that do not come back. Nobody probes here, and no ICMP comes.

import Glibc
import Lab
import Testing
import Wire

extension Netns {
  @Suite struct LocatorHintsTests {
    /// Site B has two locators. Site A prefers the IPv4 one, site B itself sends over IPv6.
    private static var statusBits: TestBed.Options {
      TestBed.Options(
        rlocFamily: .ipv6,
        configure: { configuration, site in
          configuration.lines += ["", "[locator-hints]", "locator-status-bits = true"]
          configuration.locators = AddressFamily.allCases.map { "\(site.rloc($0))" }
          guard site.letter == "A" else { return }
          for mapping in configuration.mappings {
            let rlocs = "{ address = \"198.51.100.2\", priority = 1 }, { address = \"\(mapping.locators[0])\", priority = 2 }"
            configuration.lines += [
              "", "[[mapping]]", "instance-id = \(mapping.instance)", "eid-prefix = \"\(mapping.prefix)\"", "rlocs = [\(rlocs)]",
            ]
          }
          configuration.mappings = []
        })
    }

    /// Site B's operator takes an RLOC out of service, or puts all back.
    private func use(_ rlocs: [IPAddress]?, _ bed: TestBed) throws {
      let (site, remote) = (bed.sites.siteB, bed.sites.siteA)
      var configuration = TestBed.configuration(of: bed.b, site, remote, Self.statusBits)
      if let rlocs {
        configuration.interfaces[0].lines = ["rlocs = [\(rlocs.map { "\"\($0)\"" }.joined(separator: ", "))]"]
      }
      try bed.b.write(configuration)
      bed.b.signal(SIGHUP)
    }

    /// Waits for a packet of site B with these status bits, and for site A to say whether B's IPv4 RLOC is in use.
    private func expect(_ bits: UInt8, isUp: Bool, _ tap: PacketSocket, _ bed: TestBed) throws {
      try tap.clear()
      let frame = try tap.receive(atMost: .seconds(5)) {
        $0.lisp?.outer.source == bed.sites.siteB.rloc(.ipv6) && $0.lisp?.statusBits == bits
      }
      #expect(try #require(frame?.lisp).flags == 0x48)
      let rloc = "\(bed.sites.siteB.rloc(.ipv4))"
      try Interruption.wait(for: "site A to have heard it", atMost: .seconds(5)) {
        (try? bed.a.probes().first { $0.rloc == rloc }?.reachable) == isUp
      }
      let why = try bed.a.probes().first { $0.rloc == rloc }?.why
      #expect(why == (isUp ? "Nothing speaks against it." : "Its site says so in the locator-status-bits of its packets."))
    }

    @Test func `E11 a locator whose status bit the far site clears carries no traffic, until it is set again`() throws {
      try TestBed.run(Self.statusBits) { bed in
        let (tapA, tapB) = (try bed.tapFromA(), try PacketSocket(in: bed.sites.core, interface: bed.sites.siteB.coreSideInterface))
        var flow = UDPFlow(from: bed.hostB1, to: bed.hostA1, destination: bed.sites.siteA.host(.ipv4))
        (flow.packetsPerSecond, flow.duration) = (500, .seconds(120))
        let traffic = try flow.start()
        func expectPing(over family: AddressFamily) throws {
          try tapA.clear()
          #expect(try bed.ping(.ipv4).isComplete)
          let frame = try tapA.receive(atMost: .seconds(1)) { $0.lisp?.inner.icmp != nil }
          #expect(frame?.lisp?.outer.destination == bed.sites.siteB.rloc(family))
        }
        try expect(0b11, isUp: true, tapB, bed)
        try expectPing(over: .ipv4)
        try use([bed.sites.siteB.rloc(.ipv6)], bed)
        try expect(0b10, isUp: false, tapB, bed)
        try expectPing(over: .ipv6)
        try use(nil, bed)
        try expect(0b11, isUp: true, tapB, bed)
        try expectPing(over: .ipv4)
        _ = try traffic.finish()
      }
    }

    private static var echoNonce: MappingSystemLab.Options {
      MappingSystemLab.Options(configure: { settings in
        settings.lines = ["probe-interval = 0"]
        // The sites answer for themselves, and say so that they do echo-nonce.
        settings.serverLines = ["proxy-reply = false"]
        settings.router.lines += ["[locator-hints]", "echo-nonce = true"]
        settings.prefer(.ipv4)
      })
    }

    @Test func `N1 a nonce that was asked for comes back; where it stays away, traffic is on the next locator`() throws {
      try MappingSystemLab.run(Self.echoNonce) { bed in
        try bed.warmUp()
        let (first, second) = (bed.sites.siteB.rloc(.ipv4), bed.sites.siteB.rloc(.ipv6))
        let tapA = try PacketSocket(in: bed.sites.core, interface: "xtrA")
        let tapB = try PacketSocket(in: bed.sites.core, interface: "xtrB")
        let there = try bed.traffic()
        var flow = UDPFlow(from: bed.hostB, to: bed.hostA, destination: bed.sites.siteA.host(.ipv4))
        (flow.packetsPerSecond, flow.duration, flow.port) = (500, .seconds(120), 5004)
        let back = try flow.start()

        let request = try tapA.receive(atMost: .seconds(20)) { $0.lisp?.outer.destination == first && ($0.lisp?.flags ?? 0) & 0xA0 == 0xA0 }
        let nonce = try #require(request?.lisp).nonce
        let echo = try tapB.receive(atMost: .seconds(5)) { $0.lisp?.nonce == nonce && ($0.lisp?.flags ?? 0) & 0x80 != 0 }
        #expect(try #require(echo?.lisp).flags == 0x88, "N and I, not E")
        try tapA.clear()
        let quiet = try tapA.receive(atMost: .seconds(2)) { $0.lisp?.outer.destination == first && $0.lisp?.flags == 0x08 }
        #expect(quiet != nil, "the request is over")

        let start = ContinuousClock.now
        try bed.sites.core.ip("route add blackhole \(first)")
        try tapA.clear()
        let moved = try tapA.receive(atMost: .seconds(25)) { $0.lisp?.outer.destination == second && $0.lisp?.inner.isUDP == true }
        #expect(moved != nil)
        print("the echo stays away: next RLOC after \(ContinuousClock.now - start)")
        let row = try #require(try bed.a.probes().first { $0.rloc == "\(first)" })
        #expect(!row.reachable && row.why == "It does not echo our nonces: packets to it, or from it, get lost.", "\(row)")
        _ = try there.finish()
        _ = try back.finish()
      }
    }
  }
}
