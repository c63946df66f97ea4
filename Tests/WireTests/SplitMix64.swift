// SPDX-License-Identifier: Apache-2.0
//
// The seeded random numbers of this folder's tests (Steele, Lea, Flood: SplitMix), and packets in memory that ends where they
// end. A failing test prints its seed.

import Wire

/// Same seed, same numbers.
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  mutating func octets(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}

/// Runs `body` on a copy of `octets`, and returns what it returns and what the octets became.
@discardableResult
func onPacket<R>(_ octets: [UInt8], _ body: (PacketBytes) throws -> R) rethrows -> (result: R, octets: [UInt8]) {
  let buffer = PacketBuffer(octets)
  let result = try body(buffer.bytes)
  return (result, buffer.bytes.array)
}

/// The same for those who only read.
@discardableResult
func reading<R>(_ octets: [UInt8], _ body: (PacketBytes) throws -> R) rethrows -> R { try onPacket(octets, body).result }

/// The Internet checksum as RFC 1071 section 4.1 tells it, word by word: the oracle of the checksum tests.
func plainChecksum(_ octets: [UInt8]) -> UInt16 {
  var sum: UInt32 = 0
  for i in stride(from: 0, to: octets.count, by: 2) {
    sum += UInt32(octets[i]) << 8 | (i + 1 < octets.count ? UInt32(octets[i + 1]) : 0)
    if sum > 0xFFFF { sum = (sum & 0xFFFF) + 1 }
  }
  return ~UInt16(sum)
}
