// SPDX-License-Identifier: Apache-2.0
//
// Memory for what one call of recvmmsg(2) takes from a socket. DatagramSocket reads into it; ControlSockets has one for all of its sockets.
//
//     messages[i] ──▶ names[i]      who sent it
//                 └─▶ vectors[i] ──▶ slot i of `bytes`
//
// A slot holds the longest UDP payload there is, so that no datagram is cut: RFC 9301 sets no limit to a Map-Register or a Map-Reply, and
// fragments and loopback carry what an interface's MTU does not. All slots together are 2 MiB of addresses; of memory they take what is
// written, a page for each message of the usual length.

import CLinux
import ControlPlane
import Glibc
import Wire

/// Thread: one.
final class DatagramBatch {
  /// Messages of one call. A call costs about a microsecond, which they share. Our choice.
  static let count = 32
  /// Longer than any UDP payload. The odd line keeps the beginnings of the slots out of one set of the processor's cache.
  private static let slotByteCount = (1 << 16) + 64

  // SAFETY (D1): allocated in init for `count` messages, freed in deinit, never moved; messages[i] refers to names[i] and vectors[i], and
  // vectors[i] to slot i.
  private let messages: UnsafeMutableBufferPointer<clinux_message>
  private let vectors: UnsafeMutableBufferPointer<iovec>
  private let names: UnsafeMutableBufferPointer<sockaddr_storage>
  private let bytes: UnsafeMutableRawBufferPointer

  init() {
    messages = .allocate(capacity: Self.count)
    vectors = .allocate(capacity: Self.count)
    names = .allocate(capacity: Self.count)
    bytes = .allocate(byteCount: Self.count * Self.slotByteCount, alignment: 64)
    names.initialize(repeating: sockaddr_storage())
    for i in 0..<Self.count {
      let slot = bytes.baseAddress?.advanced(by: i * Self.slotByteCount)
      vectors.initializeElement(at: i, to: iovec(iov_base: slot, iov_len: Self.slotByteCount))
      messages.initializeElement(at: i, to: clinux_message())
      messages[i].header.msg_iov = vectors.baseAddress?.advanced(by: i)
      messages[i].header.msg_iovlen = 1
      messages[i].header.msg_name = UnsafeMutableRawPointer(names.baseAddress?.advanced(by: i))
    }
  }

  deinit {
    messages.deallocate()
    vectors.deallocate()
    names.deallocate()
    bytes.deallocate()
  }

  /// Takes what waits at a socket that does not block, at most `count` datagrams; returns how many. 0: there are none, which is no contradiction
  /// to a socket that was said to be readable: the kernel checks the checksums of datagrams when they are read, and throws away those that
  /// are wrong.
  func receive(from descriptor: CInt) -> Int {
    for i in 0..<Self.count { messages[i].header.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size) }
    while true {
      // SAFETY: D1; the kernel writes no more than the lengths that it is given.
      let received = clinux_receive_messages(descriptor, messages.baseAddress, UInt32(Self.count), CInt(MSG_DONTWAIT))
      if received >= 0 { return Int(received) }
      // An error of the network that waited at the socket comes once, and concerns no datagram of ours.
      guard [EINTR, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(errno) else { return 0 }
    }
  }

  /// The payload of message `i`, below what `receive` returned last.
  func payload(_ i: Int) -> [UInt8] {
    // SAFETY: D1; the kernel has written so many bytes of the slot.
    let start = i * Self.slotByteCount
    return Array(UnsafeRawBufferPointer(rebasing: bytes[start..<start + min(Int(messages[i].byte_count), Self.slotByteCount)]))
  }

  /// Who sent message `i`; nil when that is no Internet address.
  func sender(_ i: Int) -> Endpoint? {
    // SAFETY: D1.
    UnsafeRawPointer(names.baseAddress?.advanced(by: i)).flatMap { Endpoint($0) }
  }
}
