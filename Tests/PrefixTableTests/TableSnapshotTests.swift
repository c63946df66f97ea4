// SPDX-License-Identifier: Apache-2.0
//
// Snapshots: a version that stays while changes go on; and the order of entries.

import Testing
import TestSupport
import Wire

@testable import PrefixTable

@Suite struct TableSnapshotTests {
  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func `entries come in order: instance, family, address, shorter prefixes first`(seed: UInt64) throws {
    var source = HardPrefixes(seed: seed)
    let table = try PrefixTable()
    var entries: [EIDPrefix: UInt32] = [:]
    for i in 0..<300 {
      let prefix = source.prefix()
      try table.update(prefix, value: UInt32(i + 1))
      entries[prefix] = UInt32(i + 1)
    }
    _ = table.commit()
    let listed = Array(table.snapshot())
    #expect(listed.map(\.prefix) == entries.keys.sorted())
    #expect(listed.allSatisfy { entries[$0.prefix] == $0.value })
    #expect(table.snapshot().count == entries.count)
  }

  @Test func `a snapshot shows the last commit, not the open transaction, and stays as it is`() throws {
    let table = try PrefixTable()
    for i in 0..<200 { try table.insert(PrefixTableTests.prefix("10.0.\(i).0/24"), value: UInt32(i + 1)) }
    PrefixTableTests.publish(table, epoch: 2)
    try table.insert(PrefixTableTests.prefix("11.0.0.0/8"), value: 7)
    let snapshot = table.snapshot()
    #expect(snapshot.count == 200)
    var epoch: UInt64 = 3
    for i in 0..<200 {
      try table.delete(PrefixTableTests.prefix("10.0.\(i).0/24"))
      PrefixTableTests.publish(table, epoch: epoch)
      epoch += 1
    }
    #expect(table.count == 1)
    #expect(snapshot.map(\.value) == (1...200).map { UInt32($0) })
    #expect(snapshot.view.lookup(try PrefixTableTests.address("10.0.99.1"), .zero) == 100)
    #expect(table.checkInvariants() == [])
  }

  @Test func `what only a snapshot reaches is freed when the last of them is gone`() throws {
    let table = try PrefixTable()
    for i in 0..<200 { try table.insert(PrefixTableTests.prefix("10.0.\(i).0/24"), value: UInt32(i + 1)) }
    PrefixTableTests.publish(table, epoch: 2)
    var snapshots = [table.snapshot(), table.snapshot()]
    for i in 0..<200 { try table.delete(PrefixTableTests.prefix("10.0.\(i).0/24")) }
    PrefixTableTests.publish(table, epoch: 3)
    #expect(table.byteCounts.used > 0)
    snapshots.removeLast()
    table.reclaim(oldest: 3)
    #expect(table.byteCounts.used > 0 && snapshots[0].reduce(0) { $0 + ($1.value == 0 ? 0 : 1) } == 200)
    snapshots.removeLast()
    table.reclaim(oldest: 3)
    #expect(table.byteCounts.used == 0)
  }

  @Test func `a snapshot outlives the table`() throws {
    func made() throws -> TableSnapshot {
      let table = try PrefixTable()
      try table.insert(PrefixTableTests.prefix("2001:db8::/32"), value: 5)
      _ = table.commit()
      return table.snapshot()
    }
    let snapshot = try made()
    #expect(snapshot.map(\.value) == [5])
  }

  @Test func `an empty table has no entries`() throws {
    #expect(Array(try PrefixTable().snapshot()).isEmpty)
  }
}
