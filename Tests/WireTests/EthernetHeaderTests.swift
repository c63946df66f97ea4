// SPDX-License-Identifier: Apache-2.0
//
// Ethernet headers with and without a tag.

import Testing
import Wire

@Suite struct EthernetHeaderTests {
  let destination = MACAddress(rawValue: 0x0200_0000_0001)
  let source = MACAddress(rawValue: 0x0200_0000_0002)

  @Test func `an untagged header has 14 octets`() throws {
    let header = EthernetHeader(destination: destination, source: source, etherType: .ipv6)
    #expect(header.array == [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xDD])
    #expect(header.byteCount == 14)
    try reading(header.array) { bytes in
      #expect(try EthernetHeader(parsing: bytes) == header)
      let view = try #require(EthernetView(bytes))
      #expect(view.payloadOffset == 14 && view.vlan == 0 && view.etherType == 0x86DD)
    }
  }

  @Test func `a tagged header has 18 octets, and the type is the one behind the tag`() throws {
    let header = EthernetHeader(destination: destination, source: source, vlan: VLANID(rawValue: 0x123), etherType: .ipv4)
    #expect(header.array == [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x01, 0x23, 0x08, 0])
    #expect(header.byteCount == 18)
    try reading(header.array) { bytes in
      #expect(try EthernetHeader(parsing: bytes) == header)
      let view = try #require(EthernetView(bytes))
      #expect(view.payloadOffset == 18 && view.vlan == 0x123 && view.etherType == 0x0800)
    }
  }

  @Test func `priority and drop bits are not part of the identifier`() throws {
    var octets = EthernetHeader(destination: destination, source: source, vlan: VLANID(rawValue: 1), etherType: .ipv4).array
    octets[14] = 0xF0
    #expect(reading(octets) { EthernetView($0)?.vlan } == 1)
    octets[15] = 0  // a priority tag: identifier 0
    #expect(reading(octets) { EthernetView($0)?.vlan } == 0)
    #expect(reading(octets) { EthernetView($0)?.payloadOffset } == 18)
  }

  @Test func `every truncation is refused`() throws {
    for header in [
      EthernetHeader(destination: destination, source: source, etherType: .ipv4),
      EthernetHeader(destination: destination, source: source, vlan: VLANID(rawValue: 5), etherType: .ipv4),
    ] {
      for length in 0..<header.byteCount {
        let needed = length >= 14 ? 18 : 14
        reading(Array(header.array.prefix(length))) { bytes in
          #expect(EthernetView(bytes) == nil)
          #expect(throws: WireError.truncated(.ethernet, needed: needed, available: length)) { try EthernetHeader(parsing: bytes) }
        }
      }
    }
  }

  @Test func `a VLAN identifier is 1 to 4094`() {
    for value in [1, 2, 4093, 4094] as [UInt16] { #expect(VLANID(rawValue: value)?.rawValue == value) }
    for value in [0, 4095, 4096, .max] as [UInt16] { #expect(VLANID(rawValue: value) == nil) }
  }

  @Test func `a second tag is not looked behind`() throws {
    var octets = EthernetHeader(destination: destination, source: source, vlan: VLANID(rawValue: 5), etherType: .vlan).array
    octets += [0, 6, 8, 0]
    #expect(reading(octets) { EthernetView($0)?.etherType } == 0x8100)
    octets[12] = 0x88
    octets[13] = 0xA8
    #expect(reading(octets) { EthernetView($0)?.etherType } == 0x88A8)
    #expect(reading(octets) { EthernetView($0)?.payloadOffset } == 14)
  }

  @Test func `octets of numbers are most significant first`() {
    #expect((0x0102_0304 as UInt32).octets == [1, 2, 3, 4])
    #expect((0x0102 as UInt16).octets == [1, 2])
    #expect((0xFF as UInt8).octets == [0xFF])
    #expect((0x0102_0304_0506_0708 as UInt64).octets == [1, 2, 3, 4, 5, 6, 7, 8])
  }
}
