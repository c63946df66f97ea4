// SPDX-License-Identifier: Apache-2.0
//
// The mappings a router knows, where each came from, and when it goes. Pure bookkeeping: the router compiles every change into the
// forwarding state.
//
// An entry is a record of 64 bytes in a slot; the slot's number stands for it everywhere else:
//
//      trie        EID-prefix → slot: the exact prefix, the longest match, pages of the list in order
//      targets     lists of locators and actions, each kept once
//      sources     who gave the entries, each kept once, with a list through the records of those it gave
//      deadlines   what expires next
//      clocks      the learned entries that may be evicted, those with locators and the negative ones (MapCache+Eviction)
//
// With a million entries that is about 64 bytes of trie, 64 of record and 28 of deadline each.
//
// Invariants, executed by `checkInvariants`:
// I1  The trie leads from each entry's prefix to its slot, and to nothing else; every slot is used or free.
// I2  A slot is in the list of its source, and its source and target are retained once for it.
// I3  A slot has a deadline exactly when it has a TTL.
// I4  On the clock of its kind is each learned entry outside the reserved prefixes, once, at the position its record names.

import Wire

/// The map-cache. Every operation on one entry takes at most one step per bit of its prefix, and O(log n) where it expires.
/// A class, because a copy of so much would never be meant. Thread: slow path.
public final class MapCache {
  typealias Record = MapCacheRecord

  private(set) var trie = PrefixTrie()
  var records: ContiguousArray<Record> = []
  private(set) var targets = Interned<Mapping.Target>()
  private(set) var sources = Interned<MappingSource>()
  /// The first entry of each source, by its number.
  private(set) var heads: ContiguousArray<UInt32> = []
  private var deadlines = DeadlineQueue()
  private var firstFree = Record.none
  /// What the records' times count from: the arrival of the first entry.
  private var origin: ContinuousClock.Instant?

  /// The learned entries that may be evicted, with locators and without.
  var positiveClock = EvictionClock()
  var negativeClock = EvictionClock()
  /// Learned entries, those included that cannot be evicted.
  public internal(set) var learnedCount = 0
  /// The negative ones among them.
  public internal(set) var negativeCount = 0
  /// A lower maximum takes effect as new entries are learned. O(n)
  public var limits: Limits { didSet { refillClocks() } }

  /// An empty one.
  public init(limits: Limits = Limits()) { self.limits = limits }

  /// How many entries there are.
  public var count: Int { trie.count }

  /// Bytes of memory that it holds, apart from the distinct targets and sources.
  public var byteCount: Int {
    trie.byteCount + records.capacity * MemoryLayout<Record>.stride + deadlines.byteCount
      + (heads.capacity + positiveClock.slots.capacity + negativeClock.slots.capacity) * MemoryLayout<UInt32>.stride
  }

  /// The mapping of exactly this prefix.
  public subscript(eid: EIDPrefix) -> Mapping? { trie[eid].flatMap(mapping) }

  /// The mapping of the longest prefix that covers `prefix`.
  public func longestMatch(_ prefix: EIDPrefix) -> Mapping? { trie.longestMatch(prefix).flatMap { mapping($0.value) } }

  func mapping(_ slot: UInt32) -> Mapping? {
    let record = records[Int(slot)]
    guard let target = targets[record.target], let source = sources[record.source], let origin else { return nil }
    return Mapping(
      eid: record.key.eid, target: target, source: source, ttlMinutes: record.key.expires ? record.ttlMinutes : nil,
      now: origin + .nanoseconds(record.installedAt))
  }
}

// MARK: - Changing

extension MapCache {
  /// What became of a mapping that was to be set.
  public enum SetOutcome: Equatable, Sendable {
    case added
    /// What was there has gone.
    case replaced(Mapping)
    /// Nothing changed: somebody of a higher rank has given a mapping for the same prefix.
    case outranked(by: MappingSource)
    /// Nothing changed: there are as many learned entries as there may be. `victim` finds one to go.
    case full
  }

