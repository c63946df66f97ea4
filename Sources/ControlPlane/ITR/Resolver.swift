// SPDX-License-Identifier: Apache-2.0
//
// The resolver: asks the mapping system for what the map-cache does not know (RFC 9301 5.3, 5.4, 8.1). The router tells it of misses, of
// entries whose time is nearly over and of solicitations; it answers with Map-Requests to send and mappings to install.
//
// One request is outstanding for an EID-prefix, however many packets miss. The life of a request:
//
//       miss, refresh, solicited              answered, here or by a record of another reply
//     ────────────────────────▶ asking ───────────────────────────────────────────▶ gone; its last try is remembered for a second
//                               │    ▲ │
//                               └────┘ └──▶ gone: gaveUp
//                   the next try            after the tenth try and 30 s
//
// Tries follow each other after 1, 2, 4, 8, 16 and from then on 30 seconds, a little more by chance so that what began together does not
// go on together. So no prefix is asked for more than once a second, and 30 seconds pass after the tenth try (rule C1); for a prefix that is
// answered and missed at once again `RecentRequests` keeps that true. Each try goes to the next Map-Resolver, the first to the one that
// answered last.
//
// A nonce is one request's, through all its tries: a late answer to an early try counts. No nonce, no effect (rule C3).
//
// Bounds: `maximumOutstanding` requests are asking; two seconds' worth of the rate limit is remembered at most. New requests leave a quarter
// of the limit's burst to the later tries of older ones, which therefore never starve. Every operation costs O(log n) in the number
// of requests, one that answers many requests O(log n) for each.
//
// Invariants, executed by `checkInvariants`:
// I1  Every request is in `asking` under its prefix and has a deadline.
// I2  `slots` has the nonces of the requests, and no other.

import MapCache
import Wire

/// The ITR's questions. Thread: slow path (a value type).
public struct Resolver: Sendable {
  /// What we chose: bounds that no site comes near and that no storm passes.
  public struct Limits: Sendable {
    /// Map-Requests per second over all prefixes, and how many at once.
    public var requestsPerSecond = 30_000
    public var burst = 1000
    public var maximumOutstanding = 65_536
    /// Resolutions that are remembered for `history`.
    public var historyCount = 1024
    public init() {}
  }

  struct Request: Sendable {
    var eid: EIDPrefix
    /// The packet's source, where a packet was the reason.
    var source: IPAddress?
    var flags: MapRequest.Flags
    /// The map-cache has it, or has had it a moment ago: the answer may take it away.
    var isCached: Bool
    var nonce: UInt64
    /// Which Map-Resolver the next try goes to: a position in the list, which may have changed.
    var resolver: Int
    var tries = 0
    var lastResolver: IPAddress?
    var firstRequestAt: Instant
    var lastRequestAt: Instant
  }

  /// RFC 9301 5.3.
  static let maximumTries = 10
  static let interval = Duration.seconds(1)
  static let longestInterval = Duration.seconds(30)
  /// From this try on packets do not wait: a first answer is hardly near, and they would take the room of others.
  static let lastTryWorthWaiting = 3
  /// Due requests that one `tick` sees to.
  static let tickCount = 256

  let limits: Limits
  var own = OwnSite()
  var resolvers: [IPAddress] = []
  /// The one that answered last.
  var preferred = 0
  var random: NonceSource
  var rate: RateLimit

  var requests = SlotArray<Request>()
  /// By prefix.
  var asking = PrefixTrie()
  var recent = RecentRequests()
  var deadlines = DeadlineQueue()
  /// By nonce.
  var slots: [UInt64: UInt32] = [:]
  var past: RecentResolutions

  public private(set) var counters = Counters()

  /// What has happened so far.
  public struct Counters: Hashable, Sendable {
    public var requestsSent: UInt64 = 0
    public var repliesAccepted: UInt64 = 0
    public var gaveUp: UInt64 = 0
    /// Misses that found the rate limit reached or too many requests outstanding.
    public var tooMany: UInt64 = 0
  }

  public init(limits: Limits = .init(), random: NonceSource = .init()) {
    self.limits = limits
    self.random = random
    rate = RateLimit(perSecond: limits.requestsPerSecond, burst: limits.burst)
    past = RecentResolutions(capacity: limits.historyCount)
  }

