// SPDX-License-Identifier: Apache-2.0
//
// Tests of the message layer and of every parser above it, on recorded messages: what they mean, and that no damage to them
// is ever more than ignored.

import TestSupport
import Testing
import Wire

@testable import Netlink

@Suite struct NetlinkMessageTests {
  private func event(_ bytes: [UInt8]) -> KernelEvent? {
    NetlinkMessages(datagram: bytes[...]).lazy.compactMap(KernelEvent.init).first
  }

  private func routeIn(_ bytes: [UInt8]) -> Route? {
    if case .route(let route) = event(bytes) { route } else { nil }
  }

  @Test func `a link has name, MAC, MTU, state and kind`() throws {
    guard case .link(let link) = event(Recorded.linkUp) else {
      Issue.record("no link")
      return
    }
    #expect(link.name == "v0")
    #expect(link.macAddress == MACAddress("02:00:00:00:00:01"))
    #expect(link.mtu == 1400)
    #expect(link.isUp && link.isLowerUp && !link.isLoopback)
    #expect(link.kind == "veth")
    #expect(link.master == nil)
    #expect(event(Recorded.linkGone) == .linkGone(index: link.index))
  }

  @Test func `a port that leaves its bridge is not a link that is gone`() {
    #expect(event(Recorded.bridgePortGone) == nil)
  }

  @Test func `addresses of both families`() throws {
    guard case .address(let v4) = event(Recorded.addressIPv4), case .address(let v6) = event(Recorded.addressIPv6) else {
      Issue.record("no addresses")
      return
    }
    #expect(v4.address == address("10.0.0.1") && v4.prefixLength == 24 && v4.scope == 0 && v4.isUsable)
    #expect(v6.address == address("2001:db8::1") && v6.prefixLength == 64 && v6.flags.contains(.permanent) && v6.isUsable)
    #expect(v4.interfaceIndex == v6.interfaceIndex)
  }

  @Test func `neighbours have a state and perhaps a MAC`() throws {
    guard case .neighbour(let v4) = event(Recorded.neighbourReachable),
      case .neighbour(let v6) = event(Recorded.neighbourPermanentIPv6),
      case .neighbourGone(let failed) = event(Recorded.neighbourGone)
    else {
      Issue.record("no neighbours")
      return
    }
    let mac = MACAddress("02:00:00:00:00:02")
    #expect(v4.address == address("10.0.0.2") && v4.macAddress == mac && v4.state == .reachable && v4.isUsable)
    #expect(v6.address == address("2001:db8::2") && v6.macAddress == mac && v6.state == .permanent && v6.isUsable)
    #expect(failed.state == .failed && !failed.isUsable)
  }

  @Test func `a neighbour that is told of as incomplete has failed, one that is found incomplete is being asked for`() throws {
    var bytes = Recorded.neighbourGone
    bytes[4] = 0x1C  // RTM_NEWNEIGH
    bytes[24] = 0x01  // NUD_INCOMPLETE
    guard case .neighbour(let told) = event(bytes) else {
      Issue.record("no neighbour")
      return
    }
    #expect(told.state == .failed && told.macAddress == nil)
    let message = try #require(NetlinkMessages(datagram: bytes[...]).first { _ in true })
    #expect(Neighbour(message)?.state == .incomplete)
  }

  @Test func `a bridge's forwarding entry is not a neighbour`() {
    #expect(event(Recorded.bridgeForwardingEntry) == nil)
  }

  @Test func `a route has table, gateway, source, MTU and priority`() throws {
    let route = try #require(routeIn(Recorded.routeWithEverything))
    #expect(route.prefix == (try prefix("192.0.2.0/24")))
    #expect(route.table == 254 && route.type == .unicast && route.protocolNumber == 3)
    #expect(route.priority == 50 && route.mtu == 1300 && route.preferredSource == address("10.0.0.1"))
    #expect(route.nextHops.map(\.gateway) == [address("10.0.0.2")])
    guard case .routeGone(let gone) = event(Recorded.routeGone) else {
      Issue.record("no routeGone")
      return
    }
    #expect(gone == route)
  }

  @Test func `multipath routes list their next hops with weights`() throws {
    let v4 = try #require(routeIn(Recorded.routeMultipath))
    #expect(v4.nextHops.map(\.gateway) == [address("10.0.0.2"), address("10.0.0.3")])
    #expect(v4.nextHops.map(\.weight) == [1, 3])
    let v6 = try #require(routeIn(Recorded.routeMultipathIPv6))
    #expect(Set(v6.nextHops.map(\.gateway)) == [address("2001:db8::2"), address("2001:db8::3")])
    #expect(v6.prefix == (try prefix("2001:db8:1::/48")))
  }

  @Test func `an IPv4 route may have an IPv6 gateway, and a table above 255`() throws {
    let route = try #require(routeIn(Recorded.routeViaIPv6))
    #expect(route.nextHops.map(\.gateway) == [address("2001:db8::2")])
    #expect(route.table == 300)
  }

