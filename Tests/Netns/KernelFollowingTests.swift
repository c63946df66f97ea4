// SPDX-License-Identifier: Apache-2.0
//
// Neighbours, routes and links change in the kernel while the router runs; it follows.

import ControlAPI
import Lab
import Testing
import Wire

extension Netns {
  @Suite struct KernelFollowingTests {
    @Test(arguments: AddressFamily.allCases) func `a host's new link address is followed`(family: AddressFamily) throws {
      try TestBed.run { bed in
        try bed.warmUp()
        // The host announces its new address (gratuitous ARP, unsolicited advertisement), as hosts do.
        try bed.hostB1.set("net/ipv4/conf/eth0/arp_notify", "1")
        try bed.hostB1.set("net/ipv6/conf/eth0/ndisc_notify", "1")
        try bed.hostB1.ip("link set eth0 address 02:00:00:00:b1:99")
        let tap = try PacketSocket(in: bed.hostB1, interface: "eth0")
        try Interruption.wait(for: "packets to the new address", atMost: .seconds(3)) { () throws(LabError) in
          do {
            try tap.clear()
            _ = try bed.flow(family).run(packets: 1)
            let frame = try tap.receive(atMost: .milliseconds(100)) { $0.ip?.destinationPort == 5002 }
            return frame?.destination.description == "02:00:00:00:b1:99"
          } catch { throw error as? LabError ?? .wrongData("\(error)") }
        }
        let result = try bed.flow(family).run()
        #expect(result.isClean, "\(result)")
      }
    }

    @Test(arguments: AddressFamily.allCases) func `the next hop's new link address is followed`(rlocs: AddressFamily) throws {
      try TestBed.run(.init(rlocFamily: rlocs)) { bed in
        try bed.warmUp()
        try bed.sites.core.set("net/ipv4/conf/xtrA/arp_notify", "1")
        try bed.sites.core.set("net/ipv6/conf/xtrA/ndisc_notify", "1")
        try bed.sites.core.ip("link set xtrA address 02:00:00:00:c0:99")
        try Interruption.wait(for: "pings by the new address", atMost: .seconds(5)) { () throws(LabError) in
          var ping = Ping(to: bed.sites.siteB.host(.ipv4), count: 1)
          ping.patience = .milliseconds(200)
          return try ping.run(from: bed.hostA1).received == 1
        }
        let result = try bed.flow(.ipv4).run()
        #expect(result.isClean, "\(result)")
      }
    }

    @Test(arguments: AddressFamily.allCases) func `a route change moves the outer next hop, and back`(rlocs: AddressFamily) throws {
      try TestBed.run(.init(rlocFamily: rlocs)) { bed in
        try bed.warmUp()
        let tap = try bed.tapFromA()
        let router = bed.sites.siteA.router
        let gateway = rlocs == .ipv4 ? "192.0.2.99" : "2001:db8:a::99"
        let remote = "\(bed.sites.siteB.rloc(rlocs))/\(rlocs == .ipv4 ? 32 : 128)"
        try router.ip("neigh add \(gateway) lladdr 02:00:00:00:00:99 dev core nud permanent")
        func nextHop() throws -> String? {
          try tap.clear()
          _ = try bed.flow(.ipv4).run(packets: 1)
          return try tap.receive(atMost: .milliseconds(300)) { $0.lisp?.inner.destinationPort == 5002 }?.destination.description
        }
        #expect(try nextHop() == (try bed.sites.core.macAddress(of: "xtrA").description))
        try router.ip("route add \(remote) via \(gateway)")
        try Interruption.sleep(.milliseconds(200))
        #expect(try nextHop() == "02:00:00:00:00:99")
        try router.ip("route del \(remote) via \(gateway)")
        try Interruption.sleep(.milliseconds(200))
        let result = try bed.flow(.ipv4).run()
        #expect(result.isClean, "\(result)")
      }
    }

    @Test func `a link flap of the core recovers`() throws {
      try TestBed.run { bed in
        try bed.warmUp()
        for _ in 0..<3 {
          // The core's end goes down: the router's end loses its carrier, as when a cable is pulled.
          try bed.sites.core.ip("link set xtrA down")
          try Interruption.sleep(.milliseconds(200))
          #expect(try bed.flow(.ipv4).run(packets: 5).received == 0)
          try bed.sites.core.ip("link set xtrA up")
          try Interruption.wait(for: "pings after the flap", atMost: .seconds(5)) { () throws(LabError) in
            var ping = Ping(to: bed.sites.siteB.host(.ipv4), count: 1)
            ping.patience = .milliseconds(200)
            return try ping.run(from: bed.hostA1).received == 1
          }
        }
        let result = try bed.flow(.ipv4).run()
        #expect(result.isClean, "\(result)")
      }
    }

