// SPDX-License-Identifier: Apache-2.0
//
// A NETLINK_ROUTE socket: libmnl's, with its one receive buffer. Owned by KernelMonitor and KernelQueries.

import CLinux
import Glibc

/// Owns a libmnl socket and a receive buffer. Invariant S1: both live from `init` to `deinit` and are used by one thread at a
/// time.
@safe struct NetlinkSocket: ~Copyable {
  /// What a receive call came back with.
  enum Received {
    /// A whole datagram, copied out of the buffer.
    case datagram(ArraySlice<UInt8>)
    /// Nothing waits (non-blocking) or nothing came in time (blocking).
    case empty
    /// The kernel had to throw messages away, or one did not fit the buffer.
    case overrun
    case failed(errno: CInt)
  }

  /// The kernel fills at most 32 KiB of a dump into one datagram; single messages are smaller.
  private static let bufferByteCount = 64 << 10

  private let socket: OpaquePointer
  private let buffer: UnsafeMutableRawPointer

  /// SAFETY: S1.
  var fileDescriptor: CInt { unsafe mnl_socket_get_fd(socket) }

  init(nonBlocking: Bool, purpose: String) throws(NetlinkError) {
    let flags = SOCK_CLOEXEC.rawValue | (nonBlocking ? SOCK_NONBLOCK.rawValue : 0)
    // SAFETY: libmnl hands over a socket of its own, closed below or by `deinit`.
    guard let socket = unsafe mnl_socket_open2(NETLINK_ROUTE, CInt(bitPattern: flags)) else {
      throw .system(purpose: purpose, errno: errno)
    }
    guard unsafe mnl_socket_bind(socket, 0, 0) == 0 else {
      let error = errno
      unsafe mnl_socket_close(socket)
      throw .system(purpose: purpose, errno: error)
    }
    unsafe self.socket = socket
    unsafe buffer = .allocate(byteCount: Self.bufferByteCount, alignment: 16)
  }

  deinit {
    // SAFETY: S1, the last use.
    unsafe mnl_socket_close(socket)
    unsafe buffer.deallocate()
  }

  /// Follows a multicast group (RTNLGRP_*).
  func join(_ group: CInt, purpose: String) throws(NetlinkError) {
    try setOption(NETLINK_ADD_MEMBERSHIP, group, purpose: purpose)
  }

  /// Sets an option of level SOL_NETLINK.
  func setOption(_ option: CInt, _ value: CInt, purpose: String) throws(NetlinkError) {
    var value = value
    // SAFETY: the kernel reads the four bytes of `value`, which outlives the call.
    guard unsafe mnl_socket_setsockopt(socket, option, &value, socklen_t(MemoryLayout<CInt>.size)) == 0 else {
      throw .system(purpose: purpose, errno: errno)
    }
  }

  /// Asks for a receive buffer of this size: with privilege beyond net.core.rmem_max, without it up to there.
  func setReceiveBuffer(byteCount: Int) {
    var value = CInt(clamping: byteCount)
    let size = socklen_t(MemoryLayout<CInt>.size)
    // SAFETY: the kernel reads the four bytes of `value`, which outlives the calls.
    if unsafe setsockopt(fileDescriptor, SOL_SOCKET, SO_RCVBUFFORCE, &value, size) != 0 {
      _ = unsafe setsockopt(fileDescriptor, SOL_SOCKET, SO_RCVBUF, &value, size)
    }
  }

  /// How long a blocking receive waits.
  func setReceiveTimeout(seconds: Int) {
    var value = timeval(tv_sec: seconds, tv_usec: 0)
    // SAFETY: the kernel reads the bytes of `value`, which outlives the call.
    _ = unsafe setsockopt(fileDescriptor, SOL_SOCKET, SO_RCVTIMEO, &value, socklen_t(MemoryLayout<timeval>.size))
  }

  /// 0, or the errno.
  func send(_ bytes: [UInt8]) -> CInt {
    while true {
      // SAFETY: S1; the kernel reads `bytes`, which outlive the call.
      if unsafe mnl_socket_sendto(socket, bytes, bytes.count) >= 0 { return 0 }
      if errno != EINTR { return errno }
    }
  }

  func receive() -> Received {
    while true {
      // SAFETY: S1; libmnl writes at most `bufferByteCount` bytes.
      let count = unsafe mnl_socket_recvfrom(socket, buffer, Self.bufferByteCount)
      if count >= 0 {
        // SAFETY: the kernel has written `count` bytes, count ≤ bufferByteCount (libmnl answers ENOSPC otherwise).
        return unsafe .datagram(Array(UnsafeRawBufferPointer(start: buffer, count: count))[...])
      }
      switch errno {
      case EINTR: continue
      case EAGAIN: return .empty
      case ENOBUFS, ENOSPC: return .overrun
      default: return .failed(errno: errno)
      }
    }
  }
}
