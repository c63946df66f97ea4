// SPDX-License-Identifier: Apache-2.0
//
// How the large arrays of the slow path grow.

extension ContiguousArray {
  /// Makes room for `count` elements, a quarter at a time: doubling would leave up to half of the memory unused.
  mutating func growByQuarter(to count: Int) {
    guard count > capacity else { return }
    reserveCapacity(Swift.max(count, capacity + Swift.max(64, capacity / 4)))
  }
}
