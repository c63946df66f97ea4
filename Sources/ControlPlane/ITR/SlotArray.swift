// SPDX-License-Identifier: Apache-2.0
//
// Things that keep their number while they are there: the numbers are what `DeadlineQueue` and `PrefixTrie` hold. Numbers of removed
// things are given away again first, so that they stay dense.

/// An array with holes. O(1) each.
struct SlotArray<Element: Sendable>: Sendable {
  private var slots: ContiguousArray<Element?> = []
  private var free: ContiguousArray<UInt32> = []

  var count: Int { slots.count - free.count }

  mutating func insert(_ element: Element) -> UInt32 {
    if let slot = free.popLast() {
      slots[Int(slot)] = element
      return slot
    }
    slots.append(element)
    return UInt32(slots.count - 1)
  }

  @discardableResult
  mutating func remove(_ slot: UInt32) -> Element? {
    guard let element = slots[Int(slot)] else { return nil }
    slots[Int(slot)] = nil
    free.append(slot)
    return element
  }

  /// nil where nothing is.
  subscript(slot: UInt32) -> Element? {
    _read { yield slots[Int(slot)] }
    _modify { yield &slots[Int(slot)] }
  }

  /// All of them, in no order.
  var elements: some Sequence<Element> { slots.lazy.compactMap { $0 } }
}
