// SPDX-License-Identifier: Apache-2.0
//
// Registers the site's EID-prefixes at its Map-Servers and keeps them registered (RFC 9301 5.6, 5.7, 8.2; rule C8). The router gives it the
// database whenever that changed, the Map-Notifies that come in, and the time; it says what to send and what to tell the operator.
//
// A Map-Server drops a Map-Register whose nonce is not greater than the last one of the same xTR-ID and key. So nonces ascend for ever:
//
//    ├───────────────────────────────┼───────────────────────────────┤
//    │  seconds since 2000, at start │  messages since, from 0       │
//    └───────────────────────────────┴────────────────────────────────
//
// and a start that finds a nonce stored by an earlier run begins above both. Then neither a clock that was set back nor one that was ahead
// leads to a nonce a second time; a machine that keeps nothing and whose clock goes back is refused until the clock passes its old starts.

import Wire

/// What the registrar wants done.
public enum RegistrarAction: Hashable, Sendable {
  case send(Datagram)
  /// For the log.
  case report(RegistrationReport)
  /// A Map-Notify was not obeyed; to be counted.
  case refused(Refusal)
}

/// The registrar. Thread: slow path.
public struct Registrar: Sendable {
  /// Of a message, in bytes of UDP payload: with IPv6 and UDP headers 1280 bytes, which every path carries unfragmented (RFC 8200 section 5).
  /// RFC 9301 section 5 would have 576 on an IPv4 path that nobody knows; we take it that there is none such between xTRs any more.
  public static let messageByteCount = 1232

  /// A register that was sent and not answered.
  private struct Outstanding {
    var server: Endpoint
    /// Its slot at the server. A batch that goes takes its nonces along.
    var batch: UInt32
    /// That it was signed with.
    var key: AuthenticationKey
  }

  private let identity: XTRIdentity
  private var database = SiteDatabase()
  private var servers: [ServerRegistration] = []
  private var outstanding: [UInt64: Outstanding] = [:]
  private var random: NonceSource
  private let firstNonce: UInt64
  /// Of the last message; to be stored now and then, for `nonceFloor` of the next start.
  public private(set) var lastNonce: UInt64

  /// `secondsSince2000`: by the wall clock. `nonceFloor`: the `lastNonce` that an earlier run stored, plus as many as it may have sent since;
  /// 0 if there is none.
  public init(identity: XTRIdentity, secondsSince2000: UInt32, nonceFloor: UInt64 = 0, random: NonceSource = NonceSource()) {
    self.identity = identity
    self.random = random
    firstNonce = max(UInt64(secondsSince2000) << 32, nonceFloor)
    lastNonce = firstNonce
  }

  // MARK: - What to register, and where

  /// The database is this now: what changed is registered or withdrawn at once. O(n log n).
  public mutating func update(_ database: SiteDatabase, now: Instant) -> [RegistrarAction] {
    self.database = database
    for i in servers.indices where !servers[i].isLeaving { setRecords(i, now) }
    return tick(now: now)
  }

  /// Our Map-Servers are these now, told apart by their endpoints. A new key or other bits are used at once; from a server that is no
  /// longer among them everything is withdrawn.
  public mutating func configure(_ wanted: [RegistrationServer], now: Instant) -> [RegistrarAction] {
    for i in servers.indices where !wanted.contains(where: { $0.endpoint == servers[i].server.endpoint }) { leave(i, now) }
    for server in wanted {
      guard let i = servers.firstIndex(where: { $0.server.endpoint == server.endpoint }) else {
        servers.append(ServerRegistration(server, now: now))
        setRecords(servers.count - 1, now)
        continue
      }
      servers[i].isLeaving = false
      if servers[i].server != server { servers[i].set(server, now: now) }
      setRecords(i, now)
    }
    return tick(now: now)
  }

  /// A clean end: withdraws everything everywhere, 70 000 prefixes a second. It is over when `nextDeadline` is nil: half a minute later,
  /// where nobody answers.
  public mutating func withdraw(now: Instant) -> [RegistrarAction] { configure([], now: now) }

  /// Whether there is something that has never been sent. O(messages)
  public var hasUnsent: Bool { servers.contains(where: \.hasUnsent) }

  /// How many withdrawals of EID-prefixes nobody has confirmed, at all servers together. O(messages)
  public var unconfirmedWithdrawals: Int { servers.reduce(0) { $0 + $1.unconfirmedWithdrawals } }

  private mutating func leave(_ i: Int, _ now: Instant) {
    guard !servers[i].isLeaving else { return }
    servers[i].isLeaving = true
    setRecords(i, now)
  }

  private mutating func setRecords(_ i: Int, _ now: Instant) {
    let records = servers[i].isLeaving ? [] : database.prefixes.map(database.record)
    forget(servers[i].set(records, byteCount: Self.messageByteCount, overhead: overhead(of: servers[i].server.key), now: now))
  }

  /// Of a message without records.
  private func overhead(of key: AuthenticationKey) -> Int {
    AuthenticationFields.dataOffset + key.blankFields.data.count + XTRIdentity.byteCount
  }

