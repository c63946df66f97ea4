// SPDX-License-Identifier: Apache-2.0
//
// The lab itself, checked with plain kernel forwarding: what it builds carries what it should and no more.

import Glibc
import Testing
import Wire

@testable import Lab

let isRoot = geteuid() == 0

@Suite(.serialized, .enabled(if: isRoot, "network namespaces need root")) struct TwoSitesTests {
  @Test func `hosts reach their own router in both instances, and not the other site`() throws {
    let lab = try Lab()
    defer { lab.tearDown() }
    let sites = try TwoSites(in: lab)
    for (site, other) in [(sites.siteA, sites.siteB), (sites.siteB, sites.siteA)] {
      for (index, host) in site.hosts.enumerated() {
        for family in AddressFamily.allCases {
          let gateway = try #require(IPAddress(site.gateway(family, instance: index + 1)))
          #expect(try Ping(to: gateway, count: 1).run(from: host).isComplete)
          var across = Ping(to: other.host(family), count: 1)
          across.patience = .milliseconds(200)
          #expect(try across.run(from: host).received == 0)
        }
      }
    }
  }

  @Test(arguments: AddressFamily.allCases) func `RLOCs reach each other, and every kind of traffic counts what it sent`(
    family: AddressFamily
  ) throws {
    let lab = try Lab()
    defer { lab.tearDown() }
    let sites = try TwoSites(in: lab)
    let (from, to, destination) = (sites.siteA.router, sites.siteB.router, sites.siteB.rloc(family))
    let before = try sites.core.forwardedPackets(family)
    #expect(try Ping(to: destination).run(from: from).isComplete)
    let transfer = try TCPTransfer(from: from, to: to, destination: destination, payload: Payload(byteCount: 1 << 20, seed: 1)).run()
    #expect(transfer.isIntact && transfer.byteCount == 1 << 20)
    var flow = UDPFlow(from: from, to: to, destination: destination)
    flow.duration = .milliseconds(200)
    flow.flows = 3
    let result = try flow.run()
    #expect(result.isClean && result.sent > 1500, "\(result)")
    #expect(try flow.run(packets: 17).received == 17)
    #expect(try sites.core.forwardedPackets(family) - before > result.sent + 17 + 6)
  }

  @Test func `UDP to a host that is not there counts everything as lost`() throws {
    let lab = try Lab()
    defer { lab.tearDown() }
    let sites = try TwoSites(in: lab)
    var flow = UDPFlow(from: sites.siteA.hosts[0], to: sites.siteB.hosts[0], destination: sites.siteB.host(.ipv4))
    flow.duration = .milliseconds(100)
    let result = try flow.run()
    #expect(result.sent > 500 && result.received == 0 && result.lost == result.sent && !result.isClean)
  }

  @Test func `packets of another run to the same port are not counted`() throws {
    let lab = try Lab()
    defer { lab.tearDown() }
    let sites = try TwoSites(in: lab)
    let flow = UDPFlow(from: sites.siteA.router, to: sites.siteB.router, destination: sites.siteB.rloc(.ipv4))
    var counted = flow
    (counted.packetsPerSecond, counted.duration) = (200, .seconds(60))
    let running = try counted.start()
    try Interruption.wait(for: "traffic", atMost: .seconds(2)) { running.received > 10 }
    let stray = UDPFlow.Progress()
    try flow.sender.run { try UDPSender(flow, stray).run(to: SocketAddress(flow.destination, port: flow.port)) }
    let result = try running.finish()
    #expect(stray.sent.load(ordering: .relaxed) > 1000)
    #expect(result.isClean, "\(result)")
  }

  @Test func `a frame put on a link by hand arrives as it was, tag and all`() throws {
    let lab = try Lab()
    defer { lab.tearDown() }
    let sites = try TwoSites(in: lab)
    let there = try PacketSocket(in: sites.siteA.hosts[0], interface: "eth0")
    let here = try PacketSocket(in: sites.siteA.router, interface: "site1")
    let address = try sites.siteA.router.macAddress(of: "site1")
    let own = try sites.siteA.hosts[0].macAddress(of: "eth0")
    let packet = FrameBuilder.udp(from: sites.siteA.host(.ipv4), 1, to: sites.siteB.host(.ipv4), 7, .init(), Array("tagged".utf8))
    for vlans: [UInt16] in [[], [30]] {
      let frame = FrameBuilder.frame(to: address, from: own, vlans: vlans, ip: packet)
      try there.send(frame)
      let arrived = try here.receive(atMost: .seconds(1)) { $0.ip?.destinationPort == 7 }
      #expect(arrived?.bytes == frame && arrived?.vlans == vlans)
    }
  }
}