    @Test func `a core port that is taken down and up by hand recovers when its routes are back`() throws {
      try TestBed.run { bed in
        try bed.warmUp()
        let router = bed.sites.siteA.router
        try router.ip("link set core down")
        try Interruption.sleep(.milliseconds(200))
        #expect(try bed.flow(.ipv4).run(packets: 5).received == 0)
        try router.ip("link set core up")
        try router.ip("route add default via \(bed.sites.siteA.coreGateway(.ipv4))")
        try Interruption.wait(for: "pings", atMost: .seconds(5)) { () throws(LabError) in
          var ping = Ping(to: bed.sites.siteB.host(.ipv4), count: 1)
          ping.patience = .milliseconds(200)
          return try ping.run(from: bed.hostA1).received == 1
        }
        let result = try bed.flow(.ipv4).run()
        #expect(result.isClean, "\(result)")
      }
    }

    @Test(arguments: ["adaptive", "busy"])
    func `packets that wait for a port which is down keep no worker awake, and leave when it comes up`(poll: String) throws {
      try TestBed.run(.init(configure: { configuration, _ in configuration.routerLines.append("poll = \"\(poll)\"") })) { bed in
        try bed.warmUp()
        let router = bed.sites.siteA.router
        func waiting() throws -> Int { try bed.a.status().workers.map(\.frames.transmit).reduce(0, +) }
        func sleeps() throws -> UInt64 { try bed.a.status().workers.map(\.sleeps).reduce(0, +) }
        func takeUp() throws {
          try router.ip("link set core up")
          try router.ip("route add default via \(bed.sites.siteA.coreGateway(.ipv4))")
        }
        var flow = bed.flow(.ipv4)
        (flow.packetsPerSecond, flow.duration) = (20_000, .seconds(60))
        // The port goes down a moment before the router hears of it: some packets are caught, sooner or later.
        for _ in 0..<20 {
          let traffic = try flow.start()
          try Interruption.sleep(.milliseconds(50))
          try router.ip("link set core down")
          _ = try traffic.finish()
          try Interruption.sleep(.milliseconds(300))
          if try waiting() > 0 { break }
          try takeUp()
          try Interruption.sleep(.milliseconds(300))
        }
        #expect(try waiting() > 0, "no packet was caught in twenty attempts")
        if poll == "adaptive" {
          let before = try sleeps()
          try Interruption.sleep(.seconds(2))
          #expect(try sleeps() - before < 100, "a sleep is a tenth of a second when nothing happens")
        }
        try takeUp()
        try Interruption.wait(for: "the packets to leave", atMost: .seconds(2)) { () throws(LabError) in
          do { return try waiting() == 0 } catch { throw error as? LabError ?? .wrongData("\(error)") }
        }
        let result = try bed.flow(.ipv4).run()
        #expect(result.isClean, "\(result)")
      }
    }

    @Test func `mappings replaced while UDP runs lose nothing`() throws {
      let options = TestBed.Options(configure: { configuration, _ in configuration.mappings = [] })
      try TestBed.run(options) { bed in
        func map(_ family: AddressFamily) throws {
          try bed.a.replace(RouterConfiguration.mappings(to: bed.sites.siteB, over: family))
        }
        try map(.ipv4)
        try bed.b.replace(RouterConfiguration.mappings(to: bed.sites.siteA, over: .ipv4))
        try bed.warmUp()
        try map(.ipv6)
        try bed.warmUp()
        var flow = bed.flow(.ipv6)
        flow.duration = .seconds(60)
        let traffic = try flow.start()
        try Interruption.wait(for: "traffic", atMost: .seconds(2)) { traffic.received > 200 }
        for round in 0..<20 {
          try map(round % 2 == 0 ? .ipv4 : .ipv6)
          try Interruption.sleep(.milliseconds(30))
        }
        let result = try traffic.finish()
        #expect(result.isComplete, "\(result)")
      }
    }

    @Test func `a mapping named twice in one delete goes once, with all others named or not at all`() throws {
      try TestBed.run { bed in
        let eids = try bed.a.mappings().map(\.eid)
        let (first, second) = (eids[0], eids[1])
        #expect(try bed.a.ask(.delete([first, first])) == .changed(1))
        #expect(throws: LabError.self) { try bed.a.ask(.delete([second, first])) }
        #expect(try bed.a.mappings().count == eids.count - 1)
      }
    }

    @Test func `of a mapping named twice in one change the last counts, once`() throws {
      try TestBed.run { bed in
        func mapping(_ action: String) throws -> ControlMapping {
          let mapping = RouterConfiguration.Mapping(instance: 1, prefix: "10.99.0.0/16", locators: [], action: action)
          return try #require(mapping.controlMapping)
        }
        let twice = [try mapping("drop"), try mapping("native-forward")]
        func expectLast() throws {
          let entry = try #require(try bed.a.mappings().first { $0.eid == twice[0].eid })
          #expect(entry.target == .action(.nativeForward))
        }
        #expect(try bed.a.ask(.add(twice)) == .changed(1))
        try expectLast()
        #expect(try bed.a.ask(.replace(scope: .owner(nil), mappings: twice + twice, part: nil)) == .changed(1))
        try expectLast()
      }
    }
  }
}
