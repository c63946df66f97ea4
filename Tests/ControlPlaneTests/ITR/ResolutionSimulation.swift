// SPDX-License-Identifier: Apache-2.0
//
// A router's slow path around the resolver and the queue of misses, a network that loses, doubles and reorders, a mapping system that
// answers by RFC 9301 5.5, and somebody who forges replies. Everything comes from a seed; time is simulated.

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

struct ResolutionSimulation {
  enum Event {
    case packet
    case request(Datagram)
    case reply(MapReply)
    case forgedReply
  }

  /// What was sent about a prefix under one nonce.
  struct Sends {
    var eid: EIDPrefix
    var times: [Instant] = []
  }

  var random: SplitMix64
  var resolver: Resolver
  var queue = MissQueue()
  var now = start
  var events = EventQueue<Event>()

  // The mapping system.
  var registered = PrefixTrie()
  let registeredTTL: [UInt32]
  /// Known to the mapping system, for no hole covers them; but nobody answers.
  let silent = eid("10.240.0.0/12")

  // The router.
  var cache: [EIDPrefix: (mapping: LearnedMapping, deadline: Instant)] = [:]
  var offered = 0
  var forwarded = 0
  var refusedPackets = 0
  var lastForwarded: [IPAddress: Int] = [:]

  // What is checked.
  var sends: [UInt64: Sends] = [:]
  var answered: Set<UInt64> = []
  var refusedReplies = 0
  var installs = 0
  var mostWaiting = 0

  init(seed: UInt64) {
    random = SplitMix64(seed: seed)
    resolver = Sample.resolver()
    resolver.setRLOCs([Sample.ownRLOC])
    registeredTTL = (0..<60).map { _ in UInt32(1 + seed % 3) }
    registered.insert(silent, 0)
    for i in 0..<60 {
      let address = IPv4Address(10, UInt8(random.below(24)), UInt8(random.below(8)), UInt8(random.below(256)))
      registered.insert(EIDPrefix(.zero, IPPrefix(masking: .v4(address), length: 14 + random.below(17))), UInt32(i))
    }
  }

  mutating func run(until end: Instant) {
    events.push(.packet, at: now)
    events.push(.forgedReply, at: now)
    while now < end {
      // The queue is looked at ten times a second, as the router does.
      let due = max(now, min(resolver.nextDeadline(now) ?? end, now + .milliseconds(100)))
      if let next = events.pop(notAfter: due) {
        now = max(now, next.at)
        handle(next.event)
      } else {
        now = due
      }
      obey(resolver.tick(now: now))
      queue.tick(now: now)
      mostWaiting = max(mostWaiting, queue.count)
    }
  }

  private mutating func handle(_ event: Event) {
    switch event {
    case .packet:
      send(packetTo: .v4(IPv4Address(10, UInt8(random.below(256)), UInt8(random.below(8)), UInt8(random.below(6)))))
      events.push(.packet, at: now + .milliseconds(1 + random.below(30)))
    case .request(let datagram): answer(datagram)
    case .reply(let reply): receive(reply)
    case .forgedReply:
      forge()
      events.push(.forgedReply, at: now + .milliseconds(random.below(300)))
    }
  }

  // MARK: - The router

  private func lookUp(_ destination: IPAddress) -> LearnedMapping? {
    for length in stride(from: 32, through: 0, by: -1) {
      let entry = cache[EIDPrefix(.zero, IPPrefix(masking: destination, length: length))]
      if let entry, entry.deadline > now { return entry.mapping }
    }
    return nil
  }

