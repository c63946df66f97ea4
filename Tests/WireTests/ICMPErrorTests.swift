// SPDX-License-Identifier: Apache-2.0
//
// ICMP errors: their octets, and the packets that must not be answered (RFC 792, RFC 1122 3.2.2, RFC 4443 2.4).

import TestSupport
import Testing
import Wire

@Suite struct ICMPErrorTests {
  static func v4(
    _ source: String = "10.1.0.5", _ destination: String = "10.2.0.7", number: IPProtocol = .udp, payload: [UInt8] = Array(0..<40),
    fragment: UInt16 = 0
  ) throws -> [UInt8] {
    var header = IPv4Header(
      protocolNumber: number, source: try #require(IPv4Address(source)), destination: try #require(IPv4Address(destination)),
      payloadLength: payload.count)
    header.fragmentOffset = fragment
    return header.array + payload
  }

  static func v6(
    _ source: String = "2001:db8:a::5", _ destination: String = "2001:db8:b::7", next: IPProtocol = .udp, payload: [UInt8] = Array(0..<40)
  ) throws -> [UInt8] {
    IPv6Header(
      nextHeader: next, source: try #require(IPv6Address(source)), destination: try #require(IPv6Address(destination)),
      payloadLength: payload.count
    ).array + payload
  }

  static func error(_ kind: ICMPErrorKind, about packet: [UInt8]) throws -> [UInt8]? {
    let own = try #require(IPAddress(packet[0] >> 4 == 4 ? "192.0.2.1" : "2001:db8:1::1"))
    return reading(packet) { icmpError(kind, about: $0, from: own) }
  }

  static let kinds: [(ICMPErrorKind, v4: [UInt8], v6: [UInt8])] = [
    (.timeExceeded, [11, 0], [3, 0]), (.prohibited, [3, 13], [1, 1]), (.hostUnreachable, [3, 1], [1, 3]),
    (.tooBig(mtu: 1444), [3, 4], [2, 0]),
  ]

  @Test func `an IPv4 error names type and code, quotes the packet, and has right checksums`() throws {
    for (kind, typeAndCode, _) in Self.kinds {
      let packet = try Self.v4()
      let error = try #require(try Self.error(kind, about: packet))
      #expect(error[9] == 1 && Array(error[12..<16]) == [192, 0, 2, 1] && Array(error[16..<20]) == [10, 1, 0, 5])
      #expect(Int(error[2]) << 8 | Int(error[3]) == error.count)
      #expect(plainChecksum(Array(error[..<20])) == 0 && plainChecksum(Array(error[20...])) == 0)
      #expect(Array(error[20..<22]) == typeAndCode)
      #expect(Array(error[24..<28]) == (kind == .tooBig(mtu: 1444) ? [0, 0, 0x05, 0xA4] : [0, 0, 0, 0]))
      #expect(Array(error[28...]) == packet)
    }
  }

  @Test func `an IPv6 error names type and code, quotes the packet, and has a right checksum`() throws {
    for (kind, _, typeAndCode) in Self.kinds {
      let packet = try Self.v6()
      let error = try #require(try Self.error(kind, about: packet))
      #expect(error[6] == 58 && Array(error[24..<40]) == Array(packet[8..<24]))
      #expect(Int(error[4]) << 8 | Int(error[5]) == error.count - 40)
      let pseudo = Array(error[8..<40]) + UInt32(error.count - 40).octets + [0, 0, 0, 58]
      #expect(plainChecksum(pseudo + error[40...]) == 0)
      #expect(Array(error[40..<42]) == typeAndCode)
      #expect(Array(error[44..<48]) == (kind == .tooBig(mtu: 1444) ? [0, 0, 0x05, 0xA4] : [0, 0, 0, 0]))
      #expect(Array(error[48...]) == packet)
    }
  }

  @Test func `an error is never longer than 576 octets, or 1280 for IPv6`() throws {
    #expect(try #require(try Self.error(.timeExceeded, about: Self.v4(payload: Array(repeating: 1, count: 1480)))).count == 576)
    #expect(try #require(try Self.error(.timeExceeded, about: Self.v6(payload: Array(repeating: 1, count: 1460)))).count == 1280)
  }

