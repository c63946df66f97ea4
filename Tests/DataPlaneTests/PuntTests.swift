// SPDX-License-Identifier: Apache-2.0
//
// What the slow path gets of a packet: always from an IP header on, nothing behind the packet's end.

import Testing
import Wire

@testable import DataPlane

@Suite struct PuntTests {
  static let padding: [UInt8] = [0xEE, 0xEE, 0xEE, 0xEE]

  /// A site with one mapping per action, all of it in an instance of its own on VLAN 5 and untagged.
  static func rig(peer: String = Rig.peer4, isResolved: Bool = true, mtu: Int = 1500) throws -> Rig {
    let rig = try Rig()
    for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { try rig.local(eid, instance: 4, host: rig.delivery(isResolved: isResolved, mtu: mtu)) }
    for eid in ["10.2.0.0/16", "2001:db8:b::/48"] {
      try rig.remote(eid, instance: 4, over: [rig.tunnel(to: peer, isResolved: isResolved, mtu: mtu)])
    }
    let actions: [(Int, ForwardingAction)] = [
      (10, .nativeForward), (11, .sendMapRequest), (12, .drop), (13, .policyDenied), (14, .authenticationFailure),
    ]
    for (number, action) in actions { try rig.map("10.\(number).0.0/16", instance: 4, to: LocatorSet(action)) }
    try rig.map("10.15.0.0/16", instance: 4, to: LocatorSet(.encapsulate))
    let instance = InstanceID(truncating: 4)
    rig.publisher.setPort(
      Port.site, PortState(role: .site, instance: instance, vlanInstances: try [#require(VLANID(rawValue: 5)): instance]))
    rig.publisher.publish()
    return rig
  }

  @Test(arguments: [nil, 5] as [UInt16?])
  func `what the site sent is handed over as it came, without its Ethernet header and padding`(vlan: UInt16?) throws {
    let rig = try Self.rig()
    let cases: [(destination: String, timeToLive: UInt8, verdict: Verdict)] = [
      ("10.99.0.1", 64, .punt(.miss)), ("10.99.0.1", 1, .punt(.miss)), ("10.10.0.1", 64, .punt(.nativeForward)),
      ("10.11.0.1", 64, .punt(.miss)),
      ("10.1.0.1", 64, .punt(.nativeForward)), ("10.2.0.1", 1, .punt(.timeExceeded)), ("10.2.0.1", 0, .punt(.timeExceeded)),
      ("10.12.0.1", 64, .drop(.mappingDrop)), ("10.13.0.1", 64, .drop(.policyDenied)), ("10.14.0.1", 64, .drop(.authenticationFailure)),
      ("10.15.0.1", 64, .drop(.noUsableLocator)),
    ]
    for (destination, timeToLive, verdict) in cases {
      var inner = IPPacket.v4()
      (inner.destination, inner.timeToLive) = (destination, timeToLive)
      let outcome = rig.send(Frame.of(inner.octets, vlan: vlan) + Self.padding, port: Port.site)
      #expect(outcome.verdict == verdict)
      #expect(outcome.forSlowPath == inner.octets, "\(destination)")
      #expect(outcome.instanceID == 4)
    }
  }

  @Test(arguments: EncapsulateTests.peers)
  func `M2 a packet too big to encapsulate is handed over as it came, with the size that would fit`(peer: String) throws {
    let rig = try Self.rig(peer: peer, mtu: 1400)
    for inner in [IPPacket.v4(Array(repeating: 1, count: 1400)), .v6(Array(repeating: 1, count: 1400))] {
      let outcome = rig.send(Frame.of(inner.octets) + Self.padding, port: Port.site)
      #expect(outcome.verdict == .drop(.outerTooBig))
      #expect(outcome.forSlowPath == inner.octets)
      #expect(outcome.innerMTU == (peer.contains(":") ? 1344 : 1364))
    }
  }

  @Test(arguments: DecapsulateTests.families)
  func `M2 a packet too big to deliver is handed over as it came, with the size that would fit`(family: (String, String)) throws {
    let rig = try Self.rig(mtu: 1300)
    for inner in [IPPacket.v4(Array(repeating: 1, count: 1300)).reply, IPPacket.v6(Array(repeating: 1, count: 1300)).reply] {
      var packet = DecapsulateTests.lisp(inner, family, instance: 4)
      packet.inner += Self.padding
      let outcome = rig.send(Frame.of(packet.octets), port: Port.core)
      #expect(outcome.verdict == .drop(.deliveryTooBig))
      #expect(outcome.forSlowPath == inner.octets)
      #expect(outcome.innerMTU == 1300)
    }
  }

  @Test(arguments: [IPPacket.v4(), .v6()], EncapsulateTests.peers)
  func `an encapsulated packet without a next hop is handed over from its outer header on`(inner: IPPacket, peer: String) throws {
    let rig = try Self.rig(peer: peer, isResolved: false)
    for vlan in [nil, 5] as [UInt16?] {
      let outcome = rig.send(Frame.of(inner.octets, vlan: vlan) + Self.padding, port: Port.site)
      #expect(outcome.verdict == .punt(.outerNeighbour))
      #expect(outcome.forSlowPath == outcome.frame)
      #expect(outcome.forSlowPath.count == inner.octets.count + (peer.contains(":") ? 56 : 36))
    }
  }

  @Test(arguments: [IPPacket.v4().reply, IPPacket.v6().reply], DecapsulateTests.families)
  func `a decapsulated packet without a neighbour or TTL is handed over from its inner header on`(inner: IPPacket, family: (String, String))
    throws
  {
    let rig = try Self.rig(isResolved: false)
    for timeToLive in [64, 1] as [UInt8] {
      var inner = inner
      inner.timeToLive = timeToLive
      var packet = DecapsulateTests.lisp(inner, family, instance: 4)
      packet.inner += Self.padding
      let outcome = rig.send(Frame.of(packet.octets, vlan: 9), port: Port.core)
      #expect(outcome.verdict == .punt(timeToLive == 1 ? .timeExceeded : .innerNeighbour))
      #expect(outcome.forSlowPath == inner.octets)
    }
  }

  @Test(arguments: DecapsulateTests.families)
  func `D14 encapsulated control is handed over from its outer header on`(family: (String, String)) throws {
    let packet = DecapsulateTests.lisp(.v4().reply, family, instance: 0xFF_FFFF)
    let outcome = try Self.rig().send(Frame.of(packet.octets), port: Port.core)
    #expect(outcome.verdict == .punt(.control))
    #expect(outcome.forSlowPath == packet.octets)
  }
}
