// SPDX-License-Identifier: Apache-2.0
//
// Whose packets are encapsulated: the check of the source, by lookup, by range and by memory.

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

  /// The engine answers for a range of sources at once: the range must end where the prefix ends, on both sides, in any order.
  @Test func `E15 in a batch of mixed sources each is judged for itself`() throws {
    let rig = try Rig()
    for eid in ["10.1.0.0/17", "10.1.192.0/18", "10.1.64.1/32", "2001:db8:a::/49", "2001:db8:a:8000::1/128"] {
      try rig.local(eid, host: rig.delivery())
    }
    // Holes in what is ours, some of them mapped elsewhere.
    for eid in ["10.1.5.0/24", "10.1.6.7/32", "10.2.0.0/16", "2001:db8:a:5::/64", "2001:db8:b::/48"] {
      try rig.remote(eid, over: [rig.tunnel(to: Rig.peer4)])
    }
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
    rig.publisher.publish()
    for _ in 0..<3 { #expect(refused() == moved) }
    for host in moved { try rig.local("\(host)/\(host.contains(":") ? 128 : 32)", host: rig.delivery()) }
    rig.publisher.publish()
    for _ in 0..<3 { #expect(refused() == []) }
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
