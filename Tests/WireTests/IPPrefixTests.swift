// SPDX-License-Identifier: Apache-2.0
//
// Prefixes: their text, their canonical form, what they contain, and the errors an operator reads.

import TestSupport
import Testing
import Wire

@Suite struct IPPrefixTests {
  @Test(arguments: [
    "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/24", "10.1.2.3/32", "128.0.0.0/1", "10.1.2.2/31", "::/0", "8000::/1", "2001:db8::/32",
    "2001:db8::/64",
    "2001:db8:0:0:8000::/65", "2001:db8::1/128", "2001:db8::2/127",
  ])
  func `canonical prefixes are read and written`(text: String) throws {
    #expect(try IPPrefix(parsing: text).description == text)
  }

  @Test func `an address alone is its host prefix`() throws {
    #expect(try IPPrefix(parsing: "10.1.2.3").description == "10.1.2.3/32")
    #expect(try IPPrefix(parsing: "::1").description == "::1/128")
  }

  @Test(arguments: [
    "", "/", "/8", "10.0.0.0/", "10.0.0/8", "10.0.0.0/8/8", "10.0.0.0//8", "10.0.0.0/+8", "10.0.0.0/-0", "10.0.0.0/-8", "10.0.0.0/a",
    "10.0.0.0/8 ",
    "10.0.0.0 /8", "10.0.0.0/٨", "10.0.0.0/８", "10.0.0.0/99999999999999999999", "2001:db8::/", "2001:db8::/0x20", "default",
  ])
  func `what is not a prefix is refused with the text`(text: String) {
    #expect(throws: PrefixError.notAnAddress(text)) { try IPPrefix(parsing: text) }
    #expect(PrefixError.notAnAddress(text).description.contains("\"\(text)\""))
  }

  @Test func `a length beyond the family's is refused with the range`() throws {
    #expect(throws: PrefixError.lengthOutOfRange(33, .ipv4)) { try IPPrefix(parsing: "10.0.0.0/33") }
    #expect(throws: PrefixError.lengthOutOfRange(129, .ipv6)) { try IPPrefix(parsing: "::/129") }
    #expect(throws: PrefixError.lengthOutOfRange(-1, .ipv6)) { try IPPrefix(.v6(.any), length: -1) }
    #expect(PrefixError.lengthOutOfRange(33, .ipv4).description == "prefix length 33 is not in 0…32")
  }

  @Test func `set host bits are refused with the prefix that was meant`() throws {
    let address = try #require(IPAddress("10.1.2.3"))
    let error = #expect(throws: PrefixError.self) { try IPPrefix(parsing: "10.1.2.3/24") }
    #expect(error == .hostBitsSet(address, 24))
    #expect(error?.description == "10.1.2.3/24 has bits set beyond its length; 10.1.2.0/24 is the prefix")
    #expect(throws: PrefixError.self) { try IPPrefix(parsing: "2001:db8::1/127") }
  }

  @Test func `masking clears exactly the host bits, at every length`() {
    var random = SplitMix64(seed: 5)
    for length in -1...130 {
      let (high, low) = (random.next(), random.next())
      for address in [IPAddress.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: high))), .v6(IPv6Address(high: high, low: low))] {
        let prefix = IPPrefix(masking: address, length: length)
        let kept = min(max(length, 0), address.family.bitWidth)
        #expect(prefix.length == kept && prefix.family == address.family)
        for bit in 0..<address.family.bitWidth {
          let was = address.octets[bit / 8] >> UInt8(7 - bit % 8) & 1
          let became = prefix.address.octets[bit / 8] >> UInt8(7 - bit % 8) & 1
          #expect(became == (bit < kept ? was : 0))
        }
      }
    }
  }

  @Test func `a prefix contains what begins as it does`() throws {
    func prefix(_ text: String) throws -> IPPrefix { try IPPrefix(parsing: text) }
    #expect(try prefix("10.0.0.0/8").contains(prefix("10.0.0.0/8")))
    #expect(try prefix("10.0.0.0/8").contains(prefix("10.255.255.255/32")))
    #expect(try !prefix("10.0.0.0/8").contains(prefix("11.0.0.0/8")))
    #expect(try !prefix("10.0.0.0/8").contains(prefix("0.0.0.0/0")))
    #expect(try prefix("0.0.0.0/0").contains(prefix("255.0.0.0/8")) && prefix("::/0").contains(prefix("ffff::/16")))
    #expect(try !prefix("0.0.0.0/0").contains(prefix("::/0")) && !prefix("::/0").contains(prefix("10.0.0.0/8")))
    #expect(try prefix("2001:db8::/65").contains(#require(IPAddress("2001:db8::7fff:ffff:ffff:ffff"))))
    #expect(try !prefix("2001:db8::/65").contains(#require(IPAddress("2001:db8::8000:0:0:0"))))
  }

  @Test func `a covering prefix is sorted before what it covers`() throws {
    let texts = ["10.1.0.0/16", "::/0", "10.0.0.0/8", "9.0.0.0/8", "10.0.0.0/16", "0.0.0.0/0", "2001:db8::/32"]
    let sorted = try texts.map { try IPPrefix(parsing: $0) }.sorted().map(\.description)
    #expect(sorted == ["0.0.0.0/0", "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "::/0", "2001:db8::/32"])
  }

  @Test func `an EID-prefix is written with its instance, and sorted by it first`() throws {
    let low = EIDPrefix(try #require(InstanceID(7)), try IPPrefix(parsing: "10.1.0.0/16"))
    let high = EIDPrefix(try #require(InstanceID(10)), try IPPrefix(parsing: "10.0.0.0/8"))
    #expect(low.description == "[7]10.1.0.0/16")
    #expect(low < high && !(high < low))
    #expect(EIDPrefix(high.instanceID, low.prefix) > high)
  }
}
