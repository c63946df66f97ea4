// SPDX-License-Identifier: Apache-2.0
//
// The shared memory of QuiescentState: the epoch and one slot per reader, each on cache lines of its own.

/// The epoch and the readers' slots, two lines apart each: the neighbouring line is prefetched with its sibling.
@safe struct ReaderSlots: @unchecked Sendable {
  private static let stride = 128
  private let base: UnsafeMutableRawPointer

  /// Allocated for the life of the process: a reader may outlive the owner at shut-down.
  init(count: Int) {
    unsafe base = .allocate(byteCount: (count + 1) * Self.stride, alignment: Self.stride)
    // SAFETY: i·stride lies inside the allocation.
    for i in 0...count { unsafe AtomicWord.initialize(base + i * Self.stride, to: i == 0 ? 1 : 0) }
  }

  // SAFETY: initialised above, never freed.
  @inline(__always) var epoch: AtomicWord { unsafe AtomicWord(at: base) }

  // SAFETY: i < count by QuiescentState.register.
  @inline(__always) subscript(i: Int) -> AtomicWord { unsafe AtomicWord(at: base + (i + 1) * Self.stride) }
}