  /// Our own RLOCs, in the order of preference. Requests that are outstanding use them from their next try on.
  public mutating func setRLOCs(_ addresses: [IPAddress]) { own.rlocs = OwnRLOCs(addresses) }

  /// Our own EID-prefixes: answers that lead back to us are not learned.
  public mutating func setEIDPrefixes(_ eids: [EIDPrefix]) { own.eids = EIDPrefixSet(eids) }

  /// The Map-Resolvers, in the order in which they are tried.
  public mutating func setResolvers(_ addresses: [IPAddress]) {
    resolvers = addresses
    preferred = 0
  }

  /// How many prefixes are being asked for.
  public var outstandingCount: Int { slots.count }

  /// When `tick` has something to do; nil: never. In the past: at once.
  public func nextDeadline(_ now: Instant) -> Instant? {
    guard let deadline = deadlines.first?.deadline else { return nil }
    return deadline <= now ? max(deadline, rate.available(now)) : deadline
  }

  // MARK: - Reasons to ask

  /// What becomes of a packet that missed.
  public enum MissAnswer: Hashable, Sendable {
    /// It may wait for the answer; `send` is the request, when one leaves now.
    case wait(send: Datagram?)
    case drop(MissDrop)
  }

  /// A packet of `source` for `eid` has no mapping; the caller has looked into the map-cache a moment ago.
  public mutating func miss(eid: IPAddress, in instance: InstanceID, source: IPAddress?, now: Instant) -> MissAnswer {
    let prefix = EIDPrefix(instance, IPPrefix(host: eid))
    if let slot = asking[prefix], let tries = requests[slot]?.tries {
      return tries > Self.lastTryWorthWaiting ? .drop(.unanswered) : .wait(send: nil)
    }
    if isAnswerNear(to: prefix) { return .wait(send: nil) }
    guard !resolvers.isEmpty else { return .drop(.noMapResolver) }
    return begin(prefix, source: source, flags: [], isCached: false, now)
  }

  /// Asks again for a prefix that is in the map-cache, in use, and near the end of its time.
  public mutating func refresh(_ eid: EIDPrefix, now: Instant) -> [ITRAction] { ask(eid, flags: [], now) }

  /// Asks for a prefix because its site has solicited it (section 6.1).
  public mutating func solicited(_ eid: EIDPrefix, now: Instant) -> [ITRAction] { ask(eid, flags: .invokedBySolicit, now) }

  private mutating func ask(_ eid: EIDPrefix, flags: MapRequest.Flags, _ now: Instant) -> [ITRAction] {
    if let slot = asking[eid] {
      requests[slot]?.isCached = true
      return []
    }
    switch begin(eid, source: nil, flags: flags, isCached: true, now) {
    case .wait(let datagram): return datagram.map { [.send($0)] } ?? []
    case .drop: return [.refused(.tooMany)]
    }
  }

  /// Whether a shorter prefix is being asked for whose first answer may come at any moment: it will most likely cover `eid`.
  private func isAnswerNear(to eid: EIDPrefix) -> Bool {
    guard let shorter = asking.longestMatch(eid), let tries = requests[shorter.value]?.tries else { return false }
    return tries <= 1
  }

  /// A new request. Its first try leaves now, or a second after the last request for the prefix.
  private mutating func begin(
    _ eid: EIDPrefix, source: IPAddress?, flags: MapRequest.Flags, isCached: Bool, _ now: Instant
  ) -> MissAnswer {
    let last = recent[eid]
    let due = last.map { max(now, $0 + Self.interval) } ?? now
    guard slots.count < limits.maximumOutstanding, due > now || rate.take(now, leavingQuarters: 1) else {
      counters.tooMany += 1
      return .drop(.tooManyRequests)
    }
    let request = Request(
      eid: eid, source: source, flags: flags, isCached: isCached, nonce: random.next(), resolver: preferred, firstRequestAt: due,
      lastRequestAt: last ?? now)
    let slot = requests.insert(request)
    asking.insert(eid, slot)
    slots[request.nonce] = slot
    guard due > now else { return .wait(send: send(slot, now)) }
    deadlines.schedule(slot, at: due)
    return .wait(send: nil)
  }

  // MARK: - Time

