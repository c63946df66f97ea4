// SPDX-License-Identifier: Apache-2.0
//
// A UDP socket on one of our addresses, for sending: NIO reads from a duplicate of it. Sending is ours because NIO closes a channel that the
// kernel refuses a datagram (no route to an address that somebody put into a request, a firewall's word); here that costs the datagram.

import CLinux
import ControlPlane
import Glibc
import NIOCore
import Wire

/// Thread: the event loop.
final class DatagramSocket {
  /// Invariant: open from init to deinit.
  private let descriptor: CInt

  /// Bytes that may wait in the kernel, each way: a burst of tens of thousands of small messages. What SO_RCVBUFFORCE is not allowed to, SO_RCVBUF cuts.
  private static let bufferByteCount: CInt = 4 << 20

  /// Binds port 4342 of `address`; throws the errno.
  init(_ address: IPAddress) throws(ErrnoError) {
    let type = SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
    let family = address.family == .ipv4 ? AF_INET : AF_INET6
    let descriptor = socket(family, CInt(bitPattern: type), 0)
    guard descriptor >= 0 else { throw ErrnoError(errno) }
    self.descriptor = descriptor
    if family == AF_INET6 { set(CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    if !set(SOL_SOCKET, SO_RCVBUFFORCE, Self.bufferByteCount) { set(SOL_SOCKET, SO_RCVBUF, Self.bufferByteCount) }
    if !set(SOL_SOCKET, SO_SNDBUFFORCE, Self.bufferByteCount) { set(SOL_SOCKET, SO_SNDBUF, Self.bufferByteCount) }
    let result = SocketAddress(Endpoint(address)).withSockAddr { bind(descriptor, $0, socklen_t($1)) }
    guard result == 0 else { throw ErrnoError(errno) }
  }

  deinit { close(descriptor) }

  /// Another descriptor of the socket, whose owner closes it; throws the errno.
  func duplicate() throws(ErrnoError) -> CInt {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { throw ErrnoError(errno) }
    return copy
  }

  /// Sends without waiting; false when the kernel does not take the datagram.
  func send(_ payload: [UInt8], to destination: Endpoint) -> Bool {
    SocketAddress(destination).withSockAddr { address, length in
      // SAFETY: the kernel reads the payload's and the address's bytes during the call.
      payload.withUnsafeBytes { sendto(descriptor, $0.baseAddress, $0.count, 0, address, socklen_t(length)) } >= 0
    }
  }

  @discardableResult
  private func set(_ level: CInt, _ option: CInt, _ value: CInt) -> Bool {
    var value = value
    return setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) == 0
  }
}

/// What the system refused.
struct ErrnoError: Error, CustomStringConvertible {
  let code: CInt

  init(_ code: CInt) { self.code = code }

  var description: String { String(cString: strerror(code)) }
}
