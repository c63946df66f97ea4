// SPDX-License-Identifier: Apache-2.0
//
// Numbers that nobody can guess: nonces (RFC 9301 5.2), and the jitter of timers. In tests and simulations they come from a seed.

/// A source of random numbers. The state machines hold one each.
public struct NonceSource: Sendable, RandomNumberGenerator {
  private var state: UInt64?

  /// From the system's generator.
  public init() {}

  /// Repeatable: for tests and simulations only.
  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    guard let seed = state else {
      var system = SystemRandomNumberGenerator()
      return system.next()
    }
    // SplitMix64 (Steele, Lea, Flood 2014).
    state = seed &+ 0x9E37_79B9_7F4A_7C15
    var z = seed &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// `duration`, up to `fraction` of it shorter or longer.
  public mutating func jittered(_ duration: Duration, by fraction: Double = 0.1) -> Duration {
    duration * (1 + Double.random(in: -fraction...fraction, using: &self))
  }
}
