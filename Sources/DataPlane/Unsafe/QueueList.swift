// SPDX-License-Identifier: Apache-2.0
//
// The sockets of one worker, and room for the descriptors of a batch: fixed memory that the poll loop works on in place.

import XDP

/// One queue of one port.
public struct PortQueue: ~Copyable {
  public var socket: XDPSocket
  /// The port's number, 0…15.
  public let port: Int
  /// Whether our calls drive the device (SO_PREFER_BUSY_POLL) rather than interrupts.
  let busyPolls: Bool
  /// Packets on the transmit ring that the kernel has not been told of.
  var staged: UInt64 = 0
  var stagedBytes: UInt64 = 0
  /// The kernel has not taken everything it was told of, and may at any moment.
  var isBacklogged = false
  /// The kernel takes nothing: the interface is down.
  var isDown = false

  public init(socket: consuming XDPSocket, port: Int, busyPolls: Bool = false) {
    self.socket = socket
    self.port = port
    self.busyPolls = busyPolls
  }
}

/// A list of queues that are changed in place. Thread: its worker, after set-up.
@safe public struct QueueList: ~Copyable {
  /// As many as an owner mark of FramePool can tell apart.
  public static let capacity = 64

  private let queues: UnsafeMutablePointer<PortQueue>
  public private(set) var count = 0

  public init() { unsafe queues = .allocate(capacity: Self.capacity) }

  deinit {
    unsafe queues.deinitialize(count: count)
    unsafe queues.deallocate()
  }

  /// At most `capacity` queues.
  public mutating func append(_ queue: consuming PortQueue) {
    precondition(count < Self.capacity, "a worker has at most 64 queues")
    unsafe (queues + count).initialize(to: queue)
    count += 1
  }

  @inline(__always)
  subscript(i: Int) -> PortQueue {
    // SAFETY: i < count, kept by the worker's loops; one thread.
    _read { yield unsafe queues[i] }
    nonmutating _modify { yield unsafe &queues[i] }
  }
}

/// Room for the descriptors of one batch.
@safe struct DescriptorBatch: ~Copyable {
  private let descriptors: UnsafeMutableBufferPointer<Descriptor>

  init() {
    unsafe descriptors = .allocate(capacity: Batch.capacity)
    unsafe descriptors.initialize(repeating: Descriptor(address: 0, length: 0))
  }

  deinit { unsafe descriptors.deallocate() }

  @inline(__always)
  func receive(from ring: inout ReceiveRing) -> Int { unsafe ring.receive(into: descriptors, upTo: Batch.capacity) }

  // SAFETY: i < what receive returned.
  @inline(__always) subscript(i: Int) -> Descriptor { unsafe descriptors[i] }
}
