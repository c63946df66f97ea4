// SPDX-License-Identifier: Apache-2.0
//
// How often something may happen: a token bucket without tokens. It keeps the instant at which the bucket would be full again (the virtual
// scheduling algorithm of ITU-T I.371, annex A). The ITR's state machines bound with it what they send.

/// A rate with bursts. A full bucket to begin with.
struct RateLimit: Sendable {
  /// What one event costs.
  private let interval: Duration
  /// How far ahead of the rate events may run.
  private let tolerance: Duration
  private var full: Instant?

  /// Both at least 1.
  init(perSecond: Int, burst: Int) {
    interval = .seconds(1) / max(perSecond, 1)
    tolerance = interval * (max(burst, 1) - 1)
  }

  /// Whether an event may happen now; if so it is taken to happen. With a reserve, a part of the burst in quarters is left to others.
  mutating func take(_ now: Instant, leavingQuarters reserve: Int = 0) -> Bool {
    let full = max(self.full ?? now, now)
    guard now.duration(to: full) <= tolerance * (4 - reserve) / 4 else { return false }
    self.full = full + interval
    return true
  }

  /// When an event may happen next; in the past when one may now.
  func available(_ now: Instant) -> Instant { full.map { $0 - tolerance } ?? now }
}
