// SPDX-License-Identifier: Apache-2.0
//
// Who has registered what: the Map-Server's database (RFC 9301 8.2).
//
// An entry is an EID-prefix; it is there as long as at least one xTR has it registered. A registration is what one xTR says about the
// prefix. The mapping of an entry is what the world gets to see, as an encoded EID-record that goes into answers as it is:
//
//     trie ──▶ entry  10.1.0.0/16 ──▶ mapping       192.0.2.1, 192.0.2.2        union of the locators, by address
//                       │
//                       ├──▶ registration of xTR 4  192.0.2.1   expires 12:03:10
//                       └──▶ registration of xTR 9  192.0.2.2   expires 12:03:42
//
// Several xTRs have one prefix registered only if all of them asked for merging (the a bit). A registration without it takes the place of
// all others, and one with it takes the place of one without. Where two xTRs give one locator, the one that said so later decides its
// priorities and weights. The TTL of a merged mapping is the smallest one. (Section 5.6 says that locators are merged and no more.)
//
// An entry expires slice by slice: a queue holds for each entry the earliest deadline among its registrations. A deadline that is moved
// by a refresh is moved in the queue when the old one comes, not with every Map-Register.
//
// A registration that is its prefix's only one shares its bytes with the mapping: 1 M prefixes take 375 bytes each, trie and deadlines
// included (MapServerRateTests).
//
// Invariants, executed by `checkInvariants`:
// I1  Every prefix of the trie has an entry in its slot that names it; all other slots are empty and free.
// I2  An entry has at least one registration, no two of one xTR, and all of them merge if there are several.
// I3  The mapping of an entry is what its registrations make.
// I4  An entry is scheduled, and not after its earliest deadline.

import MapCache
import Wire

/// What one xTR says about an EID-prefix.
struct Registration: Sendable {
  /// The number of the xTR.
  var xtr: UInt32
  var wantsProxyReply: Bool
  var merges: Bool
  var usesTTL: Bool
  /// The EID-record as it is kept (see `MapServerRecord`).
  var record: [UInt8]
  /// When this content came first, and last.
  var since: Instant
  var refreshed: Instant
  var deadline: Instant
}

/// An EID-prefix and its registrations.
struct RegisteredPrefix: Sendable {
  var eid: EIDPrefix
  var site: SiteTable.Number
  /// Whether the caller has yet to be given the row with the new deadline.
  var isTouched = false
  /// Which of its ETRs the next Map-Request goes to, see `MapServer.etr`.
  fileprivate var turn: UInt8 = 0
  /// What is answered.
  var mapping: [UInt8] = []
  /// In the order in which they came.
  var registrations: [Registration] = []

  var wantsProxyReply: Bool { registrations.contains(where: \.wantsProxyReply) }
  fileprivate var earliestDeadline: Instant? { registrations.lazy.map(\.deadline).min() }
}

/// The database. Every operation on one prefix costs the trie's steps and a step for each of the prefix's xTRs. Thread: slow path.
struct Registrations: Sendable {
  typealias Slot = UInt32

  /// EID-prefixes with the slots of their entries.
  private(set) var prefixes = PrefixTrie()
  private var entries: ContiguousArray<RegisteredPrefix?> = []
  private var free: [Slot] = []
  private var deadlines = DeadlineQueue()

  var count: Int { prefixes.count }
  /// When the next entry has to be looked at.
  var nextDeadline: Instant? { deadlines.first?.deadline }

  /// The entry of exactly this prefix.
  subscript(_ eid: EIDPrefix) -> RegisteredPrefix? {
    guard let slot = prefixes[eid] else { return nil }
    return entries[Int(slot)]
  }

  subscript(_ slot: Slot) -> RegisteredPrefix? { Int(slot) < entries.count ? entries[Int(slot)] : nil }

  /// The entry of the longest registered prefix around `eid`.
  func longestMatch(_ eid: EIDPrefix) -> RegisteredPrefix? {
    guard let match = prefixes.longestMatch(eid) else { return nil }
    return entries[Int(match.value)]
  }

