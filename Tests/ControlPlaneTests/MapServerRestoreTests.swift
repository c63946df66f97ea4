// SPDX-License-Identifier: Apache-2.0

import Testing
import TestSupport
import Wire

@testable import ControlPlane

@Suite struct MapServerRestoreTests {
  private static let subscriber = XTRIdentity(xtrIDHigh: 7, xtrIDLow: 8, siteID: 9)

  /// What a program keeps: rows by their keys, and when it was given them.
  private struct Rows {
    var rows: [MapServerRow.Key: (row: MapServerRow, at: Instant)] = [:]

    mutating func obey(_ rig: MapServerRig) {
      for action in rig.actions {
        switch action {
        case .store(let row): rows[row.key] = (row, rig.now)
        case .forget(let key): rows[key] = nil
        case .send, .log: break
        }
      }
    }

    mutating func flush(_ rig: inout MapServerRig) {
      while true {
        let touched = rig.server.touchedRows(limit: 7, now: rig.now)
        if touched.isEmpty { return }
        for row in touched { rows[row.key] = (row, rig.now) }
      }
    }

    /// A server that has nothing but these rows, `later`.
    func restart(_ old: MapServerRig, later: Duration = .zero, sites: [MapServerSite] = MapServerRig.sites) -> MapServerRig {
      var rig = MapServerRig(sites: sites)
      rig.now = old.now + later
      for (row, at) in rows.values.sorted(by: { "\($0.row)" < "\($1.row)" }) {
        var row = row
        if case .registration(var registration) = row {
          registration.expiresIn -= at.duration(to: rig.now)
          registration.age += at.duration(to: rig.now)
          row = .registration(registration)
        }
        _ = rig.server.restore(row, now: rig.now)
      }
      return rig
    }
  }

  @Test func `C11 a row cannot live longer than a Map-Register of now`() throws {
    var rig = MapServerRig()
    rig.register([MapServerRig.record("10.1.1.0/24", ["192.0.2.1"])], [.proxyReply], xtr: 1)
    var rows = rig.stored
    rig.register([MapServerRig.record("10.1.2.0/24", ["192.0.2.1"], ttl: 10)], [.proxyReply, .useTTL], xtr: 1)
    rows += rig.stored
    var restored = MapServerRig()
    for case .registration(var row) in rows {
      row.expiresIn = .seconds(365 * 86_400)
      let isTaken = restored.server.restore(.registration(row), now: restored.now)
      #expect(isTaken)
    }
    let left = restored.server.page(after: nil, limit: 9, now: restored.now).registrations.compactMap(\.xtrs.first?.expiresIn)
    #expect(left == [.seconds(180), .seconds(600)])
  }

  @Test func `C12 a subscription is taken back also while we have no address of its family`() throws {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24", xtr: 1)
    var request = MapRequest(
      nonce: 5, sourceEID: .ip(address("10.1.0.1")), itrRLOCs: [.ip(address("2001:db8::9"))],
      records: [.init(EIDPrefix("10.1.2.3/32"), subscribes: true)])
    request.identity = Self.subscriber
    rig.receive(MapServerRig.encapsulated(request), from: Endpoint(address("2001:db8::9")))
    let confirmation = try #require(rig.notifies.first)
    #expect(rig.acknowledge(confirmation, from: address("2001:db8::9")) == nil)
    let row = try #require(rig.stored.first { if case .subscription = $0 { true } else { false } })

    var restored = MapServerRig(settings: MapServerSettings(families: [.ipv4]))
    let isTaken = restored.server.restore(row, now: restored.now)
    #expect(isTaken)
    restored.server.setFamilies([.ipv4, .ipv6])
    restored.register("10.1.2.0/24", ["192.0.2.7"], xtr: 1)
    #expect(restored.datagrams.map(\.destination).contains(Endpoint(address("2001:db8::9"))))
  }

