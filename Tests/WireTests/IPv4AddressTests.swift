// SPDX-License-Identifier: Apache-2.0
//
// IPv4 addresses as text and as numbers.

import TestSupport
import Testing
import Wire

@Suite struct IPv4AddressTests {
  @Test(
    arguments: [
      ("0.0.0.0", 0), ("255.255.255.255", 0xFFFF_FFFF), ("192.0.2.1", 0xC000_0201), ("10.0.0.10", 0x0A00_000A),
      ("127.0.0.1", 0x7F00_0001), ("1.20.100.200", 0x0114_64C8),
    ] as [(String, UInt32)])
  func `dotted decimal is read and written`(text: String, number: UInt32) {
    #expect(IPv4Address(text)?.rawValue == number)
    #expect(IPv4Address(rawValue: number).description == text)
  }

  @Test(arguments: [
    "", ".", "...", "1", "1.2", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.", "1.2.3.4.5", "256.0.0.0", "1.2.3.256", "1.2.3.999",
    "01.2.3.4", "1.2.3.04", "00.0.0.0", "1.2.3.4 ", " 1.2.3.4", "1.2.3.+4", "-1.2.3.4", "1.2.3.-0", "0x1.2.3.4", "1.2.3.4/24", "a.b.c.d",
    "1,2,3,4", "١.٢.٣.٤", "1.2.3.4\0", "4294967295", "1.2.3.99999999999999999999",
  ])
  func `anything but four decimal octets is refused`(text: String) {
    #expect(IPv4Address(text) == nil)
    #expect(IPv4Address(text[...]) == nil)
  }

  @Test func `random addresses survive text and octets`() {
    var random = SplitMix64(seed: 1)
    for _ in 0..<2000 {
      let address = IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next()))
      #expect(IPv4Address(address.description) == address)
      #expect(IPAddress(octets: address.octets) == .v4(address))
      #expect(IPv4Address(address.octets[0], address.octets[1], address.octets[2], address.octets[3]) == address)
    }
  }

  @Test func `kinds of addresses are told at their borders`() throws {
    func address(_ text: String) throws -> IPv4Address { try #require(IPv4Address(text)) }
    #expect(IPv4Address.any.isUnspecified)
    #expect(try !address("0.0.0.1").isUnspecified)
    #expect(try address("127.0.0.0").isLoopback && address("127.255.255.255").isLoopback)
    #expect(try !address("126.255.255.255").isLoopback && !address("128.0.0.0").isLoopback)
    #expect(try address("224.0.0.0").isMulticast && address("239.255.255.255").isMulticast)
    #expect(try !address("223.255.255.255").isMulticast && !address("240.0.0.0").isMulticast)
    #expect(IPv4Address.broadcast.isBroadcast)
    #expect(try !address("255.255.255.254").isBroadcast)
    #expect(try address("169.254.0.0").isLinkLocal && address("169.254.255.255").isLinkLocal)
    #expect(try !address("169.253.255.255").isLinkLocal && !address("169.255.0.0").isLinkLocal)
  }

  @Test func `addresses are ordered as numbers`() {
    #expect(IPv4Address(9, 255, 255, 255) < IPv4Address(10, 0, 0, 0))
    #expect(IPv4Address(127, 0, 0, 1) < IPv4Address(128, 0, 0, 1))
  }
}
