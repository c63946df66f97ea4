// SPDX-License-Identifier: Apache-2.0
//
// Ethernet addresses.

import TestSupport
import Testing
import Wire

@Suite struct MACAddressTests {
  @Test func `six pairs of digits are read and written`() {
    #expect(MACAddress("02:00:5E:10:00:Ff") == MACAddress(rawValue: 0x0200_5E10_00FF))
    #expect(MACAddress(rawValue: 0x0200_5E10_00FF).description == "02:00:5e:10:00:ff")
    #expect(MACAddress(rawValue: 0xFFFF_0200_5E10_00FF).rawValue == 0x0200_5E10_00FF)
  }

  @Test(arguments: [
    "", ":", "02:00:5e:10:00", "02:00:5e:10:00:ff:", ":02:00:5e:10:00:ff", "02:00:5e:10:00:ff:00", "2:0:5e:10:0:ff", "02-00-5e-10-00-ff",
    "02005e1000ff", "02:00:5e:10:00:fg", "02:00:5e:10:00:+1", "02:00:5e:10:00:-0", "02:00:5e:10:00: 1", "02:00:5e:10:00:１",
  ])
  func `anything else is refused`(text: String) { #expect(MACAddress(text) == nil) }

  @Test func `random addresses survive text and octets`() {
    var random = SplitMix64(seed: 4)
    for _ in 0..<1000 {
      let address = MACAddress(rawValue: random.next())
      #expect(MACAddress(address.description) == address)
      #expect(MACAddress(octets: address.octets) == address)
      #expect(address.isMulticast == (address.octets[0] & 1 == 1))
    }
    for count in 0...8 where count != 6 { #expect(MACAddress(octets: Array(repeating: UInt8(0), count: count)) == nil) }
  }
}
