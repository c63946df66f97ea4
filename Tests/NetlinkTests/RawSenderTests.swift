// SPDX-License-Identifier: Apache-2.0
//
// Tests of RawSender against the kernel: an outer packet arrives as it was made, also when nobody knew the neighbour.

import Glibc
import Testing
import Wire

@testable import Netlink

@Suite(.serialized, .enabled(if: isRoot, needsRoot))
struct RawSenderTests {
  private static let families = AddressFamily.allCases

  private func packet(_ family: AddressFamily) -> TestPacket {
    switch family {
    case .ipv4:
      TestPacket(
        source: address("10.0.0.1"), destination: address("10.0.0.2"), ttl: 37, trafficClass: 0xB9, identification: 0x1234)
    case .ipv6:
      TestPacket(
        source: address("2001:db8::1"), destination: address("2001:db8::2"), ttl: 37, trafficClass: 0xB9, flowLabel: 0xABCDE)
    }
  }

  @Test(arguments: families)
  func `an outer packet arrives unchanged through a neighbour that was unknown`(family: AddressFamily) async throws {
    let pair = Pair()
    let tap = try await pair.far.run { PacketTap(family) }
    try await pair.near.run {
      let sent = packet(family)
      #expect(try KernelQueries().neighbour(sent.destination, interfaceIndex: pair.index()) == nil)
      let sender = try RawSender()
      #expect(sender.send(sent.bytes.span) == .sent)
      // Every byte: TTL, DSCP and ECN, identification, DF, flow label, ports, the UDP checksum of 0.
      #expect(tap.next { $0.suffix(sent.payload.count) == sent.payload[...] } == sent.bytes)
    }
  }

  @Test(arguments: [0, 0xFFFF] as [UInt16], [true, false])
  func `the identification is kept, but for 0 without DF`(identification: UInt16, dontFragment: Bool) async throws {
    let pair = Pair()
    let tap = try await pair.far.run { PacketTap(.ipv4) }
    try await pair.near.run {
      var sent = packet(.ipv4)
      sent.identification = identification
      sent.dontFragment = dontFragment
      let sender = try RawSender()
      #expect(sender.send(sent.bytes.span) == .sent)
      let arrived = try #require(tap.next { $0.suffix(sent.payload.count) == sent.payload[...] })
      #expect(arrived[6] == (dontFragment ? 0x40 : 0) && arrived[7] == 0)
      let seen = UInt16(arrived[4]) << 8 | UInt16(arrived[5])
      if identification != 0 || dontFragment { #expect(seen == identification) }
      #expect(TestPacket.sum(Array(arrived[..<20])) == 0xFFFF)
    }
  }

  @Test(arguments: families)
  func `a burst to an unknown neighbour arrives whole and in order`(family: AddressFamily) async throws {
    let pair = Pair()
    let tap = try await pair.far.run { PacketTap(family) }
    try await pair.near.run {
      let sender = try RawSender()
      for i in 0..<64 {
        var sent = packet(family)
        sent.payload = Array("burst \(i)".utf8)
        #expect(sender.send(sent.bytes.span) == .sent)
      }
      for i in 0..<64 {
        let wanted = Array("burst \(i)".utf8)
        #expect(tap.next { String(decoding: $0, as: UTF8.self).contains("burst") }?.suffix(wanted.count) == wanted[...])
      }
    }
  }

  @Test(arguments: families)
  func `rules by source are honoured`(family: AddressFamily) async throws {
    let pair = Pair()
    let tap = try await pair.far.run { PacketTap(family) }
    try await pair.near.run {
      var sent = packet(family)
      let (option, gateway) = family == .ipv4 ? ("-4", "10.0.0.2") : ("-6", "2001:db8::2")
      sent.destination = address(family == .ipv4 ? "192.0.2.1" : "2001:db8:2::1")
      let sender = try RawSender()
      #expect(sender.send(sent.bytes.span) == .unroutable(errno: ENETUNREACH))
      pair.near.ip("\(option) route add default via \(gateway) table 77")
      pair.near.ip("\(option) rule add from \(sent.source) lookup 77")
      #expect(sender.send(sent.bytes.span) == .sent)
      #expect(tap.next { $0.suffix(sent.payload.count) == sent.payload[...] } == sent.bytes)
    }
  }

  @Test(arguments: families)
  func `waiting packets are bounded, and more of them are refused without blocking`(family: AddressFamily) async throws {
    let pair = Pair()
    try await pair.near.run {
      let sender = try RawSender(sendBufferByteCount: 4096)
      var sent = packet(family)
      sent.destination = address(family == .ipv4 ? "10.0.0.99" : "2001:db8::99")  // nobody
      sent.payload = [UInt8](repeating: 0xA5, count: 1000)
      var results: Set<SendResult> = []
      for _ in 0..<100 { results.insert(sender.send(sent.bytes.span)) }
      #expect(results == [.sent, .full])
    }
  }

  @Test(arguments: families)
  func `a packet larger than the interface takes is too big`(family: AddressFamily) async throws {
    let pair = Pair()
    try await pair.near.run {
      var sent = packet(family)
      sent.payload = [UInt8](repeating: 0xA5, count: 1600)
      let sender = try RawSender()
      #expect(sender.send(sent.bytes.span) == .tooBig)
    }
  }

  @Test(arguments: families)
  func `a source that is not ours is refused or sent, never an error thrown`(family: AddressFamily) async throws {
    let pair = Pair()
    try await pair.near.run {
      var sent = packet(family)
      sent.source = address(family == .ipv4 ? "203.0.113.1" : "2001:db8:ffff::1")
      let sender = try RawSender()
      #expect(sender.send(sent.bytes.span) == (family == .ipv4 ? .sent : .unroutable(errno: EINVAL)))
    }
  }

  @Test func `refusing routes and missing routes are results`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let sender = try RawSender()
      var sent = packet(.ipv4)
      for (type, errno) in [("unreachable", EHOSTUNREACH), ("blackhole", EINVAL), ("prohibit", EACCES)] {
        pair.near.ip("route replace \(type) 192.0.2.0/24")
        sent.destination = address("192.0.2.1")
        #expect(sender.send(sent.bytes.span) == .unroutable(errno: errno))
      }
    }
  }

  @Test func `malformed packets are refused before the kernel sees them`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let sender = try RawSender()
      #expect(sender.send([UInt8]().span) == .malformed)
      for version in 0..<16 where version != 4 && version != 6 {
        #expect(sender.send([UInt8](repeating: UInt8(version << 4 | 5), count: 60).span) == .malformed)
      }
      for family in AddressFamily.allCases {
        let whole = packet(family).bytes
        for count in 0..<whole.count { #expect(sender.send(Array(whole[..<count]).span) == .malformed) }
        #expect(sender.send((whole + [0xA5]).span) == .malformed)
      }
      var short = packet(.ipv4).bytes
      short[0] = 0x44
      #expect(sender.send(short.span) == .malformed)
    }
  }
}
