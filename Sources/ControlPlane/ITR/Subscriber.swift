// SPDX-License-Identifier: Apache-2.0
//
// The subscriber (rule C12; RFC 9437): has a Map-Server tell of every change of configured EID-prefixes, instead of asking again when their
// time is over. It asks with N and I through the mapping system; the server confirms by a Map-Notify and publishes by further ones.
//
//        configured                    Map-Notify with the nonce of a try
//      ─────────────▶ asking ─────────────────────────────────────────────▶ subscribed ◀─┐ confirmed again
//                     │    ▲                                                   │  │      │ in half the mapping's time,
//           Map-Reply │    │ its TTL,    three tries without an answer,        │  └──────┘ after 5 min at the latest
//                     ▼    │             or the server has ended it            │
//                    declined              asking ◀────────────────────────────┘
//
// A server that does not know our xTR-ID declines: it has no key to tell us with. Who starts asks and registers at once, and the question may
// come first; what was declined before a registration of ours was confirmed is asked again at once.
//
//     not configured any more: leaving, until a Map-Notify confirms or ten tries were silent; then gone
//
// Nonces. One counter for each prefix serves both directions: the server takes no request and we take no Map-Notify whose nonce is not
// greater than the last. Every try has its own, for the server drops what it has seen though we may not have heard its answer. What we
// sent and what we obeyed are kept apart: a try that is lost on the way must not make us deaf for the publication that has its nonce.
// Both outlive the process through `ITRAction.store`. A prefix without a stored nonce begins with the time, so that nonces grow even if
// the store is lost, and with 32 bits that nobody can guess.
//
// Authentication. With a key every Map-Notify is verified and every acknowledgement signed. Without one, publications are taken from the
// address alone that confirmed the subscription: a lab's choice.
//
// Servers do not tell when they restart. A subscription is therefore confirmed again now and then, and a server that has forgotten it
// learns of it anew.

import MapCache
import Wire

/// Subscriptions to EID-prefixes. Thread: slow path (a value type).
public struct Subscriber: Sendable {
  /// Told above.
  public enum State: String, Sendable { case asking, subscribed, declined, leaving, gone }

  public struct Settings: Sendable {
    /// Who we are to the servers, unique and always the same.
    public var identity: XTRIdentity
    /// Shared with the Map-Servers.
    public var key: AuthenticationKey?
    /// How long a confirmation is relied upon at most.
    public var renewal = Duration.seconds(300)

    public init(identity: XTRIdentity, key: AuthenticationKey? = nil) {
      self.identity = identity
      self.key = key
    }
  }

  struct Subscription: Sendable {
    var eid: EIDPrefix
    var state = State.asking
    /// Of our last try.
    var sentNonce: UInt64
    /// Of the tries that an answer may have; nil when there is nothing to answer.
    var firstNonce: UInt64?
    /// Of the last Map-Notify that we obeyed.
    var obeyedNonce: UInt64?
    var tries = 0
    var resolver = 0
    /// Who confirmed.
    var server: IPAddress?
    var lastRequestAt: Instant?
    var lastNotifyAt: Instant?

    func isAnswer(_ nonce: UInt64) -> Bool { firstNonce.map { $0 <= nonce && nonce <= sentNonce } ?? false }
  }

  static let longestInterval = Duration.seconds(30)
  static let triesBeforeSilence = 3
  static let triesToLeave = 10
  /// RFC 9437 recommends it for what is not in the database; we try again after it, too.
  static let declinedInterval = Duration.seconds(15 * 60)
  static let tickCount = 256

  private(set) var settings: Settings
  var own = OwnSite()
  private var resolvers: [IPAddress] = []
  private var random: NonceSource
  private var rate = RateLimit(perSecond: 1000, burst: 100)
  private let startSeconds: UInt32
  private var stored: [EIDPrefix: UInt64]
  /// When a server last came to know us.
  var registeredAt: Instant?
  var subscriptions = SlotArray<Subscription>()
  var index = PrefixTrie()
  var deadlines = DeadlineQueue()

  /// `stored`: the last nonces of an earlier process. `startSeconds`: of the wall clock, for prefixes without one.
  public init(settings: Settings, stored: [EIDPrefix: UInt64], startSeconds: UInt32, random: NonceSource = .init()) {
    self.settings = settings
    self.stored = stored
    self.startSeconds = startSeconds
    self.random = random
  }

  public mutating func setRLOCs(_ addresses: [IPAddress]) { own.rlocs = OwnRLOCs(addresses) }
  /// Our own EID-prefixes: what leads back to us is not learned.
  public mutating func setEIDPrefixes(_ eids: [EIDPrefix]) { own.eids = EIDPrefixSet(eids) }
  public mutating func setResolvers(_ addresses: [IPAddress]) { resolvers = addresses }
  /// Another key for the Map-Servers, at once: what is under way with the old one is refused, and told again under the new one.
  public mutating func setKey(_ key: AuthenticationKey?) { settings.key = key }

