// SPDX-License-Identifier: Apache-2.0
//
// The ordered index of EID-prefixes against plain arrays.

import TestSupport
import Testing
import Wire

@testable import MapCache

private func eid(_ text: String, in instance: UInt32 = 0) throws -> EIDPrefix {
  EIDPrefix(InstanceID(truncating: instance), try IPPrefix(parsing: text))
}

private func covers(_ wide: EIDPrefix, _ narrow: EIDPrefix) -> Bool {
  wide.instanceID == narrow.instanceID && wide.prefix.contains(narrow.prefix)
}

/// The oracle: every answer is a walk over all.
private struct PlainIndex {
  var values: [EIDPrefix: UInt32] = [:]

  func covering(_ eid: EIDPrefix) -> [EIDPrefix] { values.keys.filter { covers($0, eid) }.sorted { $0.prefix.length < $1.prefix.length } }
  func descendants(of eid: EIDPrefix) -> [EIDPrefix] { values.keys.filter { covers(eid, $0) && $0 != eid }.sorted() }
  func next(after eid: EIDPrefix?) -> EIDPrefix? { values.keys.filter { prefix in eid.map { prefix > $0 } ?? true }.min() }

  func hole(around eid: EIDPrefix, within: EIDPrefix) -> EIDPrefix? {
    guard covers(within, eid) else { return nil }
    for length in within.prefix.length...eid.prefix.length {
      let candidate = EIDPrefix(eid.instanceID, IPPrefix(masking: eid.prefix.address, length: length))
      if !values.keys.contains(where: { covers(candidate, $0) }) { return candidate }
    }
    return nil
  }
}

/// Prefixes in few instances that are nested or neighbours as a rule, of all lengths with both ends among them.
private func densePrefix(_ random: inout SplitMix64) -> EIDPrefix {
  let bits = UInt32(truncatingIfNeeded: random.next()) & 0xC000_0107
  let address: IPAddress =
    random.next() & 1 == 0 ? .v4(IPv4Address(rawValue: bits)) : .v6(IPv6Address(high: UInt64(bits) << 32, low: UInt64(bits & 0xF)))
  let width = address.family.bitWidth
  let lengths = [0, 1, 2, 3, 24, width - 3, width - 2, width - 1, width, random.below(width + 1)]
  return EIDPrefix(
    InstanceID(truncating: UInt32(random.below(3)) * 7), IPPrefix(masking: address, length: lengths[random.below(lengths.count)]))
}

