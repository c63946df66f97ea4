// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import Glibc
import Lab
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
      try await loop.submit { sockets.value.listen(on: [Self.a, Self.b]) }.get()
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
      try await loop.submit { sockets.value.listen(on: [Self.a]) }.get()
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
      try await loop.submit { sockets.value.listen(on: [Self.a, Self.b]) }.get()
      #expect(try await loop.submit { sockets.value.addresses }.get() == [Self.a])
      withExtendedLifetime(taken) {}
      taken = nil
      #expect(
        try await eventually(loop) {
          sockets.value.retry()
          return sockets.value.addresses == [Self.a, Self.b]
        })
      try await loop.submit { sockets.value.listen(on: [Self.b]) }.get()
      #expect(try await loop.submit { sockets.value.addresses }.get() == [Self.b])
      _ = try DatagramSocket(Self.a)
    }
  }

  @Test func `C10 a datagram of any length is received whole, and many are received in the order in which they came`() async throws {
    try await withSockets { loop, sockets, inbox in
      var generator = SplitMix64(seed: 4342)
      let lengths = [0, 1, 2047, 2048, 2049, 5000, 65_507] + (0..<100).map { $0 * 7 }
      let messages = lengths.map { generator.bytes($0) }
      try await loop.submit {
        sockets.value.listen(on: [Self.a, Self.b])
        for message in messages { sockets.value.send(Datagram(message, to: Endpoint(Self.a), from: Self.b)) }
        #expect(sockets.value.unsendable == 0)
      }.get()
      #expect(try await eventually(loop) { inbox.messages.count == messages.count })
      try await loop.submit { #expect(inbox.messages.map(\.bytes) == messages) }.get()
    }
  }

  /// The kernel says that the socket can be read, looks at the checksum when it is, and has nothing. So it is with datagrams of more than 76
  /// bytes; shorter ones do not come so far.
  @Test(.enabled(if: getuid() == 0, "raw sockets are root's"))
  func `C10 datagrams with a wrong checksum are counted and cost nothing else`() async throws {
    let raw = socket(AF_INET, CInt(SOCK_RAW.rawValue), CInt(IPPROTO_RAW))
    try #require(raw >= 0)
    defer { close(raw) }
    try await withSockets { loop, sockets, inbox in
      try await loop.submit { sockets.value.listen(on: [Self.a, Self.b]) }.get()
      for round in 1...20 {
        for _ in 0..<round { Self.send(udp: Array(repeating: 1, count: 100), checksum: 0xBAD, on: raw) }
        try await loop.submit { sockets.value.send(Datagram([UInt8(round)], to: Endpoint(Self.a), from: Self.b)) }.get()
        #expect(try await eventually(loop) { inbox.messages.count == round })
      }
      try await loop.submit {
        #expect(inbox.messages.map(\.bytes) == (1...20).map { [$0] })
        #expect(sockets.value.addresses == [Self.a, Self.b] && sockets.value.dropped == 210)
        sockets.value.listen(on: [Self.b])
        #expect(sockets.value.dropped == 210, "also of a socket that is closed")
      }.get()
    }
  }

  /// From `b` to port 4342 of `a`, in an IPv4 header that the kernel completes.
  private static func send(udp payload: [UInt8], checksum: UInt16, on raw: CInt) {
    let header: [UInt16] = [4342, 4342, UInt16(8 + payload.count), checksum]
    let udp = header.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } + payload
    let packet: [UInt8] = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0] + b.octets + a.octets + udp
    let sent = SocketAddress(Endpoint(a, port: 0)).withSockAddr { sendto(raw, packet, packet.count, 0, $0, socklen_t($1)) }
    #expect(sent == packet.count)
  }
}
