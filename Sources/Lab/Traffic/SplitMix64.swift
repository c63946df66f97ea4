// SPDX-License-Identifier: Apache-2.0
//
// Seeded pseudo-random numbers (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): the same seed gives the same
// traffic, so that a failure can be repeated.

public struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// So many bytes.
  public mutating func bytes(_ count: Int) -> [UInt8] {
    var words: [UInt64] = []
    words.reserveCapacity(count / 8 + 1)
    for _ in 0...(count / 8) { words.append(next()) }
    return words.withUnsafeBytes { Array($0.prefix(count)) }
  }
}
