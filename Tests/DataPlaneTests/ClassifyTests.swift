// SPDX-License-Identifier: Apache-2.0
//
// Which flow a packet belongs to, seen from outside: by the outer source port and flow label.

import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct ClassifyTests {
  /// Port and flow label that each packet leaves with, over IPv6.
  static func entropy(_ packets: [IPPacket]) throws -> [(port: UInt16, label: UInt32)] {
    try Rig.twoSites(over: Rig.peer6).send(packets.map { Frame.of($0.octets) }, port: Port.site).map { outcome in
      try #require(outcome.verdict.isTransmit)
      return (outcome.outerSourcePort, outcome.outerFlowLabel)
    }
  }

  static func ports(_ source: UInt16, _ destination: UInt16, _ rest: [UInt8] = [0, 0, 0, 0, 9, 9]) -> [UInt8] {
    big(source) + big(destination) + rest
  }

  static let bases: [IPPacket] = [.v4(), .v6()]

  @Test(arguments: bases, [6, 17, 132] as [UInt8])
  func `E3 the source port is constant for a flow, whatever else differs between its packets`(base: IPPacket, protocolNumber: UInt8) throws
  {
    var random = SplitMix64(seed: 60)
    let packets = (0..<64).map { _ in
      var packet = base
      packet.protocolNumber = protocolNumber
      packet.payload = Self.ports(1000, 2000, random.octets(random.below(60) + 4))
      packet.timeToLive = UInt8(random.below(254) + 2)
      packet.trafficClass = UInt8(truncatingIfNeeded: random.next())
      packet.identification = UInt16(truncatingIfNeeded: random.next())
      packet.flowLabel = UInt32(truncatingIfNeeded: random.next()) & 0xF_FFFF
      return packet
    }
    let entropy = try Self.entropy(packets)
    #expect(Set(entropy.map(\.port)).count == 1 && Set(entropy.map(\.label)).count == 1)
  }

  @Test(arguments: bases, [6, 17, 132] as [UInt8])
  func `E3 every part of the five-tuple makes another flow`(base: IPPacket, protocolNumber: UInt8) throws {
    var flow = base
    flow.protocolNumber = protocolNumber
    flow.payload = Self.ports(1000, 2000)
    var packets = [flow]
    for change in 0..<5 {
      var other = flow
      switch change {
      case 0: other.payload = Self.ports(1001, 2000)
      case 1: other.payload = Self.ports(1000, 2001)
      case 2: other.source = base.isIPv6 ? "2001:db8:a::6" : "10.1.0.6"
      case 3: other.destination = base.isIPv6 ? "2001:db8:b::8" : "10.2.0.8"
      default: other.protocolNumber = protocolNumber == 6 ? 17 : 6
      }
      packets.append(other)
    }
    let entropy = try Self.entropy(packets)
    #expect(Set(entropy.map(\.port)).count == 6, "six flows of 16,384 ports: a collision is possible in principle, not with this hash")
    #expect(Set(entropy.map(\.label)).count == 6)
  }

  @Test(arguments: bases)
  func `E3 the source ports of many flows spread evenly over 49152 to 65535`(base: IPPacket) throws {
    // Flows as they come: a host that counts its source ports up; hosts that count up.
    let rig = try Rig.twoSites(over: Rig.peer6)
    var quarters = Array(repeating: 0, count: 16)
    var distinct = Set<UInt16>()
    var labels = Set<UInt32>()
    for flow in 0..<4096 {
      var packet = base
      packet.payload = Self.ports(UInt16(32768 + flow % 2048), 443)
      if flow >= 2048 { packet.destination = base.isIPv6 ? "2001:db8:b::\(String(flow, radix: 16))" : "10.2.\(flow / 256).\(flow % 256)" }
      let outcome = rig.send(Frame.of(packet.octets), port: Port.site)
      let port = outcome.outerSourcePort
      #expect(port >= 49152)
      quarters[Int(port - 49152) / 1024] += 1
      distinct.insert(port)
      labels.insert(outcome.outerFlowLabel)
    }
    // 256 are expected in each sixteenth; 16 is one standard deviation. 3,622 distinct of 16,384 are expected; labels have 20 bits.
    #expect(quarters.allSatisfy { (256 - 96...256 + 96).contains($0) }, "\(quarters)")
    #expect(distinct.count > 3450, "\(distinct.count) distinct ports")
    #expect(labels.count > 4050, "\(labels.count) distinct labels")
    for bit in 0..<20 { #expect((1800...2300).contains(labels.filter { $0 >> bit & 1 == 1 }.count), "bit \(bit) of the label") }
  }

  @Test(arguments: bases)
  func `E3 other protocols hash addresses and protocol alone`(base: IPPacket) throws {
    for number in [1, 47, 50, 58, 89, 255] as [UInt8] {
      var one = base
      one.protocolNumber = number
      one.payload = Self.ports(1, 2)
      var other = one
      other.payload = Self.ports(3, 4)
      let entropy = try Self.entropy([one, other])
      #expect(entropy[0] == entropy[1], "protocol \(number)")
    }
    var one = base
    (one.protocolNumber, one.payload) = (47, Self.ports(1, 2))
    var other = one
    other.protocolNumber = 50
    let entropy = try Self.entropy([one, other])
    #expect(entropy[0] != entropy[1])
  }

  @Test func `E3 fragments after the first hash addresses alone`() throws {
    var random = SplitMix64(seed: 61)
    func v4(_ protocolNumber: UInt8) -> IPPacket {
      var packet = IPPacket.v4(random.octets(32))
      packet.protocolNumber = protocolNumber
      packet.fragmentWord = UInt16(random.below(0x1FFF) + 1) | (random.next() & 1 == 0 ? 0x2000 : 0)
      packet.identification = UInt16(truncatingIfNeeded: random.next())
      return packet
    }
    func v6(_ protocolNumber: UInt8) -> IPPacket {
      var packet = IPPacket.v6(
        [protocolNumber, 0] + big(UInt16(random.below(0x1FFF) + 1) << 3 | UInt16(random.below(2))) + random.octets(4) + random.octets(24))
      packet.protocolNumber = 44
      return packet
    }
    #expect(Set(try Self.entropy((0..<20).map { _ in v4(17) } + (0..<20).map { _ in v4(6) }).map(\.port)).count == 1)
    #expect(Set(try Self.entropy((0..<20).map { _ in v6(17) } + (0..<20).map { _ in v6(6) }).map(\.port)).count == 1)
  }

  @Test func `E3 a first fragment has its flow's ports`() throws {
    var whole = IPPacket.v4(Self.ports(7, 8))
    var first = whole
    whole.fragmentWord = 0x4000
    first.fragmentWord = 0x2000
    let entropy = try Self.entropy([whole, first])
    #expect(entropy[0] == entropy[1])
    let sixth = IPPacket.v6(Self.ports(7, 8))
    var fragment = IPPacket.v6([17, 0, 0, 1, 0, 0, 0, 9] + Self.ports(7, 8))
    fragment.protocolNumber = 44
    let labels = try Self.entropy([sixth, fragment])
    #expect(labels[0] == labels[1])
  }

  @Test func `E3 ports behind IPv6 extension headers count, and TCP behind IPv4 options`() throws {
    let plain = IPPacket.v6(Self.ports(7, 8))
    var extended = IPPacket.v6([60, 0, 1, 4, 0, 0, 0, 0] + [17, 1] + Array(repeating: 0, count: 14) + Self.ports(7, 8))
    extended.protocolNumber = 0
    let entropy = try Self.entropy([plain, extended])
    #expect(entropy[0] == entropy[1])
    var bare = IPPacket.v4(Self.ports(7, 8))
    bare.protocolNumber = 6
    var optioned = bare
    optioned.options = [1, 1, 1, 1, 1, 1, 1, 0]
    let fourth = try Self.entropy([bare, optioned])
    #expect(fourth[0] == fourth[1])
  }

  @Test(arguments: bases, [6, 17, 132] as [UInt8])
  func `a packet too short for its ports is a flow of its addresses and protocol`(base: IPPacket, protocolNumber: UInt8) throws {
    let packets = (0..<4).map { length in
      var packet = base
      packet.protocolNumber = protocolNumber
      packet.payload = Array(repeating: UInt8(length), count: length)
      return packet
    }
    let entropy = try Self.entropy(packets)
    #expect(Set(entropy.map(\.port)).count == 1)
    // Padding behind the packet is not read as ports.
    let frames = [[UInt8](), [1, 2, 3, 4], [5, 6, 7, 8, 9, 10]].map { Frame.of(packets[0].octets) + $0 }
    let outcomes = try Rig.twoSites().send(frames, port: Port.site)
    #expect(Set(outcomes.map(\.outerSourcePort)).count == 1)
  }
}
