// SPDX-License-Identifier: Apache-2.0
//
// Who has which locator counters. A mapping has one counter per locator, side by side; every worker keeps its own copy of
// them all.

import DataPlane

/// Hands out runs of counter positions. Thread: slow path.
struct CounterBlocks {
  private var next: UInt32 = 1
  /// Runs that came back, by length.
  private var free: [Int: [UInt32]] = [:]

  /// The first of `count` positions; nil when all are taken.
  mutating func allocate(_ count: Int) -> UInt32? {
    if let first = free[count]?.popLast() { return first }
    guard Int(next) + count <= WorkerCounters.maximumLocatorCounters else { return nil }
    defer { next += UInt32(count) }
    return next
  }

  /// Gives a run back that no worker counts in any more; its counters are zero again.
  mutating func release(_ first: UInt32, count: Int) { free[count, default: []].append(first) }
}
