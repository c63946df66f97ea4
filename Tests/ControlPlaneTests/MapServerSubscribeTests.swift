// SPDX-License-Identifier: Apache-2.0

import Testing
import Wire

@testable import ControlPlane

@Suite struct MapServerSubscribeTests {
  private static let subscriber = XTRIdentity(xtrIDHigh: 7, xtrIDLow: 8, siteID: 9)
  private static let rloc = address("203.0.113.9")

  private static func request(
    _ eid: String, nonce: UInt64, itrRLOCs: [AFIAddress] = [.ip(rloc)], identity: XTRIdentity = subscriber, source: String = "10.1.0.1"
  ) -> [UInt8] {
    var request = MapRequest(
      nonce: nonce, sourceEID: .ip(address(source)), itrRLOCs: itrRLOCs, records: [.init(EIDPrefix(eid), subscribes: true)])
    request.identity = identity
    return MapServerRig.encapsulated(request)
  }

  /// A rig in which the subscriber has subscribed to 10.1.2.0/24 with nonce 100, and confirmed it.
  private func subscribed() -> MapServerRig {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    rig.receive(Self.request("10.1.2.3/32", nonce: 100), from: MapServerRig.itr)
    #expect(rig.notifies.count == 1)
    #expect(rig.acknowledge(rig.notifies[0], from: Self.rloc) == nil)
    return rig
  }

  @Test func `C12 a subscription is confirmed by a Map-Notify with the request's nonce, sent until it is acknowledged`() throws {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    rig.receive(Self.request("10.1.2.3/32", nonce: 100), from: MapServerRig.itr)
    let notify = try #require(rig.notifies.first)
    #expect(rig.messages.count == 1)
    #expect(notify.nonce == 100)
    #expect(notify.records.map(\.eidPrefix) == [EIDPrefix("10.1.2.0/24")])
    #expect(rig.datagrams[0].destination == Endpoint(Self.rloc))
    #expect(MapServerRig.key.verifies(rig.datagrams[0].payload, type: .mapNotify, nonce: 100, fields: notify.authentication))
    rig.wait(.seconds(3))
    #expect(rig.notifies == [notify])
    #expect(rig.acknowledge(notify, from: Self.rloc) == nil)
    #expect(rig.acknowledge(notify, from: Self.rloc) == .unknownNonce)
    rig.wait(.seconds(60))
    #expect(rig.notifies.isEmpty)
  }

