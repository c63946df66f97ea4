// SPDX-License-Identifier: Apache-2.0
//
// One TCP connection that carries a payload from host to host; the digest of what arrives is compared with that of what was sent.

import CLinux
import Glibc
import Wire

public struct TCPTransfer: Sendable {
  public var sender: Namespace
  public var receiver: Namespace
  /// The receiver's address.
  public var destination: IPAddress
  public var port: UInt16 = 5001
  public var payload: Payload
  public var limit = Duration.seconds(30)

  public init(from sender: Namespace, to receiver: Namespace, destination: IPAddress, payload: Payload) {
    self.sender = sender
    self.receiver = receiver
    self.destination = destination
    self.payload = payload
  }

  public struct Result: Sendable {
    public var byteCount = 0
    public var duration = Duration.zero
    public var sentDigest = ""
    public var receivedDigest = ""
    public var isIntact: Bool { byteCount > 0 && sentDigest == receivedDigest }
    public var megabitsPerSecond: Double { duration > .zero ? Double(byteCount) * 8e-6 / (duration / .seconds(1)) : 0 }
  }

  /// Errors: no connection, or not all bytes, within `limit`.
  public func run() throws -> Result {
    let end = ContinuousClock.now + limit
    let address = SocketAddress(destination, port: port)
    // The listener exists before the sender starts, in a thread that ended: a socket stays in its namespace.
    let listener = Socket(owning: try receiver.run { try Self.listen(on: address) })
    let payload = payload
    let start = ContinuousClock.now
    let sending = sender.start { try Self.send(payload.bytes, to: address, until: end) }
    let received: [UInt8]
    do {
      received = try Self.receive(payload.bytes.count, from: listener, until: end)
    } catch {
      _ = try? sending.join()
      throw error
    }
    let duration = ContinuousClock.now - start
    try sending.join()
    return Result(
      byteCount: received.count, duration: duration, sentDigest: payload.digest, receivedDigest: try Payload(received).digest)
  }

  /// The descriptor of a listening socket.
  private static func listen(on address: SocketAddress) throws(LabError) -> Int32 {
    let socket = try Socket(address.domain, SOCK_STREAM)
    try socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
    try socket.setTimeouts(.milliseconds(100))
    try socket.bind(to: address)
    guard Glibc.listen(socket.fileDescriptor, 4) == 0 else { throw .lastCall("listen") }
    return socket.release()
  }

  private static func send(_ bytes: [UInt8], to address: SocketAddress, until end: ContinuousClock.Instant) throws(LabError) {
    let socket = try Socket(address.domain, SOCK_STREAM)
    try socket.setTimeouts(.milliseconds(100))
    while address.withPointer({ connect(socket.fileDescriptor, $0, $1) }) != 0, errno != EISCONN {
      // With a timeout a connect that is under way answers EINPROGRESS, then EALREADY.
      guard [EINPROGRESS, EALREADY, EINTR].contains(errno) else { throw .lastCall("connect to \(address.address)") }
      try check(end, "TCP connection to \(address.address)")
      Interruption.pause(.milliseconds(2))
    }
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes {
        Glibc.send(socket.fileDescriptor, $0.baseAddress, $0.count, Int32(truncatingIfNeeded: MSG_NOSIGNAL))
      }
      if count < 0, errno != EAGAIN, errno != EINTR { throw .lastCall("send to \(address.address) after \(done) bytes") }
      done += max(0, count)
      try check(end, "TCP transfer to \(address.address), \(done) of \(bytes.count) bytes sent")
    }
    shutdown(socket.fileDescriptor, Int32(SHUT_WR))
  }

  private static func receive(
    _ expected: Int, from listener: borrowing Socket, until end: ContinuousClock.Instant
  ) throws(LabError) -> [UInt8] {
    var descriptor: Int32 = -1
    while descriptor < 0 {
      descriptor = accept(listener.fileDescriptor, nil, nil)
      try check(end, "TCP connection")
    }
    let socket = Socket(owning: descriptor)
    try socket.setTimeouts(.milliseconds(100))
    var received: [UInt8] = []
    received.reserveCapacity(expected)
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while true {
      let count = recv(socket.fileDescriptor, &buffer, buffer.count, 0)
      if count == 0 { return received }
      if count < 0, errno != EAGAIN, errno != EINTR { throw .lastCall("receive") }
      if count > 0 { received.append(contentsOf: buffer[..<count]) }
      try check(end, "TCP transfer, \(received.count) of \(expected) bytes received")
    }
  }

  private static func check(_ end: ContinuousClock.Instant, _ what: String) throws(LabError) {
    try Interruption.check()
    if ContinuousClock.now >= end { throw .timedOut(what) }
  }
}
