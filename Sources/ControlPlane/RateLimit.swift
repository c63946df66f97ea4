// SPDX-License-Identifier: Apache-2.0
//
// How often something may happen: a token bucket without tokens. It keeps the instant at which the bucket would be full again (the virtual
// scheduling algorithm of ITU-T I.371, annex A), so that a bucket that nobody uses needs no care, and many of one rate cost an instant
// each. The state machines bound with it what they send, the router its ICMP errors.

/// A rate with bursts. A full bucket to begin with. Thread: any (a value type).
public struct RateLimit: Sendable {
  /// What all buckets of one rate have in common.
  struct Rate: Sendable {
    /// What one event costs.
    private let interval: Duration
    /// How far ahead of the rate events may run.
    fileprivate let tolerance: Duration

    /// Both at least 1.
    init(perSecond: Int, burst: Int) {
      interval = .seconds(1) / max(perSecond, 1)
      tolerance = interval * (max(burst, 1) - 1)
    }

    /// Whether an event may happen now, in the bucket that is full again at `fullAt`; if so it is taken to happen. nil: it has been full
    /// from the beginning. With a reserve, a part of the burst in quarters is left to others.
    func take(_ fullAt: inout Instant?, _ now: Instant, leavingQuarters reserve: Int = 0) -> Bool {
      let full = max(fullAt ?? now, now)
      guard now.duration(to: full) <= tolerance * (4 - reserve) / 4 else { return false }
      fullAt = full + interval
      return true
    }
  }

  private let rate: Rate
  private var fullAt: Instant?

  /// Both at least 1.
  public init(perSecond: Int, burst: Int) { rate = Rate(perSecond: perSecond, burst: burst) }

  /// Whether an event may happen now; if so it is taken to happen. O(1)
  public mutating func take(_ now: Instant) -> Bool { rate.take(&fullAt, now) }

  /// The same, with a part of the burst in quarters left to others.
  mutating func take(_ now: Instant, leavingQuarters reserve: Int) -> Bool { rate.take(&fullAt, now, leavingQuarters: reserve) }

  /// When an event may happen next; in the past when one may now.
  func available(_ now: Instant) -> Instant { fullAt.map { $0 - rate.tolerance } ?? now }
}
