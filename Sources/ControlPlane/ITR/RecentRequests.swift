// SPDX-License-Identifier: Apache-2.0
//
// When the resolver last asked for prefixes that it is not asking for any more: a prefix that is answered and missed at once again must wait
// for the rest of its second (rule C1). At the resolver's rate that is tens of thousands of prefixes, of which hardly one is ever looked
// up: they are kept in two generations, without a deadline each.
//
//     younger: answered in this second     older: in the one before     dropped, as a whole
//
// A generation ends with the first entry that comes a second after its beginning, so that every entry is there for a second at least.

import Wire

/// Last requests by prefix, kept for the time in which they matter. O(1), amortised.
struct RecentRequests: Sendable {
  private var younger: [EIDPrefix: Instant] = [:]
  private var older: [EIDPrefix: Instant] = [:]
  private var beganAt: Instant?

  /// nil when it is too long ago to matter.
  subscript(eid: EIDPrefix) -> Instant? { younger[eid] ?? older[eid] }

  mutating func note(_ eid: EIDPrefix, requestedAt: Instant, now: Instant) {
    if beganAt.map({ now >= $0 + Resolver.interval }) ?? true {
      older = younger
      younger = [:]
      beganAt = now
    }
    younger[eid] = requestedAt
  }
}
