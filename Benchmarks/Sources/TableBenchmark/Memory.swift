// SPDX-License-Identifier: Apache-2.0
//
// What does not show in one lookup: holes after millions of changes, and what a small instance costs.

import Measuring
import PrefixTable
import Wire

enum Memory {
  /// `PrefixTable.byteCounts`.
  typealias Bytes = (used: Int, free: Int, states: Int)

  /// All the memory that the table takes.
  static func total(_ table: PrefixTable) -> Int { table.byteCounts.used + table.byteCounts.free + table.byteCounts.states }

  /// Takes prefixes out and puts them in again, `count` changes in transactions of 100; then the table holds what it held before.
  static func churn(_ table: PrefixTable, _ prefixes: Prefixes, count: Int) throws -> (before: Bytes, after: Bytes) {
    var random = SplitMix64(seed: 0xF4A6)
    let all = (prefixes.ipv4 + prefixes.ipv6).map { EIDPrefix(.zero, $0) }
    var isThere = [Bool](repeating: true, count: all.count)
    var epoch: UInt64 = 1
    func publish() {
      _ = table.commit()
      epoch += 1
      table.retire(epoch: epoch)
      table.reclaim(oldest: epoch)
    }
    publish()
    let before = table.byteCounts
    for change in 0..<count {
      if change % 1_000_000 == 0 { progress("\(change) of \(count) changes") }
      let i = Int(random.next() % UInt64(all.count))
      if isThere[i] { try table.delete(all[i]) } else { try table.insert(all[i], value: UInt32(i + 1)) }
      isThere[i].toggle()
      if change % 100 == 0 { publish() }
    }
    progress("")
    for (missing, i) in all.indices.filter({ !isThere[$0] }).enumerated() {
      try table.insert(all[i], value: UInt32(i + 1))
      if missing % 100 == 0 { publish() }
    }
    publish()
    return (before, table.byteCounts)
  }

  /// Bytes per instance: `count` of them, scattered over all instance IDs, each with five IPv4 prefixes of 24 bits and five IPv6
  /// prefixes of 48, none near another.
  static func instances(_ count: Int) throws -> Double {
    var random = SplitMix64(seed: 0x115)
    let table = try PrefixTable()
    var instances = Set<InstanceID>()
    while instances.count < count { instances.insert(InstanceID(truncating: UInt32(truncatingIfNeeded: random.next()))) }
    for instance in instances {
      for i in 0..<5 as Range<UInt32> {
        let ipv4 = IPAddress.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next())))
        let ipv6 = IPAddress.v6(IPv6Address(high: 0xFD00_0000_0000_0000 | random.next() >> 8, low: 0))
        try table.update(EIDPrefix(instance, IPPrefix(masking: ipv4, length: 24)), value: i + 1)
        try table.update(EIDPrefix(instance, IPPrefix(masking: ipv6, length: 48)), value: i + 1)
      }
    }
    _ = table.commit()
    return Double(total(table)) / Double(count)
  }
}
