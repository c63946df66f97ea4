// SPDX-License-Identifier: Apache-2.0
//
// Endpoints as the kernel writes them; NIO knows how to pass them to it. DatagramSocket and DatagramBatch ask.

import ControlPlane
import Glibc
import NIOCore
import Wire

extension Endpoint {
  init(_ address: sockaddr_in) {
    self.init(.v4(IPv4Address(rawValue: UInt32(bigEndian: address.sin_addr.s_addr))), port: UInt16(bigEndian: address.sin_port))
  }

  init(_ address: sockaddr_in6) {
    // SAFETY: an in6_addr is 16 bytes.
    let (high, low) = withUnsafeBytes(of: address.sin6_addr) { bytes in
      (
        UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      )
    }
    self.init(.v6(IPv6Address(high: high, low: low)), port: UInt16(bigEndian: address.sin6_port))
  }

  /// `address` is a sockaddr_storage; nil when that is no Internet address.
  init?(_ address: UnsafeRawPointer) {
    // SAFETY: a sockaddr_storage is as long and as aligned as each of the others.
    switch CInt(address.load(as: sockaddr_storage.self).ss_family) {
    case AF_INET: self.init(address.load(as: sockaddr_in.self))
    case AF_INET6: self.init(address.load(as: sockaddr_in6.self))
    default: return nil
    }
  }
}

extension SocketAddress {
  init(_ endpoint: Endpoint) {
    switch endpoint.address {
    case .v4(let address):
      var socket = sockaddr_in()
      socket.sin_family = sa_family_t(AF_INET)
      socket.sin_port = endpoint.port.bigEndian
      socket.sin_addr.s_addr = address.rawValue.bigEndian
      self = SocketAddress(socket)
    case .v6(let address):
      var socket = sockaddr_in6()
      socket.sin6_family = sa_family_t(AF_INET6)
      socket.sin6_port = endpoint.port.bigEndian
      // SAFETY: an in6_addr is 16 bytes.
      withUnsafeMutableBytes(of: &socket.sin6_addr) { bytes in
        bytes.storeBytes(of: address.high.bigEndian, as: UInt64.self)
        bytes.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
      }
      self = SocketAddress(socket)
    }
  }
}
