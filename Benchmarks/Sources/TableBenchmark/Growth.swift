// SPDX-License-Identifier: Apache-2.0
//
// What a lookup and a prefix cost as the table grows: random prefixes, from one to ten million.

import Measuring
import Wire

struct GrowthPoint {
  var prefixCount: Int
  var nanosecondsPerLookup: Double
  var nanosecondsPerInsertion: Double
  var bytesPerPrefix: Double
}

enum Growth {
  static let counts = [1, 10, 100, 1000, 10000, 100_000, 1_000_000, 10_000_000]

  static func measure(_ family: AddressFamily, _ count: Int, rounds: Int) throws -> GrowthPoint {
    var prefixes = Prefixes(random: count, seed: UInt64(count))
    let addresses = Addresses(prefixes, .uniform, seed: 7)
    switch family {
    case .ipv4: prefixes.ipv6 = []
    case .ipv6: prefixes.ipv4 = []
    }
    var ours = try OurTable(prefixes)
    var samples: [Double] = []
    for _ in 0..<rounds {
      let start = now()
      switch family {
      case .ipv4: _ = ours.lookUp(ipv4: addresses.wireIPv4, count: Addresses.count)
      case .ipv6: _ = ours.lookUp(ipv6: addresses.wireIPv6, count: Addresses.count)
      }
      samples.append(Double(now() - start) / Double(Addresses.count))
    }
    return GrowthPoint(
      prefixCount: ours.table.count, nanosecondsPerLookup: Timing(samples).minimum,
      nanosecondsPerInsertion: ours.loadSeconds * 1e9 / Double(count),
      bytesPerPrefix: Double(Memory.total(ours.table)) / Double(ours.table.count))
  }
}
