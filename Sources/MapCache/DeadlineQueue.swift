// SPDX-License-Identifier: Apache-2.0
//
// What is due next, of many things that each have a number and a deadline. MapCache keeps the TTLs of its entries in it.
//
// A binary heap in an array, the earliest first, and for each number its position in the heap. So a deadline is moved or taken
// back where it stands, and the queue never holds more than what is due: a mapping that is refreshed each minute of a day's TTL would
// otherwise leave a day of void deadlines behind. 24 bytes per deadline, 4 per number.
//
// Invariants, executed by `checkInvariants`:
// I1  No item is due before its parent, the item at (position − 1) / 2.
// I2  The position of an item's key is the item's; all other keys have none.

/// Deadlines by number. Numbers should be dense: memory is used up to the highest. Thread: slow path (a value type).
public struct DeadlineQueue: Sendable {
  private struct Item {
    var deadline: ContinuousClock.Instant
    var key: UInt32
  }

  private static let none = UInt32.max
  private var heap: ContiguousArray<Item> = []
  private var positions: ContiguousArray<UInt32> = []

  /// An empty one.
  public init() {}

  /// How many deadlines there are.
  public var count: Int { heap.count }
  /// Bytes of memory that it holds.
  public var byteCount: Int { heap.capacity * MemoryLayout<Item>.stride + positions.capacity * MemoryLayout<UInt32>.stride }

  /// What is due first; nil when nothing is. O(1)
  public var first: (key: UInt32, deadline: ContinuousClock.Instant)? { heap.first.map { ($0.key, $0.deadline) } }

  /// When `key` is due; nil when it never is. O(1)
  public subscript(_ key: UInt32) -> ContinuousClock.Instant? {
    guard let position = position(key) else { return nil }
    return heap[position].deadline
  }

  /// Sets or moves a deadline. O(log n)
  public mutating func schedule(_ key: UInt32, at deadline: ContinuousClock.Instant) {
    let item = Item(deadline: deadline, key: key)
    if let position = position(key) {
      heap[position].deadline = deadline
      settle(item, at: position)
      return
    }
    positions.growByQuarter(to: Int(key) + 1)
    while positions.count <= Int(key) { positions.append(Self.none) }
    heap.growByQuarter(to: heap.count + 1)
    heap.append(item)
    rise(item, from: heap.count - 1)
  }

  /// Takes a deadline back, if there is one. O(log n)
  public mutating func cancel(_ key: UInt32) {
    guard let position = position(key) else { return }
    positions[Int(key)] = Self.none
    let last = heap.removeLast()
    if position < heap.count { settle(last, at: position) }
  }

  private func position(_ key: UInt32) -> Int? {
    guard Int(key) < positions.count, positions[Int(key)] != Self.none else { return nil }
    return Int(positions[Int(key)])
  }

  private mutating func put(_ item: Item, at position: Int) {
    heap[position] = item
    positions[Int(item.key)] = UInt32(position)
  }

  /// Finds the place of an item that belongs at `position`, or above or below it.
  private mutating func settle(_ item: Item, at position: Int) {
    if position > 0, item.deadline < heap[(position - 1) / 2].deadline {
      rise(item, from: position)
    } else {
      sink(item, from: position)
    }
  }

  private mutating func rise(_ item: Item, from position: Int) {
    var position = position
    while position > 0 {
      let parent = heap[(position - 1) / 2]
      guard item.deadline < parent.deadline else { break }
      put(parent, at: position)
      position = (position - 1) / 2
    }
    put(item, at: position)
  }

  private mutating func sink(_ item: Item, from position: Int) {
    var position = position
    while true {
      var child = 2 * position + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1].deadline < heap[child].deadline { child += 1 }
      guard heap[child].deadline < item.deadline else { break }
      put(heap[child], at: position)
      position = child
    }
    put(item, at: position)
  }

  /// What is wrong with it, in words: nothing, as long as I1 and I2 hold. O(n); for tests.
  package func checkInvariants() -> [String] {
    var wrong: [String] = []
    for (i, item) in heap.enumerated() {
      if i > 0, item.deadline < heap[(i - 1) / 2].deadline { wrong.append("I1: position \(i)") }
      if position(item.key) != i { wrong.append("I2: key \(item.key) at \(i)") }
    }
    if positions.count(where: { $0 != Self.none }) != heap.count { wrong.append("I2: keys without an item") }
    return wrong
  }
}
