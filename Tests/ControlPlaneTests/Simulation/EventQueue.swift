// SPDX-License-Identifier: Apache-2.0
//
// The simulation's future: a binary heap by time. Events of one time come in the order in which they were pushed, so that a run depends
// on its seed alone.

@testable import ControlPlane

struct EventQueue<Event> {
  private struct Entry {
    var at: Instant
    var serial: Int
    var event: Event

    func precedes(_ other: Entry) -> Bool { at == other.at ? serial < other.serial : at < other.at }
  }

  /// The parent of i, (i - 1) / 2, never comes after it.
  private var heap: [Entry] = []
  private var pushed = 0

  var count: Int { heap.count }

  mutating func push(_ event: Event, at: Instant) {
    heap.append(Entry(at: at, serial: pushed, event: event))
    pushed += 1
    var i = heap.count - 1
    while i > 0, heap[i].precedes(heap[(i - 1) / 2]) {
      heap.swapAt(i, (i - 1) / 2)
      i = (i - 1) / 2
    }
  }

  /// The first event, if it is not after `end`.
  mutating func pop(notAfter end: Instant) -> (event: Event, at: Instant)? {
    guard let first = heap.first, first.at <= end else { return nil }
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var i = 0
    while 2 * i + 1 < heap.count {
      var least = 2 * i + 1
      if least + 1 < heap.count, heap[least + 1].precedes(heap[least]) { least += 1 }
      guard heap[least].precedes(heap[i]) else { break }
      heap.swapAt(i, least)
      i = least
    }
    return (first.event, first.at)
  }
}
