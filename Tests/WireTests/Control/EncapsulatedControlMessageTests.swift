// SPDX-License-Identifier: Apache-2.0
//
// Encapsulated Control Messages: inner headers octet by octet, and what is wrong with them.

import TestSupport
import Testing

@testable import Wire

@Suite struct EncapsulatedControlMessageTests {
  /// From 192.0.2.1 to 192.0.2.9, DF, TTL 64, ports 4342, the octets 01 02. Sums by hand: RFC 1071.
  private static let four = "86000000 4500001e 00004000 4011b6c4 c0000201 c0000209  10f610f6 000a58e1 0102"

  private func error(_ bytes: [UInt8]) -> WireError? { #expect(throws: WireError.self) { try ControlMessage(parsing: bytes) } }

  private func changed(_ offset: Int, _ value: UInt8) -> [UInt8] {
    var bytes = octets(Self.four)
    bytes[offset] = value
    return bytes
  }

  @Test func `C2 a message in IPv4 is the octets of the figure, its checksums are right`() throws {
    let source = IPAddress.v4(IPv4Address(192, 0, 2, 1))
    let destination = IPAddress.v4(IPv4Address(192, 0, 2, 9))
    var message = try #require(EncapsulatedControlMessage(source: source, destination: destination, message: [1, 2]))
    message.flags = [.ddt, .toETR]
    #expect(ControlMessage.encapsulated(message).bytes == octets(Self.four))
    #expect(try ControlMessage(parsing: octets(Self.four)) == .encapsulated(message))
    #expect(plainChecksum(Array(octets(Self.four)[4..<24])) == 0)
    #expect(EncapsulatedControlMessage(source: source, destination: .v6(IPv6Address(high: 0, low: 1)), message: []) == nil)
  }

  @Test func `a zero UDP checksum is let through, a wrong one is not`() throws {
    var bytes = octets(Self.four)
    bytes.replaceSubrange(30..<32, with: [0, 0])
    guard case .encapsulated(let message) = try ControlMessage(parsing: bytes) else {
      Issue.record("another type")
      return
    }
    #expect(!message.hasChecksum && ControlMessage.encapsulated(message).bytes == bytes)
    #expect(error(changed(31, 0xC6)) == .invalid(.udp, field: "checksum", value: 0x58C6))
  }

  @Test func `C10 what the inner headers must not say is refused`() {
    #expect(error(changed(0, 0x8E)) == .invalid(.encapsulatedControl, field: "S bit", value: 1))
    #expect(error(changed(4, 0x55)) == .invalid(.encapsulatedControl, field: "IP version", value: 5))
    #expect(error(changed(4, 0x46)) == .invalid(.ipv4, field: "header length", value: 6))
    #expect(error(changed(7, 0x13)) == .invalid(.ipv4, field: "length", value: 19))
    #expect(error(changed(7, 0x1F)) == .invalid(.ipv4, field: "checksum", value: 0xB6C4))
    #expect(error(changed(10, 0x60)) == .invalid(.ipv4, field: "fragment", value: 0x6000))
    #expect(error(changed(11, 1)) == .invalid(.ipv4, field: "fragment", value: 0x4001))
    #expect(error(changed(13, 6)) == .invalid(.ipv4, field: "protocol", value: 6))
    #expect(error(changed(29, 11)) == .invalid(.udp, field: "length", value: 11))
    #expect(error(octets(Self.four) + [0]) == .trailing(.encapsulatedControl, byteCount: 1))
  }

  @Test func `the two forms of a zero IPv4 checksum are not one: the second is refused`() throws {
    // Identification B6C4 takes the checksum's place in the sum, so the checksum is zero.
    var bytes = octets(Self.four)
    bytes.replaceSubrange(8..<10, with: [0xB6, 0xC4])
    bytes.replaceSubrange(14..<16, with: [0, 0])
    #expect(try ControlMessage(parsing: bytes).bytes == bytes)
    bytes.replaceSubrange(14..<16, with: [0xFF, 0xFF])
    #expect(error(bytes) == .invalid(.ipv4, field: "checksum", value: 0xFFFF))
  }

  @Test func `a UDP checksum that comes out zero is sent as all ones`() throws {
    let source = IPAddress.v6(IPv6Address(high: 0, low: 1))
    var message = try #require(EncapsulatedControlMessage(source: source, destination: source, sourcePort: 0, message: [0, 0]))
    // The sum of all else: 1 + 1 + 17 + 10 + 10 + 4342 = 4381; the message makes it FFFF.
    message.message = [0xEE, 0xE2]
    let bytes = ControlMessage.encapsulated(message).bytes
    #expect(Array(bytes[50..<52]) == [0xFF, 0xFF])
    #expect(try ControlMessage(parsing: bytes) == .encapsulated(message))
  }
}
