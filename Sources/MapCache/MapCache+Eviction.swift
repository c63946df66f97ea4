// SPDX-License-Identifier: Apache-2.0
//
// How many entries may be learned, and which goes when one more comes (EvictionClock). The entries that the operator or his clients have
// given do not count and do not go.
//
// Negative entries have a limit of their own, and make room for each other: whoever sends packets to every address that nobody has can
// have a million of them learned in a minute, and shall neither fill the memory with them nor drive the sites out.
//
// Entries under a reserved prefix are on no clock: they are never evicted, and so are always room for what matters most.

import Wire

extension MapCache {
  /// What may be learned.
  public struct Limits: Sendable {
    /// How many entries the mapping system may fill.
    public var maximumLearned: Int
    /// How many of these may be negative.
    public var maximumNegative: Int
    /// Learned entries in these prefixes are never evicted.
    public var reserved: EIDPrefixSet

    /// One million entries take about 200 MB in the slow path and the forwarding state together. `maximumNegative` is an eighth of
    /// `maximumLearned` where nil.
    public init(maximumLearned: Int = 1 << 20, maximumNegative: Int? = nil, reserved: EIDPrefixSet = EIDPrefixSet([])) {
      self.maximumLearned = maximumLearned
      self.maximumNegative = maximumNegative ?? max(1, maximumLearned / 8)
      self.reserved = reserved
    }

    func reserves(_ eid: EIDPrefix) -> Bool { !reserved.covering(eid).isEmpty }
  }

  /// Whether `set` would find no room for a mapping: it is learned and new, and there are as many as may be, of all or of its kind.
  public func needsRoom(for mapping: Mapping) -> Bool {
    guard mapping.source.rank == .learned else { return false }
    let isFull = learnedCount >= limits.maximumLearned || mapping.target.isNegative && negativeCount >= limits.maximumNegative
    return isFull && trie[mapping.eid] == nil
  }

  /// The entry to remove for another: one of its kind, or if there is none of the other; nil when all are reserved. `packetCount` tells the
  /// packets that an entry has had until now; only whether it changes matters. At most 64 calls.
  public func victim(for mapping: Mapping, packetCount: (EIDPrefix) -> UInt32) -> EIDPrefix? {
    let isNegative = mapping.target.isNegative
    if isNegative, negativeCount >= limits.maximumNegative { return victim(isNegative: true, packetCount) }
    return victim(isNegative: isNegative, packetCount) ?? victim(isNegative: !isNegative, packetCount)
  }

  private func victim(isNegative: Bool, _ packetCount: (EIDPrefix) -> UInt32) -> EIDPrefix? {
    let slot =
      isNegative
      ? negativeClock.victim(&records, packetCount: packetCount) : positiveClock.victim(&records, packetCount: packetCount)
    return slot.map { records[Int($0)].key.eid }
  }

  /// Whether an entry has had packets since it was last looked at, which this is.
  public func wasUsed(_ eid: EIDPrefix, packetCount: UInt32) -> Bool {
    guard let slot = trie[eid] else { return false }
    defer { records[Int(slot)].packets = packetCount }
    return records[Int(slot)].packets != packetCount
  }

  /// Counts a learned entry in, and puts it on its clock, where it may be evicted.
  func wind(_ slot: UInt32) {
    let isNegative = isNegative(slot)
    learnedCount += 1
    if isNegative { negativeCount += 1 }
    guard !limits.reserves(records[Int(slot)].key.eid) else { return }
    if isNegative { negativeClock.wind(slot, &records) } else { positiveClock.wind(slot, &records) }
  }

  /// The reverse.
  func unwind(_ slot: UInt32) {
    let isNegative = isNegative(slot)
    learnedCount -= 1
    if isNegative { negativeCount -= 1 }
    guard records[Int(slot)].clockPosition != Record.none else { return }
    if isNegative { negativeClock.unwind(slot, &records) } else { positiveClock.unwind(slot, &records) }
  }

  func isNegative(_ slot: UInt32) -> Bool { targets[records[Int(slot)].target]?.isNegative ?? false }

  /// Learned entries again, those outside the reserved prefixes.
  func refillClocks() {
    positiveClock.removeAll(&records)
    negativeClock.removeAll(&records)
    (learnedCount, negativeCount) = (0, 0)
    for source in 0..<UInt32(sources.bound) where sources[source]?.rank == .learned {
      var slot = heads[Int(source)]
      while slot != Record.none {
        wind(slot)
        slot = records[Int(slot)].next
      }
    }
  }
}
