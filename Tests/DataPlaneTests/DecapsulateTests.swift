// SPDX-License-Identifier: Apache-2.0
//
// The ETR's rules: packet → verdict → packet → counters.

import Testing
import Wire

@testable import DataPlane

@Suite struct DecapsulateTests {
  static let inners: [IPPacket] = [
    .v4().reply, .v6().reply, IPPacket.v4(Array(repeating: 9, count: 1400)).reply, IPPacket.v6(Array(repeating: 9, count: 1400)).reply,
    IPPacket(source: "10.2.0.7", destination: "10.1.0.5", protocolNumber: 1, timeToLive: 2, trafficClass: 0xB8, payload: []),
    IPPacket(source: "2001:db8:b::7", destination: "2001:db8:a::5", protocolNumber: 58, timeToLive: 2, trafficClass: 0xB8, payload: []),
    IPPacket(source: "10.2.0.7", destination: "10.1.0.5", payload: [1, 2, 3], fragmentWord: 0x2010, options: [1, 1, 1, 0]),
  ]
  static let families = [(Rig.peer4, Rig.ownRLOC4), (Rig.peer6, Rig.ownRLOC6)]

  static func lisp(_ inner: IPPacket, _ family: (peer: String, own: String), instance: UInt32 = 0) -> LISPPacket {
    var packet = LISPPacket(family.peer, family.own, instance: instance, inner)
    packet.outer.timeToLive = 255
    return packet
  }

  /// The frame that the host of our site gets.
  static func delivered(_ inner: IPPacket, vlan: UInt16? = nil) -> [UInt8] {
    Frame.of(inner.octets, vlan: vlan, to: Rig.hostMAC.rawValue, from: Rig.siteMAC.rawValue)
  }

