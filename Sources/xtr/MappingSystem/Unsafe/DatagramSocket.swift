// SPDX-License-Identifier: Apache-2.0
//
// A UDP socket on one of our addresses: ControlSockets has one on port 4342 for each, LIGExchange one on a port of its own. The event loop
// says when one can be read.

import CLinux
import ControlPlane
import Glibc
import NIOCore
import Wire

/// Thread: the event loop.
final class DatagramSocket {
  /// Invariant: open from init to deinit.
  let descriptor: CInt

  /// Bytes that may wait in the kernel, each way: a burst of tens of thousands of small messages. What SO_RCVBUFFORCE is not allowed to, SO_RCVBUF cuts.
  private static let bufferByteCount: CInt = 4 << 20
  /// In what SO_MEMINFO gives, nine numbers, where drops are (<linux/sock_diag.h>: SK_MEMINFO_DROPS).
  private static let (memoryFacts, dropsFact) = (9, 8)

  /// Binds a port of `address`, 0 any that is free; throws the errno.
  init(_ address: IPAddress, port: UInt16 = LISPPort.control) throws(ErrnoError) {
    let type = SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
    let family = address.family == .ipv4 ? AF_INET : AF_INET6
    let descriptor = socket(family, CInt(bitPattern: type), 0)
    guard descriptor >= 0 else { throw ErrnoError(errno) }
    self.descriptor = descriptor
    if family == AF_INET6 { set(CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    if !set(SOL_SOCKET, SO_RCVBUFFORCE, Self.bufferByteCount) { set(SOL_SOCKET, SO_RCVBUF, Self.bufferByteCount) }
    if !set(SOL_SOCKET, SO_SNDBUFFORCE, Self.bufferByteCount) { set(SOL_SOCKET, SO_SNDBUF, Self.bufferByteCount) }
    let result = SocketAddress(Endpoint(address, port: port)).withSockAddr { bind(descriptor, $0, socklen_t($1)) }
    guard result == 0 else { throw ErrnoError(errno) }
  }

  deinit { close(descriptor) }

  /// Our end.
  var endpoint: Endpoint? {
    var name = sockaddr_storage()
    // SAFETY: a sockaddr_storage is as long and as aligned as each of the others; the kernel writes no more than its length.
    return withUnsafeMutableBytes(of: &name) { bytes in
      var length = socklen_t(bytes.count)
      guard let address = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), getsockname(descriptor, address, &length) == 0
      else { return nil }
      return Endpoint(UnsafeRawPointer(address))
    }
  }

  /// Which of our addresses a datagram to `destination` would leave from; throws the errno. Nothing is sent.
  static func ownAddress(towards destination: Endpoint) throws(ErrnoError) -> IPAddress {
    let any: IPAddress = destination.address.family == .ipv4 ? .v4(.any) : .v6(.any)
    let probe = try DatagramSocket(any, port: 0)
    let result = SocketAddress(destination).withSockAddr { connect(probe.descriptor, $0, socklen_t($1)) }
    guard result == 0, let own = probe.endpoint else { throw ErrnoError(errno) }
    return own.address
  }

  /// Sends without waiting; false when the kernel does not take the datagram.
  func send(_ payload: [UInt8], to destination: Endpoint) -> Bool {
    SocketAddress(destination).withSockAddr { address, length in
      // SAFETY: the kernel reads the payload's and the address's bytes during the call.
      payload.withUnsafeBytes { sendto(descriptor, $0.baseAddress, $0.count, 0, address, socklen_t(length)) } >= 0
    }
  }

  /// Datagrams that came for us and that the kernel threw away: the buffer was full, or the checksum wrong (of a datagram below 77 bytes the
  /// kernel finds that out before it looks for a socket, and counts it elsewhere). It counts to 2³² and begins anew.
  var dropped: UInt32 {
    var facts = [UInt32](repeating: 0, count: Self.memoryFacts)
    var length = socklen_t(facts.count * MemoryLayout<UInt32>.size)
    guard getsockopt(descriptor, SOL_SOCKET, SO_MEMINFO, &facts, &length) == 0 else { return 0 }
    return facts[Self.dropsFact]
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

  /// What stands for a system that has no descriptor or thread left.
  static let noDescriptorOrThread = ErrnoError(EMFILE)

  var description: String { String(cString: strerror(code)) }
}