  // MARK: - Changing

  /// What `put` and `remove` did.
  struct Outcome {
    /// The mapping is another one than before, or is gone.
    var mappingChanged = false
    /// xTRs whose registrations have been displaced.
    var displaced: [UInt32] = []
    /// The registration's own content is another one than before.
    var contentChanged = false
  }

  /// Adds a registration or refreshes it.
  mutating func put(_ registration: Registration, for eid: EIDPrefix, site: SiteTable.Number) -> Outcome {
    let slot = prefixes[eid] ?? insert(eid, site)
    var outcome = Outcome()
    guard var entry = take(slot) else { return outcome }
    entry.site = site
    let old = entry.registrations.firstIndex { $0.xtr == registration.xtr }
    if let old, entry.registrations[old].hasContent(of: registration) {
      entry.registrations[old].refreshed = registration.refreshed
      entry.registrations[old].deadline = registration.deadline
    } else {
      if let old { entry.registrations.remove(at: old) }
      outcome.contentChanged = true
      outcome.displaced = entry.registrations.filter { !registration.merges || !$0.merges }.map(\.xtr)
      if !outcome.displaced.isEmpty { entry.registrations.removeAll { !registration.merges || !$0.merges } }
      entry.registrations.append(registration)
      outcome.mappingChanged = entry.compose()
    }
    schedule(entry, slot)
    entries[Int(slot)] = entry
    return outcome
  }

  /// Removes what `xtr` registered for the prefix; nil: there was nothing.
  mutating func remove(_ eid: EIDPrefix, xtr: UInt32) -> Outcome? {
    guard let slot = prefixes[eid], var entry = take(slot) else { return nil }
    let before = entry.registrations.count
    entry.registrations.removeAll { $0.xtr == xtr }
    guard entry.registrations.count < before else {
      entries[Int(slot)] = entry
      return nil
    }
    var outcome = Outcome()
    outcome.contentChanged = true
    outcome.mappingChanged = putBack(entry, slot)
    return outcome
  }

  /// Removes the prefix with all of its registrations.
  mutating func remove(_ eid: EIDPrefix) -> RegisteredPrefix? {
    guard let slot = prefixes[eid], var entry = take(slot) else { return nil }
    let old = entry
    entry.registrations = []
    _ = putBack(entry, slot)
    return old
  }

  /// A registration whose time is over.
  struct Expired {
    var eid: EIDPrefix
    var xtr: UInt32
    var mappingChanged: Bool
  }

  /// Takes out what is over at `now`, looking at no more than `limit` entries.
  mutating func expire(now: Instant, limit: Int) -> [Expired] {
    var expired: [Expired] = []
    for _ in 0..<limit {
      guard let due = deadlines.first, due.deadline <= now else { break }
      guard var entry = take(due.key) else {
        deadlines.cancel(due.key)
        continue
      }
      let gone = entry.registrations.filter { $0.deadline <= now }.map(\.xtr)
      entry.registrations.removeAll { $0.deadline <= now }
      let eid = entry.eid
      let changed = gone.isEmpty ? false : putBack(entry, due.key)
      if gone.isEmpty {
        deadlines.schedule(due.key, at: entry.earliestDeadline ?? now)
        entries[Int(due.key)] = entry
      }
      for (i, xtr) in gone.enumerated() { expired.append(Expired(eid: eid, xtr: xtr, mappingChanged: changed && i == gone.count - 1)) }
    }
    return expired
  }

  /// Marks the entry as one whose row the caller is to get anew; false when it is marked already.
  mutating func touch(_ eid: EIDPrefix) -> Slot? {
    guard let slot = prefixes[eid], entries[Int(slot)]?.isTouched == false else { return nil }
    entries[Int(slot)]?.isTouched = true
    return slot
  }

  mutating func clearTouched(_ slot: Slot) { entries[Int(slot)]?.isTouched = false }