  private mutating func send(packetTo destination: IPAddress) {
    offered += 1
    let number = offered
    guard lookUp(destination) == nil else {
      forward(number, to: destination)
      return
    }
    switch resolver.miss(eid: destination, in: .zero, source: Sample.host, now: now) {
    case .drop(let reason):
      queue.refuse(reason)
      refusedPackets += 1
    case .wait(let datagram):
      let bytes = (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
      let waits = queue.append(WaitingPacket(in: .zero, to: destination, port: 0, bytes: bytes), now: now)
      if !waits { refusedPackets += 1 }
      if let datagram { transmit(datagram) }
    }
  }

  private mutating func forward(_ number: Int, to destination: IPAddress) {
    forwarded += 1
    let last = lastForwarded.updateValue(number, forKey: destination)
    #expect(last.map { $0 < number } ?? true, "out of order, or twice")
  }

  private mutating func obey(_ actions: [ITRAction]) {
    for action in actions {
      switch action {
      case .send(let datagram): transmit(datagram)
      case .install(let mappings): install(mappings)
      case .gaveUp(let eid): queue.drop(coveredBy: eid, .unanswered)
      case .refused: refusedReplies += 1
      case .reachability, .ask, .subscription, .store: Issue.record("\(action)")
      }
    }
  }

  private mutating func install(_ mappings: [LearnedMapping]) {
    installs += 1
    for mapping in mappings { cache[mapping.eid] = (mapping, now + .seconds(60 * Int(mapping.ttlMinutes))) }
    for mapping in mappings {
      for packet in queue.take(coveredBy: mapping.eid) {
        #expect(lookUp(packet.destination) != nil)
        forward(packet.bytes.reduce(0) { $0 << 8 | Int($1) }, to: packet.destination)
      }
    }
  }

  private mutating func receive(_ reply: MapReply) {
    let actions = resolver.receive(reply, Sample.arrival, now: now)
    if answered.contains(reply.nonce) {
      #expect(actions == [.refused(.unknownNonce)], "a late or doubled reply")
    }
    if !actions.installs.isEmpty { answered.insert(reply.nonce) }
    obey(actions)
  }

  private mutating func forge() {
    let outstanding = resolver.outstandingCount
    let counters = resolver.counters
    // A guess, or the nonce of a request that was answered.
    let nonce = random.below(2) == 0 ? random.next() : answered.first ?? 0
    let reply = MapReply(nonce: nonce, records: [Sample.record("0.0.0.0/0", locators: [address("203.0.113.66")])])
    #expect(resolver.receive(reply, Sample.arrival, now: now) == [.refused(.unknownNonce)])
    #expect(resolver.outstandingCount == outstanding && resolver.counters == counters)
  }

  // MARK: - The network and the mapping system

  private mutating func transmit(_ datagram: Datagram) {
    guard let request = try? request(datagram), let eid = request.records.first?.eidPrefix else {
      Issue.record("no request")
      return
    }
    sends[request.nonce, default: Sends(eid: eid)].times.append(now)
    carry(.request(datagram))
  }

  /// Loses a fifth, doubles a tenth, and takes up to 1.5 seconds.
  private mutating func carry(_ event: Event) {
    guard random.below(5) != 0 else { return }
    for _ in 0...(random.below(10) == 0 ? 1 : 0) { events.push(event, at: now + .milliseconds(1 + random.below(1500))) }
  }

  private mutating func answer(_ datagram: Datagram) {
    guard let request = try? request(datagram), let asked = request.records.first?.eidPrefix, !silent.contains(asked) else { return }
    carry(.reply(MapReply(nonce: request.nonce, records: records(about: asked))))
  }

  /// The longest match and all that is more specific, or the hole (RFC 9301 5.5, 8.4).
  private func records(about asked: EIDPrefix) -> [EIDRecord] {
    guard let match = registered.longestMatch(asked) else {
      let hole = registered.hole(around: asked, within: eid("0.0.0.0/0")) ?? asked
      return [EIDRecord(hole, ttl: 2, action: .nativelyForward)]
    }
    let all = [match] + registered.descendants(of: match.prefix, limit: 254)
    return all.map { EIDRecord($0.prefix, ttl: registeredTTL[Int($0.value)], locators: [LocatorRecord(.ip(Sample.remote))]) }
  }
}
