// SPDX-License-Identifier: Apache-2.0
//
// The map-cache's bookkeeping: what is set, found, listed, expired.

import MapCache
import Testing
import Wire

private let start = ContinuousClock.now

private func eid(_ text: String, in instance: UInt32 = 0) throws -> EIDPrefix {
  EIDPrefix(InstanceID(truncating: instance), try IPPrefix(parsing: text))
}

private func mapping(_ eid: EIDPrefix, ttlMinutes: UInt32? = nil, owner: String = "control") -> Mapping {
  Mapping(
    eid: eid, target: .negative(.drop), source: MappingSource(origin: "control", owner: owner), ttlMinutes: ttlMinutes, now: start)
}

@Suite struct MapCacheTests {
  @Test func `what is set is found by its prefix, and replaced by the next`() throws {
    var cache = MapCache()
    let prefix = try eid("10.1.0.0/16")
    #expect(cache.set(mapping(prefix)) == nil)
    #expect(cache.set(mapping(prefix, owner: "other"))?.source.owner == "control")
    #expect(cache[prefix]?.source.owner == "other")
    #expect(cache.count == 1)
  }

  @Test func `what is removed is gone, once`() throws {
    var cache = MapCache()
    let prefix = try eid("10.1.0.0/16")
    cache.set(mapping(prefix, ttlMinutes: 1))
    #expect(cache.remove(prefix)?.eid == prefix)
    #expect(cache.remove(prefix) == nil)
    #expect(cache.count == 0)
    #expect(cache.expired(at: start + .seconds(3600)).isEmpty)
  }

  @Test func `the longest prefix wins, in its instance only`() throws {
    var cache = MapCache()
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

  @Test func `mappings expire when their minutes are over, and not before`() throws {
    var cache = MapCache()
    let short = try eid("10.1.0.0/16")
    cache.set(mapping(short, ttlMinutes: 1))
    cache.set(mapping(try eid("10.2.0.0/16"), ttlMinutes: 5))
    cache.set(mapping(try eid("10.3.0.0/16")))
    #expect(cache.expired(at: start + .seconds(59)).isEmpty)
    #expect(cache.expired(at: start + .seconds(60)) == [short])
    #expect(cache.expired(at: start + .seconds(86_400)).count == 2, "one without minutes stays")
    cache.set(mapping(short))
    #expect(cache.expired(at: start + .seconds(60)).isEmpty, "a replacement brings its own time")
  }

  @Test func `pages are in ascending order, complete, and without repetition`() throws {
    var cache = MapCache()
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
    var cache = MapCache()
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

  @Test func `prefixes are chosen by what their mappings say`() throws {
    var cache = MapCache()
    cache.set(mapping(try eid("10.1.0.0/16"), owner: "a"))
    cache.set(mapping(try eid("10.2.0.0/16"), owner: "b"))
    #expect(cache.prefixes { $0.source.owner == "b" } == [try eid("10.2.0.0/16")])
  }
}
