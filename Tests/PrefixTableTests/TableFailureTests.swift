// SPDX-License-Identifier: Apache-2.0
//
// Memory that runs out in the middle of a change: the table is as it was, whatever was allocated before; and what a transaction has
// done can be taken back as a whole.

import Testing
import TestSupport
import Wire

@testable import PrefixTable

@Suite struct TableFailureTests {
  /// One change, by the dice.
  enum Change {
    case set(EIDPrefix, UInt32)
    case delete(EIDPrefix)

    init(_ source: inout HardPrefixes, _ present: [EIDPrefix: UInt32]) {
      if source.random.next() % 3 == 0, let victim = present.keys.sorted().randomElement(using: &source.random) {
        self = .delete(victim)
      } else {
        self = .set(source.prefix(), UInt32(source.random.next() >> 40) + 1)
      }
    }

    func make(in table: PrefixTable) throws(PrefixTableError) {
      switch self {
      case .set(let prefix, let value): try table.update(prefix, value: value)
      case .delete(let prefix): try table.delete(prefix)
      }
    }

    func make(in entries: inout [EIDPrefix: UInt32]) {
      switch self {
      case .set(let prefix, let value): entries[prefix] = value
      case .delete(let prefix): entries[prefix] = nil
      }
    }
  }

  /// With 511 prefixes below, the nodes of the first two octets are on the brink of being pages.
  @Test(arguments: [(1, 0), (2, 0), (3, 0), (4, 0), (5, 511), (6, 511)] as [(UInt64, UInt32)])
  func `an allocation that fails, at every step of a change, leaves the table as it was`(seed: UInt64, background: UInt32) throws {
    var source = HardPrefixes(seed: seed)
    let table = try PrefixTable()
    for i in 0..<background {
      let address = IPAddress.v4(IPv4Address(rawValue: 0x0A00_0000 | i << 13))
      try table.insert(EIDPrefix(.zero, IPPrefix(masking: address, length: 24)), value: i + 1)
    }
    var entries = table.allEntries
    var failures = 0
    for turn in 0..<250 {
      let change = Change(&source, entries)
      var steps = 0
      while true {
        table.writer.memory.allocationsUntilFailure = steps
        defer { table.writer.memory.allocationsUntilFailure = .max }
        do { try change.make(in: table) } catch {
          #expect(error == .full(byteLimit: 4 << 30))
          #expect(table.count == entries.count)
          if table.allEntries != entries { Issue.record("seed \(seed), turn \(turn), step \(steps): \(change) has left something") }
          if turn % 25 == 0 { #expect(table.checkInvariants() == [], "seed \(seed), turn \(turn), step \(steps)") }
          failures += 1
          steps += 1
          continue
        }
        break
      }
      change.make(in: &entries)
      #expect(table.allEntries == entries)
      // Transactions of one change and of two.
      if turn % 3 != 0 { PrefixTableTests.publish(table, epoch: UInt64(turn + 2)) }
      if turn % 25 == 0 { #expect(table.checkInvariants() == [], "seed \(seed), turn \(turn)") }
    }
    #expect(failures > 300, "most changes allocate more than once")
  }

  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func `a rollback takes back all changes since the last commit, and their memory`(seed: UInt64) throws {
    var source = HardPrefixes(seed: seed ^ 0xBAC)
    let table = try PrefixTable()
    var entries: [EIDPrefix: UInt32] = [:]
    for turn in 0..<60 {
      let before = (entries: entries, bytes: table.byteCounts.used)
      for _ in 0..<Int(source.random.next() % 40) {
        let change = Change(&source, entries)
        try change.make(in: table)
        change.make(in: &entries)
      }
      if turn % 2 == 0 {
        table.rollback()
        entries = before.entries
        #expect(table.byteCounts.used == before.bytes)
      } else {
        PrefixTableTests.publish(table, epoch: UInt64(turn + 2))
      }
      #expect(table.allEntries == entries && table.count == entries.count)
      #expect(table.checkInvariants() == [], "seed \(seed), turn \(turn)")
    }
  }

  @Test func `what a transaction took out and a rollback brought back is not retired`() throws {
    let table = try PrefixTable()
    try table.insert(PrefixTableTests.prefix("10.0.0.0/8"), value: 1)
    PrefixTableTests.publish(table, epoch: 2)
    try table.delete(PrefixTableTests.prefix("10.0.0.0/8"))
    table.rollback()
    let view = PrefixTableTests.publish(table, epoch: 3)
    for i in 0..<40 { try table.insert(PrefixTableTests.prefix("11.\(i).0.0/16"), value: 9) }
    #expect(view.lookup(try PrefixTableTests.address("10.0.0.1"), .zero) == 1)
  }
}
