// SPDX-License-Identifier: Apache-2.0
//
// Reclamation by quiescent states (QSBR): how the writer learns that no reader still holds what it took out of the
// published state. Workers call `quiescent()` once per batch; the slow path retires and, later, frees.
//
// The idea. There is one counter, the epoch. A reader copies it into its own slot whenever it holds no reference
// (between batches): "I have seen everything published before epoch e". The writer first makes the old part unreachable,
// then advances the epoch to e and remembers (part, e). Once every slot holds e or more, or 0 for "offline", nobody can
// still reach the part, and it is freed. A reader pays two acquire loads and one release store per batch.
//
//      writer   publish ── advance to 8 ── retire(x, 8) ─────────────── all ≥ 8: free x
//      reader A   ──── 7 ────────────── 8 ──────────────────
//      reader B   ─ 7 ───────────── offline (0) ────── online: 9 ─
//
// Invariants
//   I1  A slot is written by its reader only; the epoch by the writer only.
//   I2  A reader that is online holds no reference obtained before the value in its slot was stored.
//   I3  What is tagged e was unreachable from the published root before the epoch became e.

import Synchronization

/// The meeting place of one writer and its readers.
///
/// Thread: `register` and everything of the writer on the slow path; a `Reader` on its own thread only.
public final class QuiescentState: @unchecked Sendable {
  /// How many readers there may be: one per worker, and a few for tests and tools.
  public static let maximumReaders = 64

  let slots: ReaderSlots
  private let registered = Atomic<Int>(0)

  public init() { slots = ReaderSlots(count: Self.maximumReaders) }

  /// A new reader, offline; nil when all slots are taken.
  public func register() -> Reader? {
    let index = registered.add(1, ordering: .relaxed).oldValue
    return index < Self.maximumReaders ? Reader(slots: slots, index: index) : nil
  }

  /// Writer: begins a new epoch and returns it; the tag for everything retired since the last one.
  public func advance() -> UInt64 {
    slots.epoch.increment()
  }

  /// Writer: the oldest epoch an online reader may still be in; what is tagged with it or less can be freed.
  public func oldest() -> UInt64 {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    var oldest = slots.epoch.load()
    for i in 0..<min(registered.load(ordering: .relaxed), Self.maximumReaders) {
      let seen = slots[i].load()
      if seen != 0 { oldest = min(oldest, seen) }
    }
    return oldest
  }

  /// One reader's end.
  public struct Reader: Sendable {
    let slots: ReaderSlots
    let index: Int

    /// Declares that this thread holds no reference into published state. Partner: `oldest()`.
    @inline(__always)
    public func quiescent() {
      slots[index].store(slots.epoch.load())
    }

    /// Before the thread may sleep: nothing waits for it until `online()`.
    public func offline() { slots[index].store(0) }

    /// After sleeping. The full fence keeps later reads of the root behind the slot's store (I2).
    public func online() {
      slots[index].storeSequential(slots.epoch.load())
      atomicMemoryFence(ordering: .sequentiallyConsistent)
    }
  }
}
