// SPDX-License-Identifier: Apache-2.0
//
// Our registration at one Map-Server: its batches, the state of each EID-prefix, and what of that has been said. The registrar holds one
// for each server and does the sending.

import Wire

struct ServerRegistration: Sendable {
  /// Between two messages to one server, so that many prefixes are no burst.
  static let spacing: Duration = .milliseconds(10)
  /// Between two reports of a state that lasts.
  static let reportPeriod: Duration = .seconds(60)

  var server: RegistrationServer
  /// Taken out of the configuration: only withdrawals are left.
  var isLeaving = false
  private(set) var batches: [RegisterBatch] = []
  private(set) var statuses: [EIDPrefix: RegistrationStatus] = [:]
  /// How many of them are of each kind.
  private var counts: [RegistrationState.Kind: Int] = [:]
  /// The next message leaves no earlier.
  private var nextSlot: Instant
  /// Of the last unsolicited Map-Notify; a later one has a greater nonce.
  var unsolicitedNonce: UInt64?
  private var lastReport: (kind: RegistrationState.Kind, at: Instant)?

  init(_ server: RegistrationServer, now: Instant) {
    self.server = server
    nextSlot = now
  }

  // MARK: - What to register

  /// Registers `records` and withdraws what was registered and is not among them. What stays the same keeps its timers. Returns the nonces
  /// that no answer can have any more.
  mutating func set(_ records: [EIDRecord], byteCount: Int, overhead: Int, now: Instant) -> [UInt64] {
    let present = Set(records.compactMap(\.eidPrefix))
    let gone = Set(batches.lazy.flatMap(\.records).compactMap(\.eidPrefix)).subtracting(present).sorted()
    let old = Dictionary(batches.map { ($0.records, $0) }) { first, _ in first }
    let before = Dictionary(batches.lazy.flatMap(\.records).map { ($0.eidPrefix, $0) }) { first, _ in first }
    let withdrawn = gone.map { EIDRecord($0, ttl: 0, isAuthoritative: true) }
    let fresh =
      [RegisterBatch](withdrawn, isWithdrawal: true, byteCount: byteCount, overhead: overhead, now: now)
      + [RegisterBatch](records, isWithdrawal: false, byteCount: byteCount, overhead: overhead, now: now)
    batches = fresh.map { old[$0.records] ?? $0 }
    for eid in gone { setState(of: eid, nil) }
    for record in records where before[record.eidPrefix] != record {
      if let eid = record.eidPrefix { setState(of: eid, .registering(since: now)) }
    }
    let kept = Set(batches.lazy.flatMap(\.nonces))
    return old.values.flatMap(\.nonces).filter { !kept.contains($0) }
  }

  /// Other settings: everything goes out again under them.
  mutating func set(_ server: RegistrationServer, now: Instant) {
    if server.key != self.server.key { unsolicitedNonce = nil }
    self.server = server
    for i in batches.indices { batches[i].renew(now) }
  }

  // MARK: - Sending

  /// nil: nothing will ever be due.
  var nextDeadline: Instant? { batches.lazy.map(\.nextSend).min().map { max($0, nextSlot) } }

  /// The batch to be sent now: the one that is due for the longest time. Gives up withdrawals that were tried often enough; their nonces
  /// are returned.
  mutating func nextDue(_ now: Instant) -> (index: Int?, abandoned: [UInt64]) {
    let abandoned = batches.filter { $0.isExhausted && $0.nextSend <= now }.flatMap(\.nonces)
    if batches.contains(where: \.isExhausted) { batches.removeAll { $0.isExhausted && $0.nextSend <= now } }
    guard nextSlot <= now else { return (nil, abandoned) }
    let due = batches.indices.min { batches[$0].nextSend < batches[$1].nextSend }
    return (due.flatMap { batches[$0].nextSend <= now ? $0 : nil }, abandoned)
  }

  /// Takes down that a batch was sent. Returns the nonce that no answer can have any more.
  mutating func noteSent(_ index: Int, _ nonce: UInt64, _ now: Instant, _ random: inout NonceSource) -> UInt64? {
    nextSlot = now + Self.spacing
    if batches[index].isOverdue, let since = batches[index].waitingSince { noteUnanswered(batches[index], since) }
    return batches[index].noteSent(nonce, now, &random)
  }

  private mutating func noteUnanswered(_ batch: RegisterBatch, _ since: Instant) {
    guard !batch.isWithdrawal else { return }
    for eid in batch.records.lazy.compactMap(\.eidPrefix) { enter(.unanswered(since: since), eid) }
  }

  // MARK: - Answers

  func batchIndex(of nonce: UInt64) -> Int? { batches.firstIndex { $0.nonces.contains(nonce) } }

  /// Whether every record is about an EID-prefix of the batch.
  func covers(_ records: [EIDRecord], batch index: Int) -> Bool {
    Set(batches[index].records.map(\.eidPrefix)).isSuperset(of: records.map(\.eidPrefix))
  }

  /// A verified Map-Notify for a batch. `isCurrent`: signed with the key that we use now; otherwise the batch is still waiting.
  mutating func noteAnswered(
    _ index: Int, _ nonce: UInt64, _ records: [EIDRecord], isCurrent: Bool, _ now: Instant, _ random: inout NonceSource
  ) {
    let confirmed = Dictionary(records.map { ($0.eidPrefix, $0.locators) }) { first, _ in first }
    for eid in batches[index].records.lazy.compactMap(\.eidPrefix) where !batches[index].isWithdrawal {
      guard let locators = confirmed[eid] else {
        enter(.refused(since: now), eid)
        continue
      }
      enter(.registered(since: now), eid)
      statuses[eid]?.lastNotify = now
      statuses[eid]?.serverLocators = locators
    }
    guard isCurrent else { return batches[index].nonces.removeAll { $0 == nonce } }
    if batches[index].isWithdrawal {
      batches.remove(at: index)
    } else {
      batches[index].noteAnswered(&random)
    }
  }

  /// A verified Map-Notify that answers nothing: what the server now has for the site.
  mutating func noteUnsolicited(_ records: [EIDRecord]) {
    for record in records { if let eid = record.eidPrefix { statuses[eid]?.serverLocators = record.locators } }
  }

  // MARK: - States

  /// Of all prefixes together: the worst there is. nil without prefixes.
  var kind: RegistrationState.Kind? {
    [.unanswered, .refused, .registering, .registered].first { counts[$0, default: 0] > 0 }
  }

  /// A state that the prefix is in already began when it began.
  private mutating func enter(_ state: RegistrationState, _ eid: EIDPrefix) {
    if statuses[eid]?.state.kind != state.kind { setState(of: eid, state) }
  }

  private mutating func setState(of eid: EIDPrefix, _ state: RegistrationState?) {
    if let old = statuses[eid]?.state.kind { counts[old, default: 0] -= 1 }
    guard let state else { return statuses[eid] = nil }
    counts[state.kind, default: 0] += 1
    statuses[eid, default: RegistrationStatus(state: state)].state = state
  }

  /// What an operator should read now: a change to another state than registering, and what is wrong once a minute while it lasts.
  mutating func report(_ now: Instant) -> RegistrationReport? {
    guard let kind, kind != .registering else { return nil }
    if let lastReport, lastReport.kind == kind, kind == .registered || now - lastReport.at < Self.reportPeriod { return nil }
    lastReport = (kind, now)
    let concerned = statuses.filter { $0.value.state.kind == kind }
    guard let first = concerned.values.map(\.state).min(by: { $0.since < $1.since }) else { return nil }
    return RegistrationReport(server.endpoint, first, concerned: concerned.keys.sorted(), now: now)
  }
}
