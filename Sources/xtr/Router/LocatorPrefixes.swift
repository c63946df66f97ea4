// SPDX-License-Identifier: Apache-2.0
//
// Which EID-prefixes each locator is known to serve. The router keeps one for probes, which name a prefix, and one for echo-nonces, whose
// packets are counted by prefixes.

import Wire

/// A few EID-prefixes of each locator, the latest last. Thread: slow path (a value type).
struct LocatorPrefixes: Sendable {
  /// Prefixes that are remembered of a locator, for when the last one goes: our choice.
  private static let maximum = 8

  private var prefixes: [IPAddress: [EIDPrefix]] = [:]

  var isEmpty: Bool { prefixes.isEmpty }

  subscript(rloc: IPAddress) -> [EIDPrefix] { prefixes[rloc] ?? [] }

  /// The prefix is the locator's latest.
  mutating func add(_ eid: EIDPrefix, of rloc: IPAddress) {
    prefixes[rloc] = self[rloc].filter { $0 != eid }.suffix(Self.maximum - 1) + [eid]
  }

  /// The locator does not serve the prefix any more. Returns those that are left; nil when none was known before.
  mutating func remove(_ eid: EIDPrefix, of rloc: IPAddress) -> [EIDPrefix]? {
    guard let left = prefixes[rloc]?.filter({ $0 != eid }) else { return nil }
    prefixes[rloc] = left.isEmpty ? nil : left
    return left
  }

  mutating func removeAll() { prefixes = [:] }
}
