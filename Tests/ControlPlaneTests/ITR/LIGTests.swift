// SPDX-License-Identifier: Apache-2.0

import MapCache
import Testing
import Wire

@testable import ControlPlane

@Suite struct LIGTests {
  private func lig() throws -> LIG {
    try #require(
      LIG(
        address("10.2.0.1"), in: InstanceID(truncating: 6), resolver: Sample.resolverA, rlocs: [Sample.ownRLOC],
        random: NonceSource(seed: 1)))
  }

  @Test func `C13 one EID is asked for, encapsulated, and the answer is the result`() throws {
    var lig = try lig()
    #expect(lig.nextDeadline == nil)
    let datagram = lig.tick(now: start)
    let sent = try request(datagram)
    #expect(datagram?.destination == Endpoint(Sample.resolverA) && sent.records.map(\.eidPrefix) == [eid("10.2.0.1/32", in: 6)])
    #expect(sent.itrRLOCs == [.ip(Sample.ownRLOC)])
    let reply = MapReply(nonce: sent.nonce, records: [Sample.record("10.2.0.0/24", in: 6)])
    #expect(lig.receive(reply, Sample.arrival, now: at(0.02)) == nil)
    #expect(lig.result == .answered(reply, from: Endpoint(Sample.remote), after: .milliseconds(20), tries: 1))
    #expect(lig.nextDeadline == nil && lig.tick(now: at(10)) == nil)
    #expect(lig.receive(reply, Sample.arrival, now: at(11)) == .unknownNonce)
  }

  @Test func `C13 three tries two seconds apart and it ends`() throws {
    var lig = try lig()
    var sent: [Instant] = []
    var now = start
    while lig.result == nil {
      if lig.tick(now: now) != nil { sent.append(now) }
      now = lig.nextDeadline ?? now
    }
    #expect(sent == [start, at(2), at(4)] && now == at(6) && lig.result == .unanswered(tries: 3))
  }

  @Test func `C13 what is no answer changes nothing`() throws {
    var lig = try lig()
    let nonce = try request(lig.tick(now: start)).nonce
    let record = Sample.record("10.2.0.0/24", in: 6)
    #expect(lig.receive(MapReply(nonce: nonce ^ 1, records: [record]), Sample.arrival, now: start) == .unknownNonce)
    #expect(lig.receive(MapReply(nonce: nonce, flags: .probe, records: [record]), Sample.arrival, now: start) == .unknownNonce)
    for records in [[], [Sample.record("10.2.0.0/24")], [Sample.record("10.3.0.0/24", in: 6)]] {
      #expect(lig.receive(MapReply(nonce: nonce, records: records), Sample.arrival, now: start) == .badRecord)
    }
    #expect(lig.result == nil)
  }

  @Test func `C13 without an RLOC of the Map-Resolver's family nothing can be asked`() {
    #expect(LIG(address("10.2.0.1"), in: .zero, resolver: Sample.resolverA, rlocs: [Sample.ownRLOC6]) == nil)
  }
}
