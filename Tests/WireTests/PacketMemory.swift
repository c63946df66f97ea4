// SPDX-License-Identifier: Apache-2.0
//
// Packets in memory that ends where they end, and a checksum by the book: for all suites of this folder.

import Wire

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
