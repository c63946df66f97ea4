// SPDX-License-Identifier: Apache-2.0
//
// A Map-Server and Map-Resolver (RFC 9301 section 8, RFC 9437) as a state machine: messages and the time go in, actions come out. The
// program around it has the sockets, the clock and the file.
//
//     Map-Register ──▶ site? key? nonce? prefixes? locators? ──▶ Registrations ──▶ Map-Notify         (MapServer+Register)
//                                                                     │ changes
//                                                                     ▼
//                         other xTRs that merge, subscribers ◀── Deliveries ◀── Map-Notify-Ack         (MapServer+Announce)
//                                                                     ▲
//     ECM(Map-Request) ──┬─ N, I ─▶ Subscriptions ────────────────────┘                                (MapServer+Subscribe)
//                        └────────▶ MapServerAnswer ──▶ Map-Reply, or the ECM goes on to an ETR        (MapServer+Request)
//
// Map-Requests are answered when they come in an Encapsulated Control Message (section 8.4: that is how ITRs reach a Map-Resolver). One
// that comes plain is an RLOC-probe or an SMR, or meant for an ETR: we are neither ITR nor ETR. Subscriptions come through the mapping
// system, too, in an ECM (RFC 9437 section 5). A probe or an SMR in an ECM is dropped (RFC 9301 5.2).
//
// What follows from changes is done once at the end of a turn, so that a message that changes a prefix twice is announced once.

import MapCache
import Wire

/// The Map-Server. Thread: slow path (a value without shared state).
public struct MapServer: Sendable {
  var settings: MapServerSettings
  var sites = SiteTable()
  var registrations = Registrations()
  var xtrs = XTRTable()
  var subscriptions = SubscriptionTable()
  var deliveries = DeliveryTable()
  /// Of Map-Replies, see MapServer+Request.
  var replyLimiter: ReplyLimiter
  var random: NonceSource
  public internal(set) var counters = MapServerCounters()
  var refusals = RefusalLog()

  /// EID-prefixes whose mappings have changed in this turn, each with the xTR that did it.
  var changes: [(eid: EIDPrefix, by: UInt32?)] = []
  var touchedEntries: [Registrations.Slot] = []
  var touchedXTRs: [UInt32] = []
  var actions: [MapServerAction] = []

  /// Entries looked at for expiry in one turn, and Map-Notifies sent on our own account: both well under a millisecond. Our choice.
  static let expiryLimit = 128
  static let announcementLimit = 64

  public init(settings: MapServerSettings, sites: [MapServerSite], nonces: NonceSource) {
    self.settings = settings
    random = nonces
    replyLimiter = ReplyLimiter(perSecond: settings.repliesPerSecond, burst: settings.replyBurst, random: &random)
    self.sites.replace(with: sites)
  }

  /// How many EID-prefixes are registered.
  public var registrationCount: Int { registrations.count }
  /// How many subscriptions there are.
  public var subscriptionCount: Int { subscriptions.count }

  /// When `tick` is due; nil when nothing is waiting. A moment that has passed means that there is more to do than one turn does.
  public var nextDeadline: Instant? { [registrations.nextDeadline, deliveries.nextDeadline].compactMap(\.self).min() }

