// SPDX-License-Identifier: Apache-2.0
//
// A ring's memory on our own heap instead of the kernel's: two indices, a flags word, the entries. Tests and benchmarks
// put one of our rings over it on one side, and the opposite ring on the other as the kernel: a CompletionRing takes
// what a FillRing gave, a TransmitRing produces what a ReceiveRing receives, and so on.

import Synchronization

/// A ring without a kernel. Thread: one producer and one consumer, as with the kernel.
@safe public final class RingMemory<Entry: BitwiseCopyable>: @unchecked Sendable {
  let base: UnsafeMutableRawPointer
  /// How many entries there are; a power of two.
  public let capacity: UInt32

  /// Indices, flags and entries each begin a cache line, as in the kernel.
  private static var headerSize: Int { 192 }

  /// - Parameters:
  ///   - capacity: a power of two
  ///   - index: where both indices start; near `UInt32.max` to see them wrap around
  ///   - zero: what the entries hold at first
  public init(capacity: UInt32, startingAt index: UInt32 = 0, filledWith zero: Entry) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a ring's capacity is a power of two")
    self.capacity = capacity
    unsafe base = .allocate(byteCount: Self.headerSize + Int(capacity) * MemoryLayout<Entry>.stride, alignment: 64)
    // SAFETY: within the bytes just allocated; producer, consumer and flags lie apart and are initialised once.
    unsafe producer.initialize(to: Atomic(index))
    unsafe consumer.initialize(to: Atomic(index))
    unsafe flags.initialize(to: Atomic(0))
    unsafe entries.initialize(repeating: zero, count: Int(capacity))
  }

  // SAFETY: rings over this memory keep a reference to it, so nobody is left when this runs.
  deinit { unsafe base.deallocate() }

  /// What the kernel sets to ask for a wake-up (XDP_RING_NEED_WAKEUP).
  public var needsWakeup: Bool {
    get { unsafe flags.pointee.load(ordering: .relaxed) & needWakeupFlag != 0 }
    set { unsafe flags.pointee.store(newValue ? needWakeupFlag : 0, ordering: .relaxed) }
  }

  // SAFETY: fixed places inside the allocation, each aligned to 64 bytes.
  var producer: UnsafeMutablePointer<Atomic<UInt32>> { unsafe base.assumingMemoryBound(to: Atomic<UInt32>.self) }
  var consumer: UnsafeMutablePointer<Atomic<UInt32>> { unsafe (base + 64).assumingMemoryBound(to: Atomic<UInt32>.self) }
  var flags: UnsafeMutablePointer<Atomic<UInt32>> { unsafe (base + 128).assumingMemoryBound(to: Atomic<UInt32>.self) }
  var entries: UnsafeMutablePointer<Entry> { unsafe (base + Self.headerSize).assumingMemoryBound(to: Entry.self) }
}

/// XDP_RING_NEED_WAKEUP of linux/if_xdp.h.
@usableFromInline let needWakeupFlag: UInt32 = 1
