// SPDX-License-Identifier: Apache-2.0
//
// Things that keep their number while they are there: the numbers are what `DeadlineQueue` and `PrefixTrie` hold. Numbers of removed
// things are given away again first, so that they stay dense.

/// An array with holes. O(1) each.
struct SlotArray<Element: Sendable>: Sendable {
  private var places: ContiguousArray<Element?> = []
  private var free: ContiguousArray<UInt32> = []

  var count: Int { places.count - free.count }

  mutating func insert(_ element: Element) -> UInt32 {
    if let slot = free.popLast() {
      places[Int(slot)] = element
      return slot
    }
    places.append(element)
    return UInt32(places.count - 1)
  }

  @discardableResult
  mutating func remove(_ slot: UInt32) -> Element? {
    guard let element = places[Int(slot)] else { return nil }
    places[Int(slot)] = nil
    free.append(slot)
    return element
  }

  /// nil where nothing is.
  subscript(slot: UInt32) -> Element? {
    _read { yield places[Int(slot)] }
    _modify { yield &places[Int(slot)] }
  }

  /// All of them with their numbers, ascending.
  var slots: [(slot: UInt32, element: Element)] { places.enumerated().compactMap { i, element in element.map { (UInt32(i), $0) } } }

  /// All of them, in no order.
  var elements: some Sequence<Element> { places.lazy.compactMap { $0 } }
}
