// SPDX-License-Identifier: Apache-2.0
//
// Traffic between the sites, and the packets that the fast path hands to the kernel.

import ControlAPI
import Lab
import Testing
import Wire

extension Netns {
  @Suite struct ForwardingTests {
    @Test(arguments: AddressFamily.allCases) func `E1 both EID families and both instances are carried over this RLOC family`(
      rlocs: AddressFamily
    ) throws {
      try TestBed.run(.init(rlocFamily: rlocs)) { bed in
        let payload = try Payload(byteCount: 1 << 20, seed: 7)
        for instance in [1, 2] {
          for family in AddressFamily.allCases {
            let ping = try bed.ping(family, instance: instance)
            #expect(ping.isComplete, "\(ping.output)")
            let transfer = try TCPTransfer(
              from: bed.sites.siteA.hosts[instance - 1], to: bed.sites.siteB.hosts[instance - 1],
              destination: bed.sites.siteB.host(family), payload: payload
            ).run()
            #expect(transfer.isIntact)
            let flow = try bed.flow(family, instance: instance).run()
            #expect(flow.isClean, "\(flow)")
          }
        }
        // Four times 1200 UDP packets, the transfer's segments, and something the other way.
        let (a, b) = (try bed.a.quietStatus().totals, try bed.b.quietStatus().totals)
        #expect(a.encapsulated > 7000 && b.decapsulated > 7000, "\(a) \(b)")
        #expect(b.encapsulated > 100 && a.decapsulated > 100, "\(a) \(b)")
      }
    }

    @Test func `E16 the instances are apart: what is sent in one never arrives in the other`() throws {
      try TestBed.run { bed in
        try bed.warmUp()
        let tap = try PacketSocket(in: bed.hostB2, interface: "eth0")
        let result = try bed.flow(.ipv4).run(packets: 50)
        #expect(result.isClean, "\(result)")
        let stray = try tap.receive(atMost: .milliseconds(200)) { $0.ip?.destinationPort == 5002 }
        #expect(stray == nil)
      }
    }

    @Test(arguments: AddressFamily.allCases) func `the first packet to a host whose neighbour entry is missing arrives`(
      family: AddressFamily
    ) throws {
      try TestBed.run { bed in
        try bed.warmUp()
        try bed.sites.siteB.router.ip("neigh flush dev site1")
        try Interruption.sleep(.milliseconds(200))
        let result = try bed.flow(family).run(packets: 1)
        #expect(result.received == 1 && result.duplicated == 0, "\(result)")
      }
    }

    @Test(arguments: AddressFamily.allCases) func `the first packet to an RLOC whose next hop is not resolved arrives`(
      family: AddressFamily
    ) throws {
      try TestBed.run(.init(rlocFamily: family)) { bed in
        try bed.warmUp()
        try bed.sites.siteA.router.ip("neigh flush dev core")
        try Interruption.sleep(.milliseconds(200))
        let result = try bed.flow(.ipv4).run(packets: 1)
        #expect(result.received == 1 && result.duplicated == 0, "\(result)")
      }
    }

    @Test func `the very first packets after the start arrive, and then the fast path takes over`() throws {
      try TestBed.run { bed in
        for instance in [1, 2] {
          for family in AddressFamily.allCases {
            // The fast path may overtake what is still under way through the kernel.
            let result = try bed.flow(family, instance: instance).run(packets: 20)
            #expect(result.isComplete, "\(result)")
          }
        }
        let before = try bed.a.quietStatus().totals
        let flow = try bed.flow(.ipv4).run(packets: 100)
        #expect(flow.isClean, "\(flow)")
        let after = try bed.a.quietStatus().totals
        #expect(after.encapsulated - before.encapsulated >= 100)
        #expect(after.punted == before.punted)
      }
    }

