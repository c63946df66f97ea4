// SPDX-License-Identifier: Apache-2.0
//
// The fast parser and writer of addresses against Wire's, which are the oracle.

import TestSupport
import Testing
import Wire

@testable import ControlAPI

@Suite struct AddressTextTests {
  private func prefix(_ text: String) -> IPPrefix? {
    let bytes = Array("\"\(text)\"".utf8)
    var parser = AddressText(bytes, 1..<bytes.count - 1)
    return parser.prefix()
  }

  private func address(_ text: String) -> IPAddress? {
    let bytes = Array("\"\(text)\"".utf8)
    var parser = AddressText(bytes, 1..<bytes.count - 1)
    return parser.address()
  }

  private func agrees(_ text: String) -> Bool {
    prefix(text) == (try? IPPrefix(parsing: text)) && address(text) == IPAddress(text)
  }

  @Test(arguments: [
    "0.0.0.0/0", "255.255.255.255/32", "10.0.0.0/8", "10.0.0.0", "01.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1..2.3", ".1.2.3",
    "1.2.3.4/",
    "1.2.3.4/33", "1.2.3.4/32x", "1.2.3.4/-1", "1.2.3.4//32", "10.0.0.1/8", "::", "::/0", "::1", "1::", "::1/128", "2001:db8::/32",
    "2001:db8::1/32", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7::", "::1:2:3:4:5:6:7", "::1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7:8::", "1::2::3", ":::", ":1", "1:", "1:2:3:4:5:6:7:", "12345::", "g::", "::ffff:192.0.2.1", "1:2:3:4:5:6:1.2.3.4",
    "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", "::1.2.3.4:5", "::1.2.3", "fe80::1%eth0", "FE80::A", "::/129", "::/", "/24", "", "1::/16",
    "1:2::3:4:5:6:7", "1:2::3:4:5:6:7:8", "10.1.0.0/024", "10.1.0.0/24 ",
  ])
  func `what Wire reads is read, what Wire refuses is refused`(text: String) {
    #expect(prefix(text) == (try? IPPrefix(parsing: text)))
    #expect(address(text) == IPAddress(text))
  }

  @Test func `random texts are read as Wire reads them`() {
    let seed: UInt64 = 0x5EED_0040
    var random = SplitMix64(seed: seed)
    let alphabet = Array("0123456789abcdefF:./:::...1200")
    for _ in 0..<50_000 {
      let text = String((0..<Int.random(in: 1...18, using: &random)).compactMap { _ in alphabet.randomElement(using: &random) })
      #expect(agrees(text), "\(text), seed \(seed)")
    }
  }

  @Test func `random prefixes are written as Wire writes them, and read back`() {
    let seed: UInt64 = 0x5EED_0041
    var random = SplitMix64(seed: seed)
    for _ in 0..<20_000 {
      var prefix = random.eid().prefix
      if case .v6(let v6) = prefix.address {
        // Zero groups here and there, for "::".
        let keep = (0..<4).reduce(UInt64(0)) { mask, group in Bool.random(using: &random) ? mask : mask | 0xFFFF << UInt64(16 * group) }
        prefix = IPPrefix(masking: .v6(IPv6Address(high: v6.high & keep, low: v6.low & ~keep)), length: prefix.length)
      }
      var writer = JSONWriter()
      writer.prefix(prefix)
      let text = String(decoding: writer.bytes, as: UTF8.self)
      #expect(text == "\"\(prefix)\"", "seed \(seed)")
      #expect(self.prefix(String(text.dropFirst().dropLast())) == prefix, "seed \(seed)")
      #expect(agrees(prefix.description), "\(prefix), seed \(seed)")
    }
  }
}
