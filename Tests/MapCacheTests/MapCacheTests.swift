// SPDX-License-Identifier: Apache-2.0
//
// The map-cache's bookkeeping: what is set, found, listed, expired.

import TestSupport
import Testing
import Wire

@testable import MapCache

private let start = ContinuousClock.now

private func eid(_ text: String, in instance: UInt32 = 0) throws -> EIDPrefix {
  EIDPrefix(InstanceID(truncating: instance), try IPPrefix(parsing: text))
}

private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

private func mapping(_ eid: EIDPrefix, ttlMinutes: UInt32? = nil, owner: String = "control") -> Mapping {
  Mapping(eid: eid, target: .negative(.drop), source: .control(owner), ttlMinutes: ttlMinutes, now: start)
}

@Suite struct MapCacheTests {
  @Test func `what is set is found by its prefix, and replaced by the next`() throws {
    let cache = MapCache()
    let prefix = try eid("10.1.0.0/16")
    #expect(cache.set(mapping(prefix)) == .added)
    #expect(cache.set(mapping(prefix, owner: "other")) == .replaced(mapping(prefix)))
    #expect(cache[prefix]?.source.owner == "other")
    #expect(cache.count == 1)
  }

  @Test func `what is removed is gone, once`() throws {
    let cache = MapCache()
    let prefix = try eid("10.1.0.0/16")
    cache.set(mapping(prefix, ttlMinutes: 1))
    #expect(cache.remove(prefix)?.eid == prefix)
    #expect(cache.remove(prefix) == nil)
    #expect(cache.count == 0)
    #expect(cache.firstDue(at: start + .seconds(3600)) == nil)
    #expect(cache.checkInvariants() == [])
  }