  static func expectDelivery(_ outcome: Outcome, of inner: IPPacket, vlan: UInt16? = nil, sourceLocation: SourceLocation = #_sourceLocation)
  {
    #expect(outcome.verdict == .transmit(UInt8(Port.site)), sourceLocation: sourceLocation)
    #expect(outcome.frame == delivered(inner, vlan: vlan), sourceLocation: sourceLocation)
  }

  static func rig(_ change: (inout EngineSettings) -> Void = { _ in }) throws -> Rig {
    let rig = try Rig.twoSites()
    var settings = EngineSettings()
    change(&settings)
    rig.publisher.setSettings(settings)
    rig.publisher.publish()
    return rig
  }

  // MARK: - What is delivered

  @Test(arguments: inners, families)
  func `E1 IPv4 and IPv6 packets under IPv4 and IPv6 headers are delivered, octet for octet`(inner: IPPacket, family: (String, String))
    throws
  {
    let rig = try Self.rig()
    let outcome = rig.send(Frame.of(Self.lisp(inner, family).octets), port: Port.core)
    Self.expectDelivery(outcome, of: inner.decremented)
    #expect(rig.tally == (0, 1))
    #expect(rig.isConserved)
  }

  @Test(arguments: inners, families)
  func `D1 a zero UDP checksum is accepted, verification or not`(inner: IPPacket, family: (String, String)) throws {
    for verifies in [false, true] {
      let rig = try Self.rig { $0.verifiesUDPChecksum = verifies }
      Self.expectDelivery(rig.send(Frame.of(Self.lisp(inner, family).octets), port: Port.core), of: inner.decremented)
    }
  }

  @Test(arguments: inners, families)
  func `D1 a right UDP checksum is accepted where it is verified, a wrong one dropped`(inner: IPPacket, family: (String, String)) throws {
    let rig = try Self.rig { $0.verifiesUDPChecksum = true }
    let packet = Self.lisp(inner, family).summed
    Self.expectDelivery(rig.send(Frame.of(packet.octets), port: Port.core), of: inner.decremented)
    Self.expectDelivery(rig.send(Frame.of(packet.octets) + [1, 2, 3], port: Port.core), of: inner.decremented)
    for change in [1, 0x8000, 0x00FF] as [UInt16] {
      var wrong = packet
      wrong.udpChecksum = packet.udpChecksum &+ change == 0 ? 1 : packet.udpChecksum &+ change
      #expect(rig.send(Frame.of(wrong.octets), port: Port.core).verdict == .drop(.udpChecksumWrong))
    }
    var corrupted = packet
    corrupted.inner[corrupted.inner.count - 1] ^= 1
    #expect(rig.send(Frame.of(corrupted.octets), port: Port.core).verdict == .drop(.udpChecksumWrong))
  }

  @Test(arguments: families)
  func `D1 a wrong UDP checksum is not looked at where verification is off`(family: (String, String)) throws {
    var packet = Self.lisp(.v4().reply, family)
    packet.udpChecksum = 0xDEAD
    Self.expectDelivery(try Self.rig().send(Frame.of(packet.octets), port: Port.core), of: IPPacket.v4().reply.decremented)
  }

  @Test func `a wrong checksum of the outer IPv4 header or the inner one ends a packet's way`() throws {
    for outer in [true, false] {
      let rig = try Self.rig()
      var packet = Self.lisp(.v4().reply, ("198.51.100.2", "198.51.100.1")).octets
      packet[(outer ? 0 : 36) + 11] ^= 0x04
      #expect(rig.send(Frame.of(packet), port: Port.core).verdict == .drop(.headerChecksumWrong))
      #expect(rig.tally == (0, 0))
      #expect(rig.isConserved)
    }
  }

  @Test(arguments: families)
  func `D2 N and V both set does not keep a packet from its host`(family: (String, String)) throws {
    var packet = Self.lisp(.v4().reply, family)
    packet.header = [0x90, 0x12, 0x34, 0x56, 0, 0, 0, 0]
    Self.expectDelivery(try Self.rig().send(Frame.of(packet.octets), port: Port.core), of: IPPacket.v4().reply.decremented)
  }

  @Test(arguments: [false, true])
  func `D3 N, L, E, V, the reserved bit and their fields are ignored in all 32 combinations`(hasInstance: Bool) throws {
    let rig = try Self.rig()
    try rig.addSites(over: Rig.peer4, instance: 0xABCDEF)
    rig.publisher.publish()
    for bits in 0..<32 as Range<UInt8> {
      // N L E V from the high bits, R from the lowest.
      let flags = (bits >> 1) << 4 | (bits & 1) << 2 | (hasInstance ? 0x08 : 0)
      var packet = Self.lisp(.v4().reply, Self.families[0])
      packet.header = [flags, 0xFF, 0xFF, 0xFF] + (hasInstance ? [0xAB, 0xCD, 0xEF, 0xFF] : [0xFF, 0xFF, 0xFF, 0xFF])
      let outcome = rig.send(Frame.of(packet.octets), port: Port.core)
      Self.expectDelivery(outcome, of: IPPacket.v4().reply.decremented)
      #expect(outcome.instanceID == (hasInstance ? 0xABCDEF : 0))
    }
  }

  @Test(arguments: [1, 2, 3] as [UInt8], families)
  func `D4 key bits without a key are dropped under a reason of their own`(key: UInt8, family: (String, String)) throws {
    let rig = try Self.rig()
    var packet = Self.lisp(.v4().reply, family)
    packet.header[0] = key
    #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.encryptedWithoutKey))
    packet.header = [0x08 | key, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0]
    #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.encryptedWithoutKey))
    #expect(rig.tally == (0, 0))
  }

  // MARK: - Destinations and instances

  @Test func `D5 an inner destination that is not one of our EIDs is dropped`() throws {
    let rig = try Self.rig()
    try rig.map("10.9.0.0/16", to: LocatorSet(.nativeForward))
    try rig.map("10.1.9.0/24", to: LocatorSet(.drop))
    rig.publisher.publish()
    for (source, destination) in [
      ("10.2.0.7", "10.2.0.8"), ("10.2.0.7", "172.16.0.1"), ("10.2.0.7", "10.9.0.1"), ("10.2.0.7", "10.1.9.1"),
      ("10.2.0.7", "255.255.255.255"),
      ("10.2.0.7", "224.0.0.5"), ("2001:db8:b::7", "2001:db8:b::8"), ("2001:db8:b::7", "ff02::1"), ("2001:db8:b::7", "::"),
    ] {
      var inner: IPPacket = source.contains(":") ? .v6() : .v4()
      (inner.source, inner.destination) = (source, destination)
      for family in Self.families {
        let frame = Frame.of(Self.lisp(inner, family).octets)
        let outcome = rig.send(frame, port: Port.core)
        #expect(outcome.verdict == .drop(.destinationNotLocal), "\(destination)")
        #expect(outcome.frame == frame)
      }
    }
    #expect(rig.tally == (0, 0))
  }

  @Test func `D5 the destination is looked up in the packet's instance and no other`() throws {
    let rig = try Self.rig()
    try rig.local("10.1.0.0/16", instance: 5, host: rig.delivery(vlan: 55))
    try rig.local("10.7.0.0/16", instance: 6, host: rig.delivery())
    rig.publisher.publish()
    let inner = IPPacket.v4().reply
    func send(_ instance: UInt32) -> Outcome {
      rig.send(Frame.of(Self.lisp(inner, Self.families[0], instance: instance).octets), port: Port.core)
    }
    Self.expectDelivery(send(0), of: inner.decremented)
    Self.expectDelivery(send(5), of: inner.decremented, vlan: 55)
    #expect(send(6).verdict == .drop(.destinationNotLocal))
    #expect(send(7).verdict == .drop(.instanceUnknown))
    #expect(send(0xFF_FFFE).verdict == .drop(.instanceUnknown))
  }

  @Test func `D5 an instance with one family only drops the other`() throws {
    let rig = try Self.rig()
    try rig.local("10.1.0.0/16", instance: 5, host: rig.delivery())
    rig.publisher.publish()
    let packet = Self.lisp(IPPacket.v6().reply, Self.families[0], instance: 5)
    #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.destinationNotLocal))
  }

  @Test(arguments: families)
  func `D14 instance 0xFFFFFF goes up whole from its outer header, and is never delivered`(family: (String, String)) throws {
    let rig = try Self.rig()
    try rig.local("10.1.0.0/16", instance: 0xFF_FFFF, host: rig.delivery())
    rig.publisher.publish()
    for vlan in [nil, 12] as [UInt16?] {
      let packet = Self.lisp(IPPacket.v4().reply, family, instance: 0xFF_FFFF)
      let outcome = rig.send(Frame.of(packet.octets, vlan: vlan), port: Port.core)
      #expect(outcome.verdict == .punt(.control))
      #expect(outcome.frame == packet.octets)
      #expect(outcome.instanceID == 0xFF_FFFF)
    }
    #expect(rig.tally == (0, 0))
  }

  @Test func `D14 without I the same bits are not an instance ID`() throws {
    var packet = Self.lisp(IPPacket.v4().reply, Self.families[0])
    packet.header = [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]
    Self.expectDelivery(try Self.rig().send(Frame.of(packet.octets), port: Port.core), of: IPPacket.v4().reply.decremented)
  }

  // MARK: - TTL, ECN, DSCP

  @Test(arguments: [IPPacket.v4().reply, IPPacket.v6().reply], families)
  func `D6 the smaller of inner and outer TTL is delivered, decremented, with a right checksum`(inner: IPPacket, family: (String, String))
    throws
  {
    let rig = try Self.rig()
    for (innerTTL, outerTTL) in [(64, 255), (255, 64), (64, 64), (2, 255), (255, 2), (3, 2), (255, 255)] as [(UInt8, UInt8)] {
      var inner = inner
      inner.timeToLive = innerTTL
      var packet = Self.lisp(inner, family)
      packet.outer.timeToLive = outerTTL
      inner.timeToLive = min(innerTTL, outerTTL) - 1
      Self.expectDelivery(rig.send(Frame.of(packet.octets), port: Port.core), of: inner)
    }
  }

  @Test(arguments: [IPPacket.v4().reply, IPPacket.v6().reply], families)
  func `D6 a TTL that is used up goes to the kernel, which answers`(inner: IPPacket, family: (String, String)) throws {
    let rig = try Self.rig()
    for (innerTTL, outerTTL) in [(1, 255), (64, 1), (0, 255), (64, 0), (0, 0), (1, 1)] as [(UInt8, UInt8)] {
      var inner = inner
      inner.timeToLive = innerTTL
      var packet = Self.lisp(inner, family)
      packet.outer.timeToLive = outerTTL
      let outcome = rig.send(Frame.of(packet.octets), port: Port.core)
      #expect(outcome.verdict == .punt(.timeExceeded))
      inner.timeToLive = min(innerTTL, outerTTL)
      #expect(outcome.frame == inner.octets)
    }
  }

  /// RFC 6040 4.2, figure 4. Not-ECT 0, ECT(1) 1, ECT(0) 2, CE 3; nil: drop.
  static let figure4: [UInt8: [UInt8?]] = [0b00: [0, 0, 0, nil], 0b10: [2, 1, 2, 3], 0b01: [1, 1, 1, 3], 0b11: [3, 3, 3, 3]]

  @Test(arguments: [IPPacket.v4().reply, IPPacket.v6().reply], families)
  func `D7 inner Not-ECT under outer CE is dropped and counted`(inner: IPPacket, family: (String, String)) throws {
    let rig = try Self.rig()
    var inner = inner
    for dscp in 0..<64 as Range<UInt8> {
      inner.trafficClass = dscp << 2
      var packet = Self.lisp(inner, family)
      packet.outer.trafficClass = 0b11
      let frame = Frame.of(packet.octets)
      let outcome = rig.send(frame, port: Port.core)
      #expect(outcome.verdict == .drop(.congestionMarkLost))
      #expect(outcome.frame == frame)
    }
    #expect(rig.verdicts == [Verdict.drop(.congestionMarkLost).rawValue: 64])
    #expect(rig.tally == (0, 0))
  }

  @Test(arguments: [IPPacket.v4().reply, IPPacket.v6().reply], families)
  func `D8 the other fifteen cells of RFC 6040's table, with right checksums`(inner: IPPacket, family: (String, String)) throws {
    let rig = try Self.rig()
    var cells = 0
    for innerECN in 0..<4 as Range<UInt8> {
      for outerECN in 0..<4 as Range<UInt8> {
        guard let result = try #require(Self.figure4[innerECN])[Int(outerECN)] else { continue }
        cells += 1
        var inner = inner
        inner.trafficClass = 0xB8 | innerECN
        var packet = Self.lisp(inner, family)
        packet.outer.trafficClass = 0x28 | outerECN
        inner.trafficClass = 0xB8 | result
        Self.expectDelivery(rig.send(Frame.of(packet.octets), port: Port.core), of: inner.decremented)
      }
    }
    #expect(cells == 15)
  }

  @Test(arguments: [IPPacket.v4().reply, IPPacket.v6().reply], families)
  func `D9 the inner DSCP is kept, or becomes the outer one where that is set`(inner: IPPacket, family: (String, String)) throws {
    for copies in [false, true] {
      let rig = try Self.rig { $0.copiesDSCP = copies }
      for (innerDSCP, outerDSCP) in [(0, 46), (46, 0), (46, 46), (63, 1), (1, 62)] as [(UInt8, UInt8)] {
        var inner = inner
        inner.trafficClass = innerDSCP << 2 | 0b10
        var packet = Self.lisp(inner, family)
        packet.outer.trafficClass = outerDSCP << 2 | 0b11
        inner.trafficClass = (copies ? outerDSCP : innerDSCP) << 2 | 0b11
        Self.expectDelivery(rig.send(Frame.of(packet.octets), port: Port.core), of: inner.decremented)
      }
    }
  }

  // MARK: - Fragments, lengths, versions, sources

  @Test func `D10 outer IPv4 fragments are dropped, first, middle and last`() throws {
    let rig = try Self.rig()
    for word in [0x2000, 0x2001, 0x0001, 0x1FFF, 0x3FFF, 0x6000] as [UInt16] {
      var packet = Self.lisp(IPPacket.v4().reply, Self.families[0])
      packet.outer.fragmentWord = word
      #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.outerFragment), "\(word)")
    }
    for word in [0x0000, 0x4000, 0x8000] as [UInt16] {
      var packet = Self.lisp(IPPacket.v4().reply, Self.families[0])
      packet.outer.fragmentWord = word
      Self.expectDelivery(rig.send(Frame.of(packet.octets), port: Port.core), of: IPPacket.v4().reply.decremented)
    }
  }

  @Test func `D10 outer IPv6 fragments are dropped, also behind other extensions and behind a second fragment header`() throws {
    let rig = try Self.rig()
    func outer(_ first: UInt8, _ extensions: [UInt8]) -> Verdict {
      var packet = Self.lisp(IPPacket.v4().reply, Self.families[1])
      packet.outer.protocolNumber = first
      packet.outer.payload = extensions
      return rig.send(Frame.of(packet.octets), port: Port.core).verdict
    }
    #expect(outer(44, [17, 0, 0, 1, 0, 0, 0, 9]) == .drop(.outerFragment))
    #expect(outer(44, [17, 0, 0, 9, 0, 0, 0, 9]) == .drop(.outerFragment))
    #expect(outer(44, [17, 0, 0, 8, 0, 0, 0, 9]) == .drop(.outerFragment))
    #expect(outer(0, [44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9]) == .drop(.outerFragment))
    #expect(outer(44, [44, 0, 0, 1, 0, 0, 0, 9, 17, 0, 0, 0, 0, 0, 0, 9]) == .drop(.outerFragment))
    #expect(outer(44, [17, 0, 0, 0, 0, 0, 0, 9]) == .transmit(UInt8(Port.site)), "an atomic fragment is whole (RFC 6946)")
  }

  @Test func `outer extension headers and options are read over`() throws {
    let rig = try Self.rig()
    var sixth = Self.lisp(IPPacket.v4().reply, Self.families[1])
    sixth.outer.protocolNumber = 0
    sixth.outer.payload = [60, 0, 1, 4, 0, 0, 0, 0] + [17, 2] + Array(repeating: 0, count: 22)
    Self.expectDelivery(rig.send(Frame.of(sixth.octets), port: Port.core), of: IPPacket.v4().reply.decremented)
    var fourth = Self.lisp(IPPacket.v6().reply, Self.families[0])
    fourth.outer.options = Array(repeating: 1, count: 40)
    Self.expectDelivery(rig.send(Frame.of(fourth.octets), port: Port.core), of: IPPacket.v6().reply.decremented)
  }

  @Test(arguments: inners, families)
  func `D11 what follows the inner packet, the UDP datagram or the outer packet is trimmed`(inner: IPPacket, family: (String, String))
    throws
  {
    let rig = try Self.rig()
    var packet = Self.lisp(inner, family)
    packet.inner += [0xEE, 0xEE, 0xEE]
    Self.expectDelivery(rig.send(Frame.of(packet.octets), port: Port.core), of: inner.decremented)
    packet.udpLength = UInt16(16 + inner.octets.count)
    Self.expectDelivery(rig.send(Frame.of(packet.octets), port: Port.core), of: inner.decremented)
    Self.expectDelivery(rig.send(Frame.of(packet.octets + [0xEE, 0xEE]), port: Port.core), of: inner.decremented)
  }

  @Test(arguments: inners, families)
  func `D11 an inner packet longer than what carries it is dropped, whichever length says so`(inner: IPPacket, family: (String, String))
    throws
  {
    let rig = try Self.rig()
    let whole = Self.lisp(inner, family)
    var shortUDP = whole
    shortUDP.udpLength = UInt16(16 + inner.octets.count - 1)
    #expect(rig.send(Frame.of(shortUDP.octets), port: Port.core).verdict == .drop(.innerTruncated))
    var lying = inner
    for extra in [1, 8, 60000] {
      lying.length = UInt16(clamping: (inner.isIPv6 ? inner.payload.count : inner.octets.count) + extra)
      #expect(rig.send(Frame.of(Self.lisp(lying, family).octets), port: Port.core).verdict == .drop(.innerTruncated))
      #expect(
        rig.send(Frame.of(Self.lisp(lying, family).octets) + Array(repeating: 0, count: 100), port: Port.core).verdict
          == .drop(.innerTruncated))
    }
    #expect(rig.tally == (0, 0))
  }

