// SPDX-License-Identifier: Apache-2.0
//
// Subscribing and unsubscribing (RFC 9437 sections 5 and 6): Map-Requests with I (and so an xTR-ID) whose records have N.
//
// A subscription is to the prefix that answers the question, and confirmed by a Map-Notify with what a Map-Reply would say. There is none
// to a prefix that is not registered, or that an ETR answers for itself, or whose site does not allow it, or to a part of a prefix (where
// more specific ones do not fit one message): such questions, and those beyond the bounds, get their ordinary answers, which RFC 9437
// says is how a subscription is refused.
//
// The Map-Notify is signed with a key that both ends have without another configuration: of the site where the xTR-ID is registered, the
// key of its last Map-Register; or the first key of the site whose configured prefix is around the source EID. A Map-Request is not
// signed itself: whoever can guess an xTR-ID can spoil its subscription, and cannot read or forge what is told. (LISP-SEC would mend
// that; RFC 9437 section 7.)
//
// The nonce of a request has to be greater than the last one of the subscription; the server's Map-Notifies count on from it. A
// subscription becomes a row when it has been acknowledged: what nobody acknowledges is gone after 75 seconds.

import Wire

extension MapRequest {
  /// One ITR-RLOC, and that none: the xTR does not want to be told any more.
  var unsubscribes: Bool { itrRLOCs == [.none] && records.contains(where: \.subscribes) }
}

extension MapServer {
  enum SubscriptionOutcome {
    case subscribed
    case refused(Refusal)
    /// An ordinary answer is due.
    case notPossible
  }

  mutating func subscribe(
    to eid: EIDPrefix, _ request: MapRequest, _ identity: XTRIdentity, _ itrRLOCs: [IPAddress], _ arrival: Arrival, _ now: Instant
  ) -> SubscriptionOutcome {
    guard let entry = registered(eid), case .positive(let answer) = answer(eid), let site = subscriberSite(request, identity),
      sites.maySubscribe(site, to: entry.eid), let key = signingKey(site: site, xtr: identity)
    else { return .notPossible }
    let records = answer.compactMap(MapServerRecord.decoded)
    guard records.first?.eidPrefix == entry.eid else { return .notPossible }
    if let slot = subscriptions.slot(entry.eid, identity), let old = subscriptions[slot] {
      guard request.nonce > old.nonce else {
        repeatConfirmation(of: slot, nonce: request.nonce)
        return .refused(.replayed)
      }
    } else if subscriptions.count >= settings.maximumSubscriptions
      || deliveries.confirmationCount >= settings.maximumUnconfirmedSubscriptions
    {
      return .notPossible
    }
    guard itrRLOCs[0] == arrival.from.address || replyLimiter.allows(itrRLOCs[0], now: now) else { return .refused(.tooOften) }
    let subscription = Subscription(eid: entry.eid, xtr: identity, site: site, itrRLOCs: itrRLOCs, nonce: request.nonce)
    let slot = subscriptions.put(subscription)
    let payload = key.sign(notify: MapNotify(nonce: request.nonce, records: records))
    let message = Delivery.Message(nonce: request.nonce, payload: payload, key: key, count: 1, isConfirmation: true)
    deliveries.confirm(message, about: entry.eid, for: .subscription(slot), destinations: itrRLOCs, now: now)
    counters.announcementsSent += 1
    send(payload, to: Endpoint(itrRLOCs[0]))
    return .subscribed
  }

  /// The same request once more means that the confirmation was lost: the xTR need not wait for the next one.
  private mutating func repeatConfirmation(of slot: SubscriptionTable.Slot, nonce: UInt64) {
    guard let message = deliveries.confirmation(for: .subscription(slot)), message.nonce == nonce,
      let address = subscriptions[slot]?.itrRLOCs.first
    else { return }
    counters.retransmissions += 1
    send(message.payload, to: Endpoint(address))
  }

  /// Ends the xTR's subscriptions to these prefixes, or to what answers for them, and says so to where the request came from. Also where
  /// there is none any more: the last answer may have been lost.
  mutating func unsubscribe(_ eids: [EIDPrefix], _ request: MapRequest, _ identity: XTRIdentity, _ arrival: Arrival) -> Refusal? {
    guard let site = subscriberSite(request, identity), let key = signingKey(site: site, xtr: identity) else { return .notSubscribed }
    var records: [EIDRecord] = []
    for eid in eids {
      let subscribed = subscriptions.slot(eid, identity) ?? registered(eid).flatMap { subscriptions.slot($0.eid, identity) }
      if let slot = subscribed, let old = subscriptions[slot] {
        guard request.nonce > old.nonce else { return .replayed }
        forgetSubscription(slot)
      }
      records.append(registered(eid).flatMap { MapServerRecord.decoded($0.mapping) } ?? EIDRecord(eid, ttl: 0))
    }
    counters.announcementsSent += 1
    send(key.sign(notify: MapNotify(nonce: request.nonce, records: records)), to: Endpoint(arrival.from.address), from: arrival.to)
    return nil
  }

  /// The site whose key an xTR is told with.
  private func subscriberSite(_ request: MapRequest, _ identity: XTRIdentity) -> SiteTable.Number? {
    var number = xtrs.number(of: identity).flatMap { xtrs[$0]?.site }
    if number == nil, let (instance, address) = request.sourceEID.ipInInstance {
      number = sites.match(EIDPrefix(instance, IPPrefix(host: address)))?.site
    }
    return number.flatMap { sites.site($0) == nil ? nil : $0 }
  }

  mutating func storeSubscription(_ slot: SubscriptionTable.Slot) {
    guard let subscription = subscriptions[slot] else { return }
    actions.append(.store(.subscription(row(subscription))))
  }
}
