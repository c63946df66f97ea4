// SPDX-License-Identifier: Apache-2.0
//
// The fill ring: frames that the kernel may write received packets to. The worker refills it at the top of its loop.

/// Addresses of free frames, from us to the kernel. Thread: the worker.
public struct FillRing: ~Copyable, Sendable {
  @usableFromInline var ring: ProducerRing<FrameAddress>

  /// Over plain memory: tests.
  public init(over memory: RingMemory<FrameAddress>) { ring = ProducerRing(over: memory) }

  init(_ ring: consuming ProducerRing<FrameAddress>) { self.ring = ring }

  /// Stage the frame at `address`; false when the ring is full, and the frame is still ours. The kernel sees it after `submit()`.
  @inlinable @inline(__always)
  public mutating func fill(_ address: FrameAddress) -> Bool { ring.push(address) }

  /// Hand the staged frames to the kernel.
  @inlinable @inline(__always)
  public mutating func submit() { ring.submit() }

  /// Frames that `fill` would take now.
  @inlinable public var freeCount: Int { mutating get { ring.freeCount } }

  /// Frames given, staged ones included, that the kernel has not taken.
  @inlinable public var pendingCount: Int { ring.pendingCount }

  /// Whether the driver has run out of frames and sleeps until `XDPSocket.wakeReceive()`.
  @inlinable @inline(__always)
  public var needsWakeup: Bool { ring.needsWakeup }

  /// How many entries the ring has.
  @inlinable public var size: Int { Int(ring.size) }
}
