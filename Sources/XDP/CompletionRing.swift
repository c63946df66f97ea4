// SPDX-License-Identifier: Apache-2.0
//
// The completion ring: frames whose packets the kernel has sent and that are ours again. The worker drains it each loop;
// a full completion ring stops transmission.

/// Addresses of sent frames, from the kernel to us. Thread: the worker.
///
/// What is read here is not to be trusted: some kernels complete a frame early or twice. `FramePool.completed` refuses those.
public struct CompletionRing: ~Copyable, Sendable {
  @usableFromInline var ring: ConsumerRing<FrameAddress>

  /// Over plain memory: tests.
  public init(over memory: RingMemory<FrameAddress>) { ring = ConsumerRing(over: memory) }

  init(_ ring: consuming ConsumerRing<FrameAddress>) { self.ring = ring }

  /// The address of the next sent packet as its descriptor had it; nil when there is none. `release()` once after a series.
  @inlinable @inline(__always)
  public mutating func complete() -> FrameAddress? { ring.pop() }

  /// Give the places of everything completed back to the kernel.
  @inlinable @inline(__always)
  public mutating func release() { ring.release() }

  /// Copy at most `count` addresses to the beginning of `batch` and release their places. Returns how many.
  @unsafe @inlinable @inline(__always)
  public mutating func complete(into batch: UnsafeMutableBufferPointer<FrameAddress>, upTo count: Int) -> Int {
    unsafe ring.pop(into: batch, upTo: count)  // SAFETY: the caller's buffer is valid for its count
  }

  /// Completions that wait.
  @inlinable public var pendingCount: Int { ring.pendingCount }

  /// How many entries the ring has.
  @inlinable public var size: Int { Int(ring.size) }
}
