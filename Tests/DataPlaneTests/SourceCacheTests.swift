// SPDX-License-Identifier: Apache-2.0
import TestSupport
import Testing

@testable import DataPlane

@Suite struct SourceCacheTests {
  @Test func `what was put in last is there, and nothing is there that was not put in`() {
    var random = SplitMix64(seed: 7)
    var cache = SourceCache()
    cache.begin(generation: 1)
    var known = Set<[UInt64]>()
    var hits = 0
    for _ in 0..<5_000 {
      let key = SourceCache.key(UInt32(random.below(3)), family: random.next() & 1 == 0 ? 4 : 6)
      let (high, low) = (UInt64(random.below(12)), UInt64(random.below(3)))
      if cache.contains(key, high, low) {
        hits += 1
        #expect(known.contains([UInt64(key), high, low]))
      }
      if random.next() & 3 == 0 {
        cache.insert(key, high, low)
        known.insert([UInt64(key), high, low])
        #expect(cache.contains(key, high, low))
      }
    }
    #expect(hits > 100)
  }

  @Test func `an empty cache knows not even address 0 of instance 0, and a new generation empties it`() {
    var cache = SourceCache()
    let key = SourceCache.key(0, family: 4)
    #expect(!cache.contains(key, 0, 0))
    cache.begin(generation: 5)
    cache.insert(key, 0, 0)
    cache.begin(generation: 5)
    #expect(cache.contains(key, 0, 0))
    cache.begin(generation: 6)
    #expect(!cache.contains(key, 0, 0))
  }
}
