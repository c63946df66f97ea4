// SPDX-License-Identifier: Apache-2.0
//
// Who has which locator counters. A mapping has one counter per locator, side by side; every worker keeps its own copy of
// them all. Owned by ForwardingCompiler.

import DataPlane

/// Counters side by side.
struct CounterRun {
  var first: UInt32
  var count: Int

  /// Their positions.
  var counters: Range<UInt32> { first..<first + UInt32(count) }
}

/// Hands out runs of counter positions. Thread: slow path.
struct CounterBlocks {
  private var next: UInt32 = 1
  /// Runs that came back, by length.
  private var free: [Int: [UInt32]] = [:]

  /// `count` positions; throws `full` when all are taken.
  mutating func allocate(_ count: Int) throws(StateError) -> CounterRun {
    if let first = free[count]?.popLast() { return CounterRun(first: first, count: count) }
    guard Int(next) + count <= WorkerCounters.maximumLocatorCounters else {
      throw .full("locator counter", limit: WorkerCounters.maximumLocatorCounters)
    }
    defer { next += UInt32(count) }
    return CounterRun(first: next, count: count)
  }

  /// Takes a run back that no worker counts in any more; its counters are zero again.
  mutating func release(_ run: CounterRun) { free[run.count, default: []].append(run.first) }
}
