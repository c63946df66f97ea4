// SPDX-License-Identifier: Apache-2.0
//
// Outer and inner headers as they are on the links, frame by frame.

import Lab
import Testing
import Wire

extension Netns {
  @Suite struct HeaderTests {
    @Test(arguments: AddressFamily.allCases, AddressFamily.allCases)
    func `E2 E4 E5 E7 E8 outer header, LISP header and inner packet are as the RFC says`(eids: AddressFamily, rlocs: AddressFamily) throws {
      try TestBed.run(.init(rlocFamily: rlocs)) { bed in
        try bed.warmUp()
        for instance in [1, 2] {
          let tap = try bed.tapFromA()
          var flow = bed.flow(eids, instance: instance)
          flow.timeToLive = 33
          #expect(try flow.run(packets: 1).isClean)
          let frame = try #require(try tap.receive(atMost: .seconds(1)) { $0.lisp?.inner.destinationPort == 5002 })
          let lisp = try #require(frame.lisp)
          #expect(frame.destination == (try bed.sites.core.macAddress(of: "xtrA")))
          #expect(frame.source == (try bed.sites.siteA.router.macAddress(of: "core")))
          #expect(lisp.outer.source == bed.sites.siteA.rloc(rlocs) && lisp.outer.destination == bed.sites.siteB.rloc(rlocs))
          #expect(lisp.outer.isChecksumRight && lisp.inner.isChecksumRight)
          #expect(lisp.outer.timeToLive == 32 && lisp.inner.timeToLive == 32)
          #expect(lisp.outer.doNotFragment)
          #expect(lisp.outer.udpChecksum == 0 && lisp.outer.udpByteCount == 16 + lisp.inner.bytes.count)
          #expect((49152...65535).contains(lisp.outer.sourcePort))
          #expect(lisp.instance == UInt32(instance) && lisp.flags & 0x08 != 0 && lisp.flags & 0x04 == 0)
          #expect(lisp.flags & 0x90 != 0x90)
          #expect(lisp.inner.source == bed.sites.siteA.host(eids) && lisp.inner.destination == bed.sites.siteB.host(eids))
        }
      }
    }

    @Test func `E3 one flow has one source port, many flows have many`() throws {
      try TestBed.run(.init(rlocFamily: .ipv6)) { bed in
        try bed.warmUp()
        let tap = try bed.tapFromA()
        var flow = bed.flow(.ipv4)
        flow.flows = 32
        #expect(try flow.run(packets: 320).isClean)
        var ports: [UInt16: Set<UInt16>] = [:]
        var labels: Set<UInt32> = []
        while let frame = try tap.receive(atMost: .milliseconds(200)) {
          guard let lisp = DecodedFrame(frame)?.lisp, lisp.inner.destinationPort == 5002 else { continue }
          ports[lisp.inner.sourcePort, default: []].insert(lisp.outer.sourcePort)
          labels.insert(lisp.outer.flowLabel)
        }
        #expect(ports.count == 32)
        #expect(ports.values.allSatisfy { $0.count == 1 })
        #expect(Set(ports.values.flatMap { $0 }).count >= 24)
        #expect(labels.count >= 24)
      }
    }

    @Test(arguments: AddressFamily.allCases, AddressFamily.allCases)
    func `E6 outer DSCP and ECN are the inner ones, and the inner ones arrive`(eids: AddressFamily, rlocs: AddressFamily) throws {
      try TestBed.run(.init(rlocFamily: rlocs)) { bed in
        try bed.warmUp()
        let tap = try bed.tapFromA()
        let host = try PacketSocket(in: bed.hostB1, interface: "eth0")
        for trafficClass in [UInt8(0), 0x01, 0x02, 0x03, 0xB8, 0xBA] {
          // By hand: no socket sets CE.
          let packet = bed.packetAToB(eids, .with(trafficClass: trafficClass))
          let router = try bed.sites.siteA.router.macAddress(of: "site1")
          let own = try bed.hostA1.macAddress(of: "eth0")
          try PacketSocket(in: bed.hostA1, interface: "eth0").send(FrameBuilder.frame(to: router, from: own, ip: packet))
          let onCore = try #require(try tap.receive(atMost: .seconds(1)) { $0.lisp?.inner.destinationPort == 7 }?.lisp)
          #expect(onCore.outer.trafficClass == trafficClass)
          #expect(onCore.inner.trafficClass == trafficClass)
          let arrived = try #require(try host.receive(atMost: .seconds(1)) { $0.ip?.destinationPort == 7 }?.ip)
          #expect(arrived.trafficClass == trafficClass)
          #expect(arrived.isChecksumRight)
        }
      }
    }