  @Test func `the longest prefix wins, in its instance only`() throws {
    let cache = MapCache()
    for text in ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "::/0"] { cache.set(mapping(try eid(text))) }
    cache.set(mapping(try eid("10.1.2.0/24", in: 7)))
    #expect(cache.longestMatch(try eid("10.1.2.3"))?.eid == (try eid("10.1.0.0/16")))
    #expect(cache.longestMatch(try eid("10.2.0.0/16"))?.eid == (try eid("10.0.0.0/8")))
    #expect(cache.longestMatch(try eid("192.0.2.1"))?.eid == (try eid("0.0.0.0/0")))
    #expect(cache.longestMatch(try eid("2001:db8::1"))?.eid == (try eid("::/0")))
    #expect(cache.longestMatch(try eid("10.1.2.3", in: 7))?.eid == (try eid("10.1.2.0/24", in: 7)))
    #expect(cache.longestMatch(try eid("10.1.3.3", in: 7)) == nil)
    #expect(cache.longestMatch(try eid("10.1.0.0/16"))?.eid == (try eid("10.1.0.0/16")), "a prefix covers itself")
  }

  @Test func `a learned mapping is due a tenth of its time early, a minute at most, and then at its end`() throws {
    let cache = MapCache()
    let source = MappingSource.learned(from: try address("192.0.2.100"))
    let (short, long) = (try eid("10.1.0.0/16"), try eid("10.2.0.0/16"))
    cache.set(Mapping(eid: short, target: .negative(.drop), source: source, ttlMinutes: 5, now: start))
    cache.set(Mapping(eid: long, target: .negative(.drop), source: source, ttlMinutes: 1440, now: start))
    #expect(cache.firstDue(at: start + .seconds(269)) == nil)
    #expect(cache.firstDue(at: start + .seconds(270))?.eid == short)
    cache.postponeExpiry(of: short, to: start + .seconds(300))
    #expect(cache.firstDue(at: start + .seconds(299)) == nil)
    #expect(cache.firstDue(at: start + .seconds(300))?.eid == short)
    cache.remove(short)
    #expect(cache.firstDue(at: start + .seconds(86_339)) == nil)
    #expect(cache.firstDue(at: start + .seconds(86_340))?.eid == long)
  }

  @Test func `an entry was used when packets have come since it was last looked at`() throws {
    let cache = MapCache()
    let prefix = try eid("10.1.0.0/16")
    cache.set(mapping(prefix, ttlMinutes: 5))
    #expect(!cache.wasUsed(prefix, packetCount: 0))
    #expect(cache.wasUsed(prefix, packetCount: 3))
    #expect(!cache.wasUsed(prefix, packetCount: 3))
    #expect(cache.wasUsed(prefix, packetCount: 1))
    #expect(!cache.wasUsed(try eid("10.9.0.0/16"), packetCount: 9))
  }

  @Test func `mappings expire when their minutes are over, and not before`() throws {
    let cache = MapCache()
    let short = try eid("10.1.0.0/16")
    cache.set(mapping(short, ttlMinutes: 1))
    cache.set(mapping(try eid("10.2.0.0/16"), ttlMinutes: 5))
    cache.set(mapping(try eid("10.3.0.0/16")))
    #expect(cache.firstDue(at: start + .seconds(59)) == nil)
    #expect(cache.firstDue(at: start + .seconds(60))?.eid == short)
    #expect(cache.nextDeadline == start + .seconds(60))
    cache.set(mapping(short))
    #expect(cache.firstDue(at: start + .seconds(60)) == nil, "a replacement brings its own time")
    #expect(cache.firstDue(at: start + .seconds(86_400))?.eid == (try eid("10.2.0.0/16")))
    cache.postponeExpiry(of: try eid("10.2.0.0/16"), to: start + .seconds(86_401))
    #expect(cache.firstDue(at: start + .seconds(86_400)) == nil, "one that is postponed waits, one without minutes stays")
    #expect(cache.firstDue(at: start + .seconds(86_401))?.ttlMinutes == 5)
    cache.postponeExpiry(of: try eid("10.3.0.0/16"), to: start)
    #expect(cache.firstDue(at: start + .seconds(300)) == nil, "what does not expire is not postponed")
  }

  @Test func `pages are in ascending order, complete, and without repetition`() throws {
    let cache = MapCache()
    var all: [EIDPrefix] = []
    for instance in [UInt32(3), 0, 9] {
      for i in 0..<50 {
        all.append(try eid("10.\(i).0.0/16", in: instance))
        all.append(try eid("2001:db8:\(i)::/48", in: instance))
      }
    }
    for prefix in all.reversed() { cache.set(mapping(prefix)) }
    var listed: [EIDPrefix] = []
    var after: EIDPrefix?
    repeat {
      let page = cache.page(after: after, limit: 7, in: nil)
      #expect(page.mappings.count <= 7)
      listed += page.mappings.map(\.eid)
      after = page.next
    } while after != nil
    #expect(listed == all.sorted())

    let three = cache.page(after: nil, limit: 1000, in: InstanceID(truncating: 3)).mappings.map(\.eid)
    #expect(three == all.filter { $0.instanceID.rawValue == 3 }.sorted())
    #expect(cache.page(after: nil, limit: 10, in: InstanceID(truncating: 4)).mappings.isEmpty)
  }

  @Test func `a page goes on behind a prefix that was removed meanwhile`() throws {
    let cache = MapCache()
    for i in 0..<4 { cache.set(mapping(try eid("10.\(i).0.0/16"))) }
    let first = cache.page(after: nil, limit: 2, in: nil)
    cache.remove(try #require(first.next))
    #expect(cache.page(after: first.next, limit: 2, in: nil).mappings.map(\.eid.prefix.description) == ["10.2.0.0/16", "10.3.0.0/16"])
  }

  @Test func `locators are kept in canonical order: by address, IPv4 first`() throws {
    let addresses = ["2001:db8::1", "198.51.100.2", "192.0.2.1"].compactMap { IPAddress($0) }
    guard case .locators(let sorted) = Mapping.Target(addresses.map { Locator(address: $0) }) else {
      Issue.record("not locators")
      return
    }
    #expect(sorted.map(\.address.description) == ["192.0.2.1", "198.51.100.2", "2001:db8::1"])
  }

  @Test func `prefixes are chosen by who gave them, in all instances or in one`() throws {
    let cache = MapCache()
    cache.set(mapping(try eid("10.1.0.0/16"), owner: "a"))
    cache.set(mapping(try eid("10.2.0.0/16"), owner: "b"))
    cache.set(mapping(try eid("10.3.0.0/16", in: 5), owner: "b"))
    cache.set(mapping(try eid("10.4.0.0/16", in: 5), owner: "a"))
    #expect(Set(cache.prefixes { $0.owner == "b" }) == [try eid("10.2.0.0/16"), try eid("10.3.0.0/16", in: 5)])
    #expect(cache.prefixes(in: InstanceID(truncating: 5)) { $0.owner == "b" } == [try eid("10.3.0.0/16", in: 5)])
    #expect(cache.count(within: try eid("0.0.0.0/0")) == 2)
    #expect(cache.count(within: try eid("10.2.0.0/16")) == 1)
    #expect(cache.count(within: try eid("10.2.0.0/24")) == 0)
  }

  @Test func `what the mapping system says is not taken where an operator or his client has said something else`() throws {
    let cache = MapCache()
    let prefix = try eid("10.1.0.0/16")
    let learned = Mapping(eid: prefix, target: .negative(.nativeForward), source: .learned(from: try address("192.0.2.7")), now: start)
    for source in [MappingSource.configuration, .control("a")] {
      cache.set(Mapping(eid: prefix, target: .negative(.drop), source: source, now: start))
      #expect(cache.set(learned) == .outranked(by: source))
      #expect(cache[prefix]?.target == .negative(.drop))
      cache.remove(prefix)
    }
    #expect(cache.set(learned) == .added)
    #expect(cache[prefix]?.source.owner == "192.0.2.7")
    #expect(cache.set(mapping(prefix)) == .replaced(learned))
    #expect(cache.learnedCount == 0)
    cache.restore(learned)
    #expect(cache[prefix] == learned, "a change that is taken back leaves what was there, whoever gave it")
    #expect(cache.checkInvariants() == [])
  }

  @Test func `an entry says when it came, to the nanosecond, also if it came before the first`() throws {
    let cache = MapCache()
    for (i, offset) in [Duration.zero, .nanoseconds(1), .seconds(-3600), .seconds(1 << 30) + .nanoseconds(7)].enumerated() {
      let entry = Mapping(
        eid: try eid("10.\(i).0.0/16"), target: .negative(.drop), source: .configuration, ttlMinutes: .max, now: start + offset)
      cache.set(entry)
      #expect(cache[entry.eid] == entry)
      #expect(cache[entry.eid]?.deadline == start + offset + .seconds(60 * Int64(UInt32.max)))
    }
  }

  @Test func `a record has 64 bytes`() { #expect(MemoryLayout<MapCacheRecord>.stride == 64) }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func `after any changes it holds what a dictionary holds, and no more`(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let cache = MapCache(limits: MapCache.Limits(maximumLearned: 20, maximumNegative: 8, reserved: EIDPrefixSet([try eid("10.3.0.0/16")])))
    var plain: [EIDPrefix: Mapping] = [:]
    let sources = [
      MappingSource.configuration, .control("a"), .control("b"), .learned(from: try address("192.0.2.1")),
      .learned(from: try address("2001:db8::1")),
    ]
    for step in 0..<3000 {
      let prefix = try eid("10.\(random.below(5)).\(random.below(16)).0/24", in: UInt32(random.below(2)))
      let targets: [Mapping.Target] = [
        .negative(.drop), .negative(.nativeForward), .init([Locator(address: try address("192.0.2.\(random.below(3))"))]),
      ]
      let new = Mapping(
        eid: prefix, target: targets[random.below(3)], source: sources[random.below(5)],
        ttlMinutes: random.next() & 1 == 0 ? nil : UInt32(random.below(50)), now: start + .seconds(step))
      let old = plain[prefix]
      switch random.below(step / 300 & 1 == 0 ? 4 : 8) {
      case 0, 1, 2:
        let outcome = cache.set(new)
        let learned = plain.values.filter { $0.source.rank == .learned }
        let isFull = learned.count == 20 || new.target.isNegative && learned.count { $0.target.isNegative } >= 8
        if let old, old.source.rank == .assigned, new.source.rank == .learned {
          #expect(outcome == .outranked(by: old.source))
        } else if old == nil, new.source.rank == .learned, isFull {
          #expect(outcome == .full)
        } else {
          #expect(outcome == old.map { .replaced($0) } ?? .added)
          plain[prefix] = new
        }
      case 3, 4:
        #expect(cache.remove(prefix) == old)
        plain[prefix] = nil
      default:
        let due = cache.firstDue(at: start + .seconds(step))
        #expect(due?.due == plain.values.compactMap(\.due).filter { $0 <= start + .seconds(step) }.min())
        if let due { plain[cache.remove(due.eid)?.eid ?? due.eid] = nil }
      }
      if step % 10 == 0 { #expect(cache.checkInvariants() == [], "seed \(seed) step \(step)") }
      #expect(cache[prefix] == plain[prefix], "seed \(seed) step \(step)")
      #expect(cache.count == plain.count)
    }
    #expect(cache.page(after: nil, limit: .max, in: nil).mappings == plain.values.sorted { $0.eid < $1.eid })
  }
}

extension Mapping {
  /// When the router has to look at it.
  fileprivate var due: ContinuousClock.Instant? { renewal ?? deadline }
}
