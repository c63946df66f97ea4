// SPDX-License-Identifier: Apache-2.0
//
// The ITR's rules: packet → verdict → packet → counters.

import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct EncapsulateTests {
  static let inners: [IPPacket] = [
    .v4(), .v6(), .v4(Array(repeating: 7, count: 1424)), .v6(Array(repeating: 7, count: 1404)),
    IPPacket(source: "10.1.0.5", destination: "10.2.0.7", protocolNumber: 6, timeToLive: 2, trafficClass: 0xB9, payload: Array(0..<20)),
    IPPacket(
      source: "2001:db8:a::5", destination: "2001:db8:b::7", protocolNumber: 58, timeToLive: 255, trafficClass: 0x03,
      payload: [128, 0, 0, 0], flowLabel: 0xABCDE),
    IPPacket(source: "10.1.255.255", destination: "10.2.0.0", protocolNumber: 1, payload: []),
    IPPacket(source: "10.1.0.5", destination: "10.2.0.7", payload: [1, 2, 3, 4, 5, 6, 7, 8], options: [0x94, 4, 0, 0]),
  ]
  static let peers = [Rig.peer4, Rig.peer6]

  @Test(arguments: inners, peers)
  func `E1 IPv4 and IPv6 EIDs over IPv4 and IPv6 RLOCs, octet for octet`(inner: IPPacket, peer: String) throws {
    let rig = try Rig.twoSites(over: peer)
    let outcome = rig.send(Frame.of(inner.octets), port: Port.site)
    OuterModel(peer: peer).expect(outcome, around: inner)
    #expect(rig.tally == (1, 0))
    #expect(rig.isConserved)
  }

  @Test func `E1 Ethernet padding behind a packet is not encapsulated`() throws {
    let rig = try Rig.twoSites()
    let inner = IPPacket(source: "10.1.0.5", destination: "10.2.0.7", protocolNumber: 6, payload: Array(0..<20))
    let frame = Frame.of(inner.octets) + Array(repeating: 0xEE, count: 60 - 14 - 40)
    OuterModel().expect(rig.send(frame, port: Port.site), around: inner)
  }

  @Test(arguments: [[], [0x94, 4, 0, 0]] as [[UInt8]])
  func `a packet whose IPv4 header checksum is wrong is not encapsulated`(options: [UInt8]) throws {
    var inner = IPPacket.v4()
    inner.options = options
    let right = UInt16(inner.octets[10]) << 8 | UInt16(inner.octets[11])
    for change in [1, 0x0100, 0x8000] as [UInt16] {
      let rig = try Rig.twoSites()
      inner.headerChecksum = right ^ change
      #expect(rig.send(Frame.of(inner.octets), port: Port.site).verdict == .drop(.headerChecksumWrong))
      #expect(rig.tally == (0, 0))
      #expect(rig.isConserved)
    }
  }

  @Test(arguments: peers)
  func `E2 the outer destination port is 4341, or what the mapping names`(peer: String) throws {
    let rig = try Rig.twoSites(over: peer)
    try rig.remote("10.3.0.0/16", over: [rig.tunnel(to: peer, port: 16384)])
    rig.publisher.publish()
    OuterModel(peer: peer).expect(rig.send(Frame.of(IPPacket.v4().octets), port: Port.site), around: .v4())
    var behindNAT = IPPacket.v4()
    behindNAT.destination = "10.3.0.1"
    OuterModel(peer: peer, destinationPort: 16384).expect(rig.send(Frame.of(behindNAT.octets), port: Port.site), around: behindNAT)
  }

  // E3 is held in ClassifyTests.

  @Test(arguments: inners, peers)
  func `E4 the outer UDP checksum is 0 by default`(inner: IPPacket, peer: String) throws {
    let packet = try Rig.twoSites(over: peer).send(Frame.of(inner.octets), port: Port.site).packet
    let udp = peer.contains(":") ? 40 : 20
    #expect(packet[udp + 6..<udp + 8] == [0, 0])
  }

  @Test(arguments: inners, peers)
  func `E4 the outer UDP checksum is computed over IPv6 where that is set, and stays 0 over IPv4`(inner: IPPacket, peer: String) throws {
    let rig = try Rig.twoSites(over: peer)
    var settings = EngineSettings()
    settings.computesUDPChecksum = true
    rig.publisher.setSettings(settings)
    rig.publisher.publish()
    OuterModel(peer: peer, computesUDPChecksum: true).expect(rig.send(Frame.of(inner.octets), port: Port.site), around: inner)
  }

  @Test func `E4 a computed checksum of 0 goes out as 0xFFFF`() throws {
    let rig = try Rig.twoSites(over: Rig.peer6)
    var settings = EngineSettings()
    settings.computesUDPChecksum = true
    rig.publisher.setSettings(settings)
    rig.publisher.publish()
    var inner = IPPacket.v4([0, 1, 0, 2, 0, 10, 0, 0, 0, 0])
    let first = rig.send(Frame.of(inner.octets), port: Port.site)
    // A payload word of what the checksum was makes the sum full: its complement is 0.
    inner.payload.replaceSubrange(8..<10, with: first.packet[46..<48])
    let second = rig.send(Frame.of(inner.octets), port: Port.site)
    #expect(second.packet[46..<48] == [0xFF, 0xFF])
  }

  @Test(arguments: ["10.1.0.5", "2001:db8:a::5"], peers)
  func `E5 outer TTL is the inner one, which is decremented once`(source: String, peer: String) throws {
    let rig = try Rig.twoSites(over: peer)
    for timeToLive in UInt8(2)...255 {
      var inner: IPPacket = source.contains(":") ? .v6() : .v4()
      inner.timeToLive = timeToLive
      let outcome = rig.send(Frame.of(inner.octets), port: Port.site)
      OuterModel(peer: peer).expect(outcome, around: inner)
      #expect(outcome.packet[peer.contains(":") ? 7 : 8] == timeToLive - 1)
    }
  }

  @Test(arguments: [IPPacket.v4(), .v6()], [UInt8(0), 1])
  func `E5 a TTL that would reach 0 is not forwarded: the packet goes to the slow path as it came`(inner: IPPacket, timeToLive: UInt8)
    throws
  {
    let rig = try Rig.twoSites()
    var inner = inner
    inner.timeToLive = timeToLive
    let frame = Frame.of(inner.octets)
    let outcome = rig.send(frame, port: Port.site)
    #expect(outcome.verdict == .punt(.timeExceeded))
    #expect(outcome.frame == frame)
    #expect(rig.tally == (0, 0))
  }

  @Test(arguments: [IPPacket.v4(), .v6()], peers)
  func `E6 outer DSCP and ECN are the inner ones, for all 256 traffic classes`(inner: IPPacket, peer: String) throws {
    let rig = try Rig.twoSites(over: peer)
    for trafficClass in UInt8.min...UInt8.max {
      var inner = inner
      inner.trafficClass = trafficClass
      OuterModel(peer: peer).expect(rig.send(Frame.of(inner.octets), port: Port.site), around: inner)
    }
  }

  @Test(arguments: [IPPacket.v4(), .v6()], peers)
  func `E6 in compatibility mode the outer ECN field is Not-ECT and the inner one stays`(inner: IPPacket, peer: String) throws {
    let rig = try Rig.twoSites(over: peer)
    var settings = EngineSettings()
    settings.copiesECN = false
    rig.publisher.setSettings(settings)
    rig.publisher.publish()
    for trafficClass in UInt8.min...UInt8.max {
      var inner = inner
      inner.trafficClass = trafficClass
      OuterModel(peer: peer, copiesECN: false).expect(rig.send(Frame.of(inner.octets), port: Port.site), around: inner)
    }
  }

  @Test func `E7 outer IPv4 has DF set, offset 0, and a right header checksum for every length and class`() throws {
    let rig = try Rig.twoSites()
    var random = SplitMix64(seed: 50)
    for length in stride(from: 0, through: 1440, by: 3) {
      var inner = IPPacket.v4(random.octets(length))
      inner.trafficClass = UInt8(truncatingIfNeeded: random.next())
      inner.timeToLive = UInt8(random.below(254) + 2)
      inner.fragmentWord = random.next() & 1 == 0 ? 0 : 0x4000
      let packet = rig.send(Frame.of(inner.octets), port: Port.site).packet
      #expect(packet[6..<8] == [0x40, 0x00])
      #expect(checksum(Array(packet[..<20])) == 0)
      #expect(Int(packet[2]) << 8 | Int(packet[3]) == packet.count)
      #expect(checksum(Array(packet[36..<56])) == 0, "the inner header's checksum is right too")
    }
  }

  @Test(arguments: [1, 0xAB, 0xABCD, 0x12_3456, 0xFF_FFFE] as [UInt32], peers)
  func `E8 an instance ID other than 0 travels with I set`(instance: UInt32, peer: String) throws {
    let rig = try Rig.twoSites(over: peer, instance: instance)
    rig.publisher.setPort(Port.site, PortState(role: .site, instance: InstanceID(truncating: instance)))
    rig.publisher.publish()
    let outcome = rig.send(Frame.of(IPPacket.v4().octets), port: Port.site)
    OuterModel(peer: peer, instance: instance).expect(outcome, around: .v4())
    let lisp = peer.contains(":") ? 48 : 28
    #expect(Array(outcome.packet[lisp..<lisp + 8]) == [0x08, 0, 0, 0] + big(instance << 8))
  }

  @Test(arguments: peers)
  func `E9 nothing but I is ever set, fields without their flag are 0`(peer: String) throws {
    let rig = try Rig.twoSites(over: peer)
    try rig.addSites(over: peer, instance: 77)
    rig.publisher.setPort(
      Port.tagged, PortState(role: .site, vlanInstances: try [#require(VLANID(rawValue: 7)): InstanceID(truncating: 77)]))
    rig.publisher.publish()
    let lisp = peer.contains(":") ? 48 : 28
    for inner in Self.inners {
      let plain = rig.send(Frame.of(inner.octets), port: Port.site).packet
      #expect(plain[lisp..<lisp + 8] == [0, 0, 0, 0, 0, 0, 0, 0])
      let instance = rig.send(Frame.of(inner.octets, vlan: 7), port: Port.tagged).packet
      #expect(instance[lisp..<lisp + 8] == [0x08, 0, 0, 0, 0, 0, 77, 0])
    }
  }

  // MARK: - Instances, sources, mappings

  @Test func `E16 source and destination are looked up in the instance of port and VLAN`() throws {
    let rig = try Rig()
    // The same prefixes in two instances, behind different RLOCs.
    try rig.addSites(over: Rig.peer4, instance: 1)
    try rig.addSites(over: Rig.peer6, instance: 2)
    let vlans = try [10: 1, 20: 2, 30: 3].map { (try #require(VLANID(rawValue: UInt16($0.key))), InstanceID(truncating: UInt32($0.value))) }
    rig.publisher.setPort(Port.tagged, PortState(role: .site, vlanInstances: Dictionary(uniqueKeysWithValues: vlans)))
    rig.publisher.publish()
    let inner = IPPacket.v4()
    let outcomes = rig.send([10, 20, 30, 40].map { Frame.of(inner.octets, vlan: $0) } + [Frame.of(inner.octets)], port: Port.tagged)
    OuterModel(peer: Rig.peer4, instance: 1).expect(outcomes[0], around: inner)
    OuterModel(peer: Rig.peer6, instance: 2).expect(outcomes[1], around: inner)
    #expect(outcomes[2].verdict == .drop(.sourceNotLocal), "instance 3 has no EIDs")
    #expect(outcomes[3].verdict == .drop(.vlanUnknown))
    #expect(outcomes[4].verdict == .drop(.vlanUnknown), "untagged frames have no instance here")
    #expect(outcomes[0].instanceID == 1 && outcomes[1].instanceID == 2)
  }

  @Test(
    arguments: [
      (.nativeForward, .punt(.nativeForward)), (.sendMapRequest, .punt(.miss)), (.drop, .drop(.mappingDrop)),
      (.policyDenied, .drop(.policyDenied)),
      (.authenticationFailure, .drop(.authenticationFailure)),
    ] as [(ForwardingAction, Verdict)])
  func `E17 negative mappings forward natively, ask again or drop, and leave the packet as it came`(
    action: ForwardingAction, verdict: Verdict
  ) throws {
    let rig = try Rig.twoSites()
    try rig.map("10.4.0.0/16", to: LocatorSet(action))
    try rig.map("2001:db8:4::/48", to: LocatorSet(action))
    rig.publisher.publish()
    for destination in ["10.4.1.1", "2001:db8:4::1"] {
      var inner: IPPacket = destination.contains(":") ? .v6() : .v4()
      inner.destination = destination
      let frame = Frame.of(inner.octets)
      let outcome = rig.send(frame, port: Port.site)
      #expect(outcome.verdict == verdict)
      #expect(outcome.frame == frame)
    }
    #expect(rig.tally == (0, 0))
  }

  @Test func `E17 no mapping at all is a miss, and a destination of our own is the kernel's`() throws {
    let rig = try Rig.twoSites()
    var inner = IPPacket.v4()
    inner.destination = "172.16.0.1"
    #expect(rig.send(Frame.of(inner.octets), port: Port.site).verdict == .punt(.miss))
    inner.destination = "10.1.77.1"
    #expect(rig.send(Frame.of(inner.octets), port: Port.site).verdict == .punt(.nativeForward))
  }

  @Test func `E17 the longest prefix decides, a negative hole in a site included`() throws {
    let rig = try Rig.twoSites()
    try rig.map("10.2.9.0/24", to: LocatorSet(.drop))
    rig.publisher.publish()
    var inner = IPPacket.v4()
    inner.destination = "10.2.9.1"
    #expect(rig.send(Frame.of(inner.octets), port: Port.site).verdict == .drop(.mappingDrop))
    inner.destination = "10.2.10.1"
    OuterModel().expect(rig.send(Frame.of(inner.octets), port: Port.site), around: inner)
  }

  @Test func `E18 without a locator of a family that we have an RLOC of, the packet is dropped`() throws {
    let rig = try Rig.twoSites()
    let template = try rig.publisher.addTemplate(rig.tunnel(to: Rig.peer6))
    try rig.map("10.5.0.0/16", to: LocatorSet(.encapsulate, [LocatorChoice(ordinal: 0, template: template, weight: 1, isUsable: false)]))
    try rig.map("10.6.0.0/16", to: LocatorSet(.encapsulate))
    rig.publisher.publish()
    for destination in ["10.5.0.1", "10.6.0.1"] {
      var inner = IPPacket.v4()
      inner.destination = destination
      let frame = Frame.of(inner.octets)
      let outcome = rig.send(frame, port: Port.site)
      #expect(outcome.verdict == .drop(.noUsableLocator))
      #expect(outcome.frame == frame)
    }
  }

  @Test(arguments: peers)
  func `E18 the outer source is our own RLOC of the locator's family`(peer: String) throws {
    let packet = try Rig.twoSites(over: peer).send(Frame.of(IPPacket.v4().octets), port: Port.site).packet
    let isIPv6 = peer.contains(":")
    #expect(Array(isIPv6 ? packet[8..<24] : packet[12..<16]) == address(isIPv6 ? Rig.ownRLOC6 : Rig.ownRLOC4))
  }

  // MARK: - Size, next hop, tags, counters

  @Test(arguments: [IPPacket.v4(), .v6()], peers)
  func `M2 a packet larger than S = L − H is dropped, one of S goes`(inner: IPPacket, peer: String) throws {
    let header = peer.contains(":") ? 56 : 36
    for mtu in [1500, 1556, 9000] {
      let rig = try Rig()
      for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { try rig.local(eid) }
      for eid in ["10.2.0.0/16", "2001:db8:b::/48"] { try rig.remote(eid, over: [rig.tunnel(to: peer, mtu: mtu)]) }
      rig.publisher.publish()
      var inner = inner
      inner.payload = Array(repeating: 3, count: mtu - header - (inner.isIPv6 ? 40 : 20))
      OuterModel(peer: peer).expect(rig.send(Frame.of(inner.octets), port: Port.site), around: inner)
      inner.payload.append(3)
      let frame = Frame.of(inner.octets)
      let outcome = rig.send(frame, port: Port.site)
      #expect(outcome.verdict == .drop(.outerTooBig))
      #expect(outcome.frame == frame, "what the ICMP error quotes is the packet as it came")
      #expect(rig.tally == (1, 0))
    }
  }

  @Test func `the largest IPv4 packet there is passes where the MTU allows it, and a larger MTU than IP knows is no trap`() throws {
    for mtu in [65535, 65536, 1 << 20] {
      let rig = try Rig()
      try rig.local("10.1.0.0/16")
      try rig.remote("10.2.0.0/16", over: [rig.tunnel(to: Rig.peer4, mtu: mtu)])
      rig.publisher.publish()
      let inner = IPPacket.v4(Array(repeating: 1, count: 65535 - 36 - 20))
      OuterModel().expect(rig.send(Frame.of(inner.octets), port: Port.site), around: inner)
      let tooBig = IPPacket.v4(Array(repeating: 1, count: 65535 - 36 - 19))
      #expect(rig.send(Frame.of(tooBig.octets), port: Port.site).verdict == .drop(.outerTooBig))
    }
  }

  @Test(arguments: [IPPacket.v4(), .v6()], peers)
  func `with an unresolved next hop the complete outer packet goes to the slow path, without Ethernet header`(inner: IPPacket, peer: String)
    throws
  {
    let rig = try Rig()
    for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { try rig.local(eid) }
    for eid in ["10.2.0.0/16", "2001:db8:b::/48"] { try rig.remote(eid, over: [rig.tunnel(to: peer, isResolved: false)]) }
    rig.publisher.publish()
    let outcome = rig.send(Frame.of(inner.octets), port: Port.site)
    #expect(outcome.verdict == .punt(.outerNeighbour))
    #expect(outcome.frame.first.map { $0 >> 4 } == (peer.contains(":") ? 6 : 4))
    let framed = Outcome(
      verdict: .transmit(UInt8(Port.core)), frame: Frame.of(outcome.frame, to: Rig.nextHopMAC.rawValue, from: Rig.coreMAC.rawValue),
      instanceID: 0)
    OuterModel(peer: peer).expect(framed, around: inner)
    #expect(rig.tally == (1, 0))
  }

  @Test(arguments: [nil, 5, 4094] as [UInt16?], [nil, 7, 1] as [UInt16?])
  func `tags are taken off on the way in and put on by the locator's port on the way out`(vlanIn: UInt16?, vlanOut: UInt16?) throws {
    for peer in Self.peers {
      for inner in [IPPacket.v4(), .v6()] {
        let rig = try Rig()
        for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { try rig.local(eid, instance: 9) }
        for eid in ["10.2.0.0/16", "2001:db8:b::/48"] { try rig.remote(eid, instance: 9, over: [rig.tunnel(to: peer, vlan: vlanOut)]) }
        let instance = InstanceID(truncating: 9)
        let vlans = vlanIn.flatMap { VLANID(rawValue: $0) }.map { [$0: instance] } ?? [:]
        rig.publisher.setPort(Port.tagged, PortState(role: .site, instance: vlanIn == nil ? instance : nil, vlanInstances: vlans))
        rig.publisher.publish()
        OuterModel(peer: peer, instance: 9, vlan: vlanOut).expect(
          rig.send(Frame.of(inner.octets, vlan: vlanIn), port: Port.tagged), around: inner)
      }
    }
  }

  @Test func `priority bits of a tag do not matter, and a priority tag counts as none`() throws {
    let rig = try Rig.twoSites()
    OuterModel().expect(rig.send(Frame.of(IPPacket.v4().octets, vlan: 0xE000), port: Port.site), around: .v4())
    #expect(rig.send(Frame.of(IPPacket.v4().octets, vlan: 0xE005), port: Port.site).verdict == .drop(.vlanUnknown))
    #expect(rig.send(Frame.of(IPPacket.v4().octets, vlan: 0x0FFF), port: Port.site).verdict == .drop(.vlanUnknown))
  }

  @Test func `packets and bytes are counted by locator`() throws {
    let rig = try Rig()
    try rig.local("10.1.0.0/16")
    let peers = (1...4).map { "198.51.100.\($0)" }
    let (counters, _) = try rig.remote("10.2.0.0/16", over: peers.map { try rig.tunnel(to: $0) })
    rig.publisher.publish()
    var packets = Array(repeating: UInt64(0), count: 4)
    var bytes = packets
    for flow in 0..<400 {
      let inner = IPPacket.v4(UDPDatagram(sourcePort: UInt16(flow), destinationPort: 80, payload: Array(repeating: 0, count: flow)).octets)
      let outcome = rig.send(Frame.of(inner.octets), port: Port.site)
      let peer = try #require(peers.firstIndex { address($0) == outcome.outerDestination })
      packets[peer] += 1
      bytes[peer] += UInt64(inner.octets.count)
    }
    for i in 0..<4 {
      #expect(packets[i] > 50)
      #expect(rig.counters.locator(counters + UInt32(i)) == (packets[i], bytes[i]))
    }
  }

  // MARK: - Hostile frames of the site

  @Test func `frames that are not sound are dropped under their reason, as they came`() throws {
    let rig = try Rig.twoSites()
    var cases: [([UInt8], DropReason)] = []
    for length in 0..<14 { cases.append((Array(Frame.of(IPPacket.v4().octets).prefix(length)), .frameMalformed)) }
    for length in 14..<18 { cases.append((Array(Frame.of(IPPacket.v4().octets, vlan: 0).prefix(length)), .frameMalformed)) }
    for type in [0x0806, 0x88A8, 0x8847, 0x0000, 0x05DC, 0x8100] as [UInt16] {
      cases.append((Frame.of(IPPacket.v4().octets, vlan: 0, type: type), .notIP))
    }
    cases.append((Frame.of(IPPacket.v4().octets, type: 0x86DD), .innerMalformed))
    cases.append((Frame.of(IPPacket.v6().octets, type: 0x0800), .innerMalformed))
    for inner in [IPPacket.v4(), .v6()] {
      for length in 0..<inner.octets.count {
        cases.append((Frame.of(Array(inner.octets.prefix(length)), type: inner.isIPv6 ? 0x86DD : 0x0800), .innerMalformed))
      }
      for lie in [inner.octets.count + 1, 65535] {
        var lying = inner
        lying.length = UInt16(lie)
        cases.append((Frame.of(lying.octets), .innerMalformed))
      }
    }
    for first in [0x40, 0x44, 0x4F, 0x55, 0x00] as [UInt8] {
      var octets = IPPacket.v4().octets
      octets[0] = first
      cases.append((Frame.of(octets, type: 0x0800), .innerMalformed))
    }
    for (frame, reason) in cases {
      let outcome = rig.send(frame, port: Port.site)
      #expect(outcome.verdict == .drop(reason), "\(frame)")
      #expect(outcome.frame == frame)
    }
    #expect(rig.tally == (0, 0))
    #expect(rig.isConserved)
  }

  @Test func `an IPv6 packet with endless or broken extension headers is forwarded as it is: only hosts read them`() throws {
    let rig = try Rig.twoSites()
    for payload in [
      Array(repeating: [60, 0, 0, 0, 0, 0, 0, 0] as [UInt8], count: 100).flatMap { $0 }, [60, 255, 0, 0, 0, 0, 0, 0], [60], [],
      [44, 0, 0xFF, 0xFF, 0, 0, 0, 0],
    ] as [[UInt8]] {
      for first in [0, 43, 44, 60] as [UInt8] {
        var inner = IPPacket.v6(payload)
        inner.protocolNumber = first
        OuterModel().expect(rig.send(Frame.of(inner.octets), port: Port.site), around: inner)
      }
    }
  }
}
