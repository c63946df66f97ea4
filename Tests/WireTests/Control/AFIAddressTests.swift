// SPDX-License-Identifier: Apache-2.0
//
// Addresses with their families, octet by octet.

import TestSupport
import Testing

@testable import Wire

@Suite struct AFIAddressTests {
  private static let cases: [(String, AFIAddress, String)] = [
    ("0000", .none, "none"),
    ("0001 c0000201", .ip(.v4(IPv4Address(192, 0, 2, 1))), "192.0.2.1"),
    ("0002 20010db8000000000000000000000001", .ip(.v6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 1))), "2001:db8::1"),
    ("0006 02004c4f4f50", .mac(MACAddress(rawValue: 0x0200_4C4F_4F50)), "02:00:4c:4f:4f:50"),
    ("0011 61622d31 00", .name(Array("ab-1".utf8)), "\"ab-1\""),
    ("0011 00", .name([]), "\"\""),
  ]

  @Test func `each family has its number and its length`() throws {
    for (hexadecimal, address, text) in Self.cases {
      var reader = ControlReader(octets(hexadecimal))
      #expect(try AFIAddress(parsing: &reader) == address)
      #expect(reader.remaining == 0 && address.description == text)
      var writer = ControlWriter()
      address.emit(into: &writer)
      #expect(writer.bytes == octets(hexadecimal))
    }
  }

  @Test func `C10 every truncation is refused`() {
    for (hexadecimal, _, _) in Self.cases {
      let bytes = octets(hexadecimal)
      for length in 0..<bytes.count {
        var reader = ControlReader(Array(bytes.prefix(length)))
        let error = #expect(throws: WireError.self) { try AFIAddress(parsing: &reader) }
        guard case .truncated(.address, let needed, let available) = error else {
          Issue.record("\(String(describing: error))")
          continue
        }
        #expect(needed > available)
      }
    }
  }

  @Test func `C10 a family that we do not know is refused, for its length is not known`() {
    for family: UInt16 in [3, 5, 16, 18, 7680, 16386, 16388, 65535] {
      var reader = ControlReader([UInt8(family >> 8), UInt8(family & 0xFF)] + Array(repeating: 0, count: 20))
      #expect(throws: WireError.invalid(.address, field: "AFI", value: UInt64(family))) { try AFIAddress(parsing: &reader) }
    }
  }

  @Test func `an address in an instance is an LCAF, in the default instance it is plain`() throws {
    let address = IPAddress.v4(IPv4Address(10, 0, 0, 1))
    let instance = try #require(InstanceID(77))
    #expect(AFIAddress(address, in: .zero) == .ip(address))
    #expect(AFIAddress(address, in: instance) == .lcaf(LCAF(.instanceID(77, .ip(address)))))
    #expect(AFIAddress(address, in: instance).ipInInstance?.instance == instance)
    #expect(AFIAddress.name([97]).ipInInstance == nil && AFIAddress.none.ipInInstance == nil)
  }

  @Test func `a locator's address is the first in a list, none in a path`() {
    let address = IPAddress.v4(IPv4Address(10, 0, 0, 1))
    #expect(AFIAddress.ip(address).locatorIP == address)
    #expect(AFIAddress.lcaf(LCAF(.list([.name([97]), .lcaf(LCAF(.json([], .ip(address))))]))).locatorIP == address)
    #expect(AFIAddress.lcaf(LCAF(.list([]))).locatorIP == nil)
    #expect(AFIAddress.lcaf(LCAF(.explicitPath([LCAF.Hop(.ip(address))]))).locatorIP == nil)
    #expect(AFIAddress.mac(MACAddress(rawValue: 1)).locatorIP == nil)
  }
}
