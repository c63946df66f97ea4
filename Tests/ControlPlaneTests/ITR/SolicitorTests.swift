// SPDX-License-Identifier: Apache-2.0

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct SolicitorTests {
  private func solicitor() -> Solicitor {
    var solicitor = Solicitor(random: NonceSource(seed: 1))
    solicitor.setRLOCs([Sample.ownRLOC])
    return solicitor
  }

  /// What is sent until nothing is left to be done, with the instants.
  private func drain(_ solicitor: inout Solicitor, from: Instant) throws -> [(at: Instant, datagram: Datagram)] {
    var (sent, now): ([(at: Instant, datagram: Datagram)], Instant) = ([], from)
    while let deadline = solicitor.nextDeadline(now) {
      now = max(now, deadline)
      sent += solicitor.tick(now: now).datagrams.map { (now, $0) }
    }
    return sent
  }

  @Test func `C6 a change is told to each peer, straight, with S set and the prefix in record and source EID`() throws {
    var solicitor = solicitor()
    let peers = [Sample.remote, address("203.0.113.10")]
    let datagrams = solicitor.announce([eid("10.1.0.0/24", in: 4)], to: peers, now: start).datagrams
    #expect(Set(datagrams.map(\.destination.address)) == Set(peers))
    for datagram in datagrams {
      guard case .mapRequest(let request) = try ControlMessage(parsing: datagram.payload) else {
        Issue.record("encapsulated")
        continue
      }
      #expect(request.flags == .solicit && request.records.map(\.eidPrefix) == [eid("10.1.0.0/24", in: 4)])
      #expect(request.sourceEID == AFIAddress(address("10.1.0.0"), in: InstanceID(truncating: 4)))
      #expect(request.itrRLOCs == [.ip(Sample.ownRLOC)] && datagram.source == Sample.ownRLOC)
    }
    #expect(Set(try datagrams.map { try request($0).nonce }).count == 2)
  }

  @Test func `C6 a peer gets at most one solicitation in three seconds, and each topic five times`() throws {
    var solicitor = solicitor()
    let topics = [eid("10.1.0.0/24"), eid("10.1.1.0/24"), eid("10.1.2.0/24")]
    var sent = solicitor.announce(topics, to: [Sample.remote], now: start).datagrams.map { (at: start, datagram: $0) }
    // Announced again in between: no faster for that.
    sent += solicitor.announce([topics[0]], to: [Sample.remote], now: at(1)).datagrams.map { (at: at(1), datagram: $0) }
    sent += try drain(&solicitor, from: at(1))
    for (a, b) in zip(sent, sent.dropFirst()) { #expect(a.at.duration(to: b.at) >= .seconds(3)) }
    var told: [EIDPrefix: Int] = [:]
    for (_, datagram) in sent { told[try #require(request(datagram).records.first?.eidPrefix), default: 0] += 1 }
    #expect(told == [topics[0]: 6, topics[1]: 5, topics[2]: 5])
    #expect(solicitor.topicCount == 0 && sent.count == 16)
    #expect(try request(sent[1].datagram).records.first?.eidPrefix == topics[1], "topics take turns")
  }

  @Test func `C6 a peer without topics is not told faster for having been forgotten`() throws {
    var solicitor = solicitor()
    _ = solicitor.announce([eid("10.1.0.0/24")], to: [Sample.remote], now: start)
    solicitor.receiveInvoked(
      MapRequest(
        nonce: 1, flags: .invokedBySolicit, itrRLOCs: [.ip(Sample.remote)], records: [MapRequest.Record(eid("10.1.0.0/24"))]))
    #expect(solicitor.topicCount == 0)
    #expect(solicitor.announce([eid("10.1.0.0/24")], to: [Sample.remote], now: at(1)) == [])
    #expect(solicitor.tick(now: at(2.9)) == [])
    #expect(solicitor.tick(now: at(3)).datagrams.count == 1)
  }

  @Test func `C6 a peer that asks is told no more of what it asked for, and others are`() throws {
    var solicitor = solicitor()
    let peers = [Sample.remote, address("203.0.113.10")]
    _ = solicitor.announce([eid("10.1.0.0/24"), eid("10.2.0.0/24")], to: peers, now: start)
    let invoked = MapRequest(
      nonce: 1, flags: .invokedBySolicit, itrRLOCs: [.ip(Sample.remote)], records: [MapRequest.Record(eid("10.1.0.0/16"))])
    solicitor.receiveInvoked(invoked)
    #expect(solicitor.topicCount == 3)
    let sent = try drain(&solicitor, from: start)
    for (_, datagram) in sent where datagram.destination.address == Sample.remote {
      #expect(try request(datagram).records.first?.eidPrefix == eid("10.2.0.0/24"))
    }
    #expect(sent.count { $0.datagram.destination.address == Sample.remote } == 5)
    #expect(sent.count { $0.datagram.destination.address != Sample.remote } == 9)
  }

  @Test func `C6 thirty thousand topics of one peer are told in turn, each once before any comes again`() throws {
    var solicitor = solicitor()
    let topics = (0..<30_000).map { EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(rawValue: 0x0A01_0000 + UInt32($0))))) }
    var sent = solicitor.announce(topics, to: [Sample.remote], now: start).datagrams
    // Announced again: they keep their places.
    sent += solicitor.announce(topics, to: [Sample.remote], now: at(1)).datagrams
    #expect(solicitor.topicCount == 30_000)
    for i in 1..<topics.count { sent += solicitor.tick(now: at(Double(3 * i))).datagrams }
    #expect(try sent.map { try request($0).records.compactMap(\.eidPrefix) } == topics.map { [$0] })
    let all = MapRequest(
      nonce: 1, flags: .invokedBySolicit, itrRLOCs: [.ip(Sample.remote)], records: [MapRequest.Record(eid("10.0.0.0/8"))])
    solicitor.receiveInvoked(all)
    #expect(solicitor.topicCount == 0 && solicitor.tick(now: at(3 * 30_000)) == [])
  }

  @Test func `our own RLOCs and those of a family that we do not have are told nothing`() {
    var solicitor = solicitor()
    #expect(solicitor.announce([eid("10.1.0.0/24")], to: [Sample.ownRLOC, address("2001:db8::9")], now: start) == [])
    #expect(solicitor.nextDeadline(start) == nil)
  }

  @Test func `C10 more topics than a bound are refused`() {
    var solicitor = solicitor()
    let peers = (0..<700).map { IPAddress.v4(IPv4Address(rawValue: 0xCB00_7100 + UInt32($0))) }
    let topics = (0..<100).map { EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(rawValue: 0x0A01_0000 + UInt32($0))))) }
    let actions = solicitor.announce(topics, to: peers, now: start)
    #expect(solicitor.topicCount == 65_536 && actions.refusals == [.tooMany])
    #expect(actions.datagrams.count == 100, "the rate over all peers")
  }

  // MARK: - Receiving

  private func smr(_ prefix: String, source: AFIAddress = .none) -> MapRequest {
    MapRequest(nonce: 7, flags: .solicit, sourceEID: source, itrRLOCs: [.ip(Sample.remote)], records: [MapRequest.Record(eid(prefix))])
  }

  private func cache(_ prefixes: [String]) -> (EIDPrefix) -> [EIDPrefix] {
    { named in prefixes.map { eid($0) }.filter { $0.overlaps(named) } }
  }

  @Test func `C6 nothing happens for an EID that is not cached`() {
    var solicitor = solicitor()
    #expect(solicitor.receiveSMR(smr("10.2.0.0/24"), now: start, cached: cache(["10.3.0.0/24"])) == [.refused(.notCached)])
  }

  @Test func `C6 a cached EID is asked for through the mapping system, at most once in three seconds`() {
    var solicitor = solicitor()
    let cached = cache(["10.2.0.0/24"])
    #expect(solicitor.receiveSMR(smr("10.2.0.0/24"), now: start, cached: cached) == [.ask(eid("10.2.0.0/24"))])
    for second in [0, 1, 2.99] {
      #expect(solicitor.receiveSMR(smr("10.2.0.0/24"), now: at(second), cached: cached) == [.refused(.tooMany)])
    }
    #expect(solicitor.receiveSMR(smr("10.2.0.0/24"), now: at(3), cached: cached) == [.ask(eid("10.2.0.0/24"))])
  }

  @Test func `C6 the more specific of what is told and what is cached is asked for`() {
    var solicitor = solicitor()
    #expect(solicitor.receiveSMR(smr("10.2.0.7/32"), now: start, cached: cache(["10.2.0.0/24"])) == [.ask(eid("10.2.0.7/32"))])
    let parts = cache(["10.4.1.0/24", "10.4.2.0/24"])
    #expect(solicitor.receiveSMR(smr("10.4.0.0/16"), now: start, cached: parts) == [.ask(eid("10.4.1.0/24")), .ask(eid("10.4.2.0/24"))])
  }

  @Test func `C6 the changed EID may stand in the record or in the source EID`() {
    var solicitor = solicitor()
    let request = smr("10.1.0.1/32", source: .ip(address("10.2.0.9")))
    #expect(solicitor.receiveSMR(request, now: start, cached: cache(["10.2.0.0/24"])) == [.ask(eid("10.2.0.9/32"))])
    let both = smr("10.3.0.0/24", source: .ip(address("10.3.0.0")))
    #expect(solicitor.receiveSMR(both, now: start, cached: cache(["10.3.0.0/24"])) == [.ask(eid("10.3.0.0/24"))])
  }

  @Test func `C6 a flood of solicitations causes a hundred requests a second`() {
    var solicitor = solicitor()
    var asked = 0
    for i in 0..<10_000 {
      let prefix = EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(rawValue: 0x0A02_0000 + UInt32(i)))))
      let request = MapRequest(nonce: 7, flags: .solicit, itrRLOCs: [.ip(Sample.remote)], records: [MapRequest.Record(prefix)])
      let actions = solicitor.receiveSMR(request, now: at(Double(i) / 1000), cached: { [$0] })
      asked += actions.count { if case .ask = $0 { true } else { false } }
    }
    #expect(asked > 1000 && asked <= 1100)
  }
}
