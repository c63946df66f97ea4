// SPDX-License-Identifier: Apache-2.0
//
// The receive ring: packets that the steering program has lifted out of the kernel. A worker's batch begins here.

/// Descriptors of received packets, from the kernel to us. Thread: the worker.
public struct ReceiveRing: ~Copyable, Sendable {
  @usableFromInline var ring: ConsumerRing<Descriptor>

  /// Over plain memory: tests.
  public init(over memory: RingMemory<Descriptor>) { ring = ConsumerRing(over: memory) }

  init(_ ring: consuming ConsumerRing<Descriptor>) { self.ring = ring }

  /// Copy at most `count` descriptors, and no more than fit, to the beginning of `batch` and release their places.
  /// Returns how many; 0 costs one load.
  @unsafe @inlinable @inline(__always)
  public mutating func receive(into batch: UnsafeMutableBufferPointer<Descriptor>, upTo count: Int) -> Int {
    unsafe ring.pop(into: batch, upTo: count)  // SAFETY: the caller's buffer is valid for its count
  }

  /// As above, into a span: as many as fit.
  @inlinable @inline(__always)
  public mutating func receive(into batch: inout MutableSpan<Descriptor>) -> Int {
    var taken = 0
    while taken < batch.count, let descriptor = ring.pop() {
      batch[taken] = descriptor
      taken &+= 1
    }
    if taken > 0 { ring.release() }
    return taken
  }

  /// The next descriptor alone; nil when there is none. `release()` once after a series.
  @inlinable @inline(__always)
  public mutating func receive() -> Descriptor? { ring.pop() }

  /// Give the places of everything received back to the kernel.
  @inlinable @inline(__always)
  public mutating func release() { ring.release() }

  /// How many packets, at most `limit`, wait now for `peek`.
  @inlinable @inline(__always)
  public func upcoming(_ limit: Int) -> Int { ring.upcoming(limit) }

  /// The descriptor that `receive` gives after `ahead` others; `ahead` is less than what `upcoming` said.
  @inlinable @inline(__always)
  public func peek(_ ahead: Int) -> Descriptor { ring.peek(ahead) }

  /// Packets that wait.
  @inlinable public var pendingCount: Int { ring.pendingCount }

  /// How many entries the ring has.
  @inlinable public var size: Int { Int(ring.size) }
}
