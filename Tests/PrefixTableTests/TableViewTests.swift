// SPDX-License-Identifier: Apache-2.0
//
// Lookups that say how far their answer reaches.

import PrefixTable
import TestSupport
import Testing
import Wire

@Suite struct TableViewTests {
  /// Every address that shares the said bits has the same answer: tried at the borders, beside every entry and at random.
  @Test func `lookupRange answers as lookup does, and its range holds no other answer`() throws {
    for seed in 1...6 as ClosedRange<UInt64> {
      var source = HardPrefixes(seed: 30 + seed)
      let table = try PrefixTable(nodeCapacity: 1 << 13)
      for i in 0..<120 { try table.update(source.prefix(), value: UInt32(i + 1)) }
      let view = table.commit()
      let entries = table.allEntries.keys
      for _ in 0..<60 {
        let (address, instance) = (source.address(), source.instance())
        let roots = view.instance(instance.rawValue)
        let bits = address.leftAligned
        let (value, bitCount) = view.lookupRange(
          address.family == .ipv4 ? roots.ipv4 : roots.ipv6, high: bits.high, low: bits.low)
        #expect(value == view.lookup(address, instance))
        #expect((1...address.family.bitWidth).contains(bitCount))
        let range = IPPrefix(masking: address, length: bitCount)
        var inside = HardPrefixes.borders(range).prefix(2) + [address]
        for entry in entries where entry.instanceID == instance && entry.prefix.family == address.family {
          inside += HardPrefixes.borders(entry.prefix).filter { range.contains($0) }
        }
        for other in inside where view.lookup(other, instance) != value {
          Issue.record(
            "seed \(30 + seed): [\(instance)]\(address)/\(bitCount) is \(value), but \(other) is \(view.lookup(other, instance))")
        }
      }
    }
  }

  @Test func `the range of a miss in an unknown instance is the first octet`() throws {
    let table = try PrefixTable(nodeCapacity: 64)
    #expect(table.view.lookupRange(0, high: .max, low: .max) == (0, 8))
  }
}
