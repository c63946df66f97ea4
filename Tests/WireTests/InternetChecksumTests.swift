// SPDX-License-Identifier: Apache-2.0
//
// The Internet checksum against RFC 1071's example, a word-by-word oracle, and full recomputation.

import TestSupport
import Testing
import Wire

@Suite struct InternetChecksumTests {
  @Test func `RFC 1071's example`() {
    let octets: [UInt8] = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]
    let sum = reading(octets) { bytes in
      var sum = InternetChecksum()
      sum.add(bytes)
      return sum
    }
    #expect(sum.folded == 0xDDF2)
    #expect(sum.checksum == ~0xDDF2)
    #expect(plainChecksum(octets) == ~0xDDF2)
  }

  @Test func `every length, odd ones included, sums as the oracle does`() {
    var random = SplitMix64(seed: 6)
    for length in 0...130 {
      for fill in [nil, 0x00, 0xFF] as [UInt8?] {
        let octets = fill.map { Array(repeating: $0, count: length) } ?? random.octets(length)
        let checksum = reading(octets) { bytes in
          var sum = InternetChecksum()
          sum.add(bytes)
          return sum.checksum
        }
        #expect(checksum == plainChecksum(octets), "length \(length)")
      }
    }
  }

  @Test func `the largest datagram of the largest words does not overflow`() {
    let octets = Array(repeating: UInt8(0xFF), count: 65535)
    let folded = reading(octets) { bytes in
      var sum = InternetChecksum(.max)
      sum.add(bytes)
      return sum.folded
    }
    // 0xFFFF (the start) + 32767 × 0xFFFF + 0xFF00, in ones' complement.
    #expect(folded == 0xFF00)
  }

  @Test func `words, double words and addresses are the same sum as their octets`() throws {
    var random = SplitMix64(seed: 7)
    for _ in 0..<500 {
      let word = UInt16(truncatingIfNeeded: random.next())
      let double = UInt32(truncatingIfNeeded: random.next())
      let v4 = IPAddress.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next())))
      let v6 = IPAddress.v6(IPv6Address(high: random.next(), low: random.next()))
      var sum = InternetChecksum()
      sum.add(word)
      sum.add(double)
      sum.add(v4)
      sum.add(v6)
      #expect(sum.checksum == plainChecksum(word.octets + double.octets + v4.octets + v6.octets))
    }
  }

  /// A header is never all zeros, so a full recomputation never gives 0xFFFF; neither must the update.
  @Test func `an incremental update equals full recomputation for every new word`() {
    var random = SplitMix64(seed: 8)
    for old in [0x0000, 0x0001, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, UInt16(truncatingIfNeeded: random.next())] {
      for rest in [0x0001, 0x4500, 0xFFFE, 0xFFFF, UInt16(truncatingIfNeeded: random.next()) | 1] {
        func checksum(_ word: UInt16) -> UInt16 {
          var sum = InternetChecksum()
          sum.add(rest)
          sum.add(word)
          return sum.checksum
        }
        let before = checksum(old)
        var wrong: [UInt16] = []
        for new in UInt16.min...UInt16.max where InternetChecksum.updated(before, from: old, to: new) != checksum(new) { wrong.append(new) }
        #expect(wrong.isEmpty, "rest \(rest), old \(old)")
      }
    }
  }

  @Test func `a UDP checksum over either pseudo-header verifies to 0`() throws {
    var random = SplitMix64(seed: 9)
    for length in [8, 9, 10, 11, 64, 1001] {
      for (source, destination) in [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8:2::2")] {
        let (source, destination) = (try #require(IPAddress(source)), try #require(IPAddress(destination)))
        var datagram = random.octets(length)
        datagram.replaceSubrange(4..<8, with: UInt16(length).octets + [0, 0])
        let pseudo =
          source.octets + destination.octets + (source.family == .ipv4 ? [0, 17] : [])
          + (source.family == .ipv4 ? UInt16(length).octets : UInt32(length).octets)
          + (source.family == .ipv6 ? [0, 0, 0, 17] : [])
        let checksum = reading(datagram) { InternetChecksum.udp(source: source, destination: destination, datagram: $0) }
        #expect(checksum == plainChecksum(pseudo + datagram))
        datagram.replaceSubrange(6..<8, with: checksum.octets)
        #expect(reading(datagram) { InternetChecksum.udp(source: source, destination: destination, datagram: $0) } == 0)
        datagram[0] ^= 1
        #expect(reading(datagram) { InternetChecksum.udp(source: source, destination: destination, datagram: $0) } != 0)
      }
    }
  }
}
