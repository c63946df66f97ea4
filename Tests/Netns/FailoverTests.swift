// SPDX-License-Identifier: Apache-2.0
//
// A mapping with two locators whose next hops are different gateways on different core ports. The first one's gateway goes, in each
// of the ways a gateway can, and comes back.
//
//            ┌ core  ─── 192.0.2.1    core:xtrA  ┐
//       xtrA ┤                                   core ─── xtrB   198.51.100.2 by the first, 198.51.100.3 by the second
//            └ core2 ─── 203.0.113.1  core:xtrA2 ┘

import Glibc
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct FailoverTests {
    private static func second(_ family: AddressFamily) -> (gateway: String, own: String, rloc: String) {
      family == .ipv4 ? ("203.0.113.1", "203.0.113.2", "198.51.100.3") : ("2001:db8:c::1", "2001:db8:c::2", "2001:db8:b::3")
    }

    /// Site A's way to site B's first RLOC is the usual one, to the second over core2. The first has the better priority.
    private static func options(_ family: AddressFamily) -> TestBed.Options {
      let (gateway, own, rloc) = second(family)
      return TestBed.Options(
        rlocFamily: family,
        prepare: { sites in
          let length = family.linkPrefixLength
          try sites.lab.connect(
            LinkEnd(sites.core, "xtrA2", addresses: ["\(gateway)/\(length)"]),
            LinkEnd(sites.siteA.router, "core2", addresses: ["\(own)/\(length)"], offloads: .untouched), mtu: TwoSites.coreMTU)
          try sites.siteB.router.ip("addr add \(rloc)/\(length)\(family == .ipv6 ? " nodad" : "") dev core")
          try sites.siteA.router.ip("route add \(rloc) via \(gateway)")
          // The kernel gives a next hop up after three solicitations: a quarter of a second apart, not a second.
          for interface in ["core", "core2"] {
            try sites.siteA.router.set("net/\(family == .ipv4 ? "ipv4" : "ipv6")/neigh/\(interface)/retrans_time_ms", "250")
          }
        },
        configure: { configuration, site in
          guard site.letter == "A" else { return }
          configuration.interfaces.append(.init("core2", role: "core"))
          addLocators([rloc], to: &configuration)
        })
    }

    /// The mappings get more locators, of a worse priority than the one they have.
    private static func addLocators(_ others: [String], to configuration: inout RouterConfiguration) {
      configuration.lines = configuration.mappings.flatMap { mapping in
        let first = mapping.locators.map { "{ address = \"\($0)\", priority = 1 }" }
        let rlocs = (first + others.map { "{ address = \"\($0)\", priority = 2 }" }).joined(separator: ", ")
        return ["", "[[mapping]]", "instance-id = \(mapping.instance)", "eid-prefix = \"\(mapping.prefix)\"", "rlocs = [\(rlocs)]"]
      }
      configuration.mappings = []
    }

    /// A slow flow that runs through everything, and what of it is on which of the two links.
    private struct Watch {
      let bed: TestBed
      let first: PacketSocket
      let second: PacketSocket
      let traffic: UDPFlow.Running

      init(_ bed: TestBed, packetsPerSecond: Int = 200) throws {
        self.bed = bed
        first = try bed.tapFromA()
        second = try PacketSocket(in: bed.sites.core, interface: "xtrA2")
        var flow = bed.flow(.ipv4)
        (flow.packetsPerSecond, flow.duration, flow.port) = (packetsPerSecond, .seconds(120), 5003)
        traffic = try flow.start()
      }

      private static func carries(_ frame: DecodedFrame) -> Bool { frame.lisp?.inner.isUDP == true }

      /// Waits until packets leave by the `wanted` link, then holds that they all do, and that none is lost. Returns how long it took.
      @discardableResult
      func expect(on wanted: PacketSocket, not other: PacketSocket, within limit: Duration, _ what: String) throws -> Duration {
        let start = ContinuousClock.now
        try wanted.clear()
        guard try wanted.receive(atMost: limit, where: Self.carries) != nil else {
          Issue.record("\(what): no packet within \(limit)")
          return limit
        }
        let time = ContinuousClock.now - start
        print("\(what): \(time)")
        // What was on its way when the sets changed.
        try Interruption.sleep(.milliseconds(100))
        try other.clear()
        var flow = bed.flow(.ipv6)
        flow.packetsPerSecond = 1000
        let result = try flow.run()
        #expect(result.isClean, "\(what): \(result)")
        #expect(try other.receive(atMost: .milliseconds(50), where: Self.carries) == nil, "\(what): packets on the other link, too")
        return time
      }

      func expectFirst(within limit: Duration, _ what: String) throws { try expect(on: first, not: second, within: limit, what) }
      func expectSecond(within limit: Duration, _ what: String) throws { try expect(on: second, not: first, within: limit, what) }
    }

    private static func removeGateway(_ family: AddressFamily, _ bed: TestBed) throws {
      try bed.sites.core.ip("addr del \(bed.sites.siteA.coreGateway(family))/\(family.linkPrefixLength) dev xtrA")
    }

    private static func restoreGateway(_ family: AddressFamily, _ bed: TestBed) throws {
      let words = family == .ipv6 ? " nodad" : ""
      try bed.sites.core.ip("addr add \(bed.sites.siteA.coreGateway(family))/\(family.linkPrefixLength)\(words) dev xtrA")
    }

    @Test(arguments: AddressFamily.allCases)
    func `E14 when the link of the first locator's next hop loses its carrier, traffic takes the second, and comes back with it`(
      family: AddressFamily
    ) throws {
      try TestBed.run(Self.options(family)) { bed in
        try bed.warmUp()
        let watch = try Watch(bed)
        try watch.expectFirst(within: .seconds(2), "\(family), at first")
        try bed.sites.core.ip("link set xtrA down")
        try watch.expectSecond(within: .seconds(2), "\(family), carrier lost, second locator")
        try bed.sites.core.ip("link set xtrA up")
        if family == .ipv6 { try Self.restoreGateway(family, bed) }  // the kernel drops IPv6 addresses of a link that goes down
        try watch.expectFirst(within: .seconds(5), "\(family), carrier back, first locator")
        _ = try watch.traffic.finish()
      }
    }

    @Test func `E14 a link that comes back without its gateway gets no traffic before the gateway answers`() throws {
      try TestBed.run(Self.options(.ipv4)) { bed in
        try bed.warmUp()
        let watch = try Watch(bed)
        try watch.expectFirst(within: .seconds(2), "at first")
        try bed.sites.core.ip("link set xtrA down")
        try watch.expectSecond(within: .seconds(2), "carrier lost, second locator")
        try Self.removeGateway(.ipv4, bed)
        try bed.sites.siteA.router.ip("neigh flush dev core")
        try bed.sites.core.ip("link set xtrA up")
        // Until the kernel gives the gateway up and after: the whole time by the second locator, and nothing is lost.
        for second in 1...2 {
          var flow = bed.flow(.ipv6)
          (flow.packetsPerSecond, flow.duration) = (1000, .seconds(1))
          let result = try flow.run()
          #expect(result.isClean, "carrier back, second \(second): \(result)")
        }
        try watch.expectSecond(within: .seconds(1), "carrier back, gateway silent")
        try Self.restoreGateway(.ipv4, bed)
        try watch.expectFirst(within: .seconds(5), "gateway answers, first locator")
        _ = try watch.traffic.finish()
      }
    }

    /// Many packets a second ask for the gateway again at the very moment the kernel gives it up.
    @Test(arguments: AddressFamily.allCases, [200, 10_000])
    func `E14 when the first locator's next hop is gone and forgotten, traffic takes the second, and comes back when it answers`(
      family: AddressFamily, packetsPerSecond: Int
    ) throws {
      try TestBed.run(Self.options(family)) { bed in
        try bed.warmUp()
        let watch = try Watch(bed, packetsPerSecond: packetsPerSecond)
        try watch.expectFirst(within: .seconds(2), "\(family), at first")
        try Self.removeGateway(family, bed)
        try bed.sites.siteA.router.ip("neigh flush dev core")
        try watch.expectSecond(within: .seconds(5), "\(family), gateway gone, second locator")
        // The router has it asked for once a second.
        try Interruption.sleep(.seconds(2))
        try watch.expectSecond(within: .seconds(1), "\(family), still gone after it was asked for again")
        try Self.restoreGateway(family, bed)
        try watch.expectFirst(within: .seconds(5), "\(family), gateway back, first locator")
        _ = try watch.traffic.finish()
      }
    }

    @Test func `E14 a gateway of many RLOCs that has to be asked for again moves no flow to another of them`() throws {
      let options = TestBed.Options(configure: { configuration, site in
        if site.letter == "A" { Self.addLocators((100..<130).map { "198.51.100.\($0)" }, to: &configuration) }
      })
      try TestBed.run(options) { bed in
        try bed.warmUp()
        let tap = try bed.tapFromA()
        var flow = bed.flow(.ipv4)
        (flow.packetsPerSecond, flow.duration, flow.port) = (10_000, .seconds(60), 5003)
        let traffic = try flow.start()
        try Interruption.wait(for: "traffic", atMost: .seconds(2)) { traffic.received > 200 }
        for _ in 0..<20 {
          try bed.sites.siteA.router.ip("neigh flush dev core")
          let other = try tap.receive(atMost: .milliseconds(50)) {
            $0.lisp != nil && $0.ip?.destination != IPAddress("198.51.100.2")
          }
          #expect(other == nil)
        }
        _ = try traffic.finish()
      }
    }

    @Test func `E14 a gateway that falls silent while its neighbour entry is good is noticed, as fast as the kernel's timers say`() throws {
      var options = Self.options(.ipv4)
      let prepare = options.prepare
      options.prepare = { sites in
        try prepare(sites)
        for (key, value) in [("base_reachable_time_ms", "1000"), ("delay_first_probe_time", "1"), ("retrans_time_ms", "200")] {
          try sites.siteA.router.set("net/ipv4/neigh/core/\(key)", value)
        }
      }
      try TestBed.run(options) { bed in
        try bed.warmUp()
        let watch = try Watch(bed)
        try watch.expectFirst(within: .seconds(2), "at first")
        try Self.removeGateway(.ipv4, bed)
        // 1.5 s until it is stale, 5 until the router has it verified, 1 until the kernel asks, 0.6 without an answer.
        try watch.expectSecond(within: .seconds(12), "gateway silent, second locator")
        try Self.restoreGateway(.ipv4, bed)
        try watch.expectFirst(within: .seconds(5), "gateway answers, first locator")
        _ = try watch.traffic.finish()
      }
    }

    @Test func `E14 with both gateways silent traffic is not given up: what answers first carries it`() throws {
      try TestBed.run(Self.options(.ipv4)) { bed in
        try bed.warmUp()
        let watch = try Watch(bed)
        try watch.expectFirst(within: .seconds(2), "at first")
        try Self.removeGateway(.ipv4, bed)
        try bed.sites.core.ip("addr del \(Self.second(.ipv4).gateway)/24 dev xtrA2")
        for interface in ["core", "core2"] { try bed.sites.siteA.router.ip("neigh flush dev \(interface)") }
        try Interruption.sleep(.seconds(2))
        try bed.sites.core.ip("addr add \(Self.second(.ipv4).gateway)/24 dev xtrA2")
        try watch.expectSecond(within: .seconds(5), "the second gateway answers again")
        try Self.restoreGateway(.ipv4, bed)
        try watch.expectFirst(within: .seconds(5), "the first, too")
        _ = try watch.traffic.finish()
      }
    }
  }
}