  /// Adds or replaces an entry, where its source may.
  @discardableResult
  public func set(_ mapping: Mapping) -> SetOutcome {
    if let slot = trie[mapping.eid], let old = self.mapping(slot) {
      guard old.source.rank <= mapping.source.rank else { return .outranked(by: old.source) }
      replace(slot, with: mapping)
      return .replaced(old)
    }
    guard !needsRoom(for: mapping) else { return .full }
    add(mapping)
    return .added
  }

  /// Puts an entry back as it was before a change that is taken back, whoever gave it.
  public func restore(_ mapping: Mapping) {
    if let slot = trie[mapping.eid] { replace(slot, with: mapping) } else { add(mapping) }
  }

  /// Removes an entry; returns what was there.
  @discardableResult
  public func remove(_ eid: EIDPrefix) -> Mapping? {
    guard let slot = trie.remove(eid), let old = mapping(slot) else { return nil }
    clear(slot)
    records[Int(slot)].next = firstFree
    firstFree = slot
    return old
  }

  private func add(_ mapping: Mapping) {
    let record = makeRecord(mapping)
    let slot: UInt32
    if firstFree != Record.none {
      slot = firstFree
      firstFree = records[Int(slot)].next
      records[Int(slot)] = record
    } else {
      slot = UInt32(records.count)
      records.growByQuarter(to: records.count + 1)
      records.append(record)
    }
    trie.insert(mapping.eid, slot)
    enlist(slot, mapping)
  }

  private func replace(_ slot: UInt32, with mapping: Mapping) {
    var record = makeRecord(mapping)  // first: what both have in common is not to be forgotten in between
    record.packets = records[Int(slot)].packets  // it is the same entry: what was counted for it is no use of it a second time
    clear(slot)
    records[Int(slot)] = record
    enlist(slot, mapping)
  }

  private func makeRecord(_ mapping: Mapping) -> Record {
    let origin = self.origin ?? mapping.installedAt
    self.origin = origin
    let age = (mapping.installedAt - origin).components
    return Record(
      key: PackedPrefix(mapping.eid, expires: mapping.ttlMinutes != nil),
      installedAt: age.seconds * 1_000_000_000 + age.attoseconds / 1_000_000_000, ttlMinutes: mapping.ttlMinutes ?? 0,
      target: targets.retain(mapping.target), source: sources.retain(mapping.source))
  }

  /// Enters a record into the list of its source, the deadlines and the clock.
  private func enlist(_ slot: UInt32, _ mapping: Mapping) {
    let source = Int(records[Int(slot)].source)
    while heads.count <= source { heads.append(Record.none) }
    let next = heads[source]
    records[Int(slot)].next = next
    if next != Record.none { records[Int(next)].previous = slot }
    heads[source] = slot
    if let due = mapping.renewal ?? mapping.deadline { deadlines.schedule(slot, at: due) }
    if mapping.source.rank == .learned { wind(slot) }
  }

  /// Takes a record out of everything but the trie.
  private func clear(_ slot: UInt32) {
    let record = records[Int(slot)]
    if record.previous == Record.none { heads[Int(record.source)] = record.next } else { records[Int(record.previous)].next = record.next }
    if record.next != Record.none { records[Int(record.next)].previous = record.previous }
    deadlines.cancel(slot)
    if sources[record.source]?.rank == .learned { unwind(slot) }
    targets.release(record.target)
    sources.release(record.source)
  }
}

// MARK: - Time

extension MapCache {
  /// An entry whose time is over, or nearly so if it is a learned one (`Mapping.renewal`): the one that is due longest; nil when there is
  /// none. One at a time: who removes or postpones them stops when he has spent the time he has. O(1)
  public func firstDue(at now: ContinuousClock.Instant) -> Mapping? {
    guard let first = deadlines.first, first.deadline <= now else { return nil }
    return mapping(first.key)
  }

  /// Lets an entry stay until `deadline`, so that others can go before it.
  public func postponeExpiry(of eid: EIDPrefix, to deadline: ContinuousClock.Instant) {
    guard let slot = trie[eid], records[Int(slot)].key.expires else { return }
    deadlines.schedule(slot, at: deadline)
  }

  /// When the next entry expires; nil: none does.
  public var nextDeadline: ContinuousClock.Instant? { deadlines.first?.deadline }

  /// Whether a slot has a deadline.
  func isScheduled(_ slot: UInt32) -> Bool { deadlines[slot] != nil }
}
