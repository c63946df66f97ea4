// SPDX-License-Identifier: Apache-2.0

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct ProberTests {
  private static let prefix = eid("10.2.0.0/24", in: 3)

  private func prober(_ rlocs: [IPAddress] = [Sample.remote], seed: UInt64 = 1) -> Prober {
    var prober = Prober(random: NonceSource(seed: seed))
    prober.setRLOCs([Sample.ownRLOC, Sample.ownRLOC6])
    for rloc in rlocs { prober.setTarget(rloc, eid: Self.prefix, now: start) }
    return prober
  }

  private func answer(_ request: MapRequest, isAuthoritative: Bool = true) -> MapReply {
    var record = Sample.record("10.2.0.0/24", in: 3)
    record.isAuthoritative = isAuthoritative
    return MapReply(nonce: request.nonce, flags: .probe, records: [record])
  }

  /// Lets time pass until `end`: probes that `isAnswered` says yes to are answered after `roundTrip`.
  private func run(
    _ prober: inout Prober, from: Instant, to end: Instant, roundTrip: Duration = .milliseconds(20), isAnswered: (Instant) -> Bool
  ) throws -> (sent: [Instant], changes: [(at: Instant, action: ITRAction)]) {
    var now = from
    var answers: [(at: Instant, reply: MapReply)] = []
    var sent: [Instant] = []
    var changes: [(at: Instant, action: ITRAction)] = []
    while true {
      let next = [prober.nextDeadline(now), answers.first?.at].compactMap { $0 }.min() ?? end
      guard next < end else { return (sent, changes) }
      now = max(now, next)
      var actions: [ITRAction] = []
      if let first = answers.first, first.at <= now {
        answers.removeFirst()
        actions = prober.receive(first.reply, now: now)
      } else {
        actions = prober.tick(now: now)
      }
      for action in actions {
        switch action {
        case .send(let datagram):
          sent.append(now)
          if isAnswered(now) { answers.append((now + roundTrip, answer(try request(datagram)))) }
        case .refused: break
        default: changes.append((now, action))
        }
      }
      #expect(prober.checkInvariants() == [])
    }
  }

  @Test func `C7 a probe goes to the RLOC itself, not encapsulated, from our RLOC of its family`() throws {
    var prober = prober([Sample.remote, address("2001:db8:9::9")])
    let datagrams = prober.tick(now: at(10)).datagrams
    #expect(Set(datagrams.map(\.destination)) == [Endpoint(Sample.remote), Endpoint(address("2001:db8:9::9"))])
    for datagram in datagrams {
      guard case .mapRequest(let request) = try ControlMessage(parsing: datagram.payload) else {
        Issue.record("encapsulated")
        continue
      }
      let source = datagram.destination.address.family == .ipv4 ? Sample.ownRLOC : Sample.ownRLOC6
      #expect(datagram.source == source && request.itrRLOCs == [.ip(source)])
      #expect(request.flags == .probe && request.sourceEID == .none && request.records.map(\.eidPrefix) == [Self.prefix])
    }
  }

  @Test(arguments: 0..<5) func `C7 a locator that answers is probed once an interval, jittered`(_ seed: UInt64) throws {
    var prober = prober(seed: seed)
    let (sent, changes) = try run(&prober, from: start, to: at(600)) { _ in true }
    #expect(changes.map(\.action) == [.reachability(Sample.remote, isUp: true, .answered(roundTrip: .milliseconds(20)))])
    let gaps = zip(sent, sent.dropFirst()).map { $0.duration(to: $1) }
    #expect(gaps.allSatisfy { $0 >= .seconds(8) && $0 <= .seconds(10) + .milliseconds(20) })
    #expect(Set(gaps).count > gaps.count / 2, "jitter")
    #expect(sent[0] < at(10))
  }

  @Test(arguments: 0..<20) func `C7 a failure is known within an interval and a second, and the return within an interval`(_ seed: UInt64)
    throws
  {
    var prober = prober(seed: seed)
    let (failure, back) = (at(30 + Double(seed) * 0.613), at(75))
    let (_, changes) = try run(&prober, from: start, to: at(120)) { $0 < failure || $0 >= back }
    #expect(changes.count == 3)
    #expect(changes[1].action == .reachability(Sample.remote, isUp: false, .unanswered(probes: 3)))
    #expect(failure.duration(to: changes[1].at) <= .seconds(11))
    #expect(changes[2].action == .reachability(Sample.remote, isUp: true, .answered(roundTrip: .milliseconds(20))))
    #expect(back.duration(to: changes[2].at) <= .seconds(11))
  }

  @Test func `C7 a locator that stays down is probed ever less often, and at four times the interval at the least`() throws {
    var prober = prober()
    let (sent, changes) = try run(&prober, from: start, to: at(1800)) { _ in false }
    #expect(changes.map(\.action) == [.reachability(Sample.remote, isUp: false, .unanswered(probes: 3))])
    let gaps = zip(sent, sent.dropFirst()).map { $0.duration(to: $1) / .seconds(1) }
    #expect(gaps[0] == 0.3 && gaps[1] == 0.3)
    #expect(gaps[2..<8].allSatisfy { $0 >= 8 && $0 <= 11 } && gaps[10..<13].allSatisfy { $0 >= 16 && $0 <= 21 })
    #expect(gaps[15...].allSatisfy { $0 >= 32 && $0 <= 41 })
  }

  @Test func `C7 a long round trip is not taken for a failure twice`() throws {
    var prober = prober()
    let (_, changes) = try run(&prober, from: start, to: at(300), roundTrip: .milliseconds(1200)) { _ in true }
    #expect(changes.count == 2, "down once, for nothing is known of the round trip before the first answer")
    guard case .reachability(_, isUp: true, .answered(let roundTrip)) = changes[1].action else {
      Issue.record("\(changes)")
      return
    }
    #expect(roundTrip == .milliseconds(1200))
  }

  @Test func `C7 an answer or two that were held up on their way do not make the prober patient, a path that has become long does`() throws
  {
    var prober = prober()
    let first = try request(prober.tick(now: at(10)).datagrams.first)
    _ = prober.receive(answer(first), now: at(10.001))
    for (i, patience) in [0.3, 0.3, 0.6, 1.2, 2.4, 2.85].enumerated() {
      let now = 20 + 20 * Double(i)
      let late = try request(prober.tick(now: at(now)).datagrams.first)
      _ = prober.receive(answer(late), now: at(now + 1.9))
      #expect(prober.facts(Sample.remote)?.roundTrip == .milliseconds(1900))
      #expect(prober.tick(now: at(now + 12)).datagrams.count == 1)
      let deadline = try #require(prober.nextDeadline(at(now + 12)))
      #expect(abs(at(now + 12).duration(to: deadline) / .seconds(1) - patience) < 1e-6, "after \(i + 1)")
    }
  }

  @Test func `C7 E18 a probe leaves from the RLOC that packets to the locator leave from, else from the first of its family`() throws {
    var prober = prober([Sample.remote, address("203.0.113.10")])
    let way = address("192.0.2.200")
    let datagrams = prober.tick(now: at(10)) { $0 == Sample.remote ? way : nil }.datagrams
    let sources = Dictionary(uniqueKeysWithValues: datagrams.map { ($0.destination.address, $0.source) })
    #expect(sources == [Sample.remote: way, address("203.0.113.10"): Sample.ownRLOC])
    for datagram in datagrams {
      #expect(try request(datagram).itrRLOCs == [.ip(try #require(datagram.source))], "the answer comes that way")
    }
  }

  @Test func `C7 an answer without a nonce of the round, doubled, or not authoritative changes nothing`() throws {
    var prober = prober()
    let first = try request(prober.tick(now: at(10)).datagrams.first)
    var forged = answer(first)
    forged.nonce ^= 1
    #expect(prober.receive(forged, now: at(10.01)) == [.refused(.unknownNonce)])
    var plain = answer(first)
    plain.flags = []
    #expect(prober.receive(plain, now: at(10.01)) == [.refused(.unknownNonce)])
    #expect(prober.receive(answer(first, isAuthoritative: false), now: at(10.01)) == [.refused(.badRecord)])
    #expect(prober.facts(Sample.remote)?.state == .unprobed)
    let second = try request(prober.tick(now: at(10.3)).datagrams.first)
    #expect(first.nonce != second.nonce)
    let up = ITRAction.reachability(Sample.remote, isUp: true, .answered(roundTrip: .milliseconds(350)))
    #expect(prober.receive(answer(first), now: at(10.35)) == [up], "either probe of the round")
    #expect(prober.receive(answer(first), now: at(10.36)) == [.refused(.unknownNonce)])
    #expect(prober.receive(answer(second), now: at(10.36)) == [.refused(.unknownNonce)])
  }

  @Test func `C7 a probe that is asked for leaves at once, but one a second at most`() throws {
    var prober = prober()
    let first = try request(prober.tick(now: at(10)).datagrams.first)
    _ = prober.receive(answer(first), now: at(10.1))
    prober.probeNow(Sample.remote, now: at(10.5))
    #expect(prober.nextDeadline(at(10.5)) == at(11))
    prober.probeNow(Sample.remote, now: at(14))
    #expect(prober.tick(now: at(14)).datagrams.count == 1)
    prober.probeNow(address("203.0.113.77"), now: at(14))
    prober.probeNow(Sample.remote, now: at(14.1))
    #expect(prober.tick(now: at(14.1)) == [], "a round is under way")
  }

  @Test func `C7 the answer to a probe that was asked for is told of, of a locator that is up as well, once`() throws {
    var prober = prober()
    func answered(at second: Double) throws -> [ITRAction] {
      prober.receive(answer(try request(prober.tick(now: at(second)).datagrams.first)), now: at(second + 0.02))
    }
    let up = [ITRAction.reachability(Sample.remote, isUp: true, .answered(roundTrip: .milliseconds(20)))]
    #expect(try answered(at: 10) == up)
    prober.probeNow(Sample.remote, now: at(14))
    #expect(try answered(at: 14) == up)
    #expect(try answered(at: 24.1) == [])
    let first = try request(prober.tick(now: at(35)).datagrams.first)
    prober.probeNow(Sample.remote, now: at(35.01))
    #expect(prober.receive(answer(first), now: at(35.02)) == up, "a round was under way")
  }

  @Test func `an RLOC that is not in use any more is not probed, and what is known of the others stays`() throws {
    var prober = prober([Sample.remote, address("203.0.113.10")])
    let sent = prober.tick(now: at(10)).datagrams
    for datagram in sent { _ = prober.receive(answer(try request(datagram)), now: at(10.1)) }
    prober.setTarget(Sample.remote, eid: eid("10.9.0.0/16"), now: at(11))
    prober.removeTarget(address("203.0.113.10"))
    #expect(prober.facts.map(\.rloc) == [Sample.remote])
    let facts = try #require(prober.facts(Sample.remote))
    #expect(facts.state == .up && facts.eid == eid("10.9.0.0/16") && facts.roundTrip == .milliseconds(100))
    #expect(facts.lastSentAt == at(10) && facts.lastAnswerAt == at(10.1))
    prober.removeTarget(Sample.remote)
    #expect(prober.nextDeadline(at(12)) == nil && prober.checkInvariants() == [])
  }

  @Test func `a locator of a family that we have no RLOC of is not probed and keeps its state`() throws {
    var prober = prober([address("2001:db8:9::9")])
    prober.setRLOCs([Sample.ownRLOC])
    let (sent, changes) = try run(&prober, from: start, to: at(100)) { _ in false }
    #expect(sent.isEmpty && changes.isEmpty)
  }

  @Test func `C7 five thousand locators are probed evenly and no faster than the rate`() throws {
    let rlocs = (0..<5000).map { IPAddress.v4(IPv4Address(rawValue: 0xCB00_0000 + UInt32($0))) }
    var prober = prober(rlocs)
    var perSecond: [Int: Int] = [:]
    var now = start
    while now < at(60) {
      for datagram in prober.tick(now: now).datagrams {
        perSecond[Int(start.duration(to: now) / .seconds(1)), default: 0] += 1
        _ = prober.receive(answer(try request(datagram)), now: now)
      }
      now = max(now + .milliseconds(1), try #require(prober.nextDeadline(now)))
    }
    #expect(perSecond.count == 60 && perSecond.values.allSatisfy { $0 > 300 && $0 <= 1100 }, "\(perSecond)")
    #expect(prober.facts.allSatisfy { $0.state == .up } && prober.checkInvariants() == [])
  }
}
