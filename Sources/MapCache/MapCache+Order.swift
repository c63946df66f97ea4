// SPDX-License-Identifier: Apache-2.0
//
// What the map-cache answers about many entries: pages of the list, the entries of a source or of an instance, those within a prefix.

import Wire

extension MapCache {
  /// At most `limit` mappings after `after` in ascending order, of one instance or of all. `next` is nil when there are no more.
  public func page(after: EIDPrefix?, limit: Int, in instance: InstanceID?) -> (mappings: [Mapping], next: EIDPrefix?) {
    var item = after == nil ? instance.map { trie.first(from: $0) } ?? trie.next(after: nil) : trie.next(after: after)
    if let instance, let first = item, first.prefix.instanceID < instance { item = trie.first(from: instance) }
    var page: [Mapping] = []
    while let (prefix, slot) = item, instance == nil || prefix.instanceID == instance {
      guard page.count < limit else { return (page, page.last?.eid) }
      if let mapping = mapping(slot) { page.append(mapping) }
      item = trie.next(after: prefix)
    }
    return (page, nil)
  }

  /// The prefixes of the entries whose source satisfies `condition`, in no order. O(sources + entries found)
  public func prefixes(from condition: (MappingSource) -> Bool) -> [EIDPrefix] {
    var prefixes: [EIDPrefix] = []
    for number in 0..<UInt32(sources.bound) {
      guard let source = sources[number], condition(source) else { continue }
      var slot = heads[Int(number)]
      while slot != Record.none {
        prefixes.append(records[Int(slot)].key.eid)
        slot = records[Int(slot)].next
      }
    }
    return prefixes
  }

  /// The prefixes of an instance's entries whose source satisfies `condition`, in ascending order. O(entries of the instance)
  public func prefixes(in instance: InstanceID, from condition: (MappingSource) -> Bool) -> [EIDPrefix] {
    var prefixes: [EIDPrefix] = []
    var item = trie.first(from: instance)
    while let (prefix, slot) = item, prefix.instanceID == instance {
      if let source = sources[records[Int(slot)].source], condition(source) { prefixes.append(prefix) }
      item = trie.next(after: prefix)
    }
    return prefixes
  }

  /// At most `limit` mappings of prefixes strictly within `eid`, in ascending order. O(entries found)
  public func descendants(of eid: EIDPrefix, limit: Int) -> [Mapping] {
    trie.descendants(of: eid, limit: limit).compactMap { mapping($0.value) }
  }

  /// How many entries lie within `eid`, or are it. O(entries found)
  public func count(within eid: EIDPrefix) -> Int {
    trie.descendants(of: eid, limit: .max).count + (trie[eid] == nil ? 0 : 1)
  }
}

// MARK: - Self-check

extension MapCache {
  /// What is wrong with it, in words: nothing, as long as I1–I4 hold. O(n); for tests.
  package func checkInvariants() -> [String] {
    var wrong = trie.checkInvariants().map { "trie: \($0)" }
    var used = Set<UInt32>()
    var (learned, negative, onClock) = (0, 0, 0)
    var (targetUsers, sourceUsers): ([UInt32: Int], [UInt32: Int]) = ([:], [:])
    var item = trie.next(after: nil)
    while let (prefix, slot) = item {
      let record = records[Int(slot)]
      if record.key.eid != prefix || !used.insert(slot).inserted { wrong.append("I1: \(prefix) is in slot \(slot)") }
      targetUsers[record.target, default: 0] += 1
      sourceUsers[record.source, default: 0] += 1
      if record.key.expires != isScheduled(slot) { wrong.append("I3: \(prefix)") }
      let isLearned = sources[record.source]?.rank == .learned
      if isLearned { learned += 1 }
      if isLearned, isNegative(slot) { negative += 1 }
      let (position, slots) = (Int(record.clockPosition), isNegative(slot) ? negativeClock.slots : positiveClock.slots)
      let isOnClock = position < slots.count && slots[position] == slot
      if isOnClock { onClock += 1 }
      if isOnClock != (isLearned && !limits.reserves(prefix)) { wrong.append("I4: \(prefix)") }
      item = trie.next(after: prefix)
    }
    if learned != learnedCount { wrong.append("I4: \(learned) learned, \(learnedCount) counted") }
    if negative != negativeCount { wrong.append("I4: \(negative) negative ones, \(negativeCount) counted") }
    if onClock != positiveClock.slots.count + negativeClock.slots.count {
      wrong.append("I4: the clocks have others than the entries on them")
    }
    if Set(prefixes { _ in true }).count != count { wrong.append("I2: not all entries are in the lists of their sources") }
    for (number, users) in targetUsers where targets.userCount(number) != users { wrong.append("I2: target \(number)") }
    for (number, users) in sourceUsers where sources.userCount(number) != users { wrong.append("I2: source \(number)") }
    if targets.count != targetUsers.count || sources.count != sourceUsers.count { wrong.append("I2: targets or sources without an entry") }
    return wrong
  }
}
