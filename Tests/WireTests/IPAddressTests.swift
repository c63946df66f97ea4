// SPDX-License-Identifier: Apache-2.0
//
// Addresses of either family.

import TestSupport
import Testing
import Wire

@Suite struct IPAddressTests {
  @Test func `the text decides the family`() throws {
    #expect(IPAddress("10.0.0.1") == .v4(IPv4Address(10, 0, 0, 1)))
    #expect(IPAddress("::1") == .v6(.loopback))
    #expect(IPAddress("") == nil && IPAddress("host") == nil && IPAddress("10.0.0") == nil)
    #expect(try #require(IPAddress("::ffff:10.0.0.1")).family == .ipv6)
  }

  @Test func `only 4 or 16 octets are an address`() {
    for count in 0...20 {
      let address = IPAddress(octets: Array(repeating: UInt8(1), count: count))
      #expect((address != nil) == (count == 4 || count == 16))
    }
  }

  @Test func `left alignment is undone by its inverse`() {
    var random = SplitMix64(seed: 3)
    for _ in 0..<1000 {
      let (high, low) = (random.next(), random.next())
      for address in [IPAddress.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: high))), .v6(IPv6Address(high: high, low: low))] {
        let bits = address.leftAligned
        #expect(IPAddress(family: address.family, leftAlignedHigh: bits.high, low: bits.low) == address)
        #expect(IPAddress(address.description) == address)
        #expect(IPAddress(octets: address.octets) == address)
        #expect(address.octets.count == address.family.byteCount && address.family.bitWidth == 8 * address.family.byteCount)
      }
    }
    #expect(IPAddress.v4(IPv4Address(10, 0, 0, 1)).leftAligned == (0x0A00_0001_0000_0000, 0))
  }

  @Test func `IPv4 comes before IPv6`() throws {
    let texts = ["255.255.255.255", "::", "10.0.0.1", "ffff::", "9.0.0.0", "::1"]
    let sorted = try texts.map { try #require(IPAddress($0)) }.sorted().map(\.description)
    #expect(sorted == ["9.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1", "ffff::"])
  }

  @Test(arguments: [
    ("0.0.0.0", "unspecified"), ("::", "unspecified"), ("127.0.0.1", "loopback"), ("::1", "loopback"), ("224.0.0.1", "multicast"),
    ("ff02::1", "multicast"), ("169.254.1.1", "link-local"), ("fe80::1", "link-local"), ("255.255.255.255", "broadcast"), ("10.0.0.1", ""),
    ("2001:db8::1", ""),
  ])
  func `the kind is that of the family's address`(text: String, kind: String) throws {
    let address = try #require(IPAddress(text))
    #expect(address.isUnspecified == (kind == "unspecified"))
    #expect(address.isLoopback == (kind == "loopback"))
    #expect(address.isMulticast == (kind == "multicast"))
    #expect(address.isLinkLocal == (kind == "link-local"))
    #expect(address.isBroadcast == (kind == "broadcast"))
  }
}