  @Test(arguments: inners, families)
  func `D11 a UDP datagram longer than its IP packet is dropped, padding or not`(inner: IPPacket, family: (String, String)) throws {
    let rig = try Self.rig()
    for (extra, padding) in [(1, 0), (1, 1), (4, 10), (10, 10), (100, 50)] {
      var packet = Self.lisp(inner, family)
      packet.udpLength = UInt16(16 + inner.octets.count + extra)
      let frame = Frame.of(packet.octets) + Array(repeating: 0, count: padding)
      #expect(rig.send(frame, port: Port.core).verdict == .drop(.udpMalformed), "\(extra) more, \(padding) behind")
    }
  }

  @Test(arguments: families)
  func `D11 any inner version but 4 and 6 is dropped`(family: (String, String)) throws {
    let rig = try Self.rig()
    for version in 0...15 as ClosedRange<UInt8> where version != 4 && version != 6 {
      var packet = Self.lisp(IPPacket.v4().reply, family)
      packet.inner[0] = version << 4 | 5
      #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.innerVersionUnknown))
    }
    for words in 0..<5 as Range<UInt8> {
      var packet = Self.lisp(IPPacket.v4().reply, family)
      packet.inner[0] = 0x40 | words
      #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.innerTruncated))
    }
    var packet = Self.lisp(IPPacket.v4().reply, family)
    packet.inner[0] = 0x4F
    #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.innerTruncated), "header past the end")
    packet.inner = []
    #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.innerTruncated))
  }