  /// Sends what is to be sent again, and forgets what is over. At most 256 requests at a time: the next deadline is then in the past.
  public mutating func tick(now: Instant) -> [ITRAction] {
    var actions: [ITRAction] = []
    for _ in 0..<Self.tickCount {
      guard let (slot, deadline) = deadlines.first, deadline <= now, let request = requests[slot] else { break }
      if request.tries >= Self.maximumTries {
        counters.gaveUp += 1
        past.append(facts(request, .unanswered))
        forget(slot)
        actions.append(.gaveUp(request.eid))
      } else {
        guard rate.take(now) else { break }
        if let datagram = send(slot, now) { actions.append(.send(datagram)) }
      }
    }
    return actions
  }

  /// The next try. nil, which counts as a try, when we have no RLOC of any Map-Resolver's family.
  private mutating func send(_ slot: UInt32, _ now: Instant) -> Datagram? {
    guard var request = requests[slot] else { return nil }
    let position = reachableResolver(from: request.resolver)
    request.tries += 1
    request.resolver = (position ?? request.resolver) + 1
    request.lastRequestAt = now
    request.lastResolver = position.map { resolvers[$0] }
    requests[slot] = request
    let wait = request.tries >= 6 ? Self.longestInterval : Self.interval * (1 << (request.tries - 1))
    deadlines.schedule(slot, at: now + wait + random.jittered(wait / 20, by: 1))
    guard let resolver = request.lastResolver, let datagram = datagram(request, to: resolver) else { return nil }
    counters.requestsSent += 1
    return datagram
  }

  /// The first Map-Resolver at this position or behind it, around the list, whose family we have an RLOC of.
  private func reachableResolver(from position: Int) -> Int? {
    for i in 0..<resolvers.count {
      let candidate = (position + i) % resolvers.count
      if own.rlocs.first(of: resolvers[candidate].family) != nil { return candidate }
    }
    return nil
  }

  private func datagram(_ request: Request, to resolver: IPAddress) -> Datagram? {
    let message = MapRequest(
      nonce: request.nonce, flags: request.flags,
      sourceEID: request.source.map { AFIAddress($0, in: request.eid.instanceID) } ?? .none,
      itrRLOCs: own.rlocs.itrRLOCs, records: [MapRequest.Record(request.eid)])
    return own.rlocs.encapsulated(message, from: request.source, about: request.eid.prefix.address, to: resolver)
  }

  private mutating func forget(_ slot: UInt32) {
    guard let request = requests.remove(slot) else { return }
    deadlines.cancel(slot)
    asking.remove(request.eid)
    slots[request.nonce] = nil
  }

  // MARK: - Answers

  /// A Map-Reply that answers no probe. What is refused changes nothing; a reply of which all is refused leaves its request outstanding.
  public mutating func receive(_ reply: MapReply, _ arrival: Arrival, now: Instant) -> [ITRAction] {
    guard !reply.flags.contains(.probe), let slot = slots[reply.nonce], let request = requests[slot] else {
      return [.refused(.unknownNonce)]
    }
    var judged = JudgedRecords(
      reply.records, asked: request.eid, answeredBy: arrival.from, echoNonceCapable: reply.flags.contains(.echoNonceCapable),
      own: own)
    let refusals = judged.refusals.map { ITRAction.refused($0) }
    guard !judged.mappings.isEmpty else { return refusals }
    if request.isCached { judged.retire(request.eid, answeredBy: arrival.from) }
    counters.repliesAccepted += 1
    if let resolver = request.lastResolver, let position = resolvers.firstIndex(of: resolver) { preferred = position }
    end(slot, arrival.from, now)
    for mapping in judged.mappings where !mapping.isRemoval { endAll(within: mapping.eid, arrival.from, now) }
    return [.install(judged.mappings)] + refusals
  }

  /// The answer covers them, too.
  private mutating func endAll(within eid: EIDPrefix, _ answeredBy: Endpoint, _ now: Instant) {
    if let slot = asking[eid] { end(slot, answeredBy, now) }
    for (_, slot) in asking.descendants(of: eid, limit: .max) { end(slot, answeredBy, now) }
  }

  private mutating func end(_ slot: UInt32, _ answeredBy: Endpoint, _ now: Instant) {
    guard let request = requests[slot] else { return }
    var facts = facts(request, .answered)
    facts.answeredBy = answeredBy
    facts.lastReplyAt = now
    past.append(facts)
    recent.note(request.eid, requestedAt: request.lastRequestAt, now: now)
    forget(slot)
  }
}
