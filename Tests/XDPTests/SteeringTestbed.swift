// SPDX-License-Identifier: Apache-2.0
//
// Two network namespaces with a veth pair between them, for the tests that attach the steering program to an interface:
//
//    NAME-router                 NAME-peer
//    ┌───────────────┐           ┌───────────────┐
//    │        steer0 ├───────────┤ steer1        │
//    │ 192.0.2.1/24  │           │ 192.0.2.9/24  │
//    └───────────────┘           └───────────────┘

import CLinux
import Foundation
import Glibc

/// Owner of the two namespaces; they and all in them go with it.
struct SteeringTestbed: ~Copyable {
  let router: String
  let peer: String

  init() throws {
    let name = "steer-\(getpid())-\(UInt16.random(in: 0...(.max)))"
    router = name + "-router"
    peer = name + "-peer"
    for namespace in [router, peer] {
      try runIP("netns", "add", namespace)
      try runIP("-n", namespace, "link", "set", "lo", "up")
    }
    try runIP("-n", router, "link", "add", "steer0", "type", "veth", "peer", "name", "steer1", "netns", peer)
    for (namespace, link, address) in [(router, "steer0", "192.0.2.1/24"), (peer, "steer1", "192.0.2.9/24")] {
      try runIP("-n", namespace, "address", "add", address, "dev", link)
      try runIP("-n", namespace, "link", "set", link, "up")
    }
  }

  deinit {
    for namespace in [router, peer] { try? runIP("netns", "delete", namespace) }
  }

  func setMTU(_ mtu: Int) throws {
    try runIP("-n", router, "link", "set", "steer0", "mtu", String(mtu))
    try runIP("-n", peer, "link", "set", "steer1", "mtu", String(mtu))
  }
}

/// Runs ip(8).
func runIP(_ arguments: String...) throws {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["ip"] + arguments
  let errors = Pipe()
  process.standardError = errors
  try process.run()
  let text = errors.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    throw SteeringFixtureError(description: "ip \(arguments.joined(separator: " ")): \(String(decoding: text, as: UTF8.self))")
  }
}

/// Unchecked: written before, read after a semaphore's signal.
private final class ResultBox<Value>: @unchecked Sendable {
  var result: Result<Value, any Error>?
}

/// Runs `body` on a thread of its own, which ends with it: what is done to the thread (its namespace, its capabilities) is
/// nobody else's. `#expect` what comes back, for on that thread it does not know its test.
func onFreshThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
  let box = ResultBox<Value>()
  let done = DispatchSemaphore(value: 0)
  Thread.detachNewThread {
    box.result = Result { try body() }
    done.signal()
  }
  done.wait()
  guard let result = box.result else { throw SteeringFixtureError(description: "no result") }
  return try result.get()
}

func inNamespace<Value: Sendable>(_ name: String, _ body: @escaping @Sendable () throws -> Value) throws -> Value {
  try onFreshThread {
    let namespace = open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
    defer { close(namespace) }
    guard clinux_setns_network(namespace) == 0 else { throw SteeringFixtureError(description: "setns: \(errno)") }
    return try body()
  }
}

// The capabilities of the calling thread (capset(2)); Swift's Glibc module does not have it.
@_silgen_name("capset") private func setCapabilities(_ header: UnsafeRawPointer, _ data: UnsafeRawPointer) -> CInt

/// Takes all capabilities but these, numbered as in linux/capability.h, from the calling thread.
func keepCapabilities(_ kept: [UInt32]) throws {
  let header: [UInt32] = [0x2008_0522, 0]  // _LINUX_CAPABILITY_VERSION_3, this thread
  func word(_ index: UInt32) -> UInt32 { kept.filter { $0 / 32 == index }.reduce(0) { $0 | 1 << ($1 % 32) } }
  let effectivePermittedInheritable = [word(0), word(0), 0, word(1), word(1), 0]
  guard setCapabilities(header, effectivePermittedInheritable) == 0 else {
    throw SteeringFixtureError(description: "capset: \(errno)")
  }
}

/// A UDP socket on IPv4 in the calling thread's namespace.
struct SteeringDatagrams: ~Copyable {
  private let descriptor: CInt

  init(port: UInt16, timeoutSeconds: Int = 1) throws {
    descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var address = Self.socketAddress(0, port)
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard bound == 0 else { throw SteeringFixtureError(description: "bind: \(errno)") }
  }

  deinit { close(descriptor) }

  func send(_ bytes: [UInt8], to address: UInt32, port: UInt16) throws {
    var address = Self.socketAddress(address, port)
    let sent = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard sent == bytes.count else { throw SteeringFixtureError(description: "sendto: \(errno)") }
  }

  /// Whether one of exactly these bytes arrives in time.
  func receives(_ bytes: [UInt8]) -> Bool {
    var buffer = [UInt8](repeating: 0xA5, count: 2048)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return count == bytes.count && Array(buffer[..<count]) == bytes
  }

  private static func socketAddress(_ address: UInt32, _ port: UInt16) -> sockaddr_in {
    var result = sockaddr_in()
    result.sin_family = sa_family_t(AF_INET)
    result.sin_port = port.bigEndian
    result.sin_addr.s_addr = address.bigEndian
    return result
  }
}