  /// Takes the payload of a datagram to port 4342.
  public mutating func receive(_ bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [MapServerAction] {
    if let refusal = dispatch(bytes, arrival, now) {
      counters.refused[refusal, default: 0] += 1
    } else {
      counters.accepted += 1
    }
    return finishTurn(now)
  }

  /// Does what time asks for: expiry and retransmission, no more of it than fits a turn.
  public mutating func tick(_ now: Instant) -> [MapServerAction] {
    expire(now)
    retransmit(now)
    return finishTurn(now)
  }

  private mutating func finishTurn(_ now: Instant) -> [MapServerAction] {
    if !changes.isEmpty || deliveries.hasWaiting { announce(now) }
    guard !actions.isEmpty else { return [] }
    defer { actions = [] }
    return actions
  }

  /// nil: the message was obeyed.
  private mutating func dispatch(_ bytes: [UInt8], _ arrival: Arrival, _ now: Instant) -> Refusal? {
    guard let first = bytes.first else { return .malformed }
    guard let type = ControlMessageType(rawValue: first >> 4) else { return .unknownType }
    counters.received[type, default: 0] += 1
    guard let message = try? ControlMessage(parsing: bytes) else { return .malformed }
    switch message {
    case .mapRegister(let register): return self.register(register, bytes, arrival, now)
    case .encapsulated(let encapsulated): return request(encapsulated, byteCount: bytes.count, arrival, now)
    case .mapNotifyAck(let acknowledgement): return acknowledge(acknowledgement, bytes, arrival, now)
    case .mapRequest, .mapReply, .mapNotify, .mapReferral: return .notForUs
    }
  }

  mutating func send(_ payload: [UInt8], to destination: Endpoint, from source: IPAddress? = nil) {
    actions.append(.send(Datagram(payload, to: destination, from: source)))
  }

  // MARK: - Time

  private mutating func expire(_ now: Instant) {
    for gone in registrations.expire(now: now, limit: Self.expiryLimit) {
      counters.expired += 1
      withdrawn(gone.eid, xtr: gone.xtr)
      if gone.mappingChanged { changes.append((gone.eid, nil)) }
    }
  }

  /// What follows when an xTR's registration of a prefix is no more.
  mutating func withdrawn(_ eid: EIDPrefix, xtr number: UInt32) {
    guard let xtr = xtrs[number] else { return }
    actions.append(.forget(.registration(eid, site: sites.name(xtr.site), xtr.name)))
  }

  // MARK: - Addresses and sites

  /// The families that we have an address of are these now: nothing is sent to others.
  public mutating func setFamilies(_ families: Set<AddressFamily>) { settings.families = families }

  /// Where a subscriber is told: its ITR-RLOCs that we can send to; all of them while there are none, for our address may come back.
  func reachable(_ itrRLOCs: [IPAddress]) -> [IPAddress] {
    let reachable = itrRLOCs.filter { settings.families.contains($0.family) }
    return reachable.isEmpty ? itrRLOCs : reachable
  }

  /// Takes over other sites. What they may not register any more is gone, with the nonces under keys that are not there any more, and
  /// the subscriptions that are not allowed any more. O(registrations).
  public mutating func replaceSites(_ configured: [MapServerSite], now: Instant) -> [MapServerAction] {
    let old = sites
    sites.replace(with: configured)
    var eid = registrations.prefixes.next(after: nil)?.prefix
    while let current = eid {
      eid = registrations.prefixes.next(after: current)?.prefix
      guard let entry = registrations[current], !sites.allows(current, site: entry.site) else { continue }
      _ = registrations.remove(current)
      for registration in entry.registrations { withdrawn(current, xtr: registration.xtr) }
      changes.append((current, nil))
    }
    let current = sites
    xtrs.forgetNonces { site, nonce in
      guard let key = current.site(site)?.key(nonce.keyID, nonce.algorithm) else { return true }
      return old.site(site)?.key(nonce.keyID, nonce.algorithm) != key
    }
    for number in xtrs.all where xtrs[number].map({ sites.site($0.site) == nil }) ?? false { forgetXTR(number) }
    for slot in subscriptions.slots {
      guard let subscription = subscriptions[slot], !sites.maySubscribe(subscription.site, to: subscription.eid) else { continue }
      forgetSubscription(slot)
    }
    return finishTurn(now)
  }

  private mutating func forgetXTR(_ number: UInt32) {
    guard let xtr = xtrs[number] else { return }
    deliveries.remove(.xtr(number))
    xtrs.remove(number)
    actions.append(.forget(.xtr(site: sites.name(xtr.site), xtr.name)))
  }
}

extension MapServerSite {
  /// The key with this ID and algorithm.
  func key(_ id: UInt8, _ algorithm: AuthenticationAlgorithm) -> AuthenticationKey? {
    keys.first { $0.id == id && $0.algorithm == algorithm }
  }
}

extension MapServer {
  /// What is wrong with it, in words. O(n); for tests.
  func checkInvariants() -> [String] {
    var wrong = registrations.checkInvariants()
    var eid: EIDPrefix?
    while let (prefix, slot) = registrations.prefixes.next(after: eid) {
      eid = prefix
      guard let entry = registrations[slot] else { continue }
      if !sites.allows(prefix, site: entry.site) { wrong.append("\(prefix) is not its site's to register") }
      if entry.registrations.contains(where: { xtrs[$0.xtr]?.site != entry.site }) { wrong.append("\(prefix) has an xTR of another site") }
    }
    if deliveries.confirmationCount > deliveries.count { wrong.append("\(deliveries.confirmationCount) confirmations under way") }
    return wrong
  }
}
