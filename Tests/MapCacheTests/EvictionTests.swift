// SPDX-License-Identifier: Apache-2.0
//
// Which learned entry goes when one more comes.

import Testing
import Wire

@testable import MapCache

private let start = ContinuousClock.now

private func learned(_ text: String, isNegative: Bool = false) throws -> Mapping {
  let address = try #require(IPAddress("192.0.2.1"))
  let target = isNegative ? Mapping.Target.negative(.nativeForward) : Mapping.Target([Locator(address: address)])
  return Mapping(eid: EIDPrefix(.zero, try IPPrefix(parsing: text)), target: target, source: .learned(from: address), now: start)
}

/// A cache that holds as many entries as may be learned, 10.0.0.0/16 and its neighbours.
private func full(_ count: Int, reserved: [String] = []) throws -> MapCache {
  let reserved = EIDPrefixSet(try reserved.map { EIDPrefix(.zero, try IPPrefix(parsing: $0)) })
  let cache = MapCache(limits: MapCache.Limits(maximumLearned: count, reserved: reserved))
  for i in 0..<count { #expect(cache.set(try learned("10.\(i).0.0/16")) == .added) }
  return cache
}

extension MapCache {
  /// Makes room for a learned entry and sets it; says which entry has gone for it.
  fileprivate func admit(_ mapping: Mapping, _ packetCount: (EIDPrefix) -> UInt32) throws -> String {
    #expect(needsRoom(for: mapping))
    #expect(set(mapping) == .full)
    let chosen = victim(for: mapping, packetCount: packetCount)
    let eid = try #require(chosen)
    remove(eid)
    #expect(set(mapping) == .added)
    #expect(checkInvariants() == [])
    return "\(eid.prefix)"
  }
}

@Suite struct EvictionTests {
  @Test func `packets of before a renewal are no use of an entry after it`() throws {
    let cache = try full(1)
    let mapping = try learned("10.0.0.0/16")
    #expect(cache.wasUsed(mapping.eid, packetCount: 5))
    #expect(cache.set(mapping) == .replaced(mapping))
    #expect(!cache.wasUsed(mapping.eid, packetCount: 5))
    #expect(cache.wasUsed(mapping.eid, packetCount: 6))
  }

  @Test func `idle entries go in the order in which they came`() throws {
    let cache = try full(4)
    for i in 0..<8 {
      let gone = try cache.admit(try learned("10.\(i + 4).0.0/16")) { _ in 0 }
      #expect(gone == "10.\(i).0.0/16")
    }
  }

  @Test func `an entry that has carried packets since the hand last passed stays, and goes once it is idle`() throws {
    let cache = try full(4)
    var packets: [String: UInt32] = ["10.0.0.0/16": 5, "10.1.0.0/16": 1]
    #expect(try cache.admit(try learned("10.4.0.0/16")) { packets["\($0.prefix)"] ?? 0 } == "10.2.0.0/16")
    packets["10.0.0.0/16"] = 6
    #expect(try cache.admit(try learned("10.5.0.0/16")) { packets["\($0.prefix)"] ?? 0 } == "10.3.0.0/16")
    #expect(try cache.admit(try learned("10.6.0.0/16")) { packets["\($0.prefix)"] ?? 0 } == "10.1.0.0/16", "it has had none since")
  }

  @Test func `when all have carried packets the first of those looked at goes`() throws {
    let cache = try full(200)
    var (now, looks) = (UInt32(0), 0)
    #expect(
      try cache.admit(try learned("11.0.0.0/16")) { _ in
        (now, looks) = (now + 1, looks + 1)
        return now
      } == "10.0.0.0/16")
    #expect(looks == EvictionClock.maximumLooks)
  }

  @Test func `entries under a reserved prefix never go, and without others there is no room`() throws {
    let cache = try full(4, reserved: ["10.0.0.0/15", "10.64.0.0/10"])
    #expect(try cache.admit(try learned("10.64.0.0/16")) { _ in 0 } == "10.2.0.0/16")
    #expect(try cache.admit(try learned("10.65.0.0/16")) { _ in 0 } == "10.3.0.0/16")
    let another = try learned("10.66.0.0/16")
    #expect(cache.victim(for: another) { _ in 0 } == nil)
    #expect(cache.set(another) == .full)
    cache.limits.reserved = EIDPrefixSet([])
    #expect(cache.checkInvariants() == [])
    #expect(cache.victim(for: another) { _ in 0 } != nil, "other limits apply to what is there")
  }

  @Test func `what an operator or his client has given neither counts nor goes`() throws {
    let cache = try full(2)
    for i in 0..<10 {
      var mapping = try learned("10.\(100 + i).0.0/16")
      mapping.source = i & 1 == 0 ? .configuration : .control("a")
      #expect(!cache.needsRoom(for: mapping))
      #expect(cache.set(mapping) == .added)
    }
    #expect(cache.learnedCount == 2)
    for i in 0..<5 { #expect(try cache.admit(try learned("11.\(i).0.0/16")) { _ in 0 } != "10.100.0.0/16") }
    #expect(cache.count == 12)
    #expect(cache.prefixes { $0.rank == .assigned }.count == 10)
  }

  @Test func `negative entries beyond their number make room for each other, and no site goes for one`() throws {
    let cache = MapCache(limits: MapCache.Limits(maximumLearned: 100, maximumNegative: 3))
    for i in 0..<10 { #expect(cache.set(try learned("10.\(i).0.0/16")) == .added) }
    for i in 0..<3 { #expect(cache.set(try learned("20.\(i).0.0/16", isNegative: true)) == .added) }
    for i in 3..<50 {
      let gone = try cache.admit(try learned("20.\(i).0.0/16", isNegative: true)) { _ in 0 }
      #expect(gone == "20.\(i - 3).0.0/16")
    }
    #expect(cache.negativeCount == 3 && cache.learnedCount == 13)
    for i in 10..<97 { #expect(cache.set(try learned("10.\(i).0.0/16")) == .added, "sites find room") }
    #expect(try cache.admit(try learned("10.97.0.0/16")) { _ in 0 } == "10.0.0.0/16", "one of its kind goes where all are too many")
  }

  @Test func `an entry of the other kind goes where there is none of its own`() throws {
    let cache = MapCache(limits: MapCache.Limits(maximumLearned: 2, maximumNegative: 2))
    for i in 0..<2 { #expect(cache.set(try learned("10.\(i).0.0/16")) == .added) }
    #expect(try cache.admit(try learned("20.0.0.0/16", isNegative: true)) { _ in 0 } == "10.0.0.0/16")
  }

  @Test func `an entry that becomes negative, or positive, counts as what it is`() throws {
    let cache = try full(3)
    cache.limits.maximumNegative = 1
    for isNegative in [true, false, true] {
      #expect(cache.set(try learned("10.1.0.0/16", isNegative: isNegative)) != .full)
      #expect(cache.negativeCount == (isNegative ? 1 : 0) && cache.learnedCount == 3 && cache.checkInvariants() == [])
    }
    #expect(try cache.admit(try learned("20.0.0.0/16", isNegative: true)) { _ in 0 } == "10.1.0.0/16")
  }

  @Test func `an entry that is learned again needs no room`() throws {
    let cache = try full(2)
    let again = try learned("10.1.0.0/16")
    #expect(!cache.needsRoom(for: again))
    #expect(cache.set(again) == .replaced(again))
    #expect(cache.learnedCount == 2)
  }
}
