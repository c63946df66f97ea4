// SPDX-License-Identifier: Apache-2.0
//
// Our registration at one Map-Server: its batches, the state of each EID-prefix, and what of that has been said. The registrar holds one
// for each server and does the sending.
//
// Batches have slots, and a queue holds when each is to be sent: what is due next is known at once, however many there are. They leave one
// after the other, 10 ms apart; where so many are refreshed that a minute has no room for that, closer, so that all of them fit three quarters
// of it. The rest is for jitter, retries and a clock that ticks late. 200 000 IPv4 prefixes with a locator each are 4900 messages, 9 ms apart.

import MapCache
import Wire

struct ServerRegistration: Sendable {
  /// Between two messages to one server at most, so that many prefixes are no burst.
  static let longestSpacing: Duration = .milliseconds(10)
  /// When we leave: 70 prefixes fit a withdrawal, so that 200 000 are told in three seconds.
  static let leavingSpacing: Duration = .milliseconds(1)
  /// How many of its turns a clock that ticks late may make up for at once.
  static let missedTurns = 8
  /// Between two reports of a state that lasts.
  static let reportPeriod: Duration = .seconds(60)

  var server: RegistrationServer
  /// Taken out of the configuration: only withdrawals are left.
  var isLeaving = false
  private var batches = SlotArray<RegisterBatch>()
  private var deadlines = DeadlineQueue()
  private(set) var statuses: [EIDPrefix: RegistrationStatus] = [:]
  /// How many of them are of each kind.
  private var counts: [RegistrationState.Kind: Int] = [:]
  /// The next message leaves no earlier.
  private var nextTurn: Instant
  /// Of the last unsolicited Map-Notify; a later one has a greater nonce.
  var unsolicitedNonce: UInt64?
  private var lastReport: (kind: RegistrationState.Kind, at: Instant)?

  init(_ server: RegistrationServer, now: Instant) {
    self.server = server
    nextTurn = now
  }

  /// Nothing is registered, and nothing is left to be withdrawn.
  var isEmpty: Bool { batches.count == 0 }
  /// Whether there is something that was never sent.
  var hasUnsent: Bool { batches.elements.contains { $0.lastSend == nil } }
  /// EID-prefixes whose withdrawal nobody has confirmed.
  var unconfirmedWithdrawals: Int { batches.elements.reduce(0) { $0 + ($1.isWithdrawal ? $1.records.count : 0) } }

  private var spacing: Duration {
    let fitting = RegisterBatch.period * 3 / 4 / max(batches.count, 1)
    return min(isLeaving ? Self.leavingSpacing : Self.longestSpacing, fitting)
  }

  // MARK: - What to register

  /// Registers `records` and withdraws what was registered and is not among them. What stays the same keeps its timers. Returns the nonces
  /// that no answer can have any more.
  mutating func set(_ records: [EIDRecord], byteCount: Int, overhead: Int, now: Instant) -> [UInt64] {
    let present = Set(records.compactMap(\.eidPrefix))
    let old = batches
    let before = Dictionary(old.elements.flatMap(\.records).map { ($0.eidPrefix, $0) }) { first, _ in first }
    let gone = Set(before.keys.compactMap(\.self)).subtracting(present).sorted()
    let withdrawn = gone.map { EIDRecord($0, ttl: 0, isAuthoritative: true) }
    let fresh =
      [RegisterBatch](withdrawn, isWithdrawal: true, byteCount: byteCount, overhead: overhead, now: now)
      + [RegisterBatch](records, isWithdrawal: false, byteCount: byteCount, overhead: overhead, now: now)
    let abandoned = replaceBatches(by: fresh)
    for eid in gone { setState(of: eid, nil) }
    for record in records where before[record.eidPrefix] != record {
      if let eid = record.eidPrefix { setState(of: eid, .registering(since: now)) }
    }
    return abandoned
  }

  /// Those with the same records stay. Returns the nonces of those that go.
  private mutating func replaceBatches(by fresh: [RegisterBatch]) -> [UInt64] {
    var slots = Dictionary(batches.slots.map { ($0.element.records, $0.slot) }) { first, _ in first }
    var kept: Set<UInt32> = []
    var added: [RegisterBatch] = []
    for batch in fresh {
      if let slot = slots.removeValue(forKey: batch.records) { kept.insert(slot) } else { added.append(batch) }
    }
    let abandoned = batches.slots.filter { !kept.contains($0.slot) }
    for (slot, _) in abandoned { remove(slot) }
    for batch in added { deadlines.schedule(batches.insert(batch), at: batch.nextSend) }
    return abandoned.flatMap(\.element.nonces)
  }

  private mutating func remove(_ slot: UInt32) {
    batches.remove(slot)
    deadlines.cancel(slot)
  }

