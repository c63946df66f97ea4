// SPDX-License-Identifier: Apache-2.0
//
// libxdp's part of a socket: registering the umem, creating and mapping the rings, binding. XDPSocket owns one; after
// that libxdp is used no more until the end.

import CLinux
import Glibc

/// A system call of the set-up that failed.
struct SocketFailure: Error {
  let call: String
  let code: CInt
}

/// An xsk_umem and the only xsk_socket over it. Thread: any, one at a time.
///
/// I1. libxdp keeps the addresses of the four ring structures and unmaps through them at the end: they are allocated
///     before it and freed after it.
/// I2. The kernel reads and writes the frame memory until the socket is closed: `memory` is kept as long.
@safe struct SocketHandle: ~Copyable, @unchecked Sendable {
  private let socket: OpaquePointer
  private let umem: OpaquePointer
  /// [0] fill, [1] transmit.
  private let producers: UnsafeMutablePointer<xsk_ring_prod>
  /// [0] completion, [1] receive.
  private let consumers: UnsafeMutablePointer<xsk_ring_cons>
  let memory: FrameMemory
  let fileDescriptor: CInt

  /// Register the whole of `memory` and bind to the queue with `bindFlags` (XDP_COPY …), loading no program.
  static func open(
    interface: String, queue: UInt32, memory: FrameMemory, rings: RingSizes, bindFlags: Int32
  ) throws(SocketFailure) -> SocketHandle {
    // SAFETY: I1, I2. On each failing way everything made so far is taken down, last first.
    let producers = UnsafeMutablePointer<xsk_ring_prod>.allocate(capacity: 2)
    let consumers = UnsafeMutablePointer<xsk_ring_cons>.allocate(capacity: 2)
    unsafe producers.initialize(repeating: xsk_ring_prod(), count: 2)
    unsafe consumers.initialize(repeating: xsk_ring_cons(), count: 2)

    var umemConfiguration = xsk_umem_config(
      fill_size: rings.fill, comp_size: rings.completion, frame_size: UInt32(memory.chunkSize), frame_headroom: 0, flags: 0)
    var umem: OpaquePointer?
    let registered = unsafe xsk_umem__create(
      &umem, memory.base, UInt64(memory.byteCount), producers, consumers, &umemConfiguration)
    guard registered == 0, let umem = unsafe umem else {
      unsafe producers.deallocate()
      unsafe consumers.deallocate()
      throw SocketFailure(call: "xsk_umem__create", code: -registered)
    }

    var configuration = xsk_socket_config()
    configuration.rx_size = rings.receive
    configuration.tx_size = rings.transmit
    configuration.libxdp_flags = UInt32(XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD)
    configuration.bind_flags = UInt16(truncatingIfNeeded: bindFlags | XDP_USE_NEED_WAKEUP)
    var socket: OpaquePointer?
    let bound = unsafe xsk_socket__create(&socket, interface, queue, umem, consumers + 1, producers + 1, &configuration)
    guard bound == 0, let socket = unsafe socket else {
      unsafe xsk_umem__delete(umem)
      unsafe producers.deallocate()
      unsafe consumers.deallocate()
      throw SocketFailure(call: "xsk_socket__create", code: -bound)
    }
    return unsafe SocketHandle(socket: socket, umem: umem, producers: producers, consumers: consumers, memory: memory)
  }

  private init(
    socket: OpaquePointer, umem: OpaquePointer, producers: UnsafeMutablePointer<xsk_ring_prod>,
    consumers: UnsafeMutablePointer<xsk_ring_cons>, memory: FrameMemory
  ) {
    unsafe self.socket = socket
    unsafe self.umem = umem
    unsafe self.producers = producers
    unsafe self.consumers = consumers
    self.memory = memory
    fileDescriptor = unsafe xsk_socket__fd(socket)
  }

  deinit {
    // SAFETY: I1: socket, then umem, then the structures both point to.
    unsafe xsk_socket__delete(socket)
    unsafe xsk_umem__delete(umem)
    unsafe producers.deallocate()
    unsafe consumers.deallocate()
  }

  // SAFETY of the four: the mappings live until `deinit`, and the rings live in the XDPSocket that owns this handle.
  var fill: FillRing { unsafe FillRing(ProducerRing(mapped: producers[0])) }
  var transmit: TransmitRing { unsafe TransmitRing(ProducerRing(mapped: producers[1])) }
  var completion: CompletionRing { unsafe CompletionRing(ConsumerRing(mapped: consumers[0])) }
  var receive: ReceiveRing { unsafe ReceiveRing(ConsumerRing(mapped: consumers[1])) }
}
