// SPDX-License-Identifier: Apache-2.0
//
// The EID-records that travel in one Map-Register, and when that is due: the registrar packs a site's records into as few of these as fit
// unfragmented datagrams, and each then has timers of its own.
//
//     sent ── 1 s ── sent ── 2 s ── sent ── 4 s ── … 60 s ── sent          until a Map-Notify answers (RFC 9301 5.7)
//     sent, answered ── a minute ── sent                                   from then on (8.2)
//
// "The original message" is retransmitted with a new nonce: a Map-Server drops one that is not greater than the last (5.6), also when it was
// its Map-Notify that was lost.

import Wire

struct RegisterBatch: Sendable {
  // RFC 9301 5.7 and 8.2.
  static let firstRetry: Duration = .seconds(1)
  static let longestRetry: Duration = .seconds(60)
  static let period: Duration = .seconds(60)
  /// Sends without an answer until we call it unanswered: the answer is late by 1 + 2 + 4 seconds then.
  static let patience = 3
  /// Sends of a withdrawal without an answer until we leave the rest to the server's clock.
  static let withdrawalPatience = 5
  /// Nonces of a batch that an answer may have: with more than that many messages unanswered, the first are minutes old.
  static let outstandingLimit = 8

  let records: [EIDRecord]
  /// Its records have TTL 0.
  let isWithdrawal: Bool
  var nextSend: Instant
  var lastSend: Instant?
  /// Sends since the last answer.
  var attempts = 0
  /// Of the first of them.
  var waitingSince: Instant?
  /// Oldest first, at most `outstandingLimit`.
  var nonces: [UInt64] = []

  /// A withdrawal that has been tried often enough.
  var isExhausted: Bool { isWithdrawal && attempts >= Self.withdrawalPatience }
  var isOverdue: Bool { attempts >= Self.patience }

  /// Takes down that it was sent. Returns the nonce that no answer can have any more.
  mutating func noteSent(_ nonce: UInt64, _ now: Instant, _ random: inout NonceSource) -> UInt64? {
    let doublings = min(attempts, 6)
    let retry = min(Self.firstRetry * (1 << doublings) * (1 + Double.random(in: 0...0.1, using: &random)), Self.longestRetry)
    attempts += 1
    if waitingSince == nil { waitingSince = now }
    lastSend = now
    nextSend = now + retry
    nonces.append(nonce)
    return nonces.count > Self.outstandingLimit ? nonces.removeFirst() : nil
  }

  mutating func noteAnswered(_ random: inout NonceSource) {
    attempts = 0
    waitingSince = nil
    nonces = []
    if let lastSend { nextSend = lastSend + random.jittered(Self.period) }
  }

  /// Has it sent at once, as if for the first time; answers to what is outstanding still count.
  mutating func renew(_ now: Instant) {
    attempts = 0
    waitingSince = nil
    nextSend = now
  }
}

extension [RegisterBatch] {
  /// Batches of `records`, in their order, each message of at most `byteCount` bytes and 255 records, all due now. A record that is too long for
  /// that alone has a message of its own, which IP then has to fragment.
  init(_ records: [EIDRecord], isWithdrawal: Bool, byteCount: Int, overhead: Int, now: Instant) {
    self = []
    var part: [EIDRecord] = []
    var room = byteCount - overhead
    for record in records {
      let need = record.byteCount
      if !part.isEmpty, need > room || part.count == 255 {
        append(RegisterBatch(records: part, isWithdrawal: isWithdrawal, nextSend: now))
        part = []
        room = byteCount - overhead
      }
      part.append(record)
      room -= need
    }
    if !part.isEmpty { append(RegisterBatch(records: part, isWithdrawal: isWithdrawal, nextSend: now)) }
  }
}

extension EIDRecord {
  /// On the wire.
  var byteCount: Int {
    var writer = ControlWriter(capacity: 64)
    emit(into: &writer)
    return writer.bytes.count
  }
}
