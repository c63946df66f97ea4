// SPDX-License-Identifier: Apache-2.0
//
// What the subscriber makes of Map-Notifies and, where a server declines, of Map-Replies. The router hands over those that are not about EIDs
// of our own.

import MapCache
import Wire

extension Subscriber {
  /// Whether a Map-Reply answers a subscription; all others are the resolver's.
  public func isAnswer(_ reply: MapReply) -> Bool { subscription(reply.records, nonce: reply.nonce, onlyAnswers: true) != nil }

  /// The subscription that a message is about: one that has a try with its nonce, or else the one with the longest prefix around the record's.
  private func subscription(_ records: [EIDRecord], nonce: UInt64, onlyAnswers: Bool = false) -> UInt32? {
    guard let eid = records.first?.eidPrefix else { return nil }
    let around = index.covering(eid).map(\.value)
    // A negative answer may cover the prefix that was asked for, and others with it.
    let candidates = around + index.descendants(of: eid, limit: 256).map(\.value)
    if let answered = candidates.last(where: { subscriptions[$0]?.isAnswer(nonce) == true }) { return answered }
    return onlyAnswers ? nil : around.last
  }

  /// A Map-Notify; `bytes` are those that it was parsed from.
  public mutating func receive(_ notify: MapNotify, bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [ITRAction] {
    guard let slot = subscription(notify.records, nonce: notify.nonce), let subscription = subscriptions[slot] else {
      return [.refused(.notSubscribed)]
    }
    let isAnswer = subscription.isAnswer(notify.nonce)
    guard isAuthentic(notify, bytes, isAnswer || subscription.server == arrival.from.address) else { return [.refused(.wrongKey)] }
    if let obeyed = subscription.obeyedNonce {
      if notify.nonce >= obeyed, !isAnswer, isEnd(notify) { return end(slot, notify, arrival, now) }
      // The server repeats itself until it hears us; what it says is done already.
      if notify.nonce == obeyed { return [acknowledge(notify, arrival), .refused(.replayed)] }
      if notify.nonce < obeyed { return [.refused(.replayed)] }
    } else if !isAnswer {
      return [.refused(.notSubscribed)]
    }
    return obey(slot, subscription, notify, arrival, now)
  }

  private mutating func obey(
    _ slot: UInt32, _ subscription: Subscription, _ notify: MapNotify, _ arrival: Arrival, _ now: Instant
  ) -> [ITRAction] {
    var subscription = subscription
    if subscription.state == .leaving {
      guard subscription.isAnswer(notify.nonce) else { return [acknowledge(notify, arrival)] }
      subscription.obeyedNonce = notify.nonce
      return [acknowledge(notify, arrival), leave(slot, subscription)]
    }
    let judged = JudgedRecords(notify.records, asked: subscription.eid, answeredBy: arrival.from, echoNonceCapable: false, own: own)
    let refusals = judged.refusals.map { ITRAction.refused($0) }
    guard !judged.mappings.isEmpty else { return refusals }
    let isConfirmation = subscription.isAnswer(notify.nonce)
    let wasSubscribed = subscription.state == .subscribed
    subscription.obeyedNonce = notify.nonce
    subscription.lastNotifyAt = now
    if isConfirmation {
      subscription.state = .subscribed
      subscription.server = arrival.from.address
      subscription.firstNonce = nil
      subscription.tries = 0
      // The Map-Resolver of the try that was answered, as far as we can know, is asked next time.
      subscription.resolver -= 1
      rely(slot, ttlMinutes: judged.mappings.map(\.ttlMinutes).min() ?? 0, now: now)
    }
    subscriptions[slot] = subscription
    return [.store(subscription.eid, nonce: max(notify.nonce, subscription.sentNonce)), acknowledge(notify, arrival)]
      + [.install(judged.mappings)] + (isConfirmation && !wasSubscribed ? [.subscription(subscription.eid, .subscribed)] : []) + refusals
  }

  /// No locators and authentication-failure: the server could not reach us and has removed the subscription (RFC 9437 section 6).
  private func isEnd(_ notify: MapNotify) -> Bool {
    notify.records.allSatisfy { $0.action == .authenticationFailure && $0.locators.allSatisfy { $0.address == .none } }
  }

  private mutating func end(_ slot: UInt32, _ notify: MapNotify, _ arrival: Arrival, _ now: Instant) -> [ITRAction] {
    guard let subscription = subscriptions[slot], subscription.state == .subscribed else { return [acknowledge(notify, arrival)] }
    subscriptions[slot]?.obeyedNonce = notify.nonce
    askAgain(slot, now: now)
    return [acknowledge(notify, arrival), .subscription(subscription.eid, .asking)]
  }

  /// Without a key, what `isPlausible` says.
  private func isAuthentic(_ notify: MapNotify, _ bytes: [UInt8], _ isPlausible: Bool) -> Bool {
    guard let key = settings.key else { return isPlausible }
    return key.verifies(bytes, type: .mapNotify, nonce: notify.nonce, fields: notify.authentication)
  }

  /// The Map-Notify's own content, signed by us, back to where it came from.
  private func acknowledge(_ notify: MapNotify, _ arrival: Arrival) -> ITRAction {
    var acknowledgement = notify
    acknowledgement.authentication = .init()
    let bytes = settings.key?.sign(acknowledgement: acknowledgement) ?? ControlMessage.mapNotifyAck(acknowledgement).bytes
    return .send(Datagram(bytes, to: arrival.from, from: arrival.to))
  }

  /// A Map-Reply for which `isAnswer` holds: the mapping without the subscription (RFC 9437 section 5).
  public mutating func receive(_ reply: MapReply, _ arrival: Arrival, now: Instant) -> [ITRAction] {
    guard let slot = subscription(reply.records, nonce: reply.nonce, onlyAnswers: true), let subscription = subscriptions[slot],
      subscription.state != .leaving
    else { return [.refused(.unknownNonce)] }
    var judged = JudgedRecords(
      reply.records, asked: subscription.eid, answeredBy: arrival.from, echoNonceCapable: reply.flags.contains(.echoNonceCapable),
      own: own)
    let refusals = judged.refusals.map { ITRAction.refused($0) }
    guard !judged.mappings.isEmpty else { return refusals }
    judged.retire(subscription.eid, answeredBy: arrival.from)
    if let registeredAt, let askedAt = subscription.lastRequestAt, askedAt <= registeredAt {
      askAgain(slot, now: now)
      return [.install(judged.mappings)] + refusals
    }
    subscriptions[slot]?.state = .declined
    subscriptions[slot]?.tries = 0
    subscriptions[slot]?.firstNonce = nil
    // A negative answer that is over sooner says when it is worth to ask again.
    let minutes = judged.mappings.map(\.ttlMinutes).min() ?? 0
    let over = Duration.seconds(60 * Int64(max(minutes, 1)))
    deadlines.schedule(slot, at: now + (judged.leadsHome ? Self.declinedInterval : min(Self.declinedInterval, over)))
    return [.install(judged.mappings), .subscription(subscription.eid, .declined)] + refusals
  }

  /// What is known of all subscriptions, in ascending order.
  public var facts: [SubscriptionFacts] {
    subscriptions.elements.sorted { $0.eid < $1.eid }.map { subscription in
      SubscriptionFacts(
        eid: subscription.eid, state: subscription.state, server: subscription.server, lastRequestAt: subscription.lastRequestAt,
        lastNotifyAt: subscription.lastNotifyAt, nextTryAt: index[subscription.eid].flatMap { deadlines[$0] })
    }
  }
}

/// What `xtr show` says of a subscription.
public struct SubscriptionFacts: Hashable, Sendable {
  public var eid: EIDPrefix
  public var state: Subscriber.State
  /// Who confirmed it.
  public var server: IPAddress?
  public var lastRequestAt: Instant?
  public var lastNotifyAt: Instant?
  public var nextTryAt: Instant?
}
