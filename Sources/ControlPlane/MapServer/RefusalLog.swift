// SPDX-License-Identifier: Apache-2.0
//
// What was refused of each site, and when the log says so: at most once a minute for each site and reason, with the number of
// refusals that the line stands for. An attacker with many wrong keys fills counters, not a disk.

import Wire

/// The last Map-Register of a site that was refused.
struct LastRefusal: Hashable, Sendable {
  var reason: Refusal
  var from: Endpoint
  var at: Instant
  /// How often this reason has been met.
  var count: Int
}

/// Refusals by site and reason: as many entries as there are sites times reasons at most.
struct RefusalLog: Sendable {
  private struct Key: Hashable, Sendable {
    var site: SiteTable.Number?
    var reason: Refusal
  }

  private struct Entry: Sendable {
    var count = 0
    var unlogged = 0
    var logged: Instant?
  }

  static let interval = Duration.seconds(60)

  private var entries: [Key: Entry] = [:]
  /// By site; nil: EID-prefixes of none.
  private(set) var last: [SiteTable.Number?: LastRefusal] = [:]

  /// Counts a refusal; returns how many a log line stands for, nil when the time for one has not come.
  mutating func note(_ reason: Refusal, site: SiteTable.Number?, from: Endpoint, now: Instant) -> Int? {
    let key = Key(site: site, reason: reason)
    var entry = entries[key] ?? Entry()
    entry.count += 1
    entry.unlogged += 1
    last[site] = LastRefusal(reason: reason, from: from, at: now, count: entry.count)
    var standsFor: Int?
    if entry.logged.map({ now >= $0 + Self.interval }) ?? true {
      standsFor = entry.unlogged
      (entry.logged, entry.unlogged) = (now, 0)
    }
    entries[key] = entry
    return standsFor
  }
}
