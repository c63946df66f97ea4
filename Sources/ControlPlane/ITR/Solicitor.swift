// SPDX-License-Identifier: Apache-2.0
//
// The solicitor (rule C6; RFC 9301 6.1): tells others that a mapping of ours has changed, and hears it from others. A solicit-map-request is a
// Map-Request with S that goes straight to an RLOC; its receiver asks the mapping system, never the sender. The router names the
// peers: those that sent us data within the last minute (rule D16) and the RLOCs of cached sites.
//
// Sending. Each peer has topics, the EID-prefixes that it is to hear of, and gets one message in 3 seconds, about the topic that
// has waited longest. A topic is told five times at most and is over as soon as the peer asks for it: its SMR-invoked Map-Request reaches
// us where the Map-Server does not answer for us. A peer without topics stays for the rest of its 3 seconds, so that a new one waits.
//
//     peer     |──SMR a──|──SMR b──|──SMR a──|  asks for b: over  |──SMR a──| …
//                 3 s       3 s       3 s
//
// One topic a message: a receiver has to take a Map-Request with several records, but a sender must not send one (section 5.2), and an
// aggregate of ours would not be found by receivers that look for the very prefix. With one message in 3 seconds, which section 6.1
// recommends, a peer has heard of n prefixes once after 3 n seconds. Adding a topic costs the same however many there are.
//
// Which field names what has changed differs between implementations: we put it into both, the record and the source EID, and look at both.
//
// Receiving. Nothing in the message is believed but that something may have changed. It is unauthenticated: therefore one request per
// prefix in 3 seconds, and a bound over all.

import MapCache
import Wire

/// Solicit-map-requests, both ways. Thread: slow path (a value type).
public struct Solicitor: Sendable {
  /// A peer that is told of changes.
  private struct Peer: Sendable {
    var rloc: IPAddress
    /// Each with how often it has been told.
    var topics = PrefixTrie()
    /// The order in which they are told: from the end of the one, then from the beginning of the other. Topics that are over are in it still.
    private var soon: [EIDPrefix] = []
    private var later: [EIDPrefix] = []

    init(rloc: IPAddress) { self.rloc = rloc }

    /// A topic to be told from the first time on. False: it was one already, and keeps its place.
    mutating func add(_ eid: EIDPrefix) -> Bool {
      guard topics.insert(eid, 0) == nil else { return false }
      later.append(eid)
      return true
    }

    /// The topic that has waited longest. It goes behind the others, or is over when it has been told often enough.
    mutating func takeNext() -> EIDPrefix? {
      while true {
        if soon.isEmpty { (soon, later) = (later.reversed(), []) }
        guard let eid = soon.popLast() else { return nil }
        guard let timesTold = topics[eid] else { continue }
        if timesTold + 1 < Solicitor.timesTold {
          topics.insert(eid, timesTold + 1)
          later.append(eid)
        } else {
          topics.remove(eid)
        }
        return eid
      }
    }

    /// Topics that overlap with what the peer has asked for are over.
    mutating func hear(_ asked: EIDPrefix) {
      let over = topics.covering(asked).map(\.prefix) + topics.descendants(of: asked, limit: .max).map(\.prefix) + [asked]
      for eid in over { topics.remove(eid) }
      // One that is added again is in line once: what is over leaves the line when that is mostly it.
      guard soon.count + later.count > 2 * topics.count else { return }
      var inLine: Set<EIDPrefix> = []
      soon = soon.filter { topics[$0] != nil && inLine.insert($0).inserted }
      later = later.filter { topics[$0] != nil && inLine.insert($0).inserted }
    }
  }

  /// RFC 9301 6.1, both for what we send and for what we react to.
  static let interval = Duration.seconds(3)
  static let timesTold: UInt32 = 5
  /// What we chose; over all peers, or all senders.
  static let maximumTopics = 65_536
  static let sendRate = (perSecond: 1000, burst: 100)
  static let heardRate = (perSecond: 100, burst: 100)
  static let tickCount = 256

  private var own = OwnRLOCs([])
  private var random: NonceSource
  private var sending = RateLimit(perSecond: sendRate.perSecond, burst: sendRate.burst)
  private var hearing = RateLimit(perSecond: heardRate.perSecond, burst: heardRate.burst)
  private var peers = SlotArray<Peer>()
  private var slotOf: [IPAddress: UInt32] = [:]
  private var deadlines = DeadlineQueue()
  /// When a prefix was asked for because of a solicitation.
  private var heard: [EIDPrefix: Instant] = [:]

  /// Topics that peers are still to hear of.
  public private(set) var topicCount = 0
  public private(set) var sent: UInt64 = 0

  public init(random: NonceSource = .init()) { self.random = random }

  /// Our own RLOCs, in the order of preference.
  public mutating func setRLOCs(_ addresses: [IPAddress]) { own = OwnRLOCs(addresses) }

