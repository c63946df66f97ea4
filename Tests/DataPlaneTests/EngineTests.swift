// SPDX-License-Identifier: Apache-2.0
//
// Ports and their roles, batches, and the whole way there and back.

import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct EngineTests {
  @Test func `a port without a role drops everything, and so does one that was taken away`() throws {
    let rig = try Rig.twoSites()
    let frames = [Frame.of(IPPacket.v4().octets), Frame.of(DecapsulateTests.lisp(.v4().reply, DecapsulateTests.families[0]).octets), []]
    #expect(rig.send(frames, port: Port.unused).map(\.verdict) == Array(repeating: .drop(.portGone), count: 3))
    rig.publisher.setPort(Port.site, nil)
    rig.publisher.publish()
    #expect(rig.send(frames, port: Port.site).map(\.verdict) == Array(repeating: .drop(.portGone), count: 3))
  }

  @Test(arguments: DecapsulateTests.families)
  func `a port with both roles tells its directions apart, packet by packet`(family: (String, String)) throws {
    let rig = try Rig.twoSites(over: family.0)
    let out = [IPPacket.v4(), .v6()]
    let lisp = out.map { DecapsulateTests.lisp($0.reply, family) }
    var random = SplitMix64(seed: 70)
    for _ in 0..<50 {
      let order = (0..<random.below(64) + 1).map { _ in random.below(4) }
      let outcomes = rig.send(order.map { $0 < 2 ? Frame.of(out[$0].octets) : Frame.of(lisp[$0 - 2].octets) }, port: Port.both)
      for (which, outcome) in zip(order, outcomes) {
        if which < 2 {
          OuterModel(peer: family.0).expect(outcome, around: out[which])
        } else {
          DecapsulateTests.expectDelivery(outcome, of: out[which - 2].reply.decremented)
        }
      }
    }
    #expect(rig.isConserved)
  }

  @Test func `on a port with both roles only UDP 4341 to one of our RLOCs is for us`() throws {
    let rig = try Rig.twoSites()
    // From one of our hosts to a foreign RLOC, port 4341: a packet like any other.
    var transit = DecapsulateTests.lisp(.v4().reply, ("10.1.0.5", "10.2.0.9"))
    transit.outer.timeToLive = 9
    var inner = transit.outer
    inner.payload = transit.datagram.octets
    OuterModel().expect(rig.send(Frame.of(transit.octets), port: Port.both), around: inner)
    // To our RLOC, another port: the kernel's, hence not ours to decapsulate.
    var control = DecapsulateTests.lisp(.v4().reply, DecapsulateTests.families[0])
    control.destinationPort = 4342
    #expect(rig.send(Frame.of(control.octets), port: Port.both).verdict == .drop(.sourceNotLocal))
    // Drops of both directions keep their reasons.
    var marked = DecapsulateTests.lisp(.v4().reply, DecapsulateTests.families[1])
    marked.outer.trafficClass = 3
    #expect(rig.send(Frame.of(marked.octets), port: Port.both).verdict == .drop(.congestionMarkLost))
    var fragment = DecapsulateTests.lisp(.v4().reply, DecapsulateTests.families[0])
    fragment.outer.fragmentWord = 0x2000
    #expect(rig.send(Frame.of(fragment.octets), port: Port.both).verdict == .drop(.outerFragment))
    #expect(rig.send(Frame.of([0x45]), port: Port.both).verdict == .drop(.innerMalformed))
    #expect(rig.send([], port: Port.both).verdict == .drop(.frameMalformed))
  }

  @Test func `a core port knows nothing but LISP`() throws {
    let rig = try Rig.twoSites()
    var cases: [([UInt8], DropReason)] = []
    for length in 0..<14 { cases.append((Array(Frame.of(IPPacket.v4().octets).prefix(length)), .frameMalformed)) }
    cases.append((Frame.of(IPPacket.v4().octets), .notLISP))  // UDP, another port
    cases.append((Frame.of(IPPacket.v6().octets), .notLISP))
    var tcp = IPPacket.v4()
    tcp.protocolNumber = 6
    cases.append((Frame.of(tcp.octets), .notLISP))
    var icmp = IPPacket.v6()
    icmp.protocolNumber = 58
    cases.append((Frame.of(icmp.octets), .notLISP))
    cases.append((Frame.of([1, 2, 3, 4], type: 0x0806), .notIP))
    cases.append((Frame.of(IPPacket.v4().octets, type: 0x86DD), .outerMalformed))
    cases.append((Frame.of(IPPacket.v6().octets, type: 0x0800), .outerMalformed))
    for port in [0, 4340, 4342, 0xFFFF, 0xF510] as [UInt16] {
      var packet = DecapsulateTests.lisp(.v4().reply, DecapsulateTests.families[0])
      packet.destinationPort = port
      cases.append((Frame.of(packet.octets), .notLISP))
    }
    for (frame, reason) in cases {
      let outcome = rig.send(frame, port: Port.core)
      #expect(outcome.verdict == .drop(reason), "\(frame)")
      #expect(outcome.frame == frame)
    }
    #expect(rig.tally == (0, 0))
  }

  @Test(arguments: DecapsulateTests.families)
  func `UDP lengths that lie, and headers that do not fit, are dropped under their reason`(family: (String, String)) throws {
    let rig = try Rig.twoSites()
    let inner = IPPacket.v4().reply
    func verdict(udpLength: Int) -> Verdict {
      var packet = DecapsulateTests.lisp(inner, family)
      packet.udpLength = UInt16(udpLength)
      return rig.send(Frame.of(packet.octets), port: Port.core).verdict
    }
    let whole = 16 + inner.octets.count
    for length in 0..<8 { #expect(verdict(udpLength: length) == .drop(.udpMalformed), "\(length)") }
    for length in 8..<16 { #expect(verdict(udpLength: length) == .drop(.lispTruncated), "\(length)") }
    for length in 16..<whole { #expect(verdict(udpLength: length) == .drop(.innerTruncated), "\(length)") }
    #expect(verdict(udpLength: whole).isTransmit)
    for length in [whole + 1, 65535] { #expect(verdict(udpLength: length) == .drop(.udpMalformed), "\(length)") }
  }

  @Test(arguments: EncapsulateTests.peers, [0, 0x12_3456] as [UInt32])
  func `what one router encapsulates another delivers: there and back, the packet is two hops older`(peer: String, instance: UInt32) throws
  {
    let here = try Rig.twoSites(over: peer, instance: instance)
    here.publisher.setPort(Port.site, PortState(role: .site, instance: InstanceID(truncating: instance)))
    here.publisher.publish()
    let there = try Rig()
    for eid in ["10.2.0.0/16", "2001:db8:b::/48"] { try there.local(eid, instance: instance, host: there.delivery()) }
    try there.publisher.setOwnRLOCs([try #require(IPAddress(peer))])
    there.publisher.publish()
    var random = SplitMix64(seed: 71)
    for _ in 0..<100 {
      var inner = random.next() & 1 == 0 ? IPPacket.v4(random.octets(random.below(1380))) : .v6(random.octets(random.below(1380)))
      inner.timeToLive = UInt8(random.below(253) + 3)
      inner.trafficClass = UInt8(truncatingIfNeeded: random.next())
      let outcome = here.send(Frame.of(inner.octets), port: Port.site)
      DecapsulateTests.expectDelivery(there.send(outcome.frame, port: Port.core), of: inner.decremented.decremented)
    }
  }

  @Test func `batches of every size give what their packets would give alone`() throws {
    let rig = try Rig.twoSites()
    var random = SplitMix64(seed: 72)
    let frames = (0..<Batch.capacity).map { i in
      switch i % 5 {
      case 0: Frame.of(IPPacket.v4(random.octets(i)).octets)
      case 1: Frame.of(IPPacket.v6(random.octets(i)).octets)
      case 2: Frame.of(IPPacket(source: "10.9.0.1", destination: "10.2.0.7").octets)
      case 3: Frame.of(IPPacket(source: "10.1.0.1", destination: "10.99.0.7").octets)
      default: random.octets(i)
      }
    }
    let alone = frames.map { rig.send($0, port: Port.site) }
    for size in 1...Batch.capacity { #expect(rig.send(Array(frames.prefix(size)), port: Port.site) == Array(alone.prefix(size))) }
    #expect(rig.send([[UInt8]](), port: Port.site) == [])
  }

  @Test func `a batch is judged by one state: what is published later counts for the next`() throws {
    let rig = try Rig.twoSites()
    let frame = Frame.of(IPPacket.v4().octets)
    try rig.publisher.removeMapping(Rig.eid("10.2.0.0/16"))
    #expect(rig.send(frame, port: Port.site).verdict.isTransmit, "not published yet")
    rig.publisher.publish()
    #expect(rig.send(frame, port: Port.site).verdict == .punt(.miss))
  }
}
