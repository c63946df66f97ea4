// SPDX-License-Identifier: Apache-2.0

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct ResolverTests {
  // MARK: - Asking

  @Test func `C1 an unanswered request is sent ten times, ever more slowly, and given up 30 seconds after the last`() throws {
    var resolver = Sample.resolver()
    var sends = [start]
    #expect(resolver.miss("10.2.0.1", now: start).datagram != nil)
    var gaveUpAt: Instant?
    while let deadline = resolver.nextDeadline(start) {
      for action in resolver.tick(now: deadline) {
        switch action {
        case .send: sends.append(deadline)
        case .gaveUp(let eid):
          #expect(eid == ControlPlaneTests.eid("10.2.0.1/32"))
          gaveUpAt = deadline
        default: Issue.record("\(action)")
        }
      }
    }
    let gaps = zip(sends, sends.dropFirst()).map { $0.duration(to: $1) / .seconds(1) }
    let expected: [Double] = [1, 2, 4, 8, 16, 30, 30, 30, 30]
    #expect(gaps.count == expected.count)
    for (gap, least) in zip(gaps, expected) { #expect(gap >= least && gap <= least * 1.1) }
    #expect(try #require(sends.last).duration(to: try #require(gaveUpAt)) >= .seconds(30))
    #expect(resolver.outstandingCount == 0 && resolver.counters.gaveUp == 1)
    #expect(resolver.checkInvariants() == [])
  }

  @Test func `C1 packets to one EID cause one request`() {
    var resolver = Sample.resolver()
    #expect(resolver.miss("10.2.0.1", now: start).datagram != nil)
    for i in 1...100 { #expect(resolver.miss("10.2.0.1", now: at(Double(i) / 200)) == .wait(send: nil)) }
    #expect(resolver.miss("10.2.0.1", in: 7, now: at(0.6)).datagram != nil, "another instance is another EID")
    #expect(resolver.counters.requestsSent == 2)
  }

  @Test func `C1 a miss under a prefix that is being asked for waits for that answer, but not for a second try of it`() throws {
    var resolver = Sample.resolver()
    #expect(resolver.refresh(eid("10.2.0.0/16"), now: start).datagrams.count == 1)
    #expect(resolver.miss("10.2.3.4", now: at(0.5)) == .wait(send: nil))
    #expect(resolver.miss("10.3.3.4", now: at(0.5)).datagram != nil, "outside of the prefix")
    _ = resolver.tick(now: try #require(resolver.nextDeadline(at(0.5))))
    #expect(resolver.miss("10.2.3.4", now: at(1.2)).datagram != nil)
  }

  @Test func `C1 a prefix that is answered and missed again is asked for a second after the last request`() throws {
    var resolver = Sample.resolver()
    let nonce = try resolver.nonce("10.2.0.1", now: start)
    let reply = MapReply(nonce: nonce, records: [Sample.record("10.2.0.1/32", ttl: 0)])
    #expect(resolver.receive(reply, Sample.arrival, now: at(0.1)).installs.count == 1)
    #expect(resolver.miss("10.2.0.1", now: at(0.2)) == .wait(send: nil))
    #expect(resolver.tick(now: at(0.99)) == [])
    let again = try request(resolver.tick(now: at(1)).datagrams.first)
    #expect(again.nonce != nonce)
    #expect(resolver.receive(reply, Sample.arrival, now: at(1.1)) == [.refused(.unknownNonce)])
    #expect(resolver.checkInvariants() == [])
  }

  @Test func `C1 a second after its last request an answered prefix is asked for at once`() throws {
    var resolver = Sample.resolver()
    for second in [0, 1, 5] as [Double] {
      let nonce = try resolver.nonce("10.2.0.1", now: at(second))
      _ = resolver.receive(MapReply(nonce: nonce, records: [Sample.record("10.2.0.0/24")]), Sample.arrival, now: at(second + 0.1))
      #expect(resolver.outstandingCount == 0 && resolver.nextDeadline(at(second + 0.1)) == nil)
    }
  }

  @Test func `C1 a second is kept between requests, whatever else is answered in between`() throws {
    var resolver = Sample.resolver()
    var last: Instant?
    for i in 0..<400 {
      let now = at(Double(i) * 0.05)
      let other = try resolver.nonce("10.3.\(i / 250).\(i % 250)", now: now)
      _ = resolver.receive(MapReply(nonce: other, records: [Sample.record("10.3.\(i / 250).\(i % 250)/32")]), Sample.arrival, now: now)
      var datagrams = resolver.tick(now: now).datagrams
      if i > 0, i % 10 == 0, let datagram = resolver.miss("10.2.0.1", now: now).datagram { datagrams.append(datagram) }
      for datagram in datagrams {
        if let last { #expect(last.duration(to: now) == .seconds(1)) }
        last = now
        let reply = MapReply(nonce: try request(datagram).nonce, records: [Sample.record("10.2.0.1/32", ttl: 0)])
        #expect(resolver.receive(reply, Sample.arrival, now: now).installs.count == 1)
      }
    }
    #expect(last == at(19.5))
  }

  @Test func `C2 a request travels in an Encapsulated Control Message between the EIDs with a checksum`() throws {
    var resolver = Sample.resolver()
    let datagram = try #require(resolver.miss("10.2.0.1", now: start).datagram)
    #expect(datagram.destination == Endpoint(Sample.resolverA) && datagram.source == Sample.ownRLOC)
    guard case .encapsulated(let envelope) = try ControlMessage(parsing: datagram.payload) else {
      Issue.record("not encapsulated")
      return
    }
    #expect(envelope.hasChecksum && envelope.source == Sample.host && envelope.destination == address("10.2.0.1"))
    #expect(envelope.sourcePort == 4342 && envelope.destinationPort == 4342)
    let message = try request(datagram)
    #expect(message.sourceEID == .ip(Sample.host) && message.itrRLOCs == [.ip(Sample.ownRLOC), .ip(Sample.ownRLOC6)])
    #expect(message.records.map(\.eidPrefix) == [eid("10.2.0.1/32")] && message.flags == [] && message.identity == nil)
  }

  @Test func `C2 without a source of the EID's family the envelope is between RLOCs`() throws {
    var resolver = Sample.resolver()
    resolver.setRLOCs([Sample.ownRLOC])
    let datagram = try #require(resolver.refresh(eid("2001:db8:2::/48", in: 9), now: start).datagrams.first)
    guard case .encapsulated(let envelope) = try ControlMessage(parsing: datagram.payload) else {
      Issue.record("not encapsulated")
      return
    }
    #expect(envelope.source == Sample.ownRLOC && envelope.destination == Sample.resolverA)
    let message = try request(datagram)
    #expect(message.sourceEID == .none && message.records.map(\.eidPrefix) == [eid("2001:db8:2::/48", in: 9)])
  }

  @Test func `Map-Resolvers take turns until one answers, which is then asked first`() throws {
    var resolver = Sample.resolver()
    let first = try #require(resolver.miss("10.2.0.1", now: start).datagram)
    let deadline = try #require(resolver.nextDeadline(start))
    let second = try #require(resolver.tick(now: deadline).datagrams.first)
    #expect(first.destination.address == Sample.resolverA && second.destination.address == Sample.resolverB)
    #expect(try request(first).nonce == request(second).nonce, "an answer to either try counts")
    let reply = MapReply(nonce: try request(first).nonce, records: [Sample.record("10.2.0.0/24")])
    #expect(resolver.receive(reply, Sample.arrival, now: deadline).installs.count == 1)
    #expect(resolver.miss("10.3.0.1", now: deadline).datagram?.destination.address == Sample.resolverB)
  }

  @Test func `a Map-Resolver whose family we have no RLOC of is passed over`() {
    var resolver = Sample.resolver(resolvers: [address("2001:db8::1"), Sample.resolverB])
    resolver.setRLOCs([Sample.ownRLOC])
    #expect(resolver.miss("10.2.0.1", now: start).datagram?.destination.address == Sample.resolverB)
    resolver.setRLOCs([])
    #expect(resolver.miss("10.3.0.1", now: start) == .wait(send: nil))
    resolver.setResolvers([])
    #expect(resolver.miss("10.4.0.1", now: start) == .drop(.noMapResolver))
    #expect(resolver.outstandingCount == 2)
  }

  @Test func `C6 a solicited request says so`() throws {
    var resolver = Sample.resolver()
    let sent = try request(resolver.solicited(eid("10.2.0.0/24"), now: start).datagrams.first)
    #expect(sent.flags == .invokedBySolicit && sent.sourceEID == .none)
    #expect(resolver.solicited(eid("10.2.0.0/24"), now: at(0.5)) == [], "it is being asked for")
  }

  // MARK: - Bounds

  @Test func `misses beyond the rate are refused and counted, and do not starve the tries of older requests`() throws {
    var limits = Resolver.Limits()
    limits.requestsPerSecond = 100
    limits.burst = 40
    var resolver = Sample.resolver(limits)
    #expect(resolver.miss("10.0.0.1", now: start).datagram != nil)
    var tries: [Instant] = []
    var refused = 0
    // A storm of new EIDs at twenty times the rate, for three seconds; it has every token before a tick comes.
    for i in 0..<6000 {
      let now = at(Double(i) / 2000)
      let answer = resolver.miss(eid: .v4(IPv4Address(rawValue: 0x0B00_0000 + UInt32(i))), in: .zero, source: nil, now: now)
      if answer == .drop(.tooManyRequests) { refused += 1 }
      for action in i % 40 == 0 ? resolver.tick(now: now) : [] {
        guard case .send(let datagram) = action, try request(datagram).records.first?.eidPrefix == eid("10.0.0.1/32") else { continue }
        tries.append(now)
      }
    }
    #expect(tries.count == 1 && tries[0] <= at(1.5), "due at 1.1 s at the latest, at most 39 others before it; the next is due at 3 s")
    #expect(resolver.counters.tooMany == UInt64(refused))
    #expect(resolver.counters.requestsSent <= 340 && resolver.counters.requestsSent > 250)
    #expect(resolver.checkInvariants() == [])
  }

  @Test func `no more than so many requests are outstanding`() {
    var limits = Resolver.Limits()
    limits.maximumOutstanding = 100
    var resolver = Sample.resolver(limits)
    for i in 0..<200 {
      let answer = resolver.miss(eid: .v4(IPv4Address(rawValue: 0x0B00_0000 + UInt32(i))), in: .zero, source: nil, now: start)
      #expect((answer == .drop(.tooManyRequests)) == (i >= 100))
    }
    #expect(resolver.outstandingCount == 100 && resolver.counters.tooMany == 100)
  }

  @Test func `a tick sees to a bounded number of requests, and the next deadline never lies before a request may be sent`() throws {
    var resolver = Sample.resolver()
    for i in 0..<700 { _ = resolver.miss(eid: .v4(IPv4Address(rawValue: 0x0B00_0000 + UInt32(i))), in: .zero, source: nil, now: start) }
    #expect(resolver.tick(now: at(2)).count == 256)
    #expect(try #require(resolver.nextDeadline(at(2))) <= at(2))
    #expect(resolver.tick(now: at(2)).count == 256)
    #expect(resolver.tick(now: at(2)).count == 188)
    #expect(try #require(resolver.nextDeadline(at(2))) > at(2))
  }

  @Test func `packets do not wait for a destination that has been silent for three tries`() throws {
    var resolver = Sample.resolver()
    _ = resolver.miss("10.2.0.1", now: start)
    var now = start
    for _ in 0..<2 {
      now = try #require(resolver.nextDeadline(now))
      _ = resolver.tick(now: now)
      #expect(resolver.miss("10.2.0.1", now: now) == .wait(send: nil))
    }
    now = try #require(resolver.nextDeadline(now))
    _ = resolver.tick(now: now)
    #expect(resolver.miss("10.2.0.1", now: now) == .drop(.unanswered))
  }

  // MARK: - Facts

  @Test func `what is outstanding and what was lately resolved can be told, and no more than that is kept`() throws {
    var limits = Resolver.Limits()
    limits.historyCount = 3
    var resolver = Sample.resolver(limits)
    for i in 1...5 {
      let nonce = try resolver.nonce("10.2.0.\(i)", now: at(Double(i)))
      _ = resolver.receive(MapReply(nonce: nonce, records: [Sample.record("10.2.0.\(i)/32")]), Sample.arrival, now: at(Double(i) + 0.25))
    }
    #expect(resolver.history.map(\.eid) == [5, 4, 3].map { eid("10.2.0.\($0)/32") })
    let last = try #require(resolver.facts(eid("10.2.0.5/32")))
    #expect(last.outcome == .answered && last.answeredBy == Endpoint(Sample.remote) && last.lastReplyAt == at(5.25) && last.tries == 1)
    #expect(last.lastResolver == Sample.resolverA && last.lastRequestAt == at(5))
    #expect(resolver.facts(eid("10.2.0.1/32")) == nil)
    _ = resolver.miss("10.3.0.2", now: at(6))
    _ = resolver.miss("10.3.0.1", now: at(6))
    #expect(resolver.outstanding(limit: 9).map(\.eid) == [eid("10.3.0.1/32"), eid("10.3.0.2/32")])
    #expect(resolver.outstanding(after: eid("10.3.0.1/32"), limit: 1).map(\.eid) == [eid("10.3.0.2/32")])
    #expect(try #require(resolver.facts(eid("10.3.0.1/32"))?.nextTryAt) >= at(7))
  }
}