    @Test(arguments: AddressFamily.allCases) func `E17 a native-forward mapping sends packets to the kernel's route`(
      family: AddressFamily
    ) throws {
      let internet = family == .ipv4 ? "203.0.113.1" : "2001:db8:ffff::1"
      let covering = family == .ipv4 ? "203.0.113.0/24" : "2001:db8:ffff::/48"
      let options = TestBed.Options(configure: { configuration, _ in
        configuration.mappings.append(.init(instance: 1, prefix: covering, locators: [], action: "native-forward"))
      })
      try TestBed.run(options) { bed in
        // The way back is the kernel's alone: the core gets a route to site A for this test.
        try bed.sites.core.ip("addr add \(internet)/\(family.bitWidth) dev lo")
        try bed.sites.core.ip("route add \(bed.sites.siteA.eidPrefix(family)) via \(bed.sites.siteA.rloc(family))")
        let tap = try bed.tapFromA()
        let destination = try #require(IPAddress(internet))
        let result = try Ping(to: destination).run(from: bed.hostA1)
        #expect(result.isComplete, "\(result.output)")
        let seen = try tap.receive(atMost: .seconds(1)) { $0.ip?.destination == destination }
        #expect(seen?.ip?.source == bed.sites.siteA.host(family))
        #expect(try bed.a.quietStatus().totals.punted >= 3)
      }
    }

    @Test(arguments: AddressFamily.allCases, [1, 2]) func `E5 an inner TTL that would reach 0 earns an ICMP time exceeded`(
      family: AddressFamily, instance: Int
    ) throws {
      try TestBed.run { bed in
        try bed.warmUp()
        let host = bed.sites.siteA.hosts[instance - 1]
        let tap = try PacketSocket(in: host, interface: "eth0")
        var flow = bed.flow(family, instance: instance)
        flow.timeToLive = 1
        let result = try flow.run(packets: 1)
        #expect(result.received == 0)
        let answer = try tap.receive(atMost: .seconds(2)) { $0.ip?.icmp.map { $0.type == (family == .ipv4 ? 11 : 3) } ?? false }
        #expect(answer != nil, "no time exceeded came back")
      }
    }

    @Test(arguments: AddressFamily.allCases) func `D6 a TTL that the path uses up dies at the last router and not behind it`(
      family: AddressFamily
    ) throws {
      try TestBed.run { bed in
        try bed.warmUp()
        let before = try bed.b.quietStatus().totals.punted
        // Router A takes one, the core one, router B one: 3 ends at B, 4 arrives with 1.
        var flow = bed.flow(family)
        flow.timeToLive = 3
        #expect(try flow.run(packets: 1).received == 0)
        #expect(try bed.b.quietStatus().totals.punted == before + 1)
        flow.timeToLive = 4
        #expect(try flow.run(packets: 1).received == 1)
      }
    }

    @Test(arguments: AddressFamily.allCases) func `an ICMP error to an EID without a mapping is not sent, and the miss is told`(
      family: AddressFamily
    ) throws {
      let options = TestBed.Options(configure: { configuration, site in if site.letter == "B" { configuration.mappings = [] } })
      try TestBed.run(options) { bed in
        var watcher = try ControlClient(path: bed.b.controlSocket, name: "watcher", timeoutSeconds: 5)
        _ = try watcher.request(.watch([.miss, .add]))
        // It dies at router B, which has to answer.
        var flow = bed.flow(family)
        flow.timeToLive = 3
        let failed = try bed.b.status().exception.failed
        _ = try flow.run(packets: 1)
        try Interruption.wait(for: "the answer's end", atMost: .seconds(2)) { () throws(LabError) in
          try bed.b.status().exception.failed > failed
        }
        try bed.b.replace(RouterConfiguration.mappings(to: bed.sites.siteA, over: .ipv4))
        let source = bed.sites.siteA.host(family)
        guard case .miss(InstanceID(truncating: 1), source, _) = try watcher.nextEvent() else {
          Issue.record("no miss for \(source) before the mapping came")
          return
        }
      }
    }

    @Test(arguments: AddressFamily.allCases) func `E15 a host whose EID has moved away sends nothing, until it is back`(
      family: AddressFamily
    ) throws {
      try TestBed.run { bed in
        try bed.warmUp()
        #expect(try bed.flow(family).run().isClean)
        let host = EIDPrefix(InstanceID(truncating: 1), IPPrefix(host: bed.sites.siteA.host(family)))
        let away = RouterConfiguration.Mapping(
          instance: 1, prefix: "\(host.prefix)", locators: [bed.sites.siteB.rloc(.ipv4).description])
        func refused() throws -> UInt64 { try bed.a.drops().first { $0.reason == "source-not-local" }?.packets ?? 0 }
        _ = try bed.a.ask(.add([try #require(away.controlMapping)]))
        let before = try refused()
        #expect(try bed.flow(family).run(packets: 20).received == 0)
        #expect(try refused() >= before + 20)
        _ = try bed.a.ask(.delete([host]))
        #expect(try bed.flow(family).run().isClean)
      }
    }
  }
}