  // MARK: - Time

  /// When `tick` is to be called next; nil: not until something happens.
  public var nextDeadline: Instant? {
    var next: Instant?
    for i in servers.indices { if let deadline = servers[i].nextDeadline { next = next.map { min($0, deadline) } ?? deadline } }
    return next
  }

  /// Sends what is due and reports what lasts.
  public mutating func tick(now: Instant) -> [RegistrarAction] {
    var actions: [RegistrarAction] = []
    for i in servers.indices {
      while let due = servers[i].nextDue(now) {
        switch due {
        case .send(let slot): actions.append(.send(register(i, slot, now)))
        case .abandoned(let nonces): forget(nonces)
        }
      }
      if let report = servers[i].report(now) { actions.append(.report(report)) }
    }
    removeEmptyServers()
    return actions
  }

  private mutating func removeEmptyServers() {
    if servers.contains(where: { $0.isLeaving && $0.isEmpty }) { servers.removeAll { $0.isLeaving && $0.isEmpty } }
  }

  private mutating func register(_ i: Int, _ slot: UInt32, _ now: Instant) -> Datagram {
    lastNonce &+= 1
    let server = servers[i].server
    if let lost = servers[i].noteSent(slot, lastNonce, now, &random) { outstanding[lost] = nil }
    outstanding[lastNonce] = Outstanding(server: server.endpoint, batch: slot, key: server.key)
    let message = MapRegister(nonce: lastNonce, flags: server.flags, records: servers[i].records(slot), identity: identity)
    return Datagram(server.key.sign(message), to: server.endpoint)
  }

  private mutating func forget(_ nonces: [UInt64]) { for nonce in nonces { outstanding[nonce] = nil } }

  // MARK: - Map-Notifies

  /// Whether a Map-Notify is for the registrar: an answer, or about EIDs of our own. Others are publications (RFC 9437).
  public func isAddressed(by notify: MapNotify) -> Bool {
    isNonceOfOurs(notify.nonce)
      || notify.records.contains { record in record.eidPrefix.map { !database.locators(of: $0).isEmpty } ?? false }
  }

  private func isNonceOfOurs(_ nonce: UInt64) -> Bool { nonce > firstNonce && nonce <= lastNonce }

  /// A Map-Notify, `bytes` on the wire. Without the key nobody can change anything.
  public mutating func receive(_ notify: MapNotify, bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [RegistrarAction] {
    guard let asked = outstanding[notify.nonce] else {
      // An answer to what was answered already or is about an older state of the database, or no answer.
      return isNonceOfOurs(notify.nonce) ? [.refused(.unknownNonce)] : receiveUnsolicited(notify, bytes, arrival)
    }
    guard asked.key.verifies(bytes, type: .mapNotify, nonce: notify.nonce, fields: notify.authentication) else {
      return [.refused(.wrongKey)]
    }
    guard let i = servers.firstIndex(where: { $0.server.endpoint == asked.server }) else { return [.refused(.unknownNonce)] }
    guard servers[i].covers(notify.records, batch: asked.batch) else { return [.refused(.badRecord)] }
    let isCurrent = asked.key == servers[i].server.key
    forget(isCurrent ? servers[i].nonces(asked.batch) : [notify.nonce])
    servers[i].noteAnswered(asked.batch, notify.nonce, notify.records, isCurrent: isCurrent, now, &random)
    let report = servers[i].report(now)
    removeEmptyServers()
    return report.map { [.report($0)] } ?? []
  }

  /// The server tells what it has for the site now, after another xTR of the site registered. It repeats that until it is acknowledged: what
  /// came before is acknowledged again and not obeyed again.
  private mutating func receiveUnsolicited(_ notify: MapNotify, _ bytes: [UInt8], _ arrival: Arrival) -> [RegistrarAction] {
    guard let i = servers.firstIndex(where: { $0.server.endpoint.address == arrival.from.address }) else {
      return [.refused(.unknownNonce)]
    }
    let key = servers[i].server.key
    guard key.verifies(bytes, type: .mapNotify, nonce: notify.nonce, fields: notify.authentication) else { return [.refused(.wrongKey)] }
    let acknowledgement = RegistrarAction.send(Datagram(key.sign(acknowledgement: notify), to: arrival.from, from: arrival.to))
    // No order: servers take any nonces for these. An old one that somebody sends again changes what is shown, and nothing else.
    if notify.nonce == servers[i].unsolicitedNonce { return [acknowledgement, .refused(.replayed)] }
    guard notify.records.allSatisfy({ $0.eidPrefix.map { servers[i].statuses[$0] != nil } ?? false }) else { return [.refused(.badRecord)] }
    servers[i].unsolicitedNonce = notify.nonce
    servers[i].noteUnsolicited(notify.records)
    return [acknowledgement]
  }

  // MARK: - What there is to show

  /// The EID-prefixes at each server, in the order of configuration and ascending.
  public var registrations: [(server: RegistrationServer, statuses: [RegistrationFacts])] {
    servers.filter { !$0.isLeaving }.map { ($0.server, $0.facts) }
  }
}
