// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct ETRResponderTests {
  private static let own = IPAddress.v4(IPv4Address(192, 0, 2, 1))
  private static let other = IPAddress.v4(IPv4Address(192, 0, 2, 2))
  private static let itr = IPAddress.v4(IPv4Address(198, 51, 100, 7))
  private static let itr6 = IPAddress.v6(IPv6Address(high: 0x2001_0db8_0000_0000, low: 7))
  private static let arrival = Arrival(from: Endpoint(itr, port: 50_000), to: own)
  private static let now = Simulation.start
  private static let ours = EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 1, 0, 0)), length: 16))
  private static let inside = EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 1, 1, 0)), length: 24))
  private static let host = EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(10, 1, 7, 7))))
  private static let foreign = EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(10, 2, 7, 7))))

  private let database: SiteDatabase
  private struct Unexpected: Error {}

  init() throws {
    var database = SiteDatabase()
    let locators = [SiteLocator(Self.own), SiteLocator(Self.other, isLocal: false)]
    _ = try database.replace(with: [Self.ours: locators, Self.inside: [SiteLocator(Self.own)]])
    self.database = database
  }

  private func request(_ eid: EIDPrefix = host, flags: MapRequest.Flags = [], rlocs: [IPAddress] = [itr]) -> MapRequest {
    MapRequest(nonce: 0xABCD, flags: flags, itrRLOCs: rlocs.map { .ip($0) }, records: [.init(eid)])
  }

  private func receive(_ request: MapRequest, _ arrival: Arrival = arrival) -> [SiteAction] {
    var responder = SiteResponder(random: NonceSource(seed: 1))
    return responder.receive(request, arrival, database, now: Self.now)
  }

  /// The only action: a Map-Reply.
  private func reply(_ actions: [SiteAction]) throws -> (MapReply, Datagram) {
    guard actions.count == 1, case .send(let datagram) = actions[0],
      case .mapReply(let reply) = try ControlMessage(parsing: datagram.payload)
    else { throw Unexpected() }
    return (reply, datagram)
  }

  @Test func `a Map-Request is answered with nonce and A bit, more specific prefixes too, at its source port`() throws {
    let (reply, datagram) = try reply(receive(request()))
    #expect(reply.nonce == 0xABCD && reply.flags == [])
    #expect(reply.records == [database.record(of: Self.ours), database.record(of: Self.inside)])
    #expect(reply.records.allSatisfy { $0.isAuthoritative && $0.ttl == 1440 })
    #expect(datagram.destination == Endpoint(Self.itr, port: 50_000) && datagram.source == nil)
  }

  @Test func `R bits follow reachability`() throws {
    var database = database
    var mappings = Dictionary(uniqueKeysWithValues: database.prefixes.map { ($0, database.locators(of: $0)) })
    for eid in database.prefixes {
      for i in database.locators(of: eid).indices where mappings[eid]?[i].address == Self.other { mappings[eid]?[i].isReachable = false }
    }
    _ = try database.replace(with: mappings)
    var responder = SiteResponder(random: NonceSource(seed: 1))
    let (reply, _) = try reply(responder.receive(request(), Self.arrival, database, now: Self.now))
    #expect(reply.records[0].locators.map(\.flags) == [[.local, .reachable], []])
  }

  @Test func `a Map-Request from a Map-Server is answered at the ITR-RLOC and the inner source port`() throws {
    var responder = SiteResponder(echoNonceCapable: true, random: NonceSource(seed: 1))
    let message = try #require(
      EncapsulatedControlMessage(
        source: .v4(IPv4Address(10, 9, 0, 1)), destination: Self.host.prefix.address, sourcePort: 41_000,
        message: ControlMessage.mapRequest(request()).bytes))
    let server = Arrival(from: Endpoint(.v4(IPv4Address(203, 0, 113, 1))), to: Self.own)
    let (reply, datagram) = try reply(responder.receive(message, server, database, now: Self.now))
    #expect(datagram.destination == Endpoint(Self.itr, port: 41_000) && reply.nonce == 0xABCD)
    #expect(reply.flags == .echoNonceCapable)
  }

  @Test func `C10 what an encapsulated message may not have in it is refused`() throws {
    func receive(_ bytes: [UInt8]) throws -> [SiteAction] {
      var responder = SiteResponder(random: NonceSource(seed: 1))
      let message = EncapsulatedControlMessage(source: Self.itr, destination: Self.own, sourcePort: 41_000, message: bytes)
      return responder.receive(try #require(message), Self.arrival, database, now: Self.now)
    }
    #expect(try receive(ControlMessage.mapRequest(request(flags: .probe)).bytes) == [.refused(.notForUs)])
    #expect(try receive(ControlMessage.mapRequest(request(flags: .solicit)).bytes) == [.refused(.notForUs)])
    #expect(try receive(ControlMessage.mapReply(MapReply(nonce: 1, records: [])).bytes) == [.refused(.notForUs)])
    let whole = ControlMessage.mapRequest(request()).bytes
    for count in 0..<whole.count { #expect(try receive(Array(whole.prefix(count))) == [.refused(.malformed)]) }
    #expect(try receive(whole + [0]) == [.refused(.malformed)])
  }

  @Test func `the reply goes to the first ITR-RLOC of a family that we have and that can be reached`() throws {
    let second = IPAddress.v4(IPv4Address(198, 51, 100, 8))
    let (_, datagram) = try reply(
      receive(request(rlocs: [Self.itr6, .v4(IPv4Address(224, 0, 0, 5)), .v4(IPv4Address(0, 0, 0, 0)), second])))
    #expect(datagram.destination.address == second)
  }

  @Test func `C9 a request without a usable ITR-RLOC is refused`() {
    for bad in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.1.1", "2001:db8::7"].compactMap({ IPAddress($0) }) {
      #expect(receive(request(rlocs: [bad])) == [.refused(.badLocator)], "\(bad)")
    }
    var nowhere = request()
    nowhere.itrRLOCs = [.none]
    #expect(receive(nowhere) == [.refused(.badLocator)])
  }

  @Test func `no reply goes to the data port or to port 0`() {
    for port in [UInt16(0), LISPPort.data] {
      let arrival = Arrival(from: Endpoint(Self.itr, port: port), to: Self.own)
      #expect(receive(request(), arrival) == [.refused(.malformed)])
      #expect(receive(request(flags: .probe), arrival) == [.refused(.malformed)])
    }
  }

  @Test func `C10 an EID that is not ours, or no IP prefix, is refused`() {
    #expect(receive(request(Self.foreign)) == [.refused(.notForUs)])
    #expect(receive(request(EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 0, 0, 0)), length: 8)))) == [.refused(.notForUs)])
    var odd = request()
    odd.records[0].maskLength = 33
    #expect(receive(odd) == [.refused(.badRecord)])
    odd.records = []
    #expect(receive(odd) == [.refused(.badRecord)])
  }

  @Test func `several records are answered in one reply, those that are not ours left out`() throws {
    var several = request()
    several.records = [.init(Self.foreign), .init(Self.inside), .init(Self.host), .init(Self.host)]
    let (reply, _) = try reply(receive(several))
    #expect(reply.records.map(\.eidPrefix) == [Self.inside, Self.ours])
  }

  @Test func `a request that wants no reply gets none, and nothing is counted`() { #expect(receive(request(flags: .dontMapReply)) == []) }

  @Test func `C6 an SMR-invoked Map-Request is told to the solicitor, and answered like any other`() throws {
    let invoked = request(flags: .invokedBySolicit)
    let actions = receive(invoked)
    #expect(actions.first == .invoked(invoked))
    #expect(try reply(Array(actions.dropFirst())).0.records.count == 2)
    let unanswered = request(flags: [.invokedBySolicit, .dontMapReply])
    #expect(receive(unanswered) == [.invoked(unanswered)])
  }

  @Test func `C6 an SMR-invoked Map-Request is told to the solicitor, also one that a Map-Server sent on`() throws {
    var responder = SiteResponder(random: NonceSource(seed: 1))
    let invoked = request(flags: .invokedBySolicit)
    let envelope = try #require(
      EncapsulatedControlMessage(
        source: Self.itr, destination: Self.own, sourcePort: 41_000, message: ControlMessage.mapRequest(invoked).bytes))
    let actions = responder.receive(envelope, Self.arrival, database, now: Self.now)
    #expect(actions.count == 2 && actions.first == .invoked(invoked))
  }

  @Test func `C6 a solicit-map-request goes to the solicitor and is not answered`() {
    let solicit = request(flags: [.solicit, .dontMapReply])
    #expect(receive(solicit) == [.solicited(solicit, Self.arrival)])
  }

  @Test func `C7 a probe is answered from the probed address to where it came from, L and p on the probed locator`() throws {
    let (reply, datagram) = try reply(receive(request(flags: .probe, rlocs: [.v4(IPv4Address(203, 0, 113, 77))])))
    #expect(datagram == Datagram(.mapReply(reply), to: Self.arrival.from, from: Self.own))
    #expect(reply.flags == .probe && reply.nonce == 0xABCD)
    #expect(reply.records[0].locators.map(\.flags) == [[.local, .probed, .reachable], [.reachable]])
    #expect(reply.records.allSatisfy { $0.isAuthoritative })
  }

  @Test func `C7 a probe without an EID is answered for its source EID`() throws {
    var probe = request(flags: .probe)
    probe.records[0].eid = .none
    probe.records[0].maskLength = 0
    #expect(receive(probe) == [.refused(.badRecord)])
    probe.sourceEID = .ip(Self.host.prefix.address)
    let (reply, _) = try reply(receive(probe))
    #expect(reply.records.map(\.eidPrefix) == [Self.ours, Self.inside])
    probe.sourceEID = .ip(Self.foreign.prefix.address)
    #expect(receive(probe) == [.refused(.notForUs)])
  }

  @Test func `C7 a probe of an address that is no locator of the mapping marks none`() throws {
    let arrival = Arrival(from: Self.arrival.from, to: .v4(IPv4Address(192, 0, 2, 99)))
    let (reply, _) = try reply(receive(request(flags: .probe), arrival))
    #expect(reply.records.flatMap(\.locators).allSatisfy { !$0.flags.contains(.probed) })
  }

  @Test func `C9 a probe from an address that cannot be is refused`() {
    let arrival = Arrival(from: Endpoint(.v4(IPv4Address(127, 0, 0, 1)), port: 4342), to: Self.own)
    #expect(receive(request(flags: .probe), arrival) == [.refused(.badLocator)])
  }

  @Test func `C10 a destination that did not ask gets 1000 replies at once and then 200 in a second, others theirs`() {
    var responder = SiteResponder(random: NonceSource(seed: 1))
    let arrival = Arrival(from: Endpoint(.v4(IPv4Address(198, 51, 100, 99))), to: Self.arrival.to)
    func count(_ requests: Int, _ rloc: IPAddress, _ now: Instant) -> Int {
      (0..<requests).count { _ in responder.receive(request(rlocs: [rloc]), arrival, database, now: now) != [.refused(.tooMany)] }
    }
    #expect(count(1500, Self.itr, Self.now) == 1000)
    #expect(count(500, Self.itr, Self.now + .seconds(1)) == 200)
    #expect(count(1500, .v4(IPv4Address(198, 51, 100, 8)), Self.now + .seconds(1)) == 1000)
    #expect(count(1500, Self.itr, Self.now + .seconds(3600)) == 1000)
  }

  @Test func `C7 C10 nobody can use up the answers to an ITR's own questions and probes`() throws {
    var responder = SiteResponder(repliesPerSecond: 1, burst: 1, random: NonceSource(seed: 1))
    let stranger = Arrival(from: Endpoint(.v4(IPv4Address(198, 51, 100, 99))), to: Self.arrival.to)
    let itr = Arrival(from: Endpoint(Self.itr), to: Self.arrival.to)
    for i in 0..<3 {
      let actions = responder.receive(request(rlocs: [Self.itr]), stranger, database, now: Self.now)
      #expect((actions == [.refused(.tooMany)]) == (i > 0))
    }
    var probe = request(rlocs: [Self.itr])
    probe.flags.insert(.probe)
    for question in [request(rlocs: [Self.itr]), probe] {
      for _ in 0..<3 { _ = try reply(responder.receive(question, itr, database, now: Self.now)) }
    }
  }

  @Test func `a hundred thousand destinations spread over the limiter's buckets`() {
    var random = NonceSource(seed: 1)
    let limiter = ReplyLimiter(perSecond: 20, burst: 100, random: &random)
    var counts = Array(repeating: 0, count: ReplyLimiter.bucketCount)
    for i in 0..<100_000 { counts[limiter.bucket(of: .v4(IPv4Address(rawValue: UInt32(i))))] += 1 }
    #expect(counts.max() ?? 0 < 60 && counts.min() ?? 0 > 2, "24 on average")
  }

  @Test func `random and truncated requests never get more than one reply, which fits`() throws {
    var random = SplitMix64(seed: 12)
    let whole = ControlMessage.mapRequest(request()).bytes
    var responder = SiteResponder(random: NonceSource(seed: 1))
    var replies = 0
    for i in 0..<5000 {
      var bytes = whole
      for _ in 0..<random.below(4) { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
      guard case .mapRequest(let message) = try? ControlMessage(parsing: bytes) else { continue }
      let actions = responder.receive(message, Self.arrival, database, now: Self.now + .seconds(i)).filter { $0 != .invoked(message) }
      #expect(actions.count <= 1)
      guard case .send(let datagram) = actions.first else { continue }
      #expect(datagram.payload.count <= 1232)
      replies += 1
    }
    #expect(replies > 1000)
  }
}