  /// Other settings: everything goes out again under them.
  mutating func set(_ server: RegistrationServer, now: Instant) {
    if server.key != self.server.key { unsolicitedNonce = nil }
    self.server = server
    for (slot, _) in batches.slots {
      batches[slot]?.renew(now)
      deadlines.schedule(slot, at: now)
    }
  }

  // MARK: - Sending

  /// nil: nothing will ever be due. O(1)
  var nextDeadline: Instant? { deadlines.first.map { max($0.deadline, nextTurn) } }

  /// What is due.
  enum Due {
    case send(slot: UInt32)
    /// A withdrawal was tried often enough; these are its nonces.
    case abandoned([UInt64])
  }

  /// What has been due for the longest time. O(log n)
  mutating func nextDue(_ now: Instant) -> Due? {
    guard let (slot, deadline) = deadlines.first, max(deadline, nextTurn) <= now, let batch = batches[slot] else { return nil }
    guard batch.isExhausted else { return .send(slot: slot) }
    remove(slot)
    return .abandoned(batch.nonces)
  }

  func records(_ slot: UInt32) -> [EIDRecord] { batches[slot]?.records ?? [] }

  /// Takes down that a batch was sent. Returns the nonce that no answer can have any more.
  mutating func noteSent(_ slot: UInt32, _ nonce: UInt64, _ now: Instant, _ random: inout NonceSource) -> UInt64? {
    nextTurn = max(nextTurn, now - spacing * Self.missedTurns) + spacing
    if let batch = batches[slot], batch.isOverdue, let since = batch.waitingSince { noteUnanswered(batch, since) }
    let lost = batches[slot]?.noteSent(nonce, now, &random)
    reschedule(slot)
    return lost ?? nil
  }

  private mutating func reschedule(_ slot: UInt32) {
    if let nextSend = batches[slot]?.nextSend { deadlines.schedule(slot, at: nextSend) }
  }

  private mutating func noteUnanswered(_ batch: RegisterBatch, _ since: Instant) {
    guard !batch.isWithdrawal else { return }
    for eid in batch.records.lazy.compactMap(\.eidPrefix) { enter(.unanswered(since: since), eid) }
  }

  // MARK: - Answers

  /// The nonces that an answer to the batch may have.
  func nonces(_ slot: UInt32) -> [UInt64] { batches[slot]?.nonces ?? [] }

  /// Whether every record is about an EID-prefix of the batch.
  func covers(_ records: [EIDRecord], batch slot: UInt32) -> Bool {
    Set(self.records(slot).map(\.eidPrefix)).isSuperset(of: records.map(\.eidPrefix))
  }

  /// A verified Map-Notify for a batch. `isCurrent`: signed with the key that we use now; otherwise the batch is still waiting.
  mutating func noteAnswered(
    _ slot: UInt32, _ nonce: UInt64, _ records: [EIDRecord], isCurrent: Bool, _ now: Instant, _ random: inout NonceSource
  ) {
    guard let batch = batches[slot] else { return }
    if !batch.isWithdrawal { noteConfirmed(batch, records, now) }
    if !isCurrent {
      batches[slot]?.nonces.removeAll { $0 == nonce }
    } else if batch.isWithdrawal {
      remove(slot)
    } else {
      batches[slot]?.noteAnswered(&random)
      reschedule(slot)
    }
  }

  private mutating func noteConfirmed(_ batch: RegisterBatch, _ records: [EIDRecord], _ now: Instant) {
    let confirmed = Dictionary(records.map { ($0.eidPrefix, $0.locators) }) { first, _ in first }
    for eid in batch.records.lazy.compactMap(\.eidPrefix) {
      guard let locators = confirmed[eid] else {
        enter(.refused(since: now), eid)
        continue
      }
      enter(.registered(since: now), eid)
      statuses[eid]?.lastNotify = now
      statuses[eid]?.serverLocators = locators
    }
  }

  /// A verified Map-Notify that answers nothing: what the server now has for the site.
  mutating func noteUnsolicited(_ records: [EIDRecord]) {
    for record in records { if let eid = record.eidPrefix { statuses[eid]?.serverLocators = record.locators } }
  }

  // MARK: - States

  /// Of every EID-prefix, ascending. O(n log n)
  var facts: [RegistrationFacts] {
    var facts: [RegistrationFacts] = []
    for batch in batches.elements where !batch.isWithdrawal {
      for eid in batch.records.lazy.compactMap(\.eidPrefix) {
        guard let status = statuses[eid] else { continue }
        facts.append(
          RegistrationFacts(eid: eid, status: status, lastSend: batch.lastSend, tries: batch.attempts, nextSend: batch.nextSend))
      }
    }
    return facts.sorted { $0.eid < $1.eid }
  }

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
