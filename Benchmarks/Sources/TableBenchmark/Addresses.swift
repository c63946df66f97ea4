// SPDX-License-Identifier: Apache-2.0
//
// The addresses that are looked up: random ones inside prefixes, which are picked all alike or by Zipf's law.

import Glibc
import Measuring
import Wire

/// How often a prefix is picked.
enum Popularity {
  case uniform
  /// The k-th most popular one 1/k as often as the first; which is which is by lot.
  case zipf
}

/// As many of each family, in the byte order that each table wants.
struct Addresses {
  static let count = 1 << 20

  /// In host byte order (DPDK), and as they lie in a packet.
  var ipv4: [UInt32] = []
  var wireIPv4: [UInt32] = []
  /// As they lie in a packet, 16 octets.
  var wireIPv6: [(UInt64, UInt64)] = []

  init(_ prefixes: Prefixes, _ popularity: Popularity, seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for i in Self.picks(prefixes.ipv4.count, popularity, &random) {
      let address = UInt32(Self.inside(prefixes.ipv4[i], &random).high >> 32)
      ipv4.append(address)
      wireIPv4.append(address.bigEndian)
    }
    for i in Self.picks(prefixes.ipv6.count, popularity, &random) {
      let address = Self.inside(prefixes.ipv6[i], &random)
      wireIPv6.append((address.high.bigEndian, address.low.bigEndian))
    }
  }

  func withPointers(_ body: (UnsafePointer<UInt32>, UnsafePointer<UInt32>, UnsafePointer<(UInt64, UInt64)>) -> Void) {
    body(ipv4, wireIPv4, wireIPv6)
  }

  private static func picks(_ prefixCount: Int, _ popularity: Popularity, _ random: inout SplitMix64) -> [Int] {
    guard case .zipf = popularity else { return (0..<count).map { _ in Int(random.next() % UInt64(prefixCount)) } }
    var sums: [Double] = []
    var sum = 0.0
    for rank in 1...prefixCount {
      sum += 1 / Double(rank)
      sums.append(sum)
    }
    let order = (0..<prefixCount).shuffled(using: &random)
    return (0..<count).map { _ in
      let point = Double(random.next() >> 11) * 0x1p-53 * sum
      var (low, high) = (0, prefixCount - 1)
      while low < high {
        let middle = (low + high) / 2
        if sums[middle] < point { low = middle + 1 } else { high = middle }
      }
      return order[low]
    }
  }

  private static func inside(_ prefix: IPPrefix, _ random: inout SplitMix64) -> (high: UInt64, low: UInt64) {
    let bits = prefix.address.leftAligned
    let hostHigh: UInt64 = prefix.length >= 64 ? 0 : .max >> UInt64(prefix.length)
    let hostLow: UInt64 = prefix.length <= 64 ? .max : prefix.length == 128 ? 0 : .max >> UInt64(prefix.length - 64)
    return (bits.high | random.next() & hostHigh, bits.low | random.next() & hostLow)
  }
}