  /// The EID-prefixes to be subscribed to: begins with new ones and leaves those that are not among them. `tick` sends.
  public mutating func setSubscriptions(_ eids: [EIDPrefix], now: Instant) {
    let wanted = Set(eids)
    for subscription in Array(subscriptions.elements) where !wanted.contains(subscription.eid) && subscription.state != .leaving {
      begin(index[subscription.eid], .leaving, now)
    }
    for eid in eids {
      guard let slot = index[eid] else {
        let nonce = stored[eid] ?? UInt64(startSeconds) << 32 | random.next() & 0xFFFF_FFFF
        let slot = subscriptions.insert(Subscription(eid: eid, sentNonce: nonce))
        index.insert(eid, slot)
        deadlines.schedule(slot, at: now)
        continue
      }
      if subscriptions[slot]?.state == .leaving { begin(slot, .asking, now) }
    }
  }

  /// A server has confirmed a registration of ours that it did not have.
  public mutating func registered(now: Instant) {
    registeredAt = now
    for subscription in Array(subscriptions.elements) where subscription.state == .declined { begin(index[subscription.eid], .asking, now) }
  }

  /// New tries, in another state.
  private mutating func begin(_ slot: UInt32?, _ state: State, _ now: Instant) {
    guard let slot else { return }
    subscriptions[slot]?.state = state
    subscriptions[slot]?.tries = 0
    subscriptions[slot]?.firstNonce = nil
    let earliest = subscriptions[slot]?.lastRequestAt.map { $0 + .seconds(1) } ?? now
    deadlines.schedule(slot, at: max(now, earliest))
  }

  // MARK: - Time

  /// When `tick` has something to do; nil: never. In the past: at once.
  public func nextDeadline(_ now: Instant) -> Instant? {
    guard let deadline = deadlines.first?.deadline else { return nil }
    return deadline <= now ? max(deadline, rate.available(now)) : deadline
  }

  /// Sends the requests that are due. At most 256 at a time: the next deadline is then in the past.
  public mutating func tick(now: Instant) -> [ITRAction] {
    var actions: [ITRAction] = []
    for _ in 0..<Self.tickCount {
      guard let (slot, deadline) = deadlines.first, deadline <= now, let subscription = subscriptions[slot] else { break }
      if subscription.state == .leaving, subscription.tries >= Self.triesToLeave {
        actions.append(leave(slot, subscription))
        continue
      }
      guard rate.take(now) else { break }
      actions += send(slot, now)
    }
    return actions
  }

  /// The next try, with a nonce of its own.
  private mutating func send(_ slot: UInt32, _ now: Instant) -> [ITRAction] {
    guard var subscription = subscriptions[slot] else { return [] }
    var actions: [ITRAction] = []
    if subscription.state == .declined || subscription.state == .subscribed && subscription.tries >= Self.triesBeforeSilence {
      subscription.state = .asking
      actions.append(.subscription(subscription.eid, .asking))
    }
    let nonce = max(subscription.sentNonce, subscription.obeyedNonce ?? 0) &+ 1
    subscription.sentNonce = nonce
    subscription.firstNonce = subscription.firstNonce ?? nonce
    subscription.tries += 1
    subscription.lastRequestAt = now
    let resolver = resolvers.isEmpty ? nil : resolvers[subscription.resolver % resolvers.count]
    subscription.resolver += 1
    let wait = subscription.tries >= 6 ? Self.longestInterval : .seconds(1) * (1 << (subscription.tries - 1))
    deadlines.schedule(slot, at: now + wait)
    subscriptions[slot] = subscription
    guard let resolver, let datagram = datagram(subscription, to: resolver) else { return actions }
    return actions + [.store(subscription.eid, nonce: nonce), .send(datagram)]
  }

  /// A single ITR-RLOC without an address says that the subscription is over (RFC 9437 section 5).
  private func datagram(_ subscription: Subscription, to resolver: IPAddress) -> Datagram? {
    var request = MapRequest(
      nonce: subscription.sentNonce, itrRLOCs: subscription.state == .leaving ? [.none] : own.rlocs.itrRLOCs,
      records: [MapRequest.Record(subscription.eid, subscribes: true)])
    request.identity = settings.identity
    return own.rlocs.encapsulated(request, from: nil, about: subscription.eid.prefix.address, to: resolver)
  }

  mutating func leave(_ slot: UInt32, _ subscription: Subscription) -> ITRAction {
    subscriptions.remove(slot)
    index.remove(subscription.eid)
    deadlines.cancel(slot)
    stored[subscription.eid] = max(subscription.sentNonce, subscription.obeyedNonce ?? 0)
    return .subscription(subscription.eid, .gone)
  }

  /// The server has ended the subscription.
  mutating func askAgain(_ slot: UInt32, now: Instant) { begin(slot, .asking, now) }

  /// The subscription is good for a while. `ttlMinutes`: the shortest among its mappings.
  mutating func rely(_ slot: UInt32, ttlMinutes: UInt32, now: Instant) {
    let half = ttlMinutes == 0 ? settings.renewal : .seconds(30) * Int(ttlMinutes)
    deadlines.schedule(slot, at: now + random.jittered(min(settings.renewal, half) * 9 / 10))
  }
}