  /// Counts the Map-Requests that go on to the prefix's ETRs; begins with 0. O(bits of the prefix).
  mutating func nextTurn(_ eid: EIDPrefix) -> UInt8 {
    guard let slot = prefixes[eid], let turn = entries[Int(slot)]?.turn else { return 0 }
    entries[Int(slot)]?.turn = turn &+ 1
    return turn
  }

  // MARK: - Parts

  /// Takes the entry out of its slot, so that its arrays have one owner while they change. It goes back with `putBack` or by assignment.
  private mutating func take(_ slot: Slot) -> RegisteredPrefix? {
    var entry: RegisteredPrefix?
    swap(&entry, &entries[Int(slot)])
    return entry
  }

  /// Puts an entry back that has lost registrations, or frees its slot. Returns whether the mapping is another one.
  private mutating func putBack(_ entry: RegisteredPrefix, _ slot: Slot) -> Bool {
    var entry = entry
    guard !entry.registrations.isEmpty else {
      prefixes.remove(entry.eid)
      deadlines.cancel(slot)
      free.append(slot)
      return true
    }
    let changed = entry.compose()
    deadlines.schedule(slot, at: entry.earliestDeadline ?? entry.registrations[0].deadline)
    entries[Int(slot)] = entry
    return changed
  }

  private mutating func insert(_ eid: EIDPrefix, _ site: SiteTable.Number) -> Slot {
    let slot: Slot
    if let last = free.popLast() {
      slot = last
    } else {
      slot = Slot(entries.count)
      // A quarter at a time: doubling would leave half of the memory unused.
      if entries.count == entries.capacity { entries.reserveCapacity(entries.count + max(64, entries.count / 4)) }
      entries.append(nil)
    }
    entries[Int(slot)] = RegisteredPrefix(eid: eid, site: site)
    prefixes.insert(eid, slot)
    return slot
  }

  /// A deadline that comes earlier is moved now, one that comes later when the old one is due.
  private mutating func schedule(_ entry: RegisteredPrefix, _ slot: Slot) {
    guard let earliest = entry.earliestDeadline else { return }
    if let scheduled = deadlines[slot], scheduled <= earliest { return }
    deadlines.schedule(slot, at: earliest)
  }
}

extension Registration {
  /// Whether the xTR says the same.
  fileprivate func hasContent(of other: Registration) -> Bool {
    wantsProxyReply == other.wantsProxyReply && merges == other.merges && usesTTL == other.usesTTL && record == other.record
  }
}

extension RegisteredPrefix {
  /// Makes the mapping from the registrations; returns whether it is another one than before.
  fileprivate mutating func compose() -> Bool {
    let new = registrations.count == 1 ? registrations[0].record : MapServerRecord.merged(registrations.map(\.record))
    defer { mapping = new }
    return new != mapping
  }
}

extension Registrations {
  /// What is wrong with it, in words: nothing, as long as I1–I4 hold. O(n); for tests.
  func checkInvariants() -> [String] {
    var wrong = prefixes.checkInvariants()
    var used = 0
    var eid: EIDPrefix?
    while let (prefix, slot) = prefixes.next(after: eid) {
      eid = prefix
      used += 1
      guard var entry = self[slot], entry.eid == prefix else {
        wrong.append("I1: \(prefix)")
        continue
      }
      let xtrs = Set(entry.registrations.map(\.xtr))
      if xtrs.isEmpty || xtrs.count < entry.registrations.count || xtrs.count > 1 && !entry.registrations.allSatisfy(\.merges) {
        wrong.append("I2: \(prefix)")
      }
      if let earliest = entry.earliestDeadline, deadlines[slot].map({ $0 > earliest }) ?? true { wrong.append("I4: \(prefix)") }
      if entry.compose() { wrong.append("I3: \(prefix)") }
    }
    if entries.count(where: { $0 != nil }) != used || free.count + used != entries.count || deadlines.count != used {
      wrong.append("I1: \(used) prefixes, \(entries.count) slots, \(free.count) free, \(deadlines.count) deadlines")
    }
    return wrong
  }
}
