// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import Glibc
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import xtr

/// On loopback addresses that nobody else uses.
@Suite(.serialized) struct ControlSocketsTests {
  private static let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
  private static let (a, b) = (IPAddress.v4(IPv4Address(127, 77, 0, 1)), IPAddress.v4(IPv4Address(127, 77, 0, 2)))

  /// What came in. Thread: the event loop.
  private final class Inbox: @unchecked Sendable {
    var messages: [(bytes: [UInt8], arrival: Arrival)] = []
  }

  private func withSockets(
    _ body: (any EventLoop, NIOLoopBound<ControlSockets>, Inbox) async throws -> Void
  ) async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let inbox = Inbox()
    let sockets = try await loop.submit {
      NIOLoopBound(ControlSockets(eventLoop: loop, log: Self.log) { inbox.messages.append(($0, $1)) }, eventLoop: loop)
    }.get()
    try await body(loop, sockets, inbox)
    try await loop.submit { sockets.value.close() }.get()
    try await group.shutdownGracefully()
  }

  /// Asks on the loop until it holds, for two seconds.
  private func eventually(_ loop: any EventLoop, _ condition: @escaping @Sendable () -> Bool) async throws -> Bool {
    for _ in 0..<200 {
      if try await loop.submit(condition).get() { return true }
      try await loop.scheduleTask(in: .milliseconds(10)) {}.futureResult.get()
    }
    return false
  }

  @Test func `a datagram leaves from the address that it names, and arrives with both ends told`() async throws {
    try await withSockets { loop, sockets, inbox in
      try await loop.flatSubmit { sockets.value.listen(on: [Self.a, Self.b]) }.get()
      try await loop.submit {
        #expect(sockets.value.addresses == [Self.a, Self.b])
        sockets.value.send(Datagram([1, 2, 3], to: Endpoint(Self.a), from: Self.b))
      }.get()
      #expect(try await eventually(loop) { inbox.messages.count == 1 })
      try await loop.submit {
        #expect(inbox.messages.first?.bytes == [1, 2, 3])
        #expect(inbox.messages.first?.arrival == Arrival(from: Endpoint(Self.b), to: Self.a))
        #expect(sockets.value.sent == 1)
      }.get()
    }
  }

  @Test func `C10 a datagram that the kernel does not take costs nothing but itself`() async throws {
    try await withSockets { loop, sockets, inbox in
      try await loop.flatSubmit { sockets.value.listen(on: [Self.a]) }.get()
      try await loop.submit {
        // From a loopback address nothing goes out of the machine, and broadcasts want a permission.
        for address in [IPv4Address(255, 255, 255, 255), IPv4Address(198, 51, 100, 7)] {
          sockets.value.send(Datagram([0], to: Endpoint(.v4(address)), from: Self.a))
        }
        sockets.value.send(Datagram(Array(repeating: 0, count: 65_535), to: Endpoint(Self.a), from: Self.a))
        sockets.value.send(Datagram([0], to: Endpoint(.v6(IPv6Address(high: 1, low: 1)))))
        #expect(sockets.value.sent == 0 && sockets.value.unsendable == 4)
        sockets.value.send(Datagram([7], to: Endpoint(Self.a), from: Self.a))
      }.get()
      #expect(try await eventually(loop) { inbox.messages.map(\.bytes) == [[7]] })
    }
  }

  @Test func `a port that is taken is refused, and had as soon as it is free`() async throws {
    try await withSockets { loop, sockets, _ in
      var taken: DatagramSocket? = try DatagramSocket(Self.b)
      try await loop.flatSubmit { sockets.value.listen(on: [Self.a, Self.b]) }.get()
      #expect(try await loop.submit { sockets.value.addresses }.get() == [Self.a])
      withExtendedLifetime(taken) {}
      taken = nil
      try await loop.submit { sockets.value.retry() }.get()
      #expect(try await eventually(loop) { sockets.value.addresses == [Self.a, Self.b] })
      try await loop.flatSubmit { sockets.value.listen(on: [Self.b]) }.get()
      #expect(try await loop.submit { sockets.value.addresses }.get() == [Self.b])
      _ = try DatagramSocket(Self.a)
    }
  }
}
