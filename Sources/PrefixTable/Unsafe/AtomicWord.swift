// SPDX-License-Identifier: Apache-2.0
//
// A 64-bit word in shared memory that does not move: epochs, counters, published pointers. Trivial, so that hot structs can
// hold it without reference counting.

import Synchronization

/// A pointer to an atomic word. Valid as long as the memory it was made from; owners say how long that is.
@safe public struct AtomicWord: @unchecked Sendable {
  @usableFromInline let word: UnsafeMutablePointer<Atomic<UInt64>>

  /// SAFETY: the caller keeps `memory` mapped, 8-aligned and used as nothing else while the word is used.
  @unsafe @inlinable public init(at memory: UnsafeMutableRawPointer) {
    unsafe word = memory.assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  /// Initialises the word. Before any other use.
  @unsafe public static func initialize(_ memory: UnsafeMutableRawPointer, to value: UInt64) {
    unsafe memory.bindMemory(to: Atomic<UInt64>.self, capacity: 1).initialize(to: Atomic(value))
  }

  @inlinable @inline(__always) public func loadRelaxed() -> UInt64 { unsafe word.pointee.load(ordering: .relaxed) }
  @inlinable @inline(__always) public func load() -> UInt64 { unsafe word.pointee.load(ordering: .acquiring) }
  @inlinable @inline(__always) public func storeRelaxed(_ value: UInt64) { unsafe word.pointee.store(value, ordering: .relaxed) }
  @inlinable @inline(__always) public func store(_ value: UInt64) { unsafe word.pointee.store(value, ordering: .releasing) }
  @inlinable public func storeSequential(_ value: UInt64) { unsafe word.pointee.store(value, ordering: .sequentiallyConsistent) }

  /// Adds without a locked instruction: for words with one writer.
  @inlinable @inline(__always) public func addAsOnlyWriter(_ value: UInt64) { storeRelaxed(loadRelaxed() &+ value) }

  /// Adds one and returns the new value; for words with several writers.
  @inlinable public func increment() -> UInt64 {
    unsafe word.pointee.add(1, ordering: .sequentiallyConsistent).newValue
  }
}
