// SPDX-License-Identifier: Apache-2.0

import Testing
import Wire

@testable import ControlPlane

@Suite struct MapServerRegisterTests {
  @Test func `C11 a registration of a configured site with the right key is answered from`() {
    var rig = MapServerRig()
    #expect(rig.register("10.1.2.0/24") == nil)
    #expect(rig.server.registrationCount == 1)
    #expect(rig.ask("10.1.2.3/32").map(\.eidPrefix) == [EIDPrefix("10.1.2.0/24")])
    #expect(rig.replies[0].nonce == 77)
    #expect(rig.datagrams[0].destination == MapServerRig.itr)
  }

  @Test func `C11 refusals, each by its reason`() {
    var rig = MapServerRig()
    let locator = ["192.0.2.1"]
    #expect(rig.register("172.16.0.0/24") == .unknownSite)
    #expect(rig.register([], key: MapServerRig.key) == .unknownSite)
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", locator)], key: MapServerRig.otherKey) == .wrongKey)
    #expect(rig.register("10.9.0.0/25") == .eidNotAllowed)
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", locator), MapServerRig.record("10.1.128.0/24", locator)]) == .eidNotAllowed)
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", locator), MapServerRig.record("11.0.0.0/24", locator)]) == .eidNotAllowed)
    var named = MapServerRig.record("10.1.0.0/24", locator)
    named.eid = .name([65])
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", locator), named]) == .badRecord)
    #expect(rig.server.registrationCount == 0)
  }

  @Test(arguments: ["0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255", "169.254.1.1", "::", "::1", "ff02::1", "fe80::1"])
  func `C9 a registration with a locator that nobody may be sent to is refused as a whole`(_ locator: String) {
    var rig = MapServerRig()
    let records = [MapServerRig.record("10.1.0.0/24", ["192.0.2.1"]), MapServerRig.record("10.1.1.0/24", ["192.0.2.1", locator])]
    #expect(rig.register(records) == .badLocator)
    var listed = records[0]
    listed.locators[0].address = .lcaf(LCAF(.list([.ip(address("192.0.2.1")), .ip(address(locator))])))
    #expect(rig.register([listed]) == .badLocator)
    #expect(rig.server.registrationCount == 0)
  }

  @Test func `C8 all keys of a site are accepted while they overlap, and a removed one is not`() {
    var rig = MapServerRig()
    let records = [MapServerRig.record("10.1.0.0/24", ["192.0.2.1"])]
    #expect(rig.register(records, key: MapServerRig.key, nonce: 10) == nil)
    #expect(rig.register(records, key: MapServerRig.secondKey, nonce: 5) == nil, "nonces are per key")
    var sites = MapServerRig.sites
    sites[0].keys = [MapServerRig.secondKey]
    rig.actions = rig.server.replaceSites(sites, now: rig.now)
    #expect(rig.register(records, key: MapServerRig.key, nonce: 11) == .wrongKey)
    #expect(rig.register(records, key: MapServerRig.secondKey, nonce: 6) == nil)
  }

  @Test func `C8 a nonce that is not greater is a replay, and an exact copy is notified again`() {
    var rig = MapServerRig()
    let records = [MapServerRig.record("10.1.0.0/24", ["192.0.2.1"])]
    #expect(rig.register(records, [.wantNotify], nonce: 50) == nil)
    let first = rig.notifies
    #expect(first.map(\.nonce) == [50])
    #expect(rig.register(records, [.wantNotify], nonce: 50) == .replayed)
    #expect(rig.notifies == first)
    #expect(rig.stored.isEmpty)
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", ["192.0.2.66"])], [.wantNotify], nonce: 50) == .replayed)
    #expect(rig.notifies.isEmpty)
    #expect(rig.register(records, nonce: 49) == .replayed)
    #expect(rig.register(records, nonce: 51) == nil)
    #expect(rig.register(records, xtr: 4, nonce: 3) == nil, "another xTR counts for itself")
    #expect(rig.register(records, xtr: 4, nonce: 3) == .replayed)
  }

