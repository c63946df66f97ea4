// SPDX-License-Identifier: Apache-2.0
//
// An address and a port as the socket calls want them, and sockets that close themselves.

import CLinux
import Glibc
import Wire

public struct SocketAddress: Sendable {
  public let address: IPAddress
  public let port: UInt16

  public init(_ address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  var domain: Int32 { address.family == .ipv4 ? AF_INET : AF_INET6 }

  func withPointer<Value>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
    switch address {
    case .v4:
      var value = sockaddr_in()
      value.sin_family = sa_family_t(AF_INET)
      value.sin_port = port.bigEndian
      withUnsafeMutableBytes(of: &value.sin_addr) { $0.copyBytes(from: address.octets) }
      return Self.withPointer(to: value, body)
    case .v6:
      var value = sockaddr_in6()
      value.sin6_family = sa_family_t(AF_INET6)
      value.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &value.sin6_addr) { $0.copyBytes(from: address.octets) }
      return Self.withPointer(to: value, body)
    }
  }

  private static func withPointer<Address, Value>(to value: Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
    withUnsafePointer(to: value) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<Address>.size)) }
    }
  }
}

/// A socket of the namespace of the thread that opened it.
struct Socket: ~Copyable {
  let fileDescriptor: Int32

  init(_ domain: Int32, _ type: __socket_type, _ proto: Int32 = 0) throws(LabError) {
    fileDescriptor = socket(domain, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), proto)
    guard fileDescriptor >= 0 else { throw .lastCall("socket") }
  }

  init(owning descriptor: Int32) { fileDescriptor = descriptor }

  deinit { close(fileDescriptor) }

  /// The descriptor for another owner: it stays open, in its namespace. (A `dup` would lose close-on-exec to the next child process.)
  consuming func release() -> Int32 {
    let descriptor = fileDescriptor
    discard self
    return descriptor
  }

  func setOption(_ level: Int32, _ name: Int32, _ value: Int32) throws(LabError) {
    var value = value
    guard setsockopt(fileDescriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
      throw .lastCall("setsockopt(\(level), \(name))")
    }
  }

  /// How long a blocking receive, send, accept or connect may take before it gives EAGAIN: the time until a signal is noticed.
  func setTimeouts(_ duration: Duration) throws(LabError) {
    let (seconds, attoseconds) = duration.components
    var time = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    for name in [SO_RCVTIMEO, SO_SNDTIMEO] {
      guard setsockopt(fileDescriptor, SOL_SOCKET, name, &time, socklen_t(MemoryLayout<timeval>.size)) == 0 else {
        throw .lastCall("setsockopt")
      }
    }
  }

  func bind(to address: SocketAddress) throws(LabError) {
    let answer = address.withPointer { Glibc.bind(fileDescriptor, $0, $1) }
    guard answer == 0 else { throw .lastCall("bind to \(address.address) port \(address.port)") }
  }
}