  private static func subscription(_ nonce: UInt64) -> [UInt8] {
    var request = MapRequest(
      nonce: nonce, sourceEID: .ip(address("10.1.0.1")), itrRLOCs: [.ip(address("203.0.113.9"))],
      records: [.init(EIDPrefix("10.1.2.3/32"), subscribes: true)])
    request.identity = subscriber
    return MapServerRig.encapsulated(request)
  }

  @Test(arguments: [UInt64](1...20))
  func `C11 a server made of its rows is as the one before`(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var rig = MapServerRig()
    var rows = Rows()
    for _ in 0..<150 {
      let eid = EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 1, 0, UInt8(random.below(32)))), length: 28 + random.below(5)))
      let record = EIDRecord(
        eid, ttl: UInt32(random.below(5)), locators: [LocatorRecord(.ip(.v4(IPv4Address(192, 0, 2, UInt8(1 + random.below(9))))))])
      var flags: MapRegister.Flags = random.below(2) == 0 ? [.merge, .proxyReply] : [.proxyReply]
      if random.below(2) == 0 { flags.insert(.useTTL) }
      rig.register([record], flags, xtr: random.below(4) == 0 ? nil : UInt64(random.below(3)))
      rows.obey(rig)
      rig.wait(.seconds(random.below(9)))
      rows.obey(rig)
    }
    rows.flush(&rig)
    let restarted = rows.restart(rig)
    #expect(rig.server.checkInvariants() == [])
    #expect(restarted.server.checkInvariants() == [])
    var (before, after) = (
      rig.server.page(after: nil, limit: 1000, now: rig.now).registrations,
      restarted.server.page(after: nil, limit: 1000, now: rig.now).registrations
    )
    #expect(!before.isEmpty)
    for i in before.indices {
      before[i].xtrs = before[i].xtrs.map(Self.comparable).sorted { "\($0)" < "\($1)" }
    }
    for i in after.indices { after[i].xtrs = after[i].xtrs.map(Self.comparable).sorted { "\($0)" < "\($1)" } }
    for (a, b) in zip(before, after) { #expect(a == b, "seed \(seed)") }
    #expect(before.count == after.count)
  }

  /// When it was last refreshed is not kept, and a restart gives it some time.
  private static func comparable(_ xtr: RegistrationView.XTR) -> RegistrationView.XTR {
    var xtr = xtr
    xtr.refreshedAgo = .zero
    xtr.expiresIn = max(xtr.expiresIn, MapServer.graceAfterRestart)
    return xtr
  }

  @Test func `C8 nonces outlive a restart`() {
    var rig = MapServerRig()
    var rows = Rows()
    let records = [MapServerRig.record("10.1.2.0/24", ["192.0.2.1"])]
    rig.register(records, xtr: 1, nonce: 500)
    rows.obey(rig)
    rows.flush(&rig)
    rig = rows.restart(rig)
    #expect(rig.register(records, xtr: 1, nonce: 499) == .replayed)
    #expect(rig.register(records, xtr: 1, nonce: 500) == .replayed)
    #expect(rig.register(records, xtr: 1, nonce: 501) == nil)
    #expect(rig.stored.isEmpty, "it is the registration that was there")
  }

  @Test func `C12 subscriptions and their nonces outlive a restart`() {
    var rig = MapServerRig()
    var rows = Rows()
    rig.register("10.1.2.0/24")
    rows.obey(rig)
    rig.receive(Self.subscription(100), from: MapServerRig.itr)
    #expect(rig.stored.isEmpty, "not before it is acknowledged")
    #expect(rig.acknowledge(rig.notifies[0], from: address("203.0.113.9")) == nil)
    rows.obey(rig)
    #expect(rows.rows[.subscription(EIDPrefix("10.1.2.0/24"), Self.subscriber)] != nil)
    rig.register("10.1.2.0/24", ["192.0.2.2"])
    rows.obey(rig)
    #expect(rig.notifies.map(\.nonce) == [101])
    rows.flush(&rig)
    rig = rows.restart(rig)
    #expect(rig.refusal(Self.subscription(101), from: MapServerRig.itr) == .replayed)
    rig.nonce = 5000
    rig.register("10.1.2.0/24", ["192.0.2.3"])
    #expect(rig.notifies.map(\.nonce) == [102])
    #expect(rig.acknowledge(rig.notifies[0], from: address("203.0.113.9")) == nil)
  }

  @Test func `rows that say nothing any more are not taken back`() {
    var rig = MapServerRig()
    var rows = Rows()
    rig.register("10.1.2.0/24")
    rows.obey(rig)
    rig.register("10.9.0.0/24", xtr: 3)
    rows.obey(rig)
    #expect(rows.restart(rig, later: .seconds(779)).server.registrationCount == 2)
    #expect(rows.restart(rig, later: .seconds(780)).server.registrationCount == 0)
    var sites = MapServerRig.sites
    sites[0].allowed.remove(at: 1)
    #expect(rows.restart(rig, sites: sites).server.registrationCount == 1)
    #expect(rows.restart(rig, sites: [sites[1]]).server.registrationCount == 0)
    for (key, kept) in rows.rows {
      guard case .registration(var registration) = kept.row else { continue }
      registration.record.removeLast()
      rows.rows[key] = (.registration(registration), kept.at)
    }
    #expect(rows.restart(rig).server.registrationCount == 0)
  }

  @Test func `after a restart every registration has the time for a refresh`() {
    var rig = MapServerRig()
    var rows = Rows()
    rig.register("10.1.2.0/24")
    rows.obey(rig)
    rig = rows.restart(rig, later: .seconds(300))
    rig.wait(.seconds(179))
    #expect(rig.server.registrationCount == 1)
    rig.wait(.seconds(1))
    #expect(rig.server.registrationCount == 0)
  }

  /// `useTTL` as the record says; otherwise three minutes.
  @Test(arguments: [false, true]) func `a row that is dated by a clock of another day lasts no longer than a registration does`(
    usesTTL: Bool
  ) {
    var rig = MapServerRig()
    var rows = Rows()
    var record = MapServerRig.record("10.1.2.0/24", ["192.0.2.1"])
    record.ttl = 5
    rig.register([record], usesTTL ? [.useTTL] : [])
    rows.obey(rig)
    for (key, kept) in rows.rows {
      guard case .registration(var row) = kept.row else { continue }
      row.expiresIn += .seconds(86_400)
      rows.rows[key] = (.registration(row), kept.at)
    }
    rig = rows.restart(rig)
    rig.wait(.seconds(usesTTL ? 299 : 179))
    #expect(rig.server.registrationCount == 1)
    rig.wait(.seconds(1))
    #expect(rig.server.registrationCount == 0)
  }

  @Test func `C12 subscribers are told of what has ended while the server was away`() {
    var rig = MapServerRig()
    var rows = Rows()
    rig.register("10.1.2.0/24")
    rows.obey(rig)
    rig.receive(Self.subscription(100), from: MapServerRig.itr)
    #expect(rig.acknowledge(rig.notifies[0], from: address("203.0.113.9")) == nil)
    rows.obey(rig)
    rig = rows.restart(rig, later: .seconds(3600))
    rig.wait(.zero)
    #expect(rig.notifies.map { $0.records.map(\.ttl) } == [[0]])
    #expect(rig.notifies.map(\.nonce) == [101])
  }

  @Test func `a refresh is a touched row, once, with its new deadline`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    _ = rig.server.touchedRows(limit: 100, now: rig.now)
    rig.wait(.seconds(50))
    for _ in 0..<3 { rig.register("10.1.2.0/24") }
    #expect(rig.stored.isEmpty)
    let rows = rig.server.touchedRows(limit: 100, now: rig.now)
    #expect(rows.count == 2)
    guard case .registration(let row) = rows[1] else {
      Issue.record("no registration")
      return
    }
    #expect(row.expiresIn == .seconds(180))
    #expect(row.age == .seconds(50))
    #expect(rig.server.touchedRows(limit: 100, now: rig.now).isEmpty)
  }
}