    @Test(arguments: AddressFamily.allCases) func `D6 the smaller of outer and inner TTL goes on, decremented once`(eids: AddressFamily)
      throws
    {
      try TestBed.run { bed in
        try bed.warmUp()
        let core = try PacketSocket(in: bed.sites.core, interface: "xtrB")
        let host = try PacketSocket(in: bed.hostB1, interface: "eth0")
        for (outer, inner, expected) in [(UInt8(5), UInt8(64), UInt8(4)), (64, 9, 8), (7, 7, 6)] {
          let packet = bed.packetAToB(eids, .with(timeToLive: inner))
          try bed.injectToB(bed.encapsulated(packet, outer: .with(timeToLive: outer)), through: core)
          let arrived = try host.receive(atMost: .seconds(1)) { $0.ip?.destinationPort == 7 }?.ip
          #expect(arrived?.timeToLive == expected, "outer \(outer), inner \(inner)")
          #expect(arrived?.isChecksumRight == true)
        }
      }
    }

    /// RFC 6040 section 4.2, rows by inner, columns by outer: Not-ECT, ECT(1), ECT(0), CE; nil is a drop. (ECN codes: 0, 1, 2, 3.)
    static let ecn: [(inner: UInt8, outer: UInt8, result: UInt8?)] = [
      (0, 0, 0), (0, 2, 0), (0, 1, 0), (0, 3, nil),
      (2, 0, 2), (2, 2, 2), (2, 1, 1), (2, 3, 3),
      (1, 0, 1), (1, 2, 1), (1, 1, 1), (1, 3, 3),
      (3, 0, 3), (3, 2, 3), (3, 1, 3), (3, 3, 3),
    ]

    @Test(arguments: AddressFamily.allCases) func `D7 D8 the sixteen cells of RFC 6040's decapsulation table`(eids: AddressFamily) throws {
      try TestBed.run { bed in
        try bed.warmUp()
        let core = try PacketSocket(in: bed.sites.core, interface: "xtrB")
        let host = try PacketSocket(in: bed.hostB1, interface: "eth0")
        let before = try bed.b.quietStatus().totals.dropped
        for cell in Self.ecn {
          let packet = bed.packetAToB(eids, .with(trafficClass: cell.inner))
          try bed.injectToB(bed.encapsulated(packet, outer: .with(trafficClass: cell.outer)), through: core)
          let wait = cell.result == nil ? Duration.milliseconds(200) : .seconds(1)
          let arrived = try host.receive(atMost: wait) { $0.ip?.destinationPort == 7 }?.ip
          #expect(arrived?.ecn == cell.result, "inner \(cell.inner), outer \(cell.outer)")
        }
        #expect(try bed.b.quietStatus().totals.dropped - before == 1)
      }
    }
  }
}

extension FrameBuilder.IPFields {
  static func with(timeToLive: UInt8 = 64, trafficClass: UInt8 = 0) -> Self {
    var fields = Self()
    fields.timeToLive = timeToLive
    fields.trafficClass = trafficClass
    return fields
  }
}

extension TestBed {
  /// A UDP packet to the echo port, from site A's host to site B's.
  func packetAToB(_ family: AddressFamily, _ fields: FrameBuilder.IPFields = .init()) -> [UInt8] {
    FrameBuilder.udp(from: sites.siteA.host(family), 40000, to: sites.siteB.host(family), 7, fields, Array("lab".utf8))
  }

  /// As site A's router would have sent it.
  func encapsulated(
    _ packet: [UInt8], rlocs: AddressFamily = .ipv4, outer: FrameBuilder.IPFields = .init(), instance: UInt32 = 1
  ) -> [UInt8] {
    FrameBuilder.udp(
      from: sites.siteA.rloc(rlocs), 50000, to: sites.siteB.rloc(rlocs), 4341, outer, isChecksummed: false,
      FrameBuilder.lisp(instance: instance) + packet)
  }
}