  @Test func `a site whose nonces stand still is served where its settings say so`() {
    var sites = MapServerRig.sites
    sites[0].requiresIncreasingNonces = false
    var rig = MapServerRig(sites: sites)
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", ["192.0.2.1"])], nonce: 9) == nil)
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", ["192.0.2.2"])], nonce: 9) == nil)
    #expect(rig.ask("10.1.0.1/32").map(\.addresses) == [[address("192.0.2.2")]])
  }

  @Test func `C11 a Map-Notify is sent when asked for, with nonce, records and identity of the register and the same key`() throws {
    var rig = MapServerRig()
    rig.register("10.1.0.0/24")
    #expect(rig.notifies.isEmpty)
    let records = [MapServerRig.record("10.1.0.0/24", ["192.0.2.1"]), MapServerRig.record("10.9.0.0/24", ["192.0.2.2"])]
    #expect(rig.register(records, [.wantNotify, .proxyReply], xtr: 9, key: MapServerRig.secondKey, nonce: 4711) == nil)
    let notify = try #require(rig.notifies.first)
    #expect(notify.nonce == 4711)
    #expect(notify.records == records)
    #expect(notify.identity?.xtrIDLow == 9)
    #expect(rig.datagrams[0].destination == Endpoint(MapServerRig.etr.address))
    #expect(rig.datagrams[0].source == MapServerRig.serverAddress)
    let bytes = rig.datagrams[0].payload
    #expect(MapServerRig.secondKey.verifies(bytes, type: .mapNotify, nonce: 4711, fields: notify.authentication))
  }

  @Test func `C11 with the merge bit locators of several xTRs are one mapping, and the others are told`() throws {
    var rig = MapServerRig()
    rig.register("10.1.0.0/24", ["192.0.2.7"], [.merge, .wantNotify, .proxyReply], xtr: 1)
    rig.nonce += 1
    let second = Endpoint(address("192.0.2.200"))
    let record = MapServerRig.record("10.1.0.0/24", ["192.0.2.3", "2001:db8::1"])
    #expect(rig.register([record], [.merge, .wantNotify, .proxyReply], xtr: 2, from: second) == nil)
    let merged = [address("192.0.2.3"), address("192.0.2.7"), address("2001:db8::1")]
    #expect(rig.notifies.map { $0.records.map(\.addresses) } == [[merged], [merged]])
    #expect(rig.datagrams.map(\.destination.address) == [second.address, MapServerRig.etr.address])
    let unsolicited = try #require(rig.notifies.last)
    #expect(rig.ask("10.1.0.9/32").map(\.addresses) == [merged])

    rig.wait(.seconds(4))
    #expect(rig.notifies == [unsolicited], "it is sent again")
    #expect(rig.acknowledge(unsolicited, from: MapServerRig.etr.address, key: MapServerRig.otherKey) == .wrongKey)
    #expect(rig.acknowledge(unsolicited, from: second.address) == .unknownNonce)
    #expect(rig.acknowledge(unsolicited, from: MapServerRig.etr.address) == nil)
    rig.wait(.seconds(100))
    #expect(rig.notifies.isEmpty)
  }