  // MARK: - Sending

  /// Our mappings of these prefixes have changed: every peer is to ask for them. Refused for the peers that are too many.
  public mutating func announce(_ eids: [EIDPrefix], to rlocs: [IPAddress], now: Instant) -> [ITRAction] {
    let rlocs = rlocs.filter { own.first(of: $0.family) != nil && !own.addresses.contains($0) }
    // All peers hear of some rather than some of all.
    for eid in eids {
      for rloc in rlocs {
        guard topicCount < Self.maximumTopics else { return [.refused(.tooMany)] + tick(now: now) }
        add(eid, to: rloc, now)
      }
    }
    return tick(now: now)
  }

  private mutating func add(_ eid: EIDPrefix, to rloc: IPAddress, _ now: Instant) {
    let slot: UInt32
    if let known = slotOf[rloc] {
      slot = known
    } else {
      slot = peers.insert(Peer(rloc: rloc))
      slotOf[rloc] = slot
      deadlines.schedule(slot, at: now)
    }
    if peers[slot]?.add(eid) == true { topicCount += 1 }
  }

  /// When `tick` has something to do; nil: never. In the past: at once.
  public func nextDeadline(_ now: Instant) -> Instant? {
    guard let deadline = deadlines.first?.deadline else { return nil }
    return deadline <= now ? max(deadline, sending.available(now)) : deadline
  }

  /// Sends what is due. At most 256 at a time: the next deadline is then in the past.
  public mutating func tick(now: Instant) -> [ITRAction] {
    var actions: [ITRAction] = []
    for _ in 0..<Self.tickCount {
      guard let (slot, deadline) = deadlines.first, deadline <= now, let rloc = peers[slot]?.rloc else { break }
      guard let count = peers[slot]?.topics.count, count > 0 else {
        peers.remove(slot)
        slotOf[rloc] = nil
        deadlines.cancel(slot)
        continue
      }
      guard sending.take(now) else { break }
      deadlines.schedule(slot, at: now + Self.interval)
      if let topic = peers[slot]?.takeNext(), let datagram = solicitation(topic, to: rloc) { actions.append(.send(datagram)) }
      topicCount -= count - (peers[slot]?.topics.count ?? 0)
    }
    return actions
  }

  private mutating func solicitation(_ eid: EIDPrefix, to rloc: IPAddress) -> Datagram? {
    guard let source = own.first(of: rloc.family) else { return nil }
    sent += 1
    let request = MapRequest(
      nonce: random.next(), flags: .solicit, sourceEID: AFIAddress(eid.prefix.address, in: eid.instanceID), itrRLOCs: own.itrRLOCs,
      records: [MapRequest.Record(eid)])
    return Datagram(.mapRequest(request), to: Endpoint(rloc), from: source)
  }

  /// An SMR-invoked Map-Request for prefixes of ours has come: who sent it has heard.
  public mutating func receiveInvoked(_ request: MapRequest) {
    let asked = request.records.compactMap(\.eidPrefix)
    for case .ip(let rloc) in request.itrRLOCs {
      guard let slot = slotOf[rloc], let count = peers[slot]?.topics.count else { continue }
      for eid in asked { peers[slot]?.hear(eid) }
      topicCount -= count - (peers[slot]?.topics.count ?? 0)
    }
  }

  // MARK: - Receiving

  /// A Map-Request with S. `cached` gives the prefixes in the map-cache that came from the mapping system and contain the given one or lie
  /// in it; the caller bounds their number.
  public mutating func receiveSMR(_ request: MapRequest, now: Instant, cached: (EIDPrefix) -> [EIDPrefix]) -> [ITRAction] {
    var named = request.records.compactMap(\.eidPrefix)
    if let (instance, address) = request.sourceEID.ipInInstance { named.append(EIDPrefix(instance, IPPrefix(host: address))) }
    // Where an SMR covers more than we have, what we have is asked for; where it is about a part, the part: a host that moved.
    let concerned = named.flatMap { named in cached(named).map { $0.contains(named) ? named : $0 } }
    guard !concerned.isEmpty else { return [.refused(.notCached)] }
    // The source EID lies in the record's prefix as a rule: asking for the record's is enough.
    var asked: [EIDPrefix] = []
    for eid in concerned where !asked.contains(where: { $0.overlaps(eid) }) { asked.append(eid) }
    return asked.map { mayAsk($0, now) ? .ask($0) : .refused(.tooMany) }
  }

  private mutating func mayAsk(_ eid: EIDPrefix, _ now: Instant) -> Bool {
    if let last = heard[eid], now < last + Self.interval { return false }
    guard hearing.take(now) else { return false }
    // The rate limit lets no more than 400 be of the last 3 seconds.
    if heard.count >= 1024 { heard = heard.filter { now < $0.value + Self.interval } }
    heard[eid] = now
    return true
  }
}