  @Test(arguments: [
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.255.255.255", "255.255.255.255", Rig.ownRLOC4, "::", "::1",
    "ff02::1",
    "ff0e::1:2", Rig.ownRLOC6,
  ])
  func `D13 an unspecified, loopback, multicast, broadcast or own outer source is dropped`(source: String) throws {
    let rig = try Self.rig()
    let frame = Frame.of(Self.lisp(IPPacket.v4().reply, (source, source.contains(":") ? Rig.ownRLOC6 : Rig.ownRLOC4)).octets)
    let outcome = rig.send(frame, port: Port.core)
    #expect(outcome.verdict == .drop(.outerSourceInvalid))
    #expect(outcome.frame == frame)
  }

  @Test func `D13 every one of sixteen own RLOCs is known as such, and no longer when it is gone`() throws {
    let rig = try Self.rig()
    let own = (1...16).flatMap { ["203.0.113.\($0)", "2001:db8:ffff::\($0)"] }
    try rig.publisher.setOwnRLOCs(own.map { try #require(IPAddress($0)) })
    rig.publisher.publish()
    func verdict(_ source: String) -> Verdict {
      rig.send(
        Frame.of(Self.lisp(IPPacket.v4().reply, (source, source.contains(":") ? Rig.ownRLOC6 : Rig.ownRLOC4)).octets), port: Port.core
      ).verdict
    }
    for source in own { #expect(verdict(source) == .drop(.outerSourceInvalid)) }
    #expect(verdict(Rig.ownRLOC4).isTransmit, "no longer ours")
    #expect(verdict("203.0.113.17").isTransmit)
    try rig.publisher.setOwnRLOCs([])
    rig.publisher.publish()
    for source in own { #expect(verdict(source).isTransmit) }
  }

  // MARK: - Delivery

  @Test(arguments: [IPPacket.v4().reply, IPPacket.v6().reply], families)
  func `without the host's address the bare packet goes to the kernel, TTL not yet decremented`(inner: IPPacket, family: (String, String))
    throws
  {
    for host in [true, false] {
      let rig = try Rig()
      for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { try rig.local(eid, instance: 3, host: host ? rig.delivery(isResolved: false) : nil) }
      rig.publisher.publish()
      var packet = Self.lisp(inner, family, instance: 3)
      packet.outer.timeToLive = 17
      packet.outer.trafficClass = 0b11
      var inner = inner
      inner.trafficClass = 0b10
      packet.inner = inner.octets
      let outcome = rig.send(Frame.of(packet.octets), port: Port.core)
      #expect(outcome.verdict == .punt(.innerNeighbour))
      inner.timeToLive = 17
      inner.trafficClass = 0b11
      #expect(outcome.frame == inner.octets)
      #expect(outcome.instanceID == 3)
      #expect(rig.tally == (0, 1))
    }
  }

  @Test(arguments: [nil, 9] as [UInt16?], [nil, 10] as [UInt16?])
  func `tags are taken off and put on by the host's template, and the type is the packet's`(vlanIn: UInt16?, vlanOut: UInt16?) throws {
    for family in Self.families {
      for inner in [IPPacket.v4().reply, IPPacket.v6().reply] {
        let rig = try Rig()
        for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { try rig.local(eid, host: rig.delivery(vlan: vlanOut)) }
        rig.publisher.publish()
        let outcome = rig.send(Frame.of(Self.lisp(inner, family).octets, vlan: vlanIn), port: Port.core)
        Self.expectDelivery(outcome, of: inner.decremented, vlan: vlanOut)
      }
    }
  }

  @Test func `M2 a packet larger than the site's MTU is dropped as it came, and not counted as delivered`() throws {
    for (inner, header) in [(IPPacket.v4(), 20), (IPPacket.v6(), 40)] {
      let rig = try Rig()
      var counters: [UInt32] = []
      for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { counters.append(try rig.local(eid, host: rig.delivery(mtu: 1400))) }
      rig.publisher.publish()
      var inner = inner.reply
      inner.payload = Array(repeating: 1, count: 1400 - header)
      Self.expectDelivery(rig.send(Frame.of(Self.lisp(inner, Self.families[0]).octets), port: Port.core), of: inner.decremented)
      inner.payload.append(1)
      let frame = Frame.of(Self.lisp(inner, Self.families[0]).octets)
      let outcome = rig.send(frame, port: Port.core)
      #expect(outcome.verdict == .drop(.deliveryTooBig))
      #expect(outcome.frame == frame)
      #expect(rig.tally == (0, 1))
      #expect(rig.counters.locator(counters[inner.isIPv6 ? 1 : 0]) == (1, 1400))
    }
  }

  @Test func `packets and bytes are counted by local prefix`() throws {
    let rig = try Rig()
    let wide = try rig.local("10.1.0.0/16", host: rig.delivery())
    let narrow = try rig.local("10.1.0.0/24", host: rig.delivery())
    rig.publisher.publish()
    var inner = IPPacket.v4([1, 2, 3]).reply
    for destination in ["10.1.0.5", "10.1.0.6", "10.1.1.5"] {
      inner.destination = destination
      rig.send(Frame.of(Self.lisp(inner, Self.families[0]).octets), port: Port.core)
    }
    #expect(rig.counters.locator(narrow) == (2, 46))
    #expect(rig.counters.locator(wide) == (1, 23))
  }
}
