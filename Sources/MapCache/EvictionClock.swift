// SPDX-License-Identifier: Apache-2.0
//
// Which learned entry goes when one more comes: the CLOCK algorithm (Corbató, "A paging experiment with the Multics system", 1968), with an
// entry's packets for the reference bit. MapCache has two, one for entries with locators and one for negative ones.
//
// A hand goes round the entries. Where packets have come since it last passed, it remembers how many there were and goes on; where none
// has, that is the victim. So an entry that carries traffic has a full turn of the hand to show it, and finding a victim needs no list
// that every packet would have to sort.
//
// The hand stops after 64 looks. If all of those entries have carried packets, the first of them goes: a cache full of busy entries is
// too small, and a mapping that is refused instead would be asked for again with every packet.

import Wire

/// Slots of entries that may be evicted, and the hand among them. The position of each is kept in its record.
struct EvictionClock {
  typealias Records = ContiguousArray<MapCacheRecord>

  /// How many entries the hand looks at before it takes a busy one: what 64 counters cost to read, some microseconds.
  static let maximumLooks = 64

  private(set) var slots: ContiguousArray<UInt32> = []
  private var hand = 0

  /// The slot of the entry that is to go first; nil when there is none. At most 64 calls of `packetCount`.
  mutating func victim(_ records: inout Records, packetCount: (EIDPrefix) -> UInt32) -> UInt32? {
    guard !slots.isEmpty else { return nil }
    if hand >= slots.count { hand = 0 }
    let first = slots[hand]
    for _ in 0..<min(Self.maximumLooks, slots.count) {
      if hand >= slots.count { hand = 0 }
      let slot = slots[hand]
      let packets = packetCount(records[Int(slot)].key.eid)
      if packets == records[Int(slot)].packets { return slot }
      records[Int(slot)].packets = packets
      hand += 1
    }
    return first
  }

  /// Puts an entry where the hand comes last.
  mutating func wind(_ slot: UInt32, _ records: inout Records) {
    slots.growByQuarter(to: slots.count + 1)
    records[Int(slot)].clockPosition = UInt32(slots.count)
    slots.append(slot)
    guard hand < slots.count - 1 else {
      hand = slots.count  // goes on at the beginning
      return
    }
    move(from: hand, to: slots.count - 1, &records)
    slots[hand] = slot
    records[Int(slot)].clockPosition = UInt32(hand)
    hand += 1
  }

  /// Takes out an entry that is on this clock.
  mutating func unwind(_ slot: UInt32, _ records: inout Records) {
    let position = records[Int(slot)].clockPosition
    records[Int(slot)].clockPosition = MapCacheRecord.none
    move(from: slots.count - 1, to: Int(position), &records)
    slots.removeLast()
  }

  mutating func removeAll(_ records: inout Records) {
    for slot in slots { records[Int(slot)].clockPosition = MapCacheRecord.none }
    slots.removeAll(keepingCapacity: true)
    hand = 0
  }

  private mutating func move(from old: Int, to new: Int, _ records: inout Records) {
    guard old != new else { return }
    slots[new] = slots[old]
    records[Int(slots[new])].clockPosition = UInt32(new)
  }
}
