// SPDX-License-Identifier: Apache-2.0
//
// The simulation's future: a binary heap by time. Events of one time come in the order in which they were pushed, so that a run depends
// on its seed alone.
//
// Most of a large run's time would go into moving events up and down the heap. So the heap has small plain entries, with times as nanoseconds
// from the start, and the events themselves stay in their slots.

@testable import ControlPlane

struct EventQueue<Event> {
  private struct Entry {
    /// From the start of the simulation.
    var nanoseconds: Int64
    var serial: Int
    var slot: Int

    func precedes(_ other: Entry) -> Bool {
      nanoseconds == other.nanoseconds ? serial < other.serial : nanoseconds < other.nanoseconds
    }
  }

  /// The parent of i, (i - 1) / 2, never comes after it.
  private var heap: ContiguousArray<Entry> = []
  private var events: ContiguousArray<Event?> = []
  private var free: ContiguousArray<Int> = []
  private var pushed = 0

  var count: Int { heap.count }

  mutating func push(_ event: Event, at: Instant) {
    let slot = free.popLast() ?? events.count
    if slot == events.count { events.append(event) } else { events[slot] = event }
    let entry = Entry(nanoseconds: Self.nanoseconds(at), serial: pushed, slot: slot)
    pushed += 1
    heap.append(entry)
    var i = heap.count - 1
    while i > 0, entry.precedes(heap[(i - 1) / 2]) {
      heap[i] = heap[(i - 1) / 2]
      i = (i - 1) / 2
    }
    heap[i] = entry
  }

  /// When the first event comes.
  var next: Instant? { heap.first.map { Simulation.start + .nanoseconds($0.nanoseconds) } }

  /// Takes out the first event, if it is not after `end`.
  mutating func pop(notAfter end: Instant) -> (event: Event, at: Instant)? {
    guard let first = heap.first, let at = next, at <= end, let event = events[first.slot] else { return nil }
    events[first.slot] = nil
    free.append(first.slot)
    let last = heap.removeLast()
    if !heap.isEmpty { sink(last) }
    return (event, at)
  }

  /// Puts `entry` where the root was, or below.
  private mutating func sink(_ entry: Entry) {
    var i = 0
    while 2 * i + 1 < heap.count {
      var least = 2 * i + 1
      if least + 1 < heap.count, heap[least + 1].precedes(heap[least]) { least += 1 }
      guard heap[least].precedes(entry) else { break }
      heap[i] = heap[least]
      i = least
    }
    heap[i] = entry
  }

  /// Rounded up: what is due then is due.
  private static func nanoseconds(_ at: Instant) -> Int64 {
    let (seconds, attoseconds) = (at - Simulation.start).components
    return seconds * 1_000_000_000 + (attoseconds + 999_999_999) / 1_000_000_000
  }
}