  @Test func `routes that refuse`() throws {
    #expect(try #require(routeIn(Recorded.routeBlackhole)).type == .blackhole)
    #expect(try #require(routeIn(Recorded.routeUnreachableIPv6)).type == .unreachable)
  }

  @Test func `a route by next-hop object names it and lists what it resolves to`() throws {
    let route = try #require(routeIn(Recorded.routeByObject))
    #expect(route.nextHopID == 7)
    #expect(route.nextHops.map(\.gateway) == [address("10.0.0.2")])
  }

  @Test func `a route that adds a header says so`() throws {
    #expect(try #require(routeIn(Recorded.routeEncapsulated)).nextHops.map(\.isEncapsulated) == [true])
    #expect(try #require(routeIn(Recorded.routeMultipath)).nextHops.map(\.isEncapsulated) == [false, false])
  }

  @Test func `rules and next-hop objects are changes of policy`() {
    #expect(event(Recorded.rule) == .policyChanged)
    #expect(event(Recorded.nextHopObject) == .policyChanged)
  }

  @Test func `our rules are read back, those of others are not`() throws {
    let message = try #require(NetlinkMessages(datagram: Recorded.rule[...]).first { _ in true })
    let rule = PolicyRule(family: .ipv4, priority: 20_000, incomingInterface: "v0", action: .lookup(table: 100))
    #expect(PolicyRule(message) == rule)
    var foreign = Recorded.rule
    for i in foreign.indices.dropLast(4) where foreign[i] == 5 && foreign[i + 2] == 21 { foreign[i + 4] = 3 }  // FRA_PROTOCOL
    let other = try #require(NetlinkMessages(datagram: foreign[...]).first { _ in true })
    #expect(PolicyRule(other) == nil)
  }

  @Test func `a request is laid out as the kernel reads it`() throws {
    var request = NetlinkRequest("testing", type: 26, flags: 0x300, header: [2, 0, 0])
    request.attribute(15, number: 254)
    request.attribute(1, [10])
    let message = try #require(NetlinkMessages(datagram: request.finished(sequence: 9)[...]).first { _ in true })
    #expect(message.type == 26 && message.flags == 0x301 && message.sequence == 9 && message.payload.count == 20)
    #expect(message.attributes(after: 3).map(\.type) == [15, 1])
    #expect(message.attributes(after: 3).map { $0.value.number8 } == [254, 10])
  }

  @Test func `no truncation of a message is believed`() {
    for recorded in Recorded.all {
      for count in 0..<recorded.count {
        #expect(event(Array(recorded[..<count])) == nil, "\(count) of \(recorded.count) bytes")
      }
    }
  }

  @Test func `no truncation inside a message traps or invents`() {
    // The netlink length is shortened with the bytes, so that the parsers above see the cut.
    for recorded in Recorded.all {
      let whole = event(recorded)
      for count in NetlinkMessage.headerByteCount..<recorded.count {
        let cut = UInt32(count).hostBytes + recorded[4..<count]
        if case .link(let link)? = event(cut), case .link(let full)? = whole { #expect(link.index == full.index) }
        if case .neighbour(let neighbour)? = event(cut), case .neighbour(let full)? = whole {
          #expect(neighbour.address == full.address)
        }
        if case .address(let entry)? = event(cut), case .address(let full)? = whole { #expect(entry.address == full.address) }
        if case .route(let route)? = event(cut), case .route(let full)? = whole { #expect(route.prefix == full.prefix) }
      }
    }
  }

  @Test func `lengths that lie end the reading`() {
    for recorded in Recorded.all {
      for lie in [0, 1, 15, recorded.count + 1, 0x7FFF_FFFF, 0xFFFF_FFFF] as [Int] {
        let bytes = UInt32(lie).hostBytes + recorded[4...]
        #expect(event(bytes) == nil)
      }
    }
    let endless = NetlinkAttributes(NetlinkBytes([3, 0, 1, 0, 4, 0, 1, 0][...]))
    #expect(endless.map(\.type) == [])
    let beyond = NetlinkAttributes(NetlinkBytes([4, 0, 1, 0, 0xFF, 0xFF, 2, 0][...]))
    #expect(beyond.map(\.type) == [1])
  }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func `random damage is survived`(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var survivors = 0
    for _ in 0..<4000 {
      var bytes = Recorded.all.randomElement(using: &random)!
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      for message in NetlinkMessages(datagram: bytes[...]) {
        if KernelEvent(message) != nil { survivors += 1 }
        if RouteAnswer(message) != nil { survivors += 1 }
        if PolicyRule(message) != nil { survivors += 1 }
        if NextHopObject(message) != nil { survivors += 1 }
      }
    }
    #expect(survivors > 0, "seed \(seed)")
  }
}
