// SPDX-License-Identifier: Apache-2.0
//
// What the first stage of encapsulation remembers of sources from batch to batch. Every host of a site whose link-layer address is
// known has an entry of its own in the table, so that KnownSources, which knows ranges, knows one host; this knows the others.

import PrefixTable

/// Addresses that were found to be our own EIDs (rule E15). Each has one place, which it shares with others: the last one has it. Good for
/// one generation of the published state.
struct SourceCache {
  private static let placeBits = 7
  private var generation = UInt64.max
  private var places = InlineArray<128, Place>(repeating: Place())

  private struct Place {
    var key: UInt32 = 0
    var high: UInt64 = 0
    var low: UInt64 = 0
  }

  /// An instance and a family. Never 0.
  @inline(__always) static func key(_ instanceID: UInt32, family: UInt8) -> UInt32 { UInt32(family) << 24 | instanceID }

  @inline(__always)
  private static func place(_ high: UInt64, _ low: UInt64) -> Int {
    let hash = (high ^ low) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: hash &>> UInt64(64 - placeBits))
  }

  /// Before a batch: forgets everything when the state is another.
  @inline(__always)
  mutating func begin(generation: UInt64) { if generation != self.generation { forget(generation) } }

  @inline(never)
  private mutating func forget(_ generation: UInt64) {
    self.generation = generation
    places = InlineArray(repeating: Place())
  }

  /// `high` and `low` are an address's octets in any order, but always the same one.
  @inline(__always)
  func contains(_ key: UInt32, _ high: UInt64, _ low: UInt64) -> Bool {
    let place = unsafe places[unchecked: Self.place(high, low)]  // SAFETY: a place has 7 bits, there are 128
    return place.key == key && place.high == high && place.low == low
  }

  mutating func insert(_ key: UInt32, _ high: UInt64, _ low: UInt64) {
    places[Self.place(high, low)] = Place(key: key, high: high, low: low)
  }
}
