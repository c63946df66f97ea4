// SPDX-License-Identifier: Apache-2.0
//
// How many entries may be learned, and which goes when one more comes. The entries that the operator or his clients have given
// do not count and do not go.
//
// Which goes is found by the CLOCK algorithm (Corbató, "A paging experiment with the Multics system", 1968), with an entry's packets
// for the reference bit. A hand goes round the learned entries. Where packets have come since it last passed, it remembers how
// many there were and goes on; where none has, that is the victim. So an entry that carries traffic has a full turn of the hand
// to show it, and finding a victim needs no list that every packet would have to sort.
//
// The hand stops after 64 looks. If all of those entries have carried packets, the first of them goes: a cache full of busy entries is
// too small, and a mapping that is refused instead would be asked for again with every packet.
//
// Entries under a reserved prefix are not on the clock: they are never evicted, and so are always room for what matters most.

import Wire

extension MapCache {
  /// What may be learned.
  public struct Limits: Sendable {
    /// How many entries the mapping system may fill.
    public var maximumLearned: Int
    /// Learned entries in these prefixes are never evicted.
    public var reserved: EIDPrefixSet

    /// One million entries take about 200 MB in the slow path and the forwarding state together.
    public init(maximumLearned: Int = 1 << 20, reserved: EIDPrefixSet = EIDPrefixSet([])) {
      self.maximumLearned = maximumLearned
      self.reserved = reserved
    }

    func reserves(_ eid: EIDPrefix) -> Bool { !reserved.covering(eid).isEmpty }
  }

  /// How many entries the hand looks at before it takes a busy one: what 64 counters cost to read, some microseconds.
  package static let maximumLooks = 64

  /// Whether `set` would find no room for a mapping: it is learned and new, and there are as many as may be.
  public func needsRoom(for mapping: Mapping) -> Bool {
    mapping.source.rank == .learned && learnedCount >= limits.maximumLearned && trie[mapping.eid] == nil
  }

  /// The entry to remove for another, nil when all are reserved. `packetCount` tells the packets that an entry has had until now; only
  /// whether it changes matters. At most 64 calls.
  public func victim(packetCount: (EIDPrefix) -> UInt32) -> EIDPrefix? {
    guard !clock.isEmpty else { return nil }
    var first: UInt32?
    for _ in 0..<min(Self.maximumLooks, clock.count) {
      if hand >= clock.count { hand = 0 }
      let slot = clock[hand]
      first = first ?? slot
      let eid = records[Int(slot)].key.eid
      let packets = packetCount(eid)
      if packets == records[Int(slot)].packets { return eid }
      records[Int(slot)].packets = packets
      hand += 1
    }
    return first.map { records[Int($0)].key.eid }
  }

  /// Whether an entry has had packets since it was last looked at, which this is.
  public func wasUsed(_ eid: EIDPrefix, packetCount: UInt32) -> Bool {
    guard let slot = trie[eid] else { return false }
    defer { records[Int(slot)].packets = packetCount }
    return records[Int(slot)].packets != packetCount
  }

  /// Puts an entry on the clock, where the hand comes last.
  func wind(_ slot: UInt32) {
    clock.growByQuarter(to: clock.count + 1)
    records[Int(slot)].clockPosition = UInt32(clock.count)
    clock.append(slot)
    guard hand < clock.count - 1 else {
      hand = clock.count  // goes on at the beginning
      return
    }
    move(from: hand, to: clock.count - 1)
    clock[hand] = slot
    records[Int(slot)].clockPosition = UInt32(hand)
    hand += 1
  }

  /// Takes an entry off the clock, if it is on it.
  func unwind(_ slot: UInt32) {
    let position = records[Int(slot)].clockPosition
    guard position != Record.none else { return }
    records[Int(slot)].clockPosition = Record.none
    move(from: clock.count - 1, to: Int(position))
    clock.removeLast()
  }

  private func move(from old: Int, to new: Int) {
    guard old != new else { return }
    clock[new] = clock[old]
    records[Int(clock[new])].clockPosition = UInt32(new)
  }

  /// Learned entries again, those outside the reserved prefixes.
  func refillClock() {
    for slot in clock { records[Int(slot)].clockPosition = Record.none }
    clock.removeAll(keepingCapacity: true)
    hand = 0
    for source in 0..<UInt32(sources.bound) where sources[source]?.rank == .learned {
      var slot = heads[Int(source)]
      while slot != Record.none {
        if !limits.reserves(records[Int(slot)].key.eid) { wind(slot) }
        slot = records[Int(slot)].next
      }
    }
  }
}
