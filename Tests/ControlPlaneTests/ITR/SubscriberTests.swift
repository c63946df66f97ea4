// SPDX-License-Identifier: Apache-2.0

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct SubscriberTests {
  private static let prefix = eid("10.2.0.0/16")
  private static let identity = XTRIdentity(xtrIDHigh: 1, xtrIDLow: 2, siteID: 3)
  private static let key = AuthenticationKey(id: 1, secret: Array("a secret".utf8))

  private func subscriber(_ prefixes: [EIDPrefix] = [prefix], key: AuthenticationKey? = key, stored: [EIDPrefix: UInt64] = [:])
    -> Subscriber
  {
    var subscriber = Subscriber(
      settings: .init(identity: Self.identity, key: key), stored: stored, startSeconds: 1000, random: NonceSource(seed: 1))
    subscriber.setRLOCs([Sample.ownRLOC])
    subscriber.setResolvers([Sample.resolverA, Sample.resolverB])
    subscriber.setSubscriptions(prefixes, now: start)
    return subscriber
  }

  private func notify(
    _ nonce: UInt64, _ records: [EIDRecord] = [Sample.record("10.2.0.0/16")], key: AuthenticationKey? = key
  ) -> (message: MapNotify, bytes: [UInt8]) {
    let blank = MapNotify(nonce: nonce, records: records)
    let bytes = key?.sign(notify: blank) ?? ControlMessage.mapNotify(blank).bytes
    guard case .mapNotify(let message) = try? ControlMessage(parsing: bytes) else { preconditionFailure("unreadable") }
    return (message, bytes)
  }

  private func receive(
    _ subscriber: inout Subscriber, _ notify: (message: MapNotify, bytes: [UInt8]), _ arrival: Arrival = Sample.arrival, at seconds: Double
  ) -> [ITRAction] {
    subscriber.receive(notify.message, bytes: notify.bytes, arrival, now: at(seconds))
  }

  /// A subscription that was confirmed at 0.1 s, and its nonce.
  private func subscribed(key: AuthenticationKey? = key) throws -> (Subscriber, UInt64) {
    var subscriber = subscriber(key: key)
    let nonce = try request(subscriber.tick(now: start).datagrams.first).nonce
    let actions = receive(&subscriber, notify(nonce, key: key), at: 0.1)
    #expect(actions.contains(.subscription(Self.prefix, .subscribed)))
    return (subscriber, nonce)
  }

  @Test func `C12 a subscription is asked for with N, I, xTR-ID and site-ID through the mapping system`() throws {
    var subscriber = subscriber()
    let actions = subscriber.tick(now: start)
    let datagram = try #require(actions.datagrams.first)
    let sent = try request(datagram)
    #expect(datagram.destination == Endpoint(Sample.resolverA) && sent.identity == Self.identity)
    #expect(sent.records.map(\.subscribes) == [true] && sent.records.map(\.eidPrefix) == [Self.prefix])
    #expect(sent.itrRLOCs == [.ip(Sample.ownRLOC)])
    #expect(actions.first == .store(Self.prefix, nonce: sent.nonce), "before it is sent")
    #expect(sent.nonce >> 32 == 1000)
  }

  @Test func `C12 every try has a nonce greater than all before, from the stored one on`() throws {
    var subscriber = subscriber(stored: [Self.prefix: 41])
    var nonces: [UInt64] = []
    var destinations: [IPAddress] = []
    var times: [Instant] = []
    var now = start
    while times.count < 12 {
      for datagram in subscriber.tick(now: now).datagrams {
        nonces.append(try request(datagram).nonce)
        destinations.append(datagram.destination.address)
        times.append(now)
      }
      now = try #require(subscriber.nextDeadline(now))
    }
    #expect(nonces == Array(42..<54))
    #expect(Set(destinations) == [Sample.resolverA, Sample.resolverB])
    let gaps = zip(times, times.dropFirst()).map { $0.duration(to: $1) / .seconds(1) }
    #expect(gaps == [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30])
  }

  @Test func `C12 a confirmation is verified, installed and acknowledged`() throws {
    var subscriber = subscriber()
    let nonce = try request(subscriber.tick(now: start).datagrams.first).nonce
    let confirmation = notify(nonce)
    let actions = receive(&subscriber, confirmation, at: 0.1)
    #expect(actions.installs.first?.map(\.eid) == [Self.prefix])
    #expect(actions.contains(.subscription(Self.prefix, .subscribed)) && actions.first == .store(Self.prefix, nonce: nonce))
    let datagram = try #require(actions.datagrams.first)
    #expect(datagram.destination == Endpoint(Sample.remote) && datagram.source == Sample.ownRLOC)
    guard case .mapNotifyAck(let ack) = try ControlMessage(parsing: datagram.payload) else {
      Issue.record("no acknowledgement")
      return
    }
    #expect(ack.nonce == nonce && ack.records == confirmation.message.records)
    #expect(Self.key.verifies(datagram.payload, type: .mapNotifyAck, nonce: nonce, fields: ack.authentication))
  }

  @Test func `C12 an answer to an early try counts, and what was lost in between does not make us deaf`() throws {
    var subscriber = subscriber()
    let first = try request(subscriber.tick(now: start).datagrams.first).nonce
    let second = try request(subscriber.tick(now: at(1)).datagrams.first).nonce
    #expect(second == first + 1)
    #expect(receive(&subscriber, notify(first), at: 1.1).installs.count == 1)
    // The second try was lost: the server's next publication has its nonce.
    #expect(receive(&subscriber, notify(second), at: 5).installs.count == 1)
    #expect(receive(&subscriber, notify(second + 1), at: 6).installs.count == 1)
  }

  @Test func `C12 a publication with a greater nonce is installed, and any other is refused`() throws {
    var (subscriber, nonce) = try subscribed()
    let change = [Sample.record("10.2.7.0/24", ttl: 5, locators: [address("203.0.113.44")])]
    let actions = receive(&subscriber, notify(nonce + 5, change), at: 10)
    #expect(actions.installs.first?.map(\.eid) == [eid("10.2.7.0/24")] && actions.datagrams.count == 1)
    #expect(actions.first == .store(Self.prefix, nonce: nonce + 5))
    for old in [nonce, nonce + 1, nonce + 4, 0] {
      #expect(receive(&subscriber, notify(old, change), at: 11) == [.refused(.replayed)])
    }
    let again = receive(&subscriber, notify(nonce + 5, change), at: 12)
    #expect(again.installs.isEmpty && again.datagrams.count == 1 && again.refusals == [.replayed], "only acknowledged again")
    let removal = receive(&subscriber, notify(nonce + 6, [Sample.record("10.2.7.0/24", ttl: 0, locators: [])]), at: 13)
    #expect(removal.installs.first?.first?.isRemoval == true)
    let renewal = try #require(subscriber.nextDeadline(at(13)))
    #expect(try request(subscriber.tick(now: renewal).datagrams.first).nonce == nonce + 7, "one counter for both directions")
  }

  @Test func `C12 a publication with a wrong key, about another prefix or before any confirmation changes nothing`() throws {
    var (subscriber, nonce) = try subscribed()
    let wrong = AuthenticationKey(id: 1, secret: Array("another".utf8))
    #expect(receive(&subscriber, notify(nonce + 1, key: wrong), at: 1) == [.refused(.wrongKey)])
    #expect(receive(&subscriber, notify(nonce + 1, key: nil), at: 1) == [.refused(.wrongKey)])
    #expect(receive(&subscriber, notify(nonce + 1, [Sample.record("10.3.0.0/16")]), at: 1) == [.refused(.notSubscribed)])
    #expect(receive(&subscriber, notify(nonce + 1, [Sample.record("10.2.0.0/16", in: 9)]), at: 1) == [.refused(.notSubscribed)])
    #expect(receive(&subscriber, notify(nonce + 1, []), at: 1) == [.refused(.notSubscribed)])
    #expect(receive(&subscriber, notify(nonce + 1), at: 2).installs.count == 1, "the nonce was not used up")
    var fresh = self.subscriber()
    #expect(receive(&fresh, notify(77), at: 1) == [.refused(.notSubscribed)])
  }

  @Test func `C12 after a change of the key the new one counts, and no other`() throws {
    var (subscriber, nonce) = try subscribed()
    let new = AuthenticationKey(id: 2, secret: Array("another".utf8))
    subscriber.setKey(new)
    #expect(receive(&subscriber, notify(nonce + 1), at: 1) == [.refused(.wrongKey)])
    let actions = receive(&subscriber, notify(nonce + 1, key: new), at: 2)
    #expect(actions.installs.count == 1)
    let acknowledgement = try #require(actions.datagrams.first?.payload)
    guard case .mapNotifyAck(let message) = try ControlMessage(parsing: acknowledgement) else { throw NotARequest() }
    #expect(new.verifies(acknowledgement, type: .mapNotifyAck, nonce: nonce + 1, fields: message.authentication))
  }

  @Test func `C12 without a key publications are taken from who confirmed alone`() throws {
    var (subscriber, nonce) = try subscribed(key: nil)
    let stranger = Arrival(from: Endpoint(address("203.0.113.99")), to: Sample.ownRLOC)
    #expect(receive(&subscriber, notify(nonce + 1, key: nil), stranger, at: 1) == [.refused(.wrongKey)])
    #expect(receive(&subscriber, notify(nonce + 1, key: nil), at: 1).installs.count == 1)
  }

  @Test func `C12 a subscription is confirmed again within half the mapping's time, and a silent server is noticed`() throws {
    var (subscriber, nonce) = try subscribed()
    let renewal = try #require(subscriber.nextDeadline(at(0.1)))
    #expect(renewal > at(200) && renewal <= at(300.1))
    let again = try request(subscriber.tick(now: renewal).datagrams.first)
    #expect(again.nonce == nonce + 1)
    #expect(subscriber.facts.first?.state == .subscribed)
    var now = renewal
    var lost: Instant?
    while lost == nil {
      now = try #require(subscriber.nextDeadline(now))
      if subscriber.tick(now: now).contains(.subscription(Self.prefix, .asking)) { lost = now }
    }
    #expect(try #require(lost) <= renewal + .seconds(8))
    let actions = receive(&subscriber, notify(nonce + 1), at: 400)
    #expect(actions.contains(.subscription(Self.prefix, .subscribed)))
  }

  @Test func `C12 a mapping with a short time is confirmed again in half of it`() throws {
    var subscriber = subscriber()
    let nonce = try request(subscriber.tick(now: start).datagrams.first).nonce
    _ = receive(&subscriber, notify(nonce, [Sample.record("10.2.0.0/16", ttl: 2)]), at: 0)
    #expect(try #require(subscriber.nextDeadline(start)) <= at(60))
  }

  @Test func `C12 a subscription that the server ends is asked for again`() throws {
    var (subscriber, nonce) = try subscribed()
    let end = EIDRecord(Self.prefix, ttl: 0, action: .authenticationFailure)
    let actions = receive(&subscriber, notify(nonce, [end]), at: 60)
    #expect(actions.contains(.subscription(Self.prefix, .asking)) && actions.installs.isEmpty)
    #expect(try request(subscriber.tick(now: at(60)).datagrams.first).nonce == nonce + 1)
  }

  @Test func `C12 a server that declines by a Map-Reply gives the mapping and is asked again after 15 minutes`() throws {
    var subscriber = subscriber()
    let nonce = try request(subscriber.tick(now: start).datagrams.first).nonce
    let reply = MapReply(nonce: nonce, records: [Sample.record("10.2.0.0/16")])
    #expect(!subscriber.isAnswer(MapReply(nonce: nonce + 1, records: reply.records)))
    #expect(subscriber.isAnswer(reply))
    let actions = subscriber.receive(reply, Sample.arrival, now: at(0.1))
    #expect(actions.installs.count == 1 && actions.contains(.subscription(Self.prefix, .declined)))
    #expect(subscriber.receive(reply, Sample.arrival, now: at(0.2)) == [.refused(.unknownNonce)])
    #expect(subscriber.nextDeadline(at(1)) == at(900.1))
    #expect(try request(subscriber.tick(now: at(900.1)).datagrams.first).nonce == nonce + 1)
  }

  @Test func `C12 a server that declines by a negative Map-Reply is asked again when that is over`() throws {
    for (minutes, seconds) in [(UInt32(1), 60.1), (0, 60.1), (5, 300.1), (1440, 900.1)] {
      var subscriber = subscriber()
      let nonce = try request(subscriber.tick(now: start).datagrams.first).nonce
      let hole = EIDRecord(Self.prefix, ttl: minutes, action: .nativelyForward)
      _ = subscriber.receive(MapReply(nonce: nonce, records: [hole]), Sample.arrival, now: at(0.1))
      #expect(subscriber.nextDeadline(at(1)) == at(seconds), "\(minutes) minutes")
    }
  }

  @Test func `C12 what a server declined before it knew us is asked again when it does, whichever word comes first`() throws {
    let reply = { MapReply(nonce: $0, records: [Sample.record("10.2.0.0/16")]) }
    var late = subscriber()
    var nonce = try request(late.tick(now: start).datagrams.first).nonce
    #expect(late.receive(reply(nonce), Sample.arrival, now: at(0.1)).contains(.subscription(Self.prefix, .declined)))
    late.registered(now: at(0.2))
    #expect(late.nextDeadline(at(0.2)) == at(1), "a second after the last request")

    var early = subscriber()
    nonce = try request(early.tick(now: start).datagrams.first).nonce
    early.registered(now: at(0.1))
    let actions = early.receive(reply(nonce), Sample.arrival, now: at(0.2))
    #expect(actions.installs.count == 1 && !actions.contains(.subscription(Self.prefix, .declined)))
    #expect(early.nextDeadline(at(0.2)) == at(1))
    nonce = try request(early.tick(now: at(1)).datagrams.first).nonce
    #expect(
      early.receive(reply(nonce), Sample.arrival, now: at(1.1)).contains(.subscription(Self.prefix, .declined)), "it knows us, and says no")
  }

  @Test func `C12 a confirmation may be about a hole around the prefix, and is told from its neighbours' by the nonce`() throws {
    let prefixes = [eid("10.2.0.0/24"), eid("10.2.1.0/24"), eid("10.2.2.0/24")]
    var subscriber = subscriber(prefixes)
    for datagram in subscriber.tick(now: start).datagrams {
      let sent = try request(datagram)
      let hole = EIDRecord(eid("10.0.0.0/8"), ttl: 15, action: .nativelyForward)
      let asked = try #require(sent.records.first?.eidPrefix)
      #expect(receive(&subscriber, notify(sent.nonce, [hole]), at: 0.1).contains(.subscription(asked, .subscribed)))
    }
    #expect(subscriber.facts.map(\.state) == [.subscribed, .subscribed, .subscribed])
  }

  @Test func `C12 a subscription that is not configured any more is ended with an ITR-RLOC without an address`() throws {
    var (subscriber, nonce) = try subscribed()
    subscriber.setSubscriptions([], now: at(10))
    let sent = try request(subscriber.tick(now: at(10)).datagrams.first)
    #expect(sent.itrRLOCs == [.none] && sent.nonce == nonce + 1 && sent.records.first?.subscribes == true)
    #expect(sent.identity == Self.identity)
    let publication = receive(&subscriber, notify(nonce + 9), at: 10.1)
    #expect(publication.installs.isEmpty && publication.datagrams.count == 1, "crossed with our leaving")
    let actions = receive(&subscriber, notify(nonce + 1), at: 10.2)
    #expect(actions.contains(.subscription(Self.prefix, .gone)) && actions.installs.isEmpty)
    #expect(subscriber.facts.isEmpty && subscriber.nextDeadline(at(11)) == nil)
    subscriber.setSubscriptions([Self.prefix], now: at(12))
    #expect(try request(subscriber.tick(now: at(12)).datagrams.first).nonce > nonce + 1, "nonces go on")
  }

  @Test func `C12 leaving ends after ten tries without an answer`() throws {
    var (subscriber, _) = try subscribed()
    subscriber.setSubscriptions([], now: at(10))
    var (sent, now) = (0, at(10))
    while let deadline = subscriber.nextDeadline(now) {
      now = max(now, deadline)
      sent += subscriber.tick(now: now).datagrams.count
    }
    #expect(sent == 10 && subscriber.facts.isEmpty)
  }
}