  @Test func `padding behind the packet is not quoted`() throws {
    let packet = try Self.v4(payload: [1, 2, 3])
    #expect(try #require(try Self.error(.timeExceeded, about: packet + [9, 9, 9, 9])).count == 28 + packet.count)
  }

  @Test(arguments: ["0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1"])
  func `an IPv4 source that is not one host is told nothing`(source: String) throws {
    for (kind, _, _) in Self.kinds { #expect(try Self.error(kind, about: Self.v4(source)) == nil) }
  }

  @Test(arguments: ["::", "ff02::1", "::1"])
  func `an IPv6 source that is not one host is told nothing`(source: String) throws {
    for (kind, _, _) in Self.kinds { #expect(try Self.error(kind, about: Self.v6(source)) == nil) }
  }

  @Test func `packets to many are not answered, except that they are too big for IPv6`() throws {
    for destination in ["224.0.0.5", "239.1.1.1", "255.255.255.255"] {
      for (kind, _, _) in Self.kinds { #expect(try Self.error(kind, about: Self.v4("10.1.0.5", destination)) == nil, "\(destination)") }
    }
    for (kind, _, _) in Self.kinds {
      let error = try Self.error(kind, about: Self.v6("2001:db8:a::5", "ff0e::1"))
      #expect((error != nil) == (kind == .tooBig(mtu: 1444)))
    }
  }

  @Test func `ICMP errors are not answered, queries and their answers are`() throws {
    for type in UInt8.min...UInt8.max {
      let fourth = try Self.error(.timeExceeded, about: Self.v4(number: .icmp, payload: [type, 0, 0, 0, 0, 0, 0, 0]))
      #expect((fourth != nil) == [0, 8, 13, 14].contains(type), "ICMP type \(type)")
      let sixth = try Self.error(.timeExceeded, about: Self.v6(next: .icmpv6, payload: [type, 0, 0, 0, 0, 0, 0, 0]))
      #expect((sixth != nil) == (type >= 128 && type != 137), "ICMPv6 type \(type)")
    }
    #expect(try Self.error(.timeExceeded, about: Self.v4(number: .icmp, payload: [])) == nil)
    #expect(try Self.error(.timeExceeded, about: Self.v6(next: .icmpv6, payload: [])) == nil)
    // Behind an extension header, too.
    let hidden = try Self.v6(next: .hopByHop, payload: [58, 0, 1, 4, 0, 0, 0, 0, 1, 0, 0, 0])
    #expect(try Self.error(.timeExceeded, about: hidden) == nil)
  }

  @Test func `later fragments are not answered, first ones are`() throws {
    #expect(try Self.error(.timeExceeded, about: Self.v4(fragment: 1)) == nil)
    #expect(try Self.error(.timeExceeded, about: Self.v4(fragment: 0)) != nil)
    #expect(try Self.error(.timeExceeded, about: Self.v6(next: .fragment, payload: [17, 0, 0, 9, 0, 0, 0, 1, 5, 5])) == nil)
    #expect(try Self.error(.timeExceeded, about: Self.v6(next: .fragment, payload: [17, 0, 0, 1, 0, 0, 0, 1, 5, 5])) != nil)
  }

  @Test func `no truncation and no random octets make an answer out of nothing, or a trap`() throws {
    var random = SplitMix64(seed: 60)
    for packet in [try Self.v4(), try Self.v6(), try Self.v6(next: .hopByHop, payload: [58, 0, 1, 4, 0, 0, 0, 0, 128, 0, 0, 0])] {
      for length in 1..<packet.count { #expect(try Self.error(.timeExceeded, about: Array(packet.prefix(length))) == nil) }
    }
    for _ in 0..<3000 {
      var octets = random.octets(Int(random.next() % 120) + 1)
      octets[0] = random.next() & 1 == 0 ? 0x45 : 0x60
      if octets.count > 5 { octets.replaceSubrange(2..<6, with: [0, UInt8(octets.count), 0, UInt8(max(0, octets.count - 40))]) }
      if let error = try Self.error(.tooBig(mtu: 1), about: octets) { #expect(error.count <= octets.count + 48) }
    }
  }
}
