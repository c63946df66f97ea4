// SPDX-License-Identifier: Apache-2.0
//
// The transmit ring: packets for the kernel to send. A worker's batch ends here, with one `submit()` and, where the
// kernel sleeps, `XDPSocket.wakeTransmit()`.

/// Descriptors of packets to be sent, from us to the kernel. Thread: the worker.
public struct TransmitRing: ~Copyable, Sendable {
  @usableFromInline var ring: ProducerRing<Descriptor>

  /// Over plain memory: tests.
  public init(over memory: RingMemory<Descriptor>) { ring = ProducerRing(over: memory) }

  init(_ ring: consuming ProducerRing<Descriptor>) { self.ring = ring }

  /// Stage one packet; false when the ring is full, and the frame is still ours. The kernel sees it after `submit()`.
  @inlinable @inline(__always)
  public mutating func transmit(_ descriptor: Descriptor) -> Bool { ring.push(descriptor) }

  /// Hand the staged packets to the kernel.
  @inlinable @inline(__always)
  public mutating func submit() { ring.submit() }

  /// Packets that `transmit` would take now.
  @inlinable public var freeCount: Int { mutating get { ring.freeCount } }

  /// Packets given, staged ones included, that the kernel has not taken up. In copy mode: kick until this is 0.
  @inlinable public var pendingCount: Int { ring.pendingCount }

  /// Whether the kernel sends only when called (`XDPSocket.wakeTransmit()`). Always so in copy mode.
  @inlinable @inline(__always)
  public var needsWakeup: Bool { ring.needsWakeup }

  /// How many entries the ring has.
  @inlinable public var size: Int { Int(ring.size) }
}
