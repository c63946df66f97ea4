// SPDX-License-Identifier: Apache-2.0
//
// What entries cost, and that memory comes back: host routes, many small instances, large nodes, changes without end.

import Foundation
import Testing
import TestSupport
import Wire

@testable import PrefixTable

@Suite struct TableMemoryTests {
  @Test func `host routes far apart cost 32 bytes each, and a share of the nodes above them`() throws {
    var random = SplitMix64(seed: 31)
    let table = try PrefixTable()
    let count = 3000
    for i in 0..<count {
      let ipv4 = IPAddress.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next())))
      let ipv6 = IPAddress.v6(IPv6Address(high: 0x2001_0DB8_0000_0000 | random.next() >> 32, low: random.next()))
      try table.update(EIDPrefix(.zero, IPPrefix(host: ipv4)), value: UInt32(i + 1))
      try table.update(EIDPrefix(.zero, IPPrefix(host: ipv6)), value: UInt32(i + 1))
    }
    _ = table.commit()
    #expect(table.byteCounts.used / (2 * count) < 80)
    #expect(table.checkInvariants() == [])
  }

  @Test func `the hosts of one LAN cost a few bytes each`() throws {
    let table = try PrefixTable()
    for i in 0..<250 {
      let host = IPAddress.v6(IPv6Address(high: 0x2001_0DB8_0001_0001, low: UInt64(i)))
      try table.insert(EIDPrefix(.zero, IPPrefix(host: host)), value: UInt32(i + 1))
      try table.insert(EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(rawValue: 0x0A01_0100 + UInt32(i))))), value: UInt32(i + 1))
    }
    _ = table.commit()
    #expect(table.byteCounts.used / 500 < 8)
  }

  /// `make bench` does the same with 100,000 instances.
  @Test func `instances of ten prefixes, scattered over all instance IDs, cost less than 1 KB each`() throws {
    var random = SplitMix64(seed: 32)
    let table = try PrefixTable()
    let count = 3000
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
    #expect(table.byteCounts.used / count <= 1000)
    #expect(table.checkInvariants() == [])
  }

  @Test func `large nodes become pages and pages become nodes, whatever is asked of them meanwhile`() throws {
    var random = SplitMix64(seed: 33)
    let table = try PrefixTable()
    var plain = PlainTable()
    var batch = LookupBatch(capacity: 64)
    var prefixes: [EIDPrefix] = []
    var epoch: UInt64 = 1
    for turn in 0..<60 {
      // Around 512 prefixes, to and fro, most of them below one octet.
      let target = [450, 700, 505, 530, 1200, 100][turn % 6]
      while prefixes.count < target {
        let bits = random.next()
        let address: IPAddress =
          bits & 1 == 0
          ? .v4(IPv4Address(rawValue: 0x0A00_0000 | UInt32(truncatingIfNeeded: bits >> 32) >> (bits & 2 == 0 ? 8 : 0)))
          : .v6(IPv6Address(high: 0x2001_0000_0000_0000 | bits >> (bits & 2 == 0 ? 24 : 16), low: bits))
        let length = Int(random.next() % UInt64(min(address.family.bitWidth, 56) + 1))
        let prefix = EIDPrefix(.zero, IPPrefix(masking: address, length: length))
        guard plain[prefix] == nil else { continue }
        try table.insert(prefix, value: UInt32(bits >> 40) + 1)
        plain[prefix] = UInt32(bits >> 40) + 1
        prefixes.append(prefix)
      }
      prefixes.shuffle(using: &random)
      while prefixes.count > target {
        let prefix = prefixes.removeLast()
        try table.delete(prefix)
        plain[prefix] = nil
      }
      epoch += 1
      let view = PrefixTableTests.publish(table, epoch: epoch)
      #expect(table.checkInvariants() == [], "turn \(turn)")
      let questions = prefixes.prefix(16).flatMap { prefix in
        HardPrefixes.borders(prefix.prefix).map { (address: $0, instance: InstanceID.zero) }
      }
      for (question, answer) in zip(questions, view.lookup(questions, with: &batch)) {
        #expect(answer == plain.lookup(question.address, .zero), "turn \(turn), \(question.address)")
        #expect(view.lookup(question.address, .zero) == answer)
      }
    }
  }

  /// `make bench` does the same with ten million changes of the table of the Internet.
  @Test func `changes without end leave no holes`() throws {
    var random = SplitMix64(seed: 34)
    let table = try PrefixTable()
    var prefixes: [EIDPrefix] = []
    for i in 0..<4000 {
      let address = IPAddress.v4(IPv4Address(rawValue: 0x0A00_0000 | UInt32(truncatingIfNeeded: random.next()) >> 12))
      let prefix = EIDPrefix(.zero, IPPrefix(masking: address, length: 18 + Int(random.next() % 15)))
      try table.update(prefix, value: UInt32(i + 1))
      prefixes.append(prefix)
    }
    PrefixTableTests.publish(table, epoch: 2)
    let (entries, used) = (table.allEntries, table.byteCounts.used)
    for turn in 0..<100_000 {
      let prefix = prefixes[Int(random.next() % 4000)]
      if let value = table.value(for: prefix) {
        try table.delete(prefix)
        if turn % 2 == 0 { PrefixTableTests.publish(table, epoch: UInt64(turn + 3)) }
        try table.insert(prefix, value: value)
      }
      PrefixTableTests.publish(table, epoch: UInt64(turn + 3))
    }
    #expect(table.allEntries == entries)
    #expect(table.byteCounts.used == used, "the same contents take the same memory")
    #expect(table.byteCounts.free < used / 4)
    #expect(table.checkInvariants() == [])
  }

  @Test func `pages of the operating system come back when everything is deleted`() throws {
    let table = try PrefixTable()
    for i in 0..<400_000 as Range<UInt32> {
      try table.insert(EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(rawValue: i << 9)))), value: i + 1)
    }
    PrefixTableTests.publish(table, epoch: 2)
    let full = Self.residentBytes(table)
    for i in 0..<400_000 as Range<UInt32> {
      try table.delete(EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(rawValue: i << 9)))))
    }
    PrefixTableTests.publish(table, epoch: 3)
    #expect(table.byteCounts.used == 0)
    #expect(full > 12 << 20 && Self.residentBytes(table) < 1 << 20, "\(full) bytes before, \(Self.residentBytes(table)) after")
  }

  /// Of the table's blocks, from the kernel: of the first 64 MiB, which is more than any table here has touched.
  private static func residentBytes(_ table: PrefixTable) -> Int {
    let pageSize = 4096
    var isResident = [UInt8](repeating: 0, count: (64 << 20) / pageSize)
    guard mincore(table.writer.memory.memory.base, isResident.count * pageSize, &isResident) == 0 else { return -1 }
    return isResident.count { $0 & 1 != 0 } * pageSize
  }
}
