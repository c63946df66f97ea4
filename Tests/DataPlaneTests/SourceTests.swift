// SPDX-License-Identifier: Apache-2.0
//
// Whose packets are encapsulated: the check of the source, by lookup and by space.

import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct SourceTests {
  @Test func `E15 a source that is not one of our EIDs is not encapsulated`() throws {
    let rig = try Rig.twoSites()
    for (source, destination) in [
      ("10.2.0.5", "10.2.0.7"), ("10.0.255.255", "10.2.0.7"), ("10.2.0.0", "10.2.0.7"), ("192.168.1.1", "10.2.0.7"),
      ("0.0.0.0", "10.2.0.7"),
      ("2001:db8:b::5", "2001:db8:b::7"), ("fe80::1", "2001:db8:b::7"), ("::", "2001:db8:b::7"), ("2001:db8:9:ffff::1", "2001:db8:b::7"),
    ] {
      var inner = IPPacket.v4()
      (inner.source, inner.destination) = (source, destination)
      let frame = Frame.of(inner.octets)
      let outcome = rig.send(frame, port: Port.site)
      #expect(outcome.verdict == .drop(.sourceNotLocal), "\(source)")
      #expect(outcome.frame == frame)
    }
    #expect(rig.tally == (0, 0))
  }

  /// With spaces the engine answers for many sources at once: they must end where the prefix ends, on both sides, in any order.
  @Test(arguments: [false, true]) func `E15 in a batch of mixed sources each is judged for itself`(withSpaces: Bool) throws {
    let rig = try Rig()
    for eid in ["10.1.0.0/17", "10.1.192.0/18", "10.1.64.1/32", "2001:db8:a::/49", "2001:db8:a:8000::1/128"] {
      try rig.local(eid, host: rig.delivery())
    }
    // Holes in what is ours, some of them mapped elsewhere.
    for eid in ["10.1.5.0/24", "10.1.6.7/32", "10.2.0.0/16", "2001:db8:a:5::/64", "2001:db8:b::/48"] {
      try rig.remote(eid, over: [rig.tunnel(to: Rig.peer4)])
    }
    // Those without a hole.
    let spaces = ["10.1.192.0/18", "10.1.64.1/32", "10.1.0.0/22", "2001:db8:a:6::/64", "2001:db8:a:8000::1/128"]
    if withSpaces { rig.publisher.setLocalSpaces(try spaces.map { try Rig.eid($0) }) }
    rig.publisher.publish()
    let ours = [
      "10.1.0.0", "10.1.4.255", "10.1.6.0", "10.1.6.6", "10.1.6.8", "10.1.127.255", "10.1.192.0", "10.1.255.255", "10.1.64.1",
      "2001:db8:a::",
      "2001:db8:a:4:ffff:ffff:ffff:ffff", "2001:db8:a:6::", "2001:db8:a:7fff:ffff:ffff:ffff:ffff", "2001:db8:a:8000::1",
    ]
    let others = [
      "10.0.255.255", "10.1.5.0", "10.1.5.255", "10.1.6.7", "10.1.128.0", "10.1.191.255", "10.2.0.0", "2001:db8:a:5::",
      "2001:db8:a:5::ffff",
      "2001:db8:a:8000::", "2001:db8:a:8000::2", "2001:db8:b::1", "2001:db8:9:ffff:ffff:ffff:ffff:ffff",
    ]
    var random = SplitMix64(seed: 51)
    for _ in 0..<200 {
      let sources = (0..<64).map { _ in random.next() & 1 == 0 ? ours[random.below(ours.count)] : others[random.below(others.count)] }
      let frames = sources.map { source in
        var inner: IPPacket = source.contains(":") ? .v6() : .v4()
        inner.source = source
        return Frame.of(inner.octets)
      }
      for (source, outcome) in zip(sources, rig.send(frames, port: Port.site)) {
        let expected: Verdict = ours.contains(source) ? .transmit(UInt8(Port.core)) : .drop(.sourceNotLocal)
        if outcome.verdict != expected { Issue.record("seed 51: \(source) in \(sources): \(outcome.verdict)") }
      }
    }
  }

  @Test func `E15 a more specific mapping that is not ours makes a source foreign`() throws {
    let rig = try Rig.twoSites()
    try rig.remote("10.1.9.0/24", over: [rig.tunnel(to: Rig.peer4)])
    rig.publisher.publish()
    var inner = IPPacket.v4()
    inner.source = "10.1.9.1"
    #expect(rig.send(Frame.of(inner.octets), port: Port.site).verdict == .drop(.sourceNotLocal))
  }

  @Test func `E15 sources that were found to be ours are asked for again when the mappings have changed`() throws {
    let rig = try Rig()
    let spaces = try ["10.1.0.0/16", "2001:db8:a::/48"].map { try Rig.eid($0) }
    for eid in spaces { try rig.local("\(eid.prefix)", host: rig.delivery()) }
    rig.publisher.setLocalSpaces(spaces)
    let hosts = (0..<20).flatMap { ["10.1.0.\($0)", "2001:db8:a::\($0)"] }
    for host in hosts { try rig.local("\(host)/\(host.contains(":") ? 128 : 32)", host: rig.delivery()) }
    for eid in ["10.2.0.0/16", "2001:db8:b::/48"] { try rig.remote(eid, over: [rig.tunnel(to: Rig.peer4)]) }
    rig.publisher.publish()
    let frames = hosts.map { host in
      var inner: IPPacket = host.contains(":") ? .v6() : .v4()
      inner.source = host
      return Frame.of(inner.octets)
    }
    func refused() -> [String] { zip(hosts, rig.send(frames, port: Port.site)).filter { $1.verdict == .drop(.sourceNotLocal) }.map(\.0) }
    for _ in 0..<3 { #expect(refused() == []) }
    // Two of them move to the other site, and back.
    let moved = ["10.1.0.7", "2001:db8:a::7"]
    for host in moved { try rig.remote("\(host)/\(host.contains(":") ? 128 : 32)", over: [rig.tunnel(to: Rig.peer4)]) }
    rig.publisher.setLocalSpaces([])
    rig.publisher.publish()
    for _ in 0..<3 { #expect(refused() == moved) }
    for host in moved { try rig.local("\(host)/\(host.contains(":") ? 128 : 32)", host: rig.delivery()) }
    rig.publisher.setLocalSpaces(spaces)
    rig.publisher.publish()
    for _ in 0..<3 { #expect(refused() == []) }
  }

  /// The engine believes what it is told of spaces: a source in one is not looked up.
  @Test func `E15 a space is one instance's, and of one family`() throws {
    let rig = try Rig()
    for instance in [1, 2] as [UInt32] {
      try rig.remote("10.2.0.0/16", instance: instance, over: [rig.tunnel(to: Rig.peer4)])
      rig.publisher.setPort(3 + Int(instance), PortState(role: .site, instance: InstanceID(truncating: instance)))
    }
    rig.publisher.setLocalSpaces([try Rig.eid("10.1.0.0/16", 1), try Rig.eid("::/0", 2)])
    rig.publisher.publish()
    for _ in 0..<2 {
      #expect(rig.send(Frame.of(IPPacket.v4().octets), port: 4).verdict.isTransmit)
      #expect(rig.send(Frame.of(IPPacket.v4().octets), port: 5).verdict == .drop(.sourceNotLocal))
    }
  }

  @Test func `a space holds the addresses of its prefix and no others`() throws {
    var random = SplitMix64(seed: 15)
    for family in AddressFamily.allCases {
      for length in 0...min(64, family.bitWidth) {
        for _ in 0..<20 {
          let bits = (random.next(), random.next())
          func address(_ high: UInt64) -> IPAddress { IPAddress(family: family, leftAlignedHigh: high, low: bits.1) }
          let prefix = IPPrefix(masking: address(bits.0), length: length)
          let space = try #require(LocalSpace(EIDPrefix(.zero, prefix)))
          for _ in 0..<20 {
            // As many equal bits as chance wants.
            let other = address(bits.0 ^ random.next() >> (random.next() & 63))
            let high = other.leftAligned.high
            let octets = family == .ipv4 ? UInt64(UInt32(truncatingIfNeeded: high >> 32).bigEndian) : high.bigEndian
            #expect(space.contains(octets) == prefix.contains(other), "\(prefix) \(other)")
          }
        }
      }
    }
    #expect(LocalSpace(try Rig.eid("2001:db8::1:0:0:0/80")) == nil)
  }

  @Test func `of more spaces than the state holds the widest are kept, the others are looked up`() throws {
    let rig = try Rig.twoSites()
    let narrow = try (0..<40).map { try Rig.eid("10.1.\($0).0/24") } + [Rig.eid("2001:db8:a::/48")]
    rig.publisher.setLocalSpaces(try narrow + [Rig.eid("10.1.128.0/17"), Rig.eid("10.1.192.0/24")])
    rig.publisher.publish()
    for host in ["10.1.200.1", "10.1.0.1", "10.1.39.1"] {
      var inner = IPPacket.v4()
      inner.source = host
      #expect(rig.send(Frame.of(inner.octets), port: Port.site).verdict.isTransmit, "\(host)")
    }
    func isInSpace(_ address: UInt32) -> Bool { rig.publisher.root.current.localSpace(0, family: 4, UInt64(address.bigEndian)) != nil }
    // The /17, which holds the last /24, and seven of the forty.
    #expect(isInSpace(0x0A01_C801) && isInSpace(0x0A01_0001) && isInSpace(0x0A01_0601) && !isInSpace(0x0A01_0701))
    #expect(rig.publisher.root.current.localSpace(0, family: 6, (0x2001_0DB8_000A_0000 as UInt64).bigEndian) != nil)
  }

  @Test func `E16 a source of one instance does not open another`() throws {
    let rig = try Rig()
    try rig.local("10.1.0.0/16", instance: 1)
    try rig.remote("10.2.0.0/16", instance: 2, over: [rig.tunnel(to: Rig.peer4)])
    for (port, instance) in [(4, 1), (5, 2)] {
      rig.publisher.setPort(port, PortState(role: .site, instance: InstanceID(truncating: UInt32(instance))))
    }
    rig.publisher.publish()
    #expect(rig.send(Frame.of(IPPacket.v4().octets), port: 4).verdict == .punt(.miss))
    #expect(rig.send(Frame.of(IPPacket.v4().octets), port: 5).verdict == .drop(.sourceNotLocal))
  }
}
