// SPDX-License-Identifier: Apache-2.0

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct ResolverReplyTests {
  @Test func `C3 a reply without the nonce of an outstanding request changes nothing`() throws {
    var resolver = Sample.resolver()
    let nonce = try resolver.nonce("10.2.0.1", now: start)
    let facts = resolver.outstanding(limit: 9)
    for wrong in [nonce ^ 1, nonce &+ 1, 0, ~nonce] {
      let reply = MapReply(nonce: wrong, records: [Sample.record("10.2.0.0/24")])
      #expect(resolver.receive(reply, Sample.arrival, now: at(0.1)) == [.refused(.unknownNonce)])
    }
    let probe = MapReply(nonce: nonce, flags: .probe, records: [Sample.record("10.2.0.0/24")])
    #expect(resolver.receive(probe, Sample.arrival, now: at(0.1)) == [.refused(.unknownNonce)])
    #expect(resolver.outstanding(limit: 9) == facts && resolver.history.isEmpty)
  }

  @Test func `C3 a doubled reply changes nothing`() throws {
    var resolver = Sample.resolver()
    let reply = MapReply(nonce: try resolver.nonce("10.2.0.1", now: start), records: [Sample.record("10.2.0.0/24")])
    #expect(resolver.receive(reply, Sample.arrival, now: at(0.1)).installs.count == 1)
    #expect(resolver.receive(reply, Sample.arrival, now: at(0.2)) == [.refused(.unknownNonce)])
  }

  @Test func `C3 a TTL of 0 removes and one of 0xFFFFFFFF is a day`() throws {
    for (ttl, expected) in [(0, 0), (0xFFFF_FFFF, 1440), (1, 1), (0xFFFF_FFFE, 0xFFFF_FFFE)] as [(UInt32, UInt32)] {
      var resolver = Sample.resolver()
      let reply = MapReply(nonce: try resolver.nonce("10.2.0.1", now: start), records: [Sample.record("10.2.0.0/24", ttl: ttl)])
      let mapping = try #require(resolver.receive(reply, Sample.arrival, now: at(0.1)).installs.first?.first)
      #expect(mapping.ttlMinutes == expected && mapping.isRemoval == (ttl == 0))
      #expect(resolver.outstandingCount == 0)
    }
  }

  @Test func `C4 all records of a reply are one installation`() throws {
    var resolver = Sample.resolver()
    let prefixes = ["2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:2::/64"]
    var records = prefixes.map { Sample.record($0) }
    records[2] = EIDRecord(eid(prefixes[2]), ttl: 15, action: .nativelyForward)
    records[0].versionWord = 0xF123
    let reply = MapReply(nonce: try resolver.nonce("2001:db8:1:5::5", now: start), flags: .echoNonceCapable, records: records)
    let actions = resolver.receive(reply, Sample.arrival, now: at(0.1))
    let mappings = try #require(actions.installs.first)
    #expect(actions.count == 1 && mappings.map(\.eid) == prefixes.map { eid($0) })
    #expect(mappings[0].target == .locators([Locator(address: Sample.remote)]) && mappings[0].mapVersion == 0x123)
    #expect(mappings[2].target == .negative(.nativeForward) && mappings[2].ttlMinutes == 15)
    #expect(mappings.allSatisfy { $0.echoNonceCapable && $0.answeredBy == Endpoint(Sample.remote) })
  }

  private func atHome() -> Resolver {
    var resolver = Sample.resolver()
    resolver.setEIDPrefixes([eid("10.1.0.0/16"), eid("10.1.5.0/24")])
    return resolver
  }

  @Test func `what leads from our own EIDs back to us is not learned`() throws {
    let (others, both) = ([Sample.remote], [Sample.remote, Sample.ownRLOC])
    let cases: [(String, [IPAddress], isLearned: Bool)] = [
      ("10.1.0.0/16", both, false), ("10.1.0.0/16", others, false), ("10.1.5.0/24", others, false),
      ("10.1.7.0/24", both, false), ("10.1.7.0/24", [], false), ("10.1.7.7/32", [Sample.ownRLOC6], false),
      // A host that has moved away, and prefixes that are not ours.
      ("10.1.7.0/24", others, true), ("10.1.5.7/32", others, true), ("10.0.0.0/8", both, true),
    ]
    for (prefix, locators, isLearned) in cases {
      var resolver = atHome()
      let asked = eid(prefix).prefix.address
      let nonce = try request(resolver.miss(eid: asked, in: .zero, source: nil, now: start).datagram).nonce
      let actions = resolver.receive(
        MapReply(nonce: nonce, records: [Sample.record(prefix, locators: locators)]), Sample.arrival, now: at(1))
      #expect(actions.installs.map { $0.map(\.isRemoval) } == [[!isLearned]], "\(prefix) \(locators)")
      #expect(actions.installs.first?.map(\.eid) == [eid(prefix)] && resolver.outstandingCount == 0)
    }
  }

  @Test func `C4 what was learned of a host of ours leaves when it is at home again`() throws {
    var resolver = atHome()
    let nonce = try request(resolver.solicited(eid("10.1.7.7/32"), now: start).datagrams.first).nonce
    let home = MapReply(nonce: nonce, records: [Sample.record("10.1.0.0/16", locators: [Sample.ownRLOC])])
    let mappings = try #require(resolver.receive(home, Sample.arrival, now: at(1)).installs.first)
    #expect(mappings.map(\.eid) == [eid("10.1.0.0/16"), eid("10.1.7.7/32")] && mappings.allSatisfy(\.isRemoval))
  }

  @Test func `C4 a reply answers every request that it covers, and none that it does not`() throws {
    var resolver = Sample.resolver()
    let nonce = try resolver.nonce("10.2.0.1", now: start)
    let other = try resolver.nonce("10.2.0.2", now: start)
    let outside = try resolver.nonce("10.2.1.1", now: start)
    let elsewhere = try request(resolver.miss("10.2.0.1", in: 5, now: start).datagram).nonce
    let reply = MapReply(nonce: nonce, records: [Sample.record("10.2.0.0/24")])
    #expect(resolver.receive(reply, Sample.arrival, now: at(0.1)).installs.count == 1)
    #expect(resolver.outstandingCount == 2)
    let late = MapReply(nonce: other, records: [Sample.record("10.2.0.0/24", locators: [address("203.0.113.66")])])
    #expect(resolver.receive(late, Sample.arrival, now: at(0.2)) == [.refused(.unknownNonce)])
    #expect(
      resolver.receive(MapReply(nonce: outside, records: [Sample.record("10.2.1.0/24")]), Sample.arrival, now: at(0.2)).installs.count == 1)
    let record = Sample.record("10.2.0.0/24", in: 5)
    #expect(resolver.receive(MapReply(nonce: elsewhere, records: [record]), Sample.arrival, now: at(0.2)).installs.count == 1)
    #expect(resolver.outstandingCount == 0 && resolver.history.count == 4)
    #expect(resolver.checkInvariants() == [])
  }

  @Test(arguments: ["10.3.0.0/24", "10.2.0.2/32", "10.2.0.128/25", "2001:db8::/32"])
  func `C3 a record about what was not asked is refused`(_ prefix: String) throws {
    var resolver = Sample.resolver()
    let nonce = try resolver.nonce("10.2.0.1", now: start)
    let reply = MapReply(nonce: nonce, records: [Sample.record(prefix)])
    #expect(resolver.receive(reply, Sample.arrival, now: at(0.1)) == [.refused(.badRecord)])
    #expect(resolver.outstandingCount == 1, "the question stands")
    let mixed = MapReply(nonce: nonce, records: [Sample.record(prefix), Sample.record("10.2.0.0/30")])
    let actions = resolver.receive(mixed, Sample.arrival, now: at(0.2))
    // 10.2.0.2/32 lies in the record that covers the question: it may come along.
    let comesAlong = eid("10.2.0.0/30").contains(eid(prefix))
    #expect(actions.installs.first?.count == (comesAlong ? 2 : 1) && actions.refusals == (comesAlong ? [] : [.badRecord]))
  }

  @Test func `C3 a record in another instance is refused`() throws {
    var resolver = Sample.resolver()
    let reply = MapReply(nonce: try resolver.nonce("10.2.0.1", now: start), records: [Sample.record("10.2.0.0/24", in: 1)])
    #expect(resolver.receive(reply, Sample.arrival, now: at(0.1)) == [.refused(.badRecord)])
  }

  @Test func `C10 a record that names no IP prefix, comes twice, or is missing is refused`() throws {
    var resolver = Sample.resolver()
    let nonce = try resolver.nonce("10.2.0.1", now: start)
    var name = Sample.record("10.2.0.0/24")
    name.eid = .name(Array("host".utf8))
    var long = Sample.record("10.2.0.0/24")
    long.maskLength = 33
    for records in [[], [name], [long], [name, long]] {
      let actions = resolver.receive(MapReply(nonce: nonce, records: records), Sample.arrival, now: at(0.1))
      #expect(actions == Array(repeating: .refused(.badRecord), count: max(1, records.count)))
    }
    let twice = MapReply(nonce: nonce, records: [Sample.record("10.2.0.0/24"), Sample.record("10.2.0.0/24", ttl: 1)])
    let actions = resolver.receive(twice, Sample.arrival, now: at(0.1))
    #expect(actions.installs.first?.map(\.ttlMinutes) == [60] && actions.refusals == [.badRecord])
  }

  @Test(
    arguments: [
      "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.1.1", "127.0.0.1", "169.254.1.1", "::", "::1", "ff02::1", "ff0e::1", "fe80::1",
    ])
  func `C9 a record with a locator that cannot be one is refused`(_ bad: String) throws {
    var resolver = Sample.resolver()
    let nonce = try resolver.nonce("10.2.0.1", now: start)
    let record = Sample.record("10.2.0.0/24", locators: [Sample.remote, address(bad)])
    #expect(resolver.receive(MapReply(nonce: nonce, records: [record]), Sample.arrival, now: at(0.1)) == [.refused(.badLocator)])
    #expect(resolver.outstandingCount == 1)
    let good = Sample.record("10.2.0.0/16")
    let actions = resolver.receive(MapReply(nonce: nonce, records: [record, good]), Sample.arrival, now: at(0.1))
    #expect(actions.installs.first?.map(\.eid) == [eid("10.2.0.0/16")] && actions.refusals == [.badLocator])
  }

  @Test func `C9 locators that take more than an address are left out, and a record of nothing else is refused`() throws {
    var resolver = Sample.resolver()
    let nonce = try resolver.nonce("10.2.0.1", now: start)
    var record = Sample.record("10.2.0.0/24")
    record.locators[0].address = .name(Array("rloc".utf8))
    #expect(resolver.receive(MapReply(nonce: nonce, records: [record]), Sample.arrival, now: at(0.1)) == [.refused(.badLocator)])
    record.locators.append(LocatorRecord(.ip(Sample.remote), priority: 2, weight: 30, flags: []))
    let mapping = resolver.receive(MapReply(nonce: nonce, records: [record]), Sample.arrival, now: at(0.1)).installs.first?.first
    #expect(mapping?.target == .locators([Locator(address: Sample.remote, priority: 2, weight: 30, isReachable: false)]))
  }

  @Test func `C5 a record without locators is its action, and one that nobody knows drops`() throws {
    let expected: [NegativeAction] = [
      .noAction, .nativeForward, .sendMapRequest, .drop, .policyDenied, .authenticationFailure, .drop, .drop,
    ]
    for (code, action) in expected.enumerated() {
      var resolver = Sample.resolver()
      let record = EIDRecord(eid("10.0.0.0/8"), ttl: 15, action: MapAction(rawValue: UInt8(code)))
      let reply = MapReply(nonce: try resolver.nonce("10.2.0.1", now: start), records: [record])
      let mapping = try #require(resolver.receive(reply, Sample.arrival, now: at(0.1)).installs.first?.first)
      #expect(mapping.target == .negative(action) && mapping.ttlMinutes == 15)
    }
  }

  @Test func `a refreshed prefix may be answered by parts of it`() throws {
    var resolver = Sample.resolver()
    let nonce = try request(resolver.refresh(eid("10.2.0.0/24"), now: start).datagrams.first).nonce
    let reply = MapReply(nonce: nonce, records: [Sample.record("10.2.0.0/25"), Sample.record("10.2.0.128/25")])
    #expect(resolver.receive(reply, Sample.arrival, now: at(0.1)).installs.first?.count == 2)
    #expect(resolver.outstandingCount == 0)
  }

  @Test func `C4 a cached prefix that is answered by a shorter one leaves the map-cache`() throws {
    let host = eid("10.2.0.7/32")
    for isSolicited in [false, true] {
      var resolver = Sample.resolver()
      let actions = isSolicited ? resolver.solicited(host, now: start) : resolver.refresh(host, now: start)
      let nonce = try request(actions.datagrams.first).nonce
      let reply = MapReply(nonce: nonce, records: [Sample.record("10.2.0.0/24"), Sample.record("10.2.0.128/25")])
      let mappings = try #require(resolver.receive(reply, Sample.arrival, now: at(0.1)).installs.first)
      #expect(mappings.map(\.eid) == [eid("10.2.0.0/24"), eid("10.2.0.128/25"), host])
      #expect(mappings.map(\.isRemoval) == [false, false, true])
    }
  }

  @Test func `C4 a prefix leaves for nothing but a shorter answer, and not when it was only missed`() throws {
    let host = eid("10.2.0.7/32")
    for records in [[Sample.record("10.2.0.7/32")], [Sample.record("10.2.0.0/24"), Sample.record("10.2.0.7/32")]] {
      var resolver = Sample.resolver()
      let nonce = try request(resolver.refresh(host, now: start).datagrams.first).nonce
      let mappings = resolver.receive(MapReply(nonce: nonce, records: records), Sample.arrival, now: at(0.1)).installs.first
      #expect(mappings?.contains(where: \.isRemoval) == false)
    }
    var resolver = Sample.resolver()
    let nonce = try resolver.nonce("10.2.0.7", now: start)
    let reply = MapReply(nonce: nonce, records: [Sample.record("10.2.0.0/24")])
    #expect(resolver.receive(reply, Sample.arrival, now: at(0.1)).installs.first?.count == 1)
    // Missed, and then solicited while it is asked for: somebody may have it cached since.
    let again = try resolver.nonce("10.2.0.7", now: at(5))
    #expect(resolver.solicited(host, now: at(5)) == [])
    let late = MapReply(nonce: again, records: [Sample.record("10.2.0.0/24")])
    #expect(resolver.receive(late, Sample.arrival, now: at(5.1)).installs.first?.last?.isRemoval == true)
  }
}
