// SPDX-License-Identifier: Apache-2.0
//
// The side of an AF_XDP ring that writes: what FillRing and TransmitRing are made of.
//
// A ring is an array of `size` entries (a power of two) and two counters that only grow and wrap at 2^32: `producer`
// counts entries written, `consumer` entries taken. Entry number n lies at n mod size. Each counter has one writer:
//
//        consumer              producer   next            limit = consumer as last seen + size
//           │  given, not taken   │ staged │     free       │
//    ───────┴─────────────────────┴────────┴────────────────┴──▶ entry numbers, modulo 2^32
//
// I1. `next` never passes `limit`, so an entry is written only after the consumer released it.
// I2. The store of `producer` is a release: whoever acquires it sees the entries before it. The consumer's index is
//     loaded with acquire: its reads of an entry come before our next write to it.
// I3. An entry is addressed as `number & mask` with mask = size - 1, so every access lies in the array whatever the
//     indices hold.
// The consumer's index is read only when the entries known to be free are used up: it is the other side's cache line.

import CLinux
import Synchronization

/// The writing side of a ring. Thread: one, the worker.
@safe public struct ProducerRing<Entry: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
  @usableFromInline var next: UInt32
  @usableFromInline var limit: UInt32
  @usableFromInline let mask: UInt32
  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  /// Partner: the kernel's (or the test's) consumer loads it with acquire.
  @usableFromInline let producer: UnsafeMutablePointer<Atomic<UInt32>>
  /// Partner: the kernel's (or the test's) consumer stores it with release.
  @usableFromInline let consumer: UnsafeMutablePointer<Atomic<UInt32>>
  @usableFromInline let flags: UnsafeMutablePointer<Atomic<UInt32>>
  /// Keeps plain memory alive; nil over a socket's rings, which the socket keeps.
  private let memory: RingMemory<Entry>?

  /// Over plain memory.
  public init(over memory: RingMemory<Entry>) {
    // SAFETY: the pointers live as long as `memory`, which this ring keeps.
    unsafe self.init(
      entries: memory.entries, size: memory.capacity, producer: memory.producer, consumer: memory.consumer,
      flags: memory.flags, memory: memory)
  }

  /// Over a ring that libxdp has mapped and whose entries are `Entry`; valid while that mapping is.
  @unsafe init(mapped ring: xsk_ring_prod) {
    // SAFETY: libxdp filled the structure: aligned 32-bit indices in the mapping, `size` entries behind `ring`. That
    // Swift's Atomic<UInt32> is laid out as UInt32 is what the standard library's documentation promises.
    unsafe self.init(
      entries: ring.ring.assumingMemoryBound(to: Entry.self), size: ring.size,
      producer: UnsafeMutableRawPointer(ring.producer).assumingMemoryBound(to: Atomic<UInt32>.self),
      consumer: UnsafeMutableRawPointer(ring.consumer).assumingMemoryBound(to: Atomic<UInt32>.self),
      flags: UnsafeMutableRawPointer(ring.flags).assumingMemoryBound(to: Atomic<UInt32>.self), memory: nil)
  }

  @unsafe private init(
    entries: UnsafeMutablePointer<Entry>, size: UInt32, producer: UnsafeMutablePointer<Atomic<UInt32>>,
    consumer: UnsafeMutablePointer<Atomic<UInt32>>, flags: UnsafeMutablePointer<Atomic<UInt32>>, memory: RingMemory<Entry>?
  ) {
    unsafe self.entries = entries
    unsafe self.producer = producer
    unsafe self.consumer = consumer
    unsafe self.flags = flags
    self.memory = memory
    mask = size &- 1
    next = unsafe producer.pointee.load(ordering: .relaxed)
    limit = unsafe consumer.pointee.load(ordering: .acquiring) &+ size
  }

  /// How many entries the ring has.
  @inlinable public var size: UInt32 { mask &+ 1 }

  /// Stage one entry; false when the ring is full. The other side sees it after `submit()`.
  @inlinable @inline(__always)
  public mutating func push(_ entry: Entry) -> Bool {
    if next == limit {
      limit = unsafe consumer.pointee.load(ordering: .acquiring) &+ size  // SAFETY: I2
      if next == limit { return false }
    }
    unsafe entries[Int(next & mask)] = entry  // SAFETY: I1, I3
    next &+= 1
    return true
  }

  /// Hand everything staged to the other side.
  @inlinable @inline(__always)
  public mutating func submit() {
    unsafe producer.pointee.store(next, ordering: .releasing)  // SAFETY: I2
  }

  /// Entries that `push` would take now. Reads the other side's index.
  @inlinable public var freeCount: Int {
    mutating get {
      limit = unsafe consumer.pointee.load(ordering: .acquiring) &+ size  // SAFETY: I2
      return Int(limit &- next)
    }
  }

  /// Entries written, staged ones included, that the other side has not taken. Reads the other side's index.
  @inlinable public var pendingCount: Int {
    Int(next &- (unsafe consumer.pointee.load(ordering: .relaxed)))
  }

  /// Whether the kernel sleeps on this ring until it is called (XDP_RING_NEED_WAKEUP).
  @inlinable @inline(__always)
  public var needsWakeup: Bool {
    unsafe flags.pointee.load(ordering: .relaxed) & needWakeupFlag != 0
  }
}