  @Test func `C12 the same request again, before the acknowledgement, is confirmed again at once`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    rig.receive(Self.request("10.1.2.3/32", nonce: 100), from: MapServerRig.itr)
    let sent = rig.datagrams
    #expect(rig.refusal(Self.request("10.1.2.3/32", nonce: 100), from: MapServerRig.itr) == .replayed)
    #expect(rig.datagrams == sent)
    #expect(rig.refusal(Self.request("10.1.2.3/32", nonce: 99), from: MapServerRig.itr) == .replayed)
    #expect(rig.datagrams.isEmpty)
    #expect(rig.acknowledge(MapNotify(nonce: 100, records: []), from: Self.rloc) == nil, "lispers.net acknowledges without records")
    #expect(rig.refusal(Self.request("10.1.2.3/32", nonce: 100), from: MapServerRig.itr) == .replayed)
    #expect(rig.datagrams.isEmpty)
  }

  @Test func `C12 a new subscription does not swallow what was still to be told`() {
    var rig = subscribed()
    rig.register("10.1.2.128/25", ["192.0.2.50"])
    #expect(rig.acknowledge(rig.notifies[0], from: Self.rloc) == nil)
    rig.register([MapServerRig.record("10.1.2.128/25", [], ttl: 0)])
    #expect(rig.notifies.map(\.nonce) == [102])
    rig.receive(Self.request("10.1.2.3/32", nonce: 200), from: MapServerRig.itr)
    #expect(rig.notifies.map(\.nonce) == [200])
    #expect(rig.acknowledge(rig.notifies[0], from: Self.rloc) == nil)
    #expect(rig.notifies.map(\.nonce) == [201])
    #expect(rig.notifies.first?.records.map(\.eidPrefix) == [EIDPrefix("10.1.2.128/25")])
    #expect(rig.notifies.first?.records.map(\.ttl) == [0])
  }

  @Test func `C12 every change is published with the next nonce, and a withdrawal with TTL 0`() {
    var rig = subscribed()
    rig.register("10.1.2.0/24", ["192.0.2.50"])
    #expect(rig.notifies.map(\.nonce) == [101])
    #expect(rig.notifies[0].records.map(\.addresses) == [[address("192.0.2.50")]])
    #expect(rig.acknowledge(rig.notifies[0], from: Self.rloc) == nil)
    rig.register("10.1.2.0/24", ["192.0.2.50"])
    #expect(rig.notifies.isEmpty, "a refresh is no change")
    rig.register([MapServerRig.record("10.1.2.0/24", [], ttl: 0)])
    #expect(rig.notifies.map(\.nonce) == [102])
    #expect(rig.notifies[0].records.map(\.ttl) == [0])
    #expect(rig.acknowledge(rig.notifies[0], from: Self.rloc) == nil)
    rig.register("10.1.2.0/24", ["192.0.2.51"])
    #expect(rig.notifies.map(\.nonce) == [103], "the subscription outlives the registration")
    rig.wait(.seconds(180))
    #expect(rig.notifies.contains { $0.records.first?.ttl == 0 }, "expiry is a change")
  }

  @Test func `C12 changes of more specific prefixes are published, those of others are not`() {
    var rig = subscribed()
    rig.register("10.1.2.128/25", ["192.0.2.50"])
    #expect(rig.notifies.map { $0.records.map(\.eidPrefix) } == [[EIDPrefix("10.1.2.128/25")]])
    #expect(rig.acknowledge(rig.notifies[0], from: Self.rloc) == nil)
    rig.register("10.1.3.0/24", ["192.0.2.50"])
    rig.register("10.1.0.0/16", ["192.0.2.50"])
    #expect(rig.notifies.isEmpty)
  }

  @Test func `C12 changes before an acknowledgement go out at once, together, under a new nonce`() {
    var rig = subscribed()
    rig.register("10.1.2.0/24", ["192.0.2.50"])
    let lost = rig.notifies[0]
    rig.register([MapServerRig.record("10.1.2.64/26", ["192.0.2.51"]), MapServerRig.record("10.1.2.128/26", ["192.0.2.51"])])
    #expect(rig.notifies.map(\.nonce) == [102])
    #expect(rig.notifies[0].records.map(\.eidPrefix) == ["10.1.2.0/24", "10.1.2.64/26", "10.1.2.128/26"].map { EIDPrefix($0) })
    #expect(rig.acknowledge(lost, from: Self.rloc) == .unknownNonce)
    rig.wait(.seconds(3))
    #expect(rig.notifies.map(\.nonce) == [102])
    #expect(rig.acknowledge(rig.notifies[0], from: Self.rloc) == nil)
    rig.wait(.seconds(60))
    #expect(rig.notifies.isEmpty)
  }

  @Test func `C12 a change before the confirmation is acknowledged waits for it`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    rig.receive(Self.request("10.1.2.3/32", nonce: 100), from: MapServerRig.itr)
    let confirmation = rig.notifies[0]
    rig.register("10.1.2.0/24", ["192.0.2.50"])
    rig.register("10.1.2.0/25", ["192.0.2.50"])
    #expect(rig.notifies.isEmpty)
    #expect(rig.acknowledge(confirmation, from: Self.rloc) == nil)
    #expect(rig.notifies.map(\.nonce) == [101])
    #expect(rig.notifies.first?.records.map(\.eidPrefix) == ["10.1.2.0/24", "10.1.2.0/25"].map { EIDPrefix($0) })
    #expect(rig.notifies.first?.records.map(\.addresses) == [[address("192.0.2.50")], [address("192.0.2.50")]])
  }

  @Test func `C12 many changes at once come in messages that fit a packet, one after the other`() {
    var rig = subscribed()
    let records = (0..<200).map { MapServerRig.record("10.1.2.\($0)/32", ["192.0.2.50"]) }
    rig.register(records)
    var told: [EIDPrefix?] = []
    var nonces: [UInt64] = []
    while let notify = rig.notifies.first {
      #expect(rig.datagrams[0].payload.count <= 1200)
      told += notify.records.map(\.eidPrefix)
      nonces.append(notify.nonce)
      #expect(rig.acknowledge(notify, from: Self.rloc) == nil)
    }
    #expect(told == records.map(\.eidPrefix))
    #expect(nonces == Array(101..<101 + UInt64(nonces.count)))
  }

  @Test func `C12 a subscriber that never acknowledges is tried at all of its RLOCs, told once and dropped`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24", ["192.0.2.1"], [.proxyReply, .useTTL])
    let rlocs = ["203.0.113.9", "203.0.113.10"].map { address($0) }
    rig.receive(Self.request("10.1.2.3/32", nonce: 100, itrRLOCs: rlocs.map { .ip($0) }), from: MapServerRig.itr)
    #expect(rig.server.subscriptionCount == 1)
    rig.wait(.seconds(80))
    #expect(rig.notifies.map(\.nonce) == Array(repeating: 100, count: 7))
    #expect(Set(rig.datagrams.map(\.destination.address)) == Set(rlocs))
    #expect(rig.notifies.last?.records.map(\.action) == [.authenticationFailure])
    #expect(rig.events == [.subscriptionDropped(EIDPrefix("10.1.2.0/24"), xtr: "\(Self.subscriber)")])
    #expect(rig.forgotten == [.subscription(EIDPrefix("10.1.2.0/24"), Self.subscriber)])
    #expect(rig.server.subscriptionCount == 0)
    #expect(rig.server.nextDeadline.map { rig.now.duration(to: $0) > .seconds(600) } ?? true)
  }

  @Test func `C12 a request whose nonce is not greater is a replay`() {
    var rig = subscribed()
    #expect(rig.refusal(Self.request("10.1.2.3/32", nonce: 100), from: MapServerRig.itr) == .replayed)
    rig.register("10.1.2.0/24", ["192.0.2.50"])
    #expect(rig.refusal(Self.request("10.1.2.3/32", nonce: 101), from: MapServerRig.itr) == .replayed)
    #expect(rig.notifies.isEmpty)
    #expect(rig.refusal(Self.request("10.1.2.3/32", nonce: 102), from: MapServerRig.itr) == nil)
    #expect(rig.notifies.map(\.nonce) == [102])
  }

  @Test func `C12 an xTR unsubscribes with one ITR-RLOC of no address, and is told where it asked from`() {
    var rig = subscribed()
    #expect(rig.refusal(Self.request("10.1.2.0/24", nonce: 99, itrRLOCs: [.none]), from: MapServerRig.itr) == .replayed)
    #expect(rig.refusal(Self.request("10.1.2.0/24", nonce: 101, itrRLOCs: [.none]), from: MapServerRig.itr) == nil)
    #expect(rig.notifies.map(\.nonce) == [101])
    #expect(rig.datagrams.map(\.destination) == [Endpoint(MapServerRig.itr.address)])
    #expect(rig.server.subscriptionCount == 0)
    rig.register("10.1.2.0/24", ["192.0.2.50"])
    #expect(rig.notifies.isEmpty)
  }

  @Test func `C12 what cannot be subscribed to gets its ordinary answer`() {
    var sites = MapServerRig.sites
    sites[0].subscribers = ["A"]
    var settings = MapServerSettings()
    settings.maximumSubscriptions = 1
    var rig = MapServerRig(sites: sites, settings: settings)
    rig.register("10.1.2.0/24")
    rig.register("10.9.0.0/24", ["192.0.2.1"], [])
    rig.receive(Self.request("10.1.2.3/32", nonce: 5, source: "172.16.0.1"), from: MapServerRig.itr)
    #expect(rig.replies.count == 1, "no site, no key")
    rig.receive(Self.request("10.1.2.3/32", nonce: 5, source: "10.1.128.1"), from: MapServerRig.itr)
    #expect(rig.replies.count == 1, "its site is not among those that may")
    rig.receive(Self.request("10.1.3.3/32", nonce: 5), from: MapServerRig.itr)
    #expect(rig.replies.map { $0.records.map(\.ttl) } == [[1]], "not registered")
    rig.receive(Self.request("10.9.0.1/32", nonce: 5), from: MapServerRig.itr)
    #expect(rig.messages.map(\.type) == [.encapsulatedControl], "the ETR answers")
    #expect(rig.server.subscriptionCount == 0)
    rig.receive(Self.request("10.1.2.3/32", nonce: 5), from: MapServerRig.itr)
    #expect(rig.notifies.count == 1)
    let another = XTRIdentity(xtrIDHigh: 1, xtrIDLow: 1)
    rig.receive(Self.request("10.1.2.3/32", nonce: 5, identity: another), from: MapServerRig.itr)
    #expect(rig.replies.count == 1, "full")
  }

  @Test func `C12 a change for many subscribers is told over several turns, and an old acknowledgement between them hides nothing`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    let count = 2 * MapServer.announcementLimit - 10
    let rlocs = (0..<count).map { IPAddress.v4(IPv4Address(203, 0, 113, UInt8($0))) }
    for (i, rloc) in rlocs.enumerated() {
      let identity = XTRIdentity(xtrIDHigh: 0, xtrIDLow: UInt64(i))
      rig.receive(Self.request("10.1.2.3/32", nonce: 100, itrRLOCs: [.ip(rloc)], identity: identity), from: MapServerRig.itr)
      #expect(rig.acknowledge(rig.notifies[0], from: rloc) == nil)
    }
    var told: [IPAddress: MapNotify] = [:]
    func note(_ rig: MapServerRig) {
      for (datagram, notify) in zip(rig.datagrams, rig.notifies) { told[datagram.destination.address] = notify }
    }
    for locator in ["192.0.2.50", "192.0.2.51"] {
      rig.register("10.1.2.0/24", [locator])
      #expect(rig.notifies.count == MapServer.announcementLimit)
      note(rig)
      #expect(rig.server.nextDeadline.map { $0 <= rig.now } == true)
    }
    let behind = told.filter { $0.value.records.first?.addresses == [address("192.0.2.50")] }
    #expect(!behind.isEmpty)
    // Each acknowledgement is a turn of its own: the first one is of a subscriber that still stands in line.
    for (rloc, notify) in behind {
      let refusal = rig.acknowledge(notify, from: rloc)
      #expect(refusal == nil || refusal == .unknownNonce)
      note(rig)
    }
    rig.wait(.zero)
    note(rig)
    #expect(told.count == count)
    #expect(told.values.allSatisfy { $0.records.first?.addresses == [address("192.0.2.51")] })
  }

  @Test func `C12 subscriptions that nobody acknowledges are few, and gone after 75 seconds`() {
    var settings = MapServerSettings()
    settings.maximumUnconfirmedSubscriptions = 10
    var rig = MapServerRig(settings: settings)
    rig.register("10.1.2.0/24", ["192.0.2.1"], [.proxyReply, .useTTL])
    for i in 0..<30 {
      let spoofed = XTRIdentity(xtrIDHigh: 0, xtrIDLow: UInt64(i))
      rig.receive(Self.request("10.1.2.3/32", nonce: 5, identity: spoofed), from: MapServerRig.itr)
      #expect((rig.notifies.count, rig.replies.count) == (i < 10 ? (1, 0) : (0, 1)))
      #expect(rig.stored.isEmpty)
    }
    #expect(rig.server.subscriptionCount == 10)
    rig.wait(.seconds(75))
    #expect(rig.server.subscriptionCount == 0)
    #expect(rig.server.deliveries.count == 0 && rig.server.deliveries.confirmationCount == 0)
    rig.receive(Self.request("10.1.2.3/32", nonce: 5), from: MapServerRig.itr)
    #expect(rig.notifies.count == 1)
  }

  @Test func `C12 a subscriber that registers is told with the key it registers with`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    var register = MapRegister(nonce: 1, flags: [], records: [MapServerRig.record("10.1.5.0/24", ["192.0.2.1"])])
    register.identity = Self.subscriber
    #expect(rig.refusal(MapServerRig.secondKey.sign(register), from: MapServerRig.etr) == nil)
    rig.receive(Self.request("10.1.2.3/32", nonce: 100, source: "172.16.0.1"), from: MapServerRig.itr)
    #expect(rig.notifies.map(\.authentication.keyID) == [2])
    #expect(rig.acknowledge(rig.notifies[0], from: Self.rloc) == .wrongKey)
  }

  @Test func `a reload that takes a site away ends its subscriptions`() {
    var rig = subscribed()
    rig.actions = rig.server.replaceSites([MapServerRig.sites[1]], now: rig.now)
    #expect(rig.forgotten.contains(.subscription(EIDPrefix("10.1.2.0/24"), Self.subscriber)))
    #expect(rig.server.subscriptionCount == 0)
    rig.wait(.seconds(90))
    #expect(rig.notifies.isEmpty)
  }
}
