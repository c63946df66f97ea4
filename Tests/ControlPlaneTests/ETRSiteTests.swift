// SPDX-License-Identifier: Apache-2.0
//
// The site's database, what it answers for an EID, and its peers.

import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct ETRSiteTests {
  private func eid(_ text: String, instance: UInt32 = 0) throws -> EIDPrefix {
    EIDPrefix(InstanceID(truncating: instance), try IPPrefix(parsing: text))
  }
  private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

  private func database(_ prefixes: [String]) throws -> SiteDatabase {
    var database = SiteDatabase()
    let locator = SiteLocator(try address("192.0.2.1"))
    _ = try database.replace(with: Dictionary(uniqueKeysWithValues: try prefixes.map { (try eid($0), [locator]) }))
    return database
  }

  @Test func `E11 locators stand in canonical order: IPv4 first, ascending`() throws {
    var database = SiteDatabase()
    let own = try eid("10.0.0.0/8")
    let given = try ["2001:db8::2", "198.51.100.1", "2001:db8::1", "192.0.2.200", "192.0.2.3"].map { SiteLocator(try address($0)) }
    #expect(try database.replace(with: [own: given]) == [own])
    let expected = ["192.0.2.3", "192.0.2.200", "198.51.100.1", "2001:db8::1", "2001:db8::2"]
    #expect(database.locators(of: own).map { "\($0.address)" } == expected)
    #expect(database.record(of: own).locators.compactMap(\.address.locatorIP).map { "\($0)" } == expected)
    #expect(database.localFamilies == [.ipv4, .ipv6])
    #expect(try database.replace(with: [own: given.reversed()]) == [], "the order in which they are given changes nothing")
  }

  @Test func `a record says what its locators are`() throws {
    var database = SiteDatabase(ttlMinutes: 60)
    let own = try eid("10.0.0.0/8", instance: 7)
    let far = SiteLocator(
      try address("192.0.2.2"), priority: 2, weight: 30, multicastPriority: 4, multicastWeight: 50, isLocal: false, isReachable: false)
    _ = try database.replace(with: [own: [SiteLocator(try address("192.0.2.1")), far]])
    let record = database.record(of: own)
    #expect(record.eidPrefix == own && record.ttl == 60 && record.isAuthoritative && record.mapVersion == 0)
    #expect(record.locators.map(\.flags) == [[.local, .reachable], []])
    let second = record.locators[1]
    #expect([second.priority, second.weight, second.multicastPriority, second.multicastWeight] == [2, 30, 4, 50])
    #expect(SiteDatabase().ttlMinutes == 1440)
  }

  @Test func `C9 a locator that is no unicast address others can reach is refused, and nothing changes`() throws {
    var database = try database(["10.0.0.0/8"])
    let before = database
    let own = try eid("10.0.0.0/8")
    for bad in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.1.1", "::", "::1", "ff02::1", "fe80::1"] {
      let bad = try address(bad)
      #expect(throws: SiteDatabaseError.badLocator(bad, own)) { _ = try database.replace(with: [own: [SiteLocator(bad)]]) }
    }
    let twice = SiteLocator(try address("192.0.2.9"))
    #expect(throws: SiteDatabaseError.doubledLocator(twice.address, own)) { _ = try database.replace(with: [own: [twice, twice]]) }
    #expect(throws: SiteDatabaseError.locatorCount(0, own)) { _ = try database.replace(with: [own: []]) }
    let many = (1...256).map { SiteLocator(.v4(IPv4Address(rawValue: 0xC000_0200 + $0))) }
    #expect(throws: SiteDatabaseError.locatorCount(256, own)) { _ = try database.replace(with: [own: many]) }
    #expect(database == before)
  }

  @Test func `a change names the prefixes that came, went or have other locators`() throws {
    var database = try database(["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"])
    let (same, other) = (SiteLocator(try address("192.0.2.1")), SiteLocator(try address("192.0.2.2")))
    let changed = try database.replace(
      with: [eid("10.0.0.0/8"): [same], eid("10.2.0.0/16"): [same, other], eid("10.3.0.0/16"): [other]])
    #expect(changed == [try eid("10.1.0.0/16"), try eid("10.2.0.0/16"), try eid("10.3.0.0/16")])
    let down = SiteLocator(other.address, isReachable: false)
    let mappings = [try eid("10.0.0.0/8"): [same], try eid("10.2.0.0/16"): [same, down], try eid("10.3.0.0/16"): [down]]
    #expect(try database.replace(with: mappings) == [try eid("10.2.0.0/16"), try eid("10.3.0.0/16")])
    #expect(try database.replace(with: mappings) == [])
    #expect(database.record(of: try eid("10.3.0.0/16")).locators.map(\.flags) == [[.local]])
    #expect(database.record(of: try eid("10.2.0.0/16")).locators.map(\.flags) == [[.local, .reachable], [.local]])
  }

  @Test func `C4 an EID is answered with its longest match and all that this covers`() throws {
    // The example of RFC 9301 5.5.
    let database = try database(["2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:2::/64"])
    func answer(_ text: String) throws -> [String] {
      database.answer(for: try eid(text), byteCount: 1200).compactMap(\.eidPrefix).map { "\($0.prefix)" }
    }
    #expect(try answer("2001:db8:1:1::1") == ["2001:db8:1:1::/64"])
    #expect(try answer("2001:db8:1:5::5") == ["2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:2::/64"])
    #expect(try answer("2001:db8:2::1").count == 4)
    #expect(try answer("2001:db8::/32").count == 4)
    #expect(try answer("2001:db9::1") == [])
    #expect(try answer("2001::/16") == [])
  }

  @Test func `instances do not mix`() throws {
    var database = SiteDatabase()
    let locator = SiteLocator(try address("192.0.2.1"))
    _ = try database.replace(with: [eid("10.0.0.0/8", instance: 1): [locator], eid("10.1.0.0/16", instance: 2): [locator]])
    #expect(
      database.answer(for: try eid("10.1.1.1", instance: 1), byteCount: 1200).map(\.eidPrefix) == [try eid("10.0.0.0/8", instance: 1)])
    #expect(database.answer(for: try eid("10.1.1.1"), byteCount: 1200) == [])
    #expect(database.answer(for: try eid("10.1.1.1", instance: 3), byteCount: 1200) == [])
  }

  /// The oracle looks at all prefixes. What an answer says of each address of a sample has to be what the database says.
  @Test func `an answer never hides a more specific prefix and always fits`() throws {
    for seed in UInt64(0)..<40 {
      var random = SplitMix64(seed: seed)
      var mappings: [EIDPrefix: [SiteLocator]] = [:]
      for i in 0..<(1 + random.below(120)) {
        let prefix = IPPrefix(
          masking: .v4(IPv4Address(rawValue: 0x0A00_0000 | UInt32(random.below(0x1_0000)) << 8)), length: 8 + random.below(25))
        mappings[EIDPrefix(.zero, prefix)] = (0...random.below(4)).map {
          SiteLocator(.v4(IPv4Address(rawValue: 0xC000_0200 + UInt32(4 * i + $0))))
        }
      }
      var database = SiteDatabase()
      _ = try database.replace(with: mappings)
      for _ in 0..<60 {
        let host = IPAddress.v4(IPv4Address(rawValue: 0x0A00_0000 | UInt32(random.below(0x100_0000))))
        let asked = EIDPrefix(.zero, IPPrefix(masking: host, length: random.below(4) == 0 ? 8 + random.below(25) : 32))
        let longest = mappings.keys.filter { $0.prefix.contains(asked.prefix) }.max { $0.prefix.length < $1.prefix.length }
        #expect(database.longestMatch(asked) == longest, "seed \(seed)")
        let records = database.answer(for: asked, byteCount: 600)
        #expect(records.isEmpty == (longest == nil), "seed \(seed)")
        #expect(records.reduce(0) { $0 + $1.byteCount } <= 600, "seed \(seed)")
        let answered = Dictionary(uniqueKeysWithValues: records.map { ($0.eidPrefix, $0.locators) })
        for record in records {
          guard let widest = record.eidPrefix else { continue }
          for inner in mappings.keys where widest.prefix.contains(inner.prefix) {
            #expect(answered[inner] == database.record(of: inner).locators, "seed \(seed): \(inner) is hidden")
          }
          let own = database.longestMatch(widest)
          #expect(own.map { database.record(of: $0).locators } == record.locators, "seed \(seed)")
        }
        if asked.prefix.length == 32 { #expect(records.contains { $0.eidPrefix?.prefix.contains(host) == true } == (longest != nil)) }
      }
    }
  }

  // MARK: - Peers

  @Test func `D16 the peers of the last minute are remembered, older ones are not`() throws {
    let start = Simulation.start
    var peers = Peers()
    peers.note(try address("192.0.2.2"), now: start)
    peers.note(try address("192.0.2.1"), now: start + .seconds(1))
    peers.note(try address("192.0.2.3"), now: start + .seconds(30))
    peers.note(try address("192.0.2.2"), now: start + .seconds(40))
    #expect(peers.recent(now: start + .seconds(61)).map { "\($0)" } == ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    #expect(peers.recent(now: start + .seconds(62)).map { "\($0)" } == ["192.0.2.2", "192.0.2.3"])
    #expect(
      peers.ages(now: start + .seconds(65)).map { "\($0.address) \($0.age)" } == ["192.0.2.2 25.0 seconds", "192.0.2.3 35.0 seconds"])
    #expect(peers.recent(now: start + .seconds(100)).map { "\($0)" } == ["192.0.2.2"])
    #expect(peers.recent(now: start + .seconds(101)) == [])
  }

  @Test func `D16 the table of peers is bounded, and has room again when a minute is over`() {
    let start = Simulation.start
    var peers = Peers(capacity: 100)
    func host(_ i: Int) -> IPAddress { .v4(IPv4Address(rawValue: 0xC000_0000 + UInt32(i))) }
    for i in 0..<1000 { peers.note(host(i), now: start + .milliseconds(i)) }
    #expect(peers.count == 100 && peers.overlookedCount == 900)
    peers.note(host(5), now: start + .seconds(50))
    for i in 2000..<2200 { peers.note(host(i), now: start + .seconds(61)) }
    #expect(peers.count == 100)
    #expect(peers.recent(now: start + .seconds(61)) == [host(5)] + (2000..<2099).map(host))
  }

  @Test func `peers agree with an oracle that forgets nothing`() {
    for seed in UInt64(0)..<20 {
      var random = SplitMix64(seed: seed)
      var peers = Peers(capacity: 50)
      var oracle: [IPAddress: Instant] = [:]
      var now = Simulation.start
      for _ in 0..<2000 {
        now += .milliseconds(random.below(4000))
        let host = IPAddress.v4(IPv4Address(rawValue: 1 + UInt32(random.below(40))))
        peers.note(host, now: now)
        oracle[host] = now
        if random.below(10) == 0 {
          #expect(peers.recent(now: now) == oracle.filter { now - $0.value <= Peers.lifetime }.keys.sorted(), "seed \(seed)")
        }
      }
    }
  }
}
