// SPDX-License-Identifier: Apache-2.0
//
// IPv6 addresses: the examples of RFC 4291 section 2.2 and RFC 5952, and texts that are not addresses.

import TestSupport
import Testing
@testable import Wire

@Suite struct IPv6AddressTests {
  /// Text, high half, low half, canonical text.
  @Test(
    arguments: [
      // RFC 4291 2.2, forms 1 to 3
      ("ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", 0xABCD_EF01_2345_6789, 0xABCD_EF01_2345_6789, "abcd:ef01:2345:6789:abcd:ef01:2345:6789"),
      ("2001:DB8:0:0:8:800:200C:417A", 0x2001_0DB8_0000_0000, 0x0008_0800_200C_417A, "2001:db8::8:800:200c:417a"),
      ("2001:DB8::8:800:200C:417A", 0x2001_0DB8_0000_0000, 0x0008_0800_200C_417A, "2001:db8::8:800:200c:417a"),
      ("FF01::101", 0xFF01_0000_0000_0000, 0x101, "ff01::101"),
      ("0:0:0:0:0:0:0:1", 0, 1, "::1"),
      ("::", 0, 0, "::"),
      ("0:0:0:0:0:0:13.1.68.3", 0, 0x0D01_4403, "::d01:4403"),
      ("::FFFF:129.144.52.38", 0, 0xFFFF_8190_3426, "::ffff:8190:3426"),
      ("64:ff9b::192.0.2.33", 0x0064_FF9B_0000_0000, 0xC000_0221, "64:ff9b::c000:221"),
      // RFC 5952 2.1 to 4.2.3
      ("2001:db8:0:0:1:0:0:1", 0x2001_0DB8_0000_0000, 0x0001_0000_0000_0001, "2001:db8::1:0:0:1"),
      ("2001:0db8:0:0:1:0:0:1", 0x2001_0DB8_0000_0000, 0x0001_0000_0000_0001, "2001:db8::1:0:0:1"),
      ("2001:db8::0:1:0:0:1", 0x2001_0DB8_0000_0000, 0x0001_0000_0000_0001, "2001:db8::1:0:0:1"),
      ("2001:db8:aaaa:bbbb:cccc:dddd:0:1", 0x2001_0DB8_AAAA_BBBB, 0xCCCC_DDDD_0000_0001, "2001:db8:aaaa:bbbb:cccc:dddd:0:1"),
      ("2001:db8:0:1:1:1:1:1", 0x2001_0DB8_0000_0001, 0x0001_0001_0001_0001, "2001:db8:0:1:1:1:1:1"),
      ("2001:0:0:1:0:0:0:1", 0x2001_0000_0000_0001, 1, "2001:0:0:1::1"),
      // "::" may stand for one group when read, at either end, or in the middle
      ("::2:3:4:5:6:7:8", 0x0000_0002_0003_0004, 0x0005_0006_0007_0008, "0:2:3:4:5:6:7:8"),
      ("1:2:3:4:5:6:7::", 0x0001_0002_0003_0004, 0x0005_0006_0007_0000, "1:2:3:4:5:6:7:0"),
      ("1:2:3::5:6:7:8", 0x0001_0002_0003_0000, 0x0005_0006_0007_0008, "1:2:3:0:5:6:7:8"),
      ("1::", 0x0001_0000_0000_0000, 0, "1::"),
      ("1:2:3:4:5:6:1.2.3.4", 0x0001_0002_0003_0004, 0x0005_0006_0102_0304, "1:2:3:4:5:6:102:304"),
      ("::1.2.3.4", 0, 0x0102_0304, "::102:304"),
    ] as [(String, UInt64, UInt64, String)])
  func `text forms of RFC 4291 are read and written as RFC 5952 wants`(text: String, high: UInt64, low: UInt64, canonical: String) {
    #expect(IPv6Address(text) == IPv6Address(high: high, low: low))
    #expect(IPv6Address(high: high, low: low).description == canonical)
  }

  @Test(arguments: [
    "", ":", ":::", "::::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8",
    "1::2::3", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", ":1::", "::1:", "12345::", "::12345", "g::", "::-1", "::+1", "-0::", "::-0", "1:-0::",
    "0x1::",
    "1.2.3.4", "1.2.3.4::", "::1.2.3", "::1.2.3.4.5", "::1.2.3.256", "::01.2.3.4", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4",
    "1:2:3:4:5:6::1.2.3.4",
    "fe80::1%eth0", "::1/128", "[::1]", " ::1", "::1 ", "::１", "1:2:3:4:5:6:7:8\u{301}", ":\u{301}:1", "::\0",
  ])
  func `anything else is refused`(text: String) {
    #expect(IPv6Address(text) == nil)
    #expect(IPv6Address(text[...]) == nil)
  }

  @Test func `random addresses with runs of zeros survive text and octets`() {
    var random = SplitMix64(seed: 2)
    for _ in 0..<2000 {
      let zeros = random.next()
      let groups = (0..<8).map { zeros >> $0 & 1 == 1 ? 0 : UInt16(truncatingIfNeeded: random.next() >> (random.next() & 15)) }
      let address = IPv6Address(groups: groups)
      #expect(address.groups == groups)
      #expect(IPv6Address(address.description) == address)
      #expect(IPAddress(octets: address.octets) == .v6(address))
      #expect(!address.description.contains(":::"))
    }
  }

  @Test func `kinds of addresses are told at their borders`() throws {
    func address(_ text: String) throws -> IPv6Address { try #require(IPv6Address(text)) }
    #expect(IPv6Address.any.isUnspecified && !IPv6Address.loopback.isUnspecified)
    #expect(try !address("1::").isUnspecified)
    #expect(IPv6Address.loopback.isLoopback)
    #expect(try !address("::2").isLoopback && !address("1::1").isLoopback)
    #expect(try address("ff00::").isMulticast && address("ffff:ffff::").isMulticast && !address("feff::").isMulticast)
    #expect(try address("fe80::1").isLinkLocal && address("febf:ffff::").isLinkLocal)
    #expect(try !address("fe7f::").isLinkLocal && !address("fec0::").isLinkLocal)
  }

  @Test func `addresses are ordered as numbers`() throws {
    #expect(IPv6Address(high: 1, low: .max) < IPv6Address(high: 2, low: 0))
    #expect(IPv6Address(high: 1, low: 0) < IPv6Address(high: 1, low: 1))
    #expect(!(IPv6Address(high: 1, low: 1) < IPv6Address(high: 1, low: 1)))
  }
}
