// SPDX-License-Identifier: Apache-2.0
//
// Who is told of changed mappings, and that they have heard: Map-Notifies on our own account (RFC 9301 5.7, RFC 9437 section 6) and the
// Map-Notify-Acks to them. Called at the end of every turn.
//
// Of a change are told: the other xTRs that merge the prefix, and the subscribers to it and to prefixes around it. A prefix that is gone
// is told with TTL 0.

import Wire

extension MapServer {
  /// What a message on our own account holds, so that it needs no fragments (RFC 9301 section 5 for IPv6). Our choice.
  static let recordByteLimit = 1100

  /// Puts this turn's changes in line and sends what a turn may.
  mutating func announce(_ now: Instant) {
    for change in changes {
      for registration in registrations[change.eid]?.registrations ?? [] where registration.merges && registration.xtr != change.by {
        guard let xtr = xtrs[registration.xtr] else { continue }
        _ = deliveries.add(change.eid, for: .xtr(registration.xtr), destinations: [xtr.source], now: now)
      }
      for slot in subscriptions.concerned(by: change.eid) {
        guard let subscription = subscriptions[slot] else { continue }
        let added = deliveries.add(change.eid, for: .subscription(slot), destinations: reachable(subscription.itrRLOCs), now: now)
        if !added { drop(slot) }
      }
    }
    changes = []
    for _ in 0..<Self.announcementLimit {
      guard let slot = deliveries.nextWaiting() else { break }
      startMessage(slot, now)
    }
  }

  private mutating func startMessage(_ slot: DeliveryTable.Slot, _ now: Instant) {
    guard let delivery = deliveries[slot] else { return }
    guard let key = signingKey(of: delivery.recipient) else { return deliveries.remove(delivery.recipient) }
    var records: [EIDRecord] = []
    var byteCount = 0
    for eid in delivery.pending {
      let bytes = registrations[eid]?.mapping ?? MapServerRecord.bytes(EIDRecord(eid, ttl: 0))
      byteCount += bytes.count
      guard records.isEmpty || byteCount <= Self.recordByteLimit, records.count < 255 else { break }
      records.append(MapServerRecord.decoded(bytes) ?? EIDRecord(eid, ttl: 0))
    }
    let nonce: UInt64
    switch delivery.recipient {
    case .xtr: nonce = random.next()
    case .subscription(let subscription): nonce = subscriptions.nextNonce(subscription)
    }
    let payload = key.sign(notify: MapNotify(nonce: nonce, records: records))
    deliveries.start(.init(nonce: nonce, payload: payload, key: key, count: records.count, isConfirmation: false), of: slot, now: now)
    if case .subscription(let subscription) = delivery.recipient { storeSubscription(subscription) }
    counters.announcementsSent += 1
    send(payload, to: deliveries[slot]?.destination ?? delivery.destination)
  }

  /// The key that the recipient's site uses: the one of an xTR's last Map-Register, or the site's first one.
  private func signingKey(of recipient: Recipient) -> AuthenticationKey? {
    switch recipient {
    case .xtr(let number): xtrs[number].flatMap(signingKey)
    case .subscription(let slot): subscriptions[slot].flatMap { signingKey(site: $0.site, xtr: $0.xtr) }
    }
  }

  private func signingKey(of xtr: RegisteringXTR) -> AuthenticationKey? {
    guard let site = sites.site(xtr.site) else { return nil }
    return xtr.nonces.last.flatMap { site.key($0.keyID, $0.algorithm) } ?? site.keys.first
  }

  /// The key for an xTR that says that it is of `site`: the one of its last Map-Register there, or the site's first one.
  func signingKey(site: SiteTable.Number, xtr: XTRIdentity) -> AuthenticationKey? {
    if let number = xtrs.number(.id(xtr), of: site), let registered = xtrs[number] { return signingKey(of: registered) }
    return sites.site(site)?.keys.first
  }

  // MARK: - Again, or not any more

  mutating func retransmit(_ now: Instant) {
    for _ in 0..<Self.announcementLimit {
      switch deliveries.nextDue(now) {
      case .resend(let delivery):
        counters.retransmissions += 1
        if let message = delivery.message { send(message.payload, to: delivery.destination) }
      case .giveUp(let delivery): giveUp(delivery)
      case nil: return
      }
    }
  }

  private mutating func giveUp(_ delivery: Delivery) {
    switch delivery.recipient {
    case .xtr(let number):
      guard let xtr = xtrs[number] else { return }
      actions.append(.log(.notifyUnanswered(site: sites.name(xtr.site), xtr: "\(xtr.name)")))
    case .subscription(let slot): drop(slot)
    }
  }

  /// Ends a subscription that cannot be served, and says so once (RFC 9437 section 6): no locators, authentication failure.
  private mutating func drop(_ slot: SubscriptionTable.Slot) {
    guard let subscription = subscriptions[slot] else { return }
    if let key = signingKey(of: .subscription(slot)), let address = reachable(subscription.itrRLOCs).first {
      let record = EIDRecord(subscription.eid, ttl: 0, action: .authenticationFailure)
      send(key.sign(notify: MapNotify(nonce: subscription.nonce, records: [record])), to: Endpoint(address))
    }
    actions.append(.log(.subscriptionDropped(subscription.eid, xtr: "\(subscription.xtr)")))
    forgetSubscription(slot)
  }

  mutating func forgetSubscription(_ slot: SubscriptionTable.Slot) {
    guard let subscription = subscriptions[slot] else { return }
    deliveries.remove(.subscription(slot))
    subscriptions.remove(slot)
    actions.append(.forget(.subscription(subscription.eid, subscription.xtr)))
  }

  // MARK: - Map-Notify-Ack

  /// An acknowledgement counts when it has the nonce of a message under way to its sender and is signed with that message's key. Its
  /// records say which one is meant where an xTR uses one nonce twice; without records the first one is.
  mutating func acknowledge(_ message: MapNotify, _ bytes: [UInt8], _ arrival: Arrival, _ now: Instant) -> Refusal? {
    let candidates = deliveries.candidates(nonce: message.nonce, from: arrival.from.address)
    let first = message.records.first?.eidPrefix
    guard let slot = candidates.first(where: { first == nil || deliveries[$0]?.pending.first == first }),
      let delivery = deliveries[slot], let key = delivery.message?.key
    else { return .unknownNonce }
    guard key.verifies(bytes, type: .mapNotifyAck, nonce: message.nonce, fields: message.authentication) else { return .wrongKey }
    counters.acknowledged += 1
    if case .subscription(let subscription) = delivery.recipient, delivery.message?.isConfirmation == true {
      storeSubscription(subscription)
    }
    deliveries.acknowledge(slot, now: now)
    return nil
  }
}