  @Test func `a Map-Notify without acknowledgement is sent seven times and given up`() {
    var rig = MapServerRig()
    rig.register("10.1.0.0/24", ["192.0.2.7"], [.merge], xtr: 1)
    rig.register([MapServerRig.record("10.1.0.0/24", ["192.0.2.3"])], [.merge], xtr: 2, from: Endpoint(address("192.0.2.200")))
    #expect(rig.notifies.count == 1)
    let start = rig.now
    var times: [Duration] = []
    while let deadline = rig.server.nextDeadline, deadline < start + .seconds(120) {
      rig.now = deadline
      rig.actions = rig.server.tick(deadline)
      if !rig.notifies.isEmpty { times.append(start.duration(to: deadline)) }
      if !rig.events.isEmpty { #expect(start.duration(to: deadline) == .seconds(75)) }
    }
    #expect(times == [3, 6, 9, 15, 27, 51].map(Duration.seconds))
  }

  @Test func `C11 without the merge bit a registration takes the place of all others`() {
    var rig = MapServerRig()
    rig.register("10.1.0.0/24", ["192.0.2.7"], [.merge, .proxyReply], xtr: 1)
    rig.register("10.1.0.0/24", ["192.0.2.8"], [.merge, .proxyReply], xtr: 2)
    rig.register("10.1.0.0/24", ["192.0.2.9"], [.proxyReply], xtr: 3)
    #expect(rig.forgotten.count == 2)
    #expect(rig.ask("10.1.0.1/32").map(\.addresses) == [[address("192.0.2.9")]])
    rig.register("10.1.0.0/24", ["192.0.2.7"], [.merge, .proxyReply], xtr: 1)
    #expect(rig.ask("10.1.0.1/32").map(\.addresses) == [[address("192.0.2.7")]])
  }

  @Test func `C11 of two xTRs with one locator the later one decides its priority`() {
    var rig = MapServerRig()
    var record = MapServerRig.record("10.1.0.0/24", ["192.0.2.7"])
    for (xtr, priority) in [(1, 10), (2, 20), (1, 30)] {
      record.locators[0].priority = UInt8(priority)
      rig.register([record], [.merge, .proxyReply], xtr: UInt64(xtr))
      #expect(rig.ask("10.1.0.1/32").map { $0.locators.map(\.priority) } == [[UInt8(priority)]])
    }
  }

  @Test func `C11 a registration lasts three minutes, and under T as long as its TTL`() {
    var rig = MapServerRig()
    rig.register([MapServerRig.record("10.1.0.0/24", ["192.0.2.1"], ttl: 1440)])
    rig.register([MapServerRig.record("10.1.1.0/24", ["192.0.2.1"], ttl: 10)], [.useTTL])
    rig.wait(.seconds(100))
    rig.register([MapServerRig.record("10.1.0.0/24", ["192.0.2.1"], ttl: 1440)])
    rig.wait(.seconds(179))
    #expect(rig.server.registrationCount == 2)
    rig.wait(.seconds(1))
    #expect(rig.forgotten == [.registration(EIDPrefix("10.1.0.0/24"), site: "A", .address(MapServerRig.etr.address))])
    #expect(rig.server.registrationCount == 1)
    rig.wait(.seconds(320))
    #expect(rig.server.registrationCount == 0)
    #expect(rig.server.counters.expired == 2)
    #expect(rig.server.nextDeadline == nil)
  }

  @Test func `C11 a record with TTL 0 withdraws what its xTR registered, and nobody else's`() {
    var rig = MapServerRig()
    rig.register("10.1.0.0/24", ["192.0.2.7"], [.merge, .proxyReply], xtr: 1)
    rig.register("10.1.0.0/24", ["192.0.2.8"], [.merge, .proxyReply], xtr: 2)
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", ["192.0.2.7"], ttl: 0)], [.merge], xtr: 1) == nil)
    #expect(rig.ask("10.1.0.1/32").map(\.addresses) == [[address("192.0.2.8")]])
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", ["192.0.2.7"], ttl: 0)], [.merge], xtr: 1) == nil)
    #expect(rig.register([MapServerRig.record("10.1.0.0/24", [], ttl: 5)], [.merge], xtr: 2) == nil)
    #expect(rig.server.registrationCount == 0)
  }

  @Test func `a reload takes away what its site may not register any more`() {
    var rig = MapServerRig()
    rig.register("10.1.0.0/24", xtr: 1)
    rig.register("10.9.0.0/24", xtr: 1)
    #expect(rig.register([MapServerRig.record("[7]10.2.0.0/24", ["192.0.2.1"])], xtr: 1, key: MapServerRig.otherKey) == nil)
    var sites = MapServerRig.sites
    sites[0].allowed.removeLast(2)
    rig.actions = rig.server.replaceSites([sites[0]], now: rig.now)
    #expect(rig.server.registrationCount == 1)
    #expect(rig.server.checkInvariants() == [])
    #expect(rig.server.page(after: nil, limit: 9, now: rig.now).registrations.map(\.eid) == [EIDPrefix("10.1.0.0/24")])
    let gone = [EIDPrefix("10.9.0.0/24"), EIDPrefix("[7]10.2.0.0/24")]
    for eid in gone { #expect(rig.forgotten.contains { if case .registration(eid, _, _) = $0 { true } else { false } }) }
    #expect(rig.forgotten.contains(.xtr(site: "B", .id(XTRIdentity(xtrIDHigh: 0, xtrIDLow: 1, siteID: 1)))))
  }

  @Test func `wrong keys are counted all and logged once a minute for each site`() {
    var rig = MapServerRig()
    let records = [MapServerRig.record("10.1.0.0/24", ["192.0.2.1"])]
    let wrong = AuthenticationKey(id: 1, secret: [1])
    var lines: [MapServerEvent] = []
    for _ in 0..<90 {
      rig.register(records, key: wrong)
      lines += rig.events
      rig.register([MapServerRig.record("[7]10.2.0.0/24", ["192.0.2.1"])], key: wrong)
      lines += rig.events
      rig.wait(.seconds(1))
    }
    #expect(rig.server.counters.refused[.wrongKey] == 180)
    let expected = [("A", 1), ("B", 1), ("A", 60), ("B", 60)].map { site, count in
      MapServerEvent.refused(site: site, .wrongKey, from: MapServerRig.etr, count: count)
    }
    #expect(lines == expected)
  }

  @Test func `C8 what was refused last of each site is told with its sender, its reason and its time`() {
    var rig = MapServerRig()
    #expect(rig.server.lastRefusals(now: rig.now) == [])
    let wrong = AuthenticationKey(id: 1, secret: [1])
    for _ in 0..<3 { rig.register([MapServerRig.record("[7]10.2.0.0/24", ["192.0.2.1"])], key: wrong) }
    rig.wait(.seconds(20))
    rig.register("10.9.0.0/25")
    rig.register("10.1.0.0/24", ["127.0.0.1"])
    rig.register("172.16.0.0/24")
    rig.wait(.seconds(10))
    let seen = rig.server.lastRefusals(now: rig.now)
    #expect(seen.map(\.site) == [nil, "A", "B"])
    #expect(seen.map(\.reason) == [.unknownSite, .badLocator, .wrongKey])
    #expect(seen.map(\.count) == [1, 1, 3] && seen.map(\.ago) == [.seconds(10), .seconds(10), .seconds(30)])
    #expect(seen.allSatisfy { $0.from == MapServerRig.etr })
    _ = rig.server.replaceSites([MapServerRig.sites[0]], now: rig.now)
    #expect(rig.server.lastRefusals(now: rig.now).map(\.site) == [nil, "A"], "a site that is gone is not shown")
  }

  @Test func `registrations and xTRs beyond the bounds are refused`() {
    var settings = MapServerSettings()
    (settings.maximumRegistrations, settings.maximumXTRsPerSite, settings.maximumXTRsPerPrefix) = (2, 2, 1)
    var rig = MapServerRig(settings: settings)
    #expect(rig.register("10.1.0.0/24", xtr: 1) == nil)
    #expect(rig.register("10.1.1.0/24", xtr: 2) == nil)
    #expect(rig.register("10.1.1.0/24", xtr: 2) == nil)
    #expect(rig.register("10.1.2.0/24", xtr: 2) == .tooMany)
    #expect(rig.register("10.1.1.0/24", xtr: 3) == .tooMany)
    #expect(rig.register("10.1.1.0/24", ["192.0.2.1"], [.merge], xtr: 1) == .tooMany)
    #expect(rig.register("10.1.1.0/24", ["192.0.2.1"], [.merge], xtr: 2) == nil)
  }

  @Test func `the listing goes page by page in the order of prefixes`() {
    var rig = MapServerRig()
    let eids = ["10.1.0.0/16", "10.1.0.0/24", "10.1.1.0/24", "10.9.0.0/24", "2001:db8:a::/48"]
    for eid in eids.reversed() { rig.register(eid, ["192.0.2.1"], [.proxyReply], xtr: 5) }
    rig.wait(.seconds(20))
    var listed: [RegistrationView] = []
    var next: EIDPrefix?
    repeat {
      let page = rig.server.page(after: next, limit: 2, now: rig.now)
      listed += page.registrations
      next = page.next
    } while next != nil
    #expect(listed.map(\.eid) == eids.map { EIDPrefix($0) })
    #expect(listed[0].xtrs.map(\.age) == [.seconds(20)])
    #expect(listed[0].xtrs.map(\.expiresIn) == [.seconds(160)])
    #expect(listed[0].isProxied)
    #expect(listed[0].locators.count == 1)
  }
}