@Suite struct PrefixTrieTests {
  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func `after any changes it answers as a plain list does`(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var trie = PrefixTrie()
    var plain = PlainIndex()
    var holes = 0
    for step in 0..<4000 {
      let prefix = densePrefix(&random)
      // Grows for a while, shrinks for a while.
      if random.below(10) < (step / 500 & 1 == 0 ? 7 : 3) {
        let value = UInt32(truncatingIfNeeded: random.next())
        #expect(trie.insert(prefix, value) == plain.values.updateValue(value, forKey: prefix), "seed \(seed) step \(step)")
      } else {
        #expect(trie.remove(prefix) == plain.values.removeValue(forKey: prefix), "seed \(seed) step \(step)")
      }
      if step % 8 == 0 { #expect(trie.checkInvariants() == [], "seed \(seed) step \(step)") }
      #expect(trie.count == plain.values.count)
      let asked = densePrefix(&random)
      #expect(trie[asked] == plain.values[asked], "seed \(seed) step \(step)")
      let covering = plain.covering(asked)
      #expect(trie.covering(asked).map(\.prefix) == covering, "seed \(seed) step \(step): \(asked)")
      #expect(trie.covering(asked).map(\.value) == covering.map { plain.values[$0] })
      #expect(trie.longestMatch(asked)?.prefix == covering.last)
      #expect(trie.longestMatch(asked)?.value == covering.last.flatMap { plain.values[$0] })
      #expect(trie.next(after: asked)?.prefix == plain.next(after: asked), "seed \(seed) step \(step): \(asked)")
      let within = plain.descendants(of: asked)
      let limit = random.below(20)
      #expect(trie.descendants(of: asked, limit: limit).map(\.prefix) == Array(within.prefix(limit)), "seed \(seed) step \(step): \(asked)")
      #expect(trie.hasDescendants(of: asked) == !within.isEmpty)
      let around = EIDPrefix(asked.instanceID, IPPrefix(masking: asked.prefix.address, length: random.below(asked.prefix.length + 1)))
      let hole = plain.hole(around: asked, within: around)
      #expect(trie.hole(around: asked, within: around) == hole, "seed \(seed) step \(step): \(asked) in \(around)")
      if hole != nil { holes += 1 }
    }
    #expect(holes > 500)
  }

  @Test(arguments: [5, 6] as [UInt64])
  func `going from each prefix to the next lists all in ascending order`(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var trie = PrefixTrie()
    var all = Set<EIDPrefix>()
    for _ in 0..<500 {
      let prefix = densePrefix(&random)
      trie.insert(prefix, UInt32(all.count))
      all.insert(prefix)
    }
    var listed: [EIDPrefix] = []
    while let next = trie.next(after: listed.last) { listed.append(next.prefix) }
    #expect(listed == all.sorted(), "seed \(seed)")
    for instance in [0, 1, 7, 14, 15] as [UInt32] {
      let from = InstanceID(truncating: instance)
      #expect(trie.first(from: from)?.prefix == all.sorted().first { $0.instanceID >= from })
    }
  }

  @Test func `an empty one has nothing, and everything is its hole`() throws {
    let trie = PrefixTrie()
    let host = try eid("10.1.2.3")
    #expect(trie[host] == nil)
    #expect(trie.longestMatch(host) == nil)
    #expect(trie.covering(host).isEmpty)
    #expect(trie.next(after: nil) == nil)
    #expect(trie.next(after: host) == nil)
    #expect(trie.first(from: .zero) == nil)
    #expect(!trie.hasDescendants(of: try eid("0.0.0.0/0")))
    #expect(trie.hole(around: host, within: try eid("0.0.0.0/0")) == (try eid("0.0.0.0/0")))
  }

  @Test func `a negative answer covers the hole around the EID and nothing that is stored`() throws {
    var trie = PrefixTrie()
    for (i, text) in ["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "172.16.0.0/12"].enumerated() { trie.insert(try eid(text), UInt32(i)) }
    let all = try eid("0.0.0.0/0")
    #expect(trie.hole(around: try eid("192.0.2.1"), within: all) == (try eid("192.0.0.0/2")))
    #expect(trie.hole(around: try eid("11.0.0.1"), within: all) == (try eid("11.0.0.0/8")))
    #expect(trie.hole(around: try eid("10.3.0.1"), within: all) == (try eid("10.3.0.0/16")), "bounded by 10.0.0.0/8 and its parts")
    #expect(trie.hole(around: try eid("10.128.0.1"), within: try eid("10.128.0.0/10")) == (try eid("10.128.0.0/10")))
    #expect(trie.hole(around: try eid("10.1.2.3"), within: all) == (try eid("10.1.0.0/17")), "a hole in 10.1.0.0/16 is in it")
    #expect(trie.hole(around: try eid("10.1.0.0/16"), within: all) == nil, "it is stored")
    #expect(trie.hole(around: try eid("10.0.0.0/7"), within: all) == nil, "there is something in it")
    #expect(trie.hole(around: try eid("192.0.2.1"), within: try eid("10.0.0.0/8")) == nil)
    #expect(trie.hole(around: try eid("10.3.0.1"), within: try eid("0.0.0.0/0", in: 1)) == nil)
  }

  @Test func `what is removed leaves no node behind, and its place is taken again`() throws {
    var trie = PrefixTrie()
    let prefixes =
      try (0..<64).map { try eid("10.\($0).0.0/16") } + [try eid("0.0.0.0/0"), try eid("::/0"), try eid("::1"), try eid("10.0.0.1")]
    for (i, prefix) in prefixes.enumerated() { trie.insert(prefix, UInt32(i)) }
    let (most, bytes) = (trie.nodeCount, trie.byteCount)
    #expect(most <= 2 * prefixes.count)
    for prefix in prefixes { trie.remove(prefix) }
    #expect(trie.nodeCount == 0)
    #expect(trie.freeNodeCount == most)
    for (i, prefix) in prefixes.reversed().enumerated() { trie.insert(prefix, UInt32(i)) }
    #expect(trie.nodeCount == most)
    #expect(trie.byteCount == bytes)
    #expect(trie.checkInvariants() == [])
  }

  @Test(arguments: [7] as [UInt64])
  func `a million random prefixes need at most 96 MB`(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var trie = PrefixTrie()
    while trie.count < 1_000_000 {
      let address: IPAddress =
        random.next() & 1 == 0
        ? .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next()))) : .v6(IPv6Address(high: random.next(), low: random.next()))
      trie.insert(EIDPrefix(.zero, IPPrefix(host: address)), UInt32(trie.count))
    }
    #expect(trie.byteCount <= 96_000_000)
    #expect(trie.nodeCount <= 2 * trie.count - 1)
  }
}
