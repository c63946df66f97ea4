// SPDX-License-Identifier: Apache-2.0
//
// What `xtr show map-cache`, `registrations`, `probes` and `control` say of the mapping system, in the control socket's types.

import ControlAPI
import ControlPlane
import MapCache
import Wire

extension MappingSystem {
  /// Requests under way that are shown at most; there may be tens of thousands.
  private static let shownRequests = 1000

  func resolutions() -> [ResolutionEntry] {
    let now = ContinuousClock.now
    return (resolver.outstanding(limit: Self.shownRequests) + resolver.history).map { ResolutionEntry($0, now) }
  }

  func registrations() -> [RegistrationEntry] {
    let now = ContinuousClock.now
    return registrar.registrations.flatMap { server, statuses in statuses.map { RegistrationEntry($0, at: server, now) } }
  }

  func status() -> ControlPlaneStatus {
    let refused = refusals.map { CountedReason(reason: $0.rawValue, count: $1, meaning: $0.meaning) }
    let unresolved = MissDrop.allCases.map { CountedReason(reason: $0.rawValue, count: waiting.dropped($0), meaning: $0.meaning) }
    return ControlPlaneStatus(
      addresses: sockets?.addresses.map(\.description) ?? [], mapResolvers: settings.mapResolvers.map(\.description), received: received,
      sent: sockets?.sent ?? 0, unsendable: sockets?.unsendable ?? 0, dropped: sockets?.dropped ?? 0, refused: refused.ordered,
      waiting: waiting.count, released: waiting.taken, unresolved: unresolved.ordered, outstanding: resolver.outstandingCount,
      events: events, subscriptions: subscriptions())
  }

  private func subscriptions() -> [SubscriptionEntry] {
    let now = ContinuousClock.now
    return subscriber.facts.map { SubscriptionEntry($0, now) }
  }

  private var events: [CountedReason] {
    let asked = resolver.counters
    return [
      ("map-requests", asked.requestsSent, "Map-Requests for EIDs, tries included"),
      ("resolved", asked.repliesAccepted, "Map-Replies that answered one"),
      ("given-up", asked.gaveUp, "EIDs that nobody answered for in ten tries"),
      ("too-many", asked.tooMany, "requests that did not leave: too many a second, or under way"),
      ("probes", prober.probesSent, "probes of locators"), ("probes-answered", prober.answers, "answers to them"),
      ("solicitations", solicitor.sent, "SMRs to sites that use a mapping of ours that has changed"),
    ]
    .map { CountedReason(reason: $0.0, count: $0.1, meaning: $0.2) }.filter { $0.count > 0 }
  }
}

extension SubscriptionEntry {
  fileprivate init(_ facts: SubscriptionFacts, _ now: Instant) {
    self.init(
      instanceID: facts.eid.instanceID.rawValue, eidPrefix: "\(facts.eid.prefix)", state: facts.state.rawValue,
      mapServer: facts.server.map { "\($0)" }, lastRequestSecondsAgo: facts.lastRequestAt.map { (now - $0) / .seconds(1) },
      lastNotifySecondsAgo: facts.lastNotifyAt.map { (now - $0) / .seconds(1) },
      nextTryInSeconds: facts.nextTryAt.map { max(0, now.duration(to: $0) / .seconds(1)) })
  }
}

extension ResolutionEntry {
  fileprivate init(_ facts: ResolutionFacts, _ now: Instant) {
    let state =
      switch facts.outcome {
      case .outstanding: "asking"
      case .answered: "answered"
      case .unanswered: "given-up"
      }
    self.init(
      instanceID: facts.eid.instanceID.rawValue, eidPrefix: "\(facts.eid.prefix)", state: state, tries: facts.tries,
      lastRequestSecondsAgo: (now - facts.lastRequestAt) / .seconds(1), asked: facts.lastResolver.map { "\($0)" },
      lastReplySecondsAgo: facts.lastReplyAt.map { (now - $0) / .seconds(1) }, answeredBy: facts.answeredBy.map { "\($0.address)" },
      nextTryInSeconds: facts.nextTryAt.map { max(0, now.duration(to: $0) / .seconds(1)) })
  }
}

extension RegistrationEntry {
  fileprivate init(_ facts: RegistrationFacts, at server: RegistrationServer, _ now: Instant) {
    let status = facts.status
    self.init(
      instanceID: facts.eid.instanceID.rawValue, eidPrefix: "\(facts.eid.prefix)", mapServer: "\(server.endpoint.address)",
      state: status.state.kind.rawValue, sinceSeconds: (now - status.state.since) / .seconds(1),
      lastRegisterSecondsAgo: facts.lastSend.map { (now - $0) / .seconds(1) }, tries: facts.tries,
      notifiedSecondsAgo: status.lastNotify.map { (now - $0) / .seconds(1) },
      nextRegisterInSeconds: facts.nextSend.map { max(0, now.duration(to: $0) / .seconds(1)) },
      locators: status.serverLocators.map(RegisteredLocator.init), why: status.state.kind.why)
  }
}

extension RegistrationState.Kind {
  fileprivate var why: String {
    switch self {
    case .registered: "the map-server has confirmed it"
    case .registering: "sent; the answer is not late yet"
    case .refused: "the map-server answers without it: the site may not register it there"
    case .unanswered: "no Map-Notify: wrong key, unknown site or no path"
    }
  }
}

extension MissDrop {
  /// One sentence for an operator.
  fileprivate var meaning: String {
    switch self {
    case .queueFullPrefix: "as many packets as may wait for one EID were waiting"
    case .queueFullTotal: "as many packets as may wait were waiting"
    case .timedOut: "waited too long for an answer"
    case .unanswered: "the mapping system does not answer for this EID"
    case .noRoom: "the answer found no room: the map-cache or the forwarding table is full"
    case .tooManyRequests: "too many EIDs are being asked for, or too many a second"
    case .noMapResolver: "the configuration has no map-resolver"
    }
  }
}

extension ProbeEntry {
  /// A locator in use; `facts`: what its probes have found, if it is probed.
  init(_ rloc: IPAddress, _ facts: ProbeFacts?, _ verdict: Reachability, _ now: Instant) {
    self.init(
      rloc: "\(rloc)", state: (facts?.state ?? .unprobed).rawValue,
      roundTripMilliseconds: facts?.roundTrip.map { $0 / .milliseconds(1) },
      lastProbeSecondsAgo: facts?.lastSentAt.map { (now - $0) / .seconds(1) },
      lastReplySecondsAgo: facts?.lastAnswerAt.map { (now - $0) / .seconds(1) },
      nextProbeInSeconds: facts?.nextProbeAt.map { max(0, now.duration(to: $0) / .seconds(1)) }, reachable: verdict.isUp, why: "\(verdict)")
  }
}
