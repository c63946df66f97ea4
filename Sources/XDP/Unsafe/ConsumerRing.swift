// SPDX-License-Identifier: Apache-2.0
//
// The side of an AF_XDP ring that reads: what ReceiveRing and CompletionRing are made of. The mirror of ProducerRing,
// where the indices are explained:
//
//        consumer    next               end = producer as last seen
//           │  copied  │    to be read     │
//    ───────┴──────────┴───────────────────┴──▶ entry numbers, modulo 2^32
//
// I1. An entry is read only between `next` and `end`: the load of `producer` that gave `end` is an acquire, so the entry
//     is complete.
// I2. Entries are copied out; the release store of `consumer` comes after the copies, and only then may the producer
//     write there again.
// I3. An entry is addressed as `number & mask`: every access lies in the array whatever the indices hold.

import CLinux
import Synchronization

/// The reading side of a ring. Thread: one, the worker.
@safe public struct ConsumerRing<Entry: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
  @usableFromInline var next: UInt32
  @usableFromInline var end: UInt32
  @usableFromInline let mask: UInt32
  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  /// Partner: the kernel's (or the test's) producer stores it with release.
  @usableFromInline let producer: UnsafeMutablePointer<Atomic<UInt32>>
  /// Partner: the kernel's (or the test's) producer loads it with acquire.
  @usableFromInline let consumer: UnsafeMutablePointer<Atomic<UInt32>>
  /// Keeps plain memory alive; nil over a socket's rings, which the socket keeps.
  private let memory: RingMemory<Entry>?

  /// Over plain memory.
  public init(over memory: RingMemory<Entry>) {
    // SAFETY: the pointers live as long as `memory`, which this ring keeps.
    unsafe self.init(
      entries: memory.entries, size: memory.capacity, producer: memory.producer, consumer: memory.consumer, memory: memory)
  }

  /// Over a ring that libxdp has mapped and whose entries are `Entry`; valid while that mapping is.
  @unsafe init(mapped ring: xsk_ring_cons) {
    // SAFETY: as in ProducerRing.
    unsafe self.init(
      entries: ring.ring.assumingMemoryBound(to: Entry.self), size: ring.size,
      producer: UnsafeMutableRawPointer(ring.producer).assumingMemoryBound(to: Atomic<UInt32>.self),
      consumer: UnsafeMutableRawPointer(ring.consumer).assumingMemoryBound(to: Atomic<UInt32>.self), memory: nil)
  }

  @unsafe private init(
    entries: UnsafeMutablePointer<Entry>, size: UInt32, producer: UnsafeMutablePointer<Atomic<UInt32>>,
    consumer: UnsafeMutablePointer<Atomic<UInt32>>, memory: RingMemory<Entry>?
  ) {
    unsafe self.entries = entries
    unsafe self.producer = producer
    unsafe self.consumer = consumer
    self.memory = memory
    mask = size &- 1
    next = unsafe consumer.pointee.load(ordering: .relaxed)
    end = unsafe producer.pointee.load(ordering: .acquiring)
  }

  /// How many entries the ring has.
  @inlinable public var size: UInt32 { mask &+ 1 }

  /// The next entry, nil when there is none. Its place is the producer's again after `release()`.
  @inlinable @inline(__always)
  public mutating func pop() -> Entry? {
    if next == end {
      end = unsafe producer.pointee.load(ordering: .acquiring)  // SAFETY: I1
      if next == end { return nil }
    }
    let entry = unsafe entries[Int(next & mask)]  // SAFETY: I1, I3
    next &+= 1
    return entry
  }

  /// Copy at most `count` entries, and no more than fit, to the beginning of `batch` and give their places back.
  /// Returns how many.
  @unsafe @inlinable @inline(__always)
  public mutating func pop(into batch: UnsafeMutableBufferPointer<Entry>, upTo count: Int) -> Int {
    if next == end {
      end = unsafe producer.pointee.load(ordering: .acquiring)  // SAFETY: I1
      if next == end { return 0 }
    }
    let count = min(Int(end &- next), count, batch.count)
    var taken = 0
    while taken < count {
      // SAFETY: taken < batch.count; I1, I3 for the entry.
      unsafe batch[taken] = entries[Int(next & mask)]
      next &+= 1
      taken &+= 1
    }
    release()
    return taken
  }

  /// How many entries, at most `limit`, wait now for `peek`.
  @inlinable @inline(__always)
  public func upcoming(_ limit: Int) -> Int {
    let end = unsafe producer.pointee.load(ordering: .acquiring)  // SAFETY: I1
    return min(Int(end &- next), limit)
  }

  /// The entry that `pop` gives after `ahead` others; `ahead` is less than what `upcoming` said.
  @inlinable @inline(__always)
  public func peek(_ ahead: Int) -> Entry {
    unsafe entries[Int((next &+ UInt32(truncatingIfNeeded: ahead)) & mask)]  // SAFETY: I1, I3
  }

  /// Give the places of everything popped back to the producer.
  @inlinable @inline(__always)
  public mutating func release() {
    unsafe consumer.pointee.store(next, ordering: .releasing)  // SAFETY: I2
  }

  /// Entries that wait to be popped. Reads the other side's index.
  @inlinable public var pendingCount: Int {
    Int((unsafe producer.pointee.load(ordering: .relaxed)) &- next)
  }
}
