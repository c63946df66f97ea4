// SPDX-License-Identifier: Apache-2.0
//
// The prefix table against a plain list, under prefixes that are hard on a trie; transactions, refusals, memory.

import Foundation
import TestSupport
import Testing
import Wire

@testable import PrefixTable

@Suite struct PrefixTableTests {
  static func prefix(_ text: String, _ instance: UInt32 = 0) throws -> EIDPrefix {
    EIDPrefix(InstanceID(truncating: instance), try IPPrefix(parsing: text))
  }

  static func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

  /// What an owner does after a change when no reader is left behind.
  @discardableResult
  static func publish(_ table: PrefixTable, epoch: UInt64) -> TableView {
    let view = table.commit(mayPrecede: true)
    table.retire(epoch: epoch)
    table.reclaim(oldest: epoch)
    return view
  }

  // MARK: - Against the plain list

  /// `operations` changes in transactions of 1 to 64, a quarter of them of 1, every answer compared after each commit, invariants after each thousand.
  static func run(seed: UInt64, operations: Int) throws {
    let table = try PrefixTable()
    var plain = PlainTable()
    var source = HardPrefixes(seed: seed)
    var batch = LookupBatch(capacity: 64)
    var epoch: UInt64 = 1
    var done = 0
    var nextCheck = 1000
    // The table grows to 200 entries, then all of them go, in any order and among other changes; and again.
    var doomed: [EIDPrefix] = []
    while done < operations {
      var touched: [EIDPrefix] = []
      let size = source.random.next()
      for _ in 0..<(size % 4 == 0 ? 1 : Int(size / 4 % 64) + 1) {
        if doomed.isEmpty, plain.count >= 200 { doomed = plain.prefixes.shuffled(using: &source.random) }
        let deletes = !doomed.isEmpty && source.random.next() % 4 != 0
        let prefix = deletes ? doomed.removeLast() : source.prefix()
        touched.append(prefix)
        try change(table, &plain, prefix, deletes ? 7 : source.random.next())
        done += 1
      }
      epoch += 1
      let view = Self.publish(table, epoch: epoch)
      compare(view, plain, touched, &source, &batch, seed: seed)
      if done >= nextCheck {
        nextCheck += 1000
        let violations = table.checkInvariants()
        #expect(violations.isEmpty, "seed \(seed), \(done) operations")
        #expect(table.count == plain.count)
        guard violations.isEmpty else { return }
      }
    }
    for prefix in plain.prefixes { try table.delete(prefix) }
    Self.publish(table, epoch: epoch + 1)
    #expect(table.count == 0 && table.byteCounts.used == 0)
  }

  /// One change of the table and the same of the list: insertions, updates, deletions, by the dice.
  private static func change(_ table: PrefixTable, _ plain: inout PlainTable, _ prefix: EIDPrefix, _ dice: UInt64) throws {
    let value = UInt32(truncatingIfNeeded: dice >> 35) | 1
    let old = plain[prefix]
    switch dice % 8 {
    case 0:
      if old == nil {
        try table.insert(prefix, value: value)
      } else {
        #expect(throws: PrefixTableError.exists(prefix)) { try table.insert(prefix, value: value) }
      }
      plain[prefix] = old ?? value
    case 1...5:
      #expect(try table.update(prefix, value: value) == old)
      plain[prefix] = value
    default:
      if old == nil {
        let isKnown = plain.prefixes.contains { $0.instanceID == prefix.instanceID }
        let error = isKnown ? PrefixTableError.notFound(prefix) : .instanceUnknown(prefix.instanceID)
        #expect(throws: error) { try table.delete(prefix) }
      } else {
        #expect(try table.delete(prefix) == old)
      }
      plain[prefix] = nil
    }
  }

  private static func compare(
    _ view: TableView, _ plain: PlainTable, _ touched: [EIDPrefix], _ source: inout HardPrefixes, _ batch: inout LookupBatch, seed: UInt64
  ) {
    var questions: [(address: IPAddress, instance: InstanceID)] = []
    for prefix in touched.suffix(12) {
      for address in HardPrefixes.borders(prefix.prefix) { questions.append((address, prefix.instanceID)) }
    }
    while questions.count < 64 { questions.append((source.address(), source.instance())) }
    let batched = view.lookup(questions, with: &batch)
    for (question, answer) in zip(questions, batched) {
      let match = plain.match(question.address, question.instance)
      let expected = match?.value ?? 0
      let single = view.lookup(question.address, question.instance)
      let length = view.match(question.address, question.instance)?.length
      if answer != expected || single != expected || length != match?.length {
        Issue.record(
          "seed \(seed): [\(question.instance)]\(question.address): batched \(answer), single \(single), list \(expected); lengths \(length as Any), \(match?.length as Any)"
        )
      }
    }
  }

  /// XTR_TEST_EFFORT multiplies the operations, for a long run in release mode.
  static let effort = ProcessInfo.processInfo.environment["XTR_TEST_EFFORT"].flatMap { Int($0) } ?? 1

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func `2,000,000 random operations: single lookup = batched lookup = plain list`(seed: UInt64) throws {
    try Self.run(seed: seed, operations: 250_000 * Self.effort)
  }

  @Test func `every length of both families, nested in one another, answers at its borders`() throws {
    let table = try PrefixTable()
    var plain = PlainTable()
    let trunks = [try Self.address("170.170.170.170"), try Self.address("aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa")]
    for trunk in trunks {
      for length in 0...trunk.family.bitWidth {
        let prefix = EIDPrefix(.zero, IPPrefix(masking: trunk, length: length))
        try table.insert(prefix, value: UInt32(length + 1))
        plain[prefix] = UInt32(length + 1)
      }
    }
    var view = Self.publish(table, epoch: 2)
    func check() {
      for trunk in trunks {
        for length in 0...trunk.family.bitWidth {
          for address in HardPrefixes.borders(IPPrefix(masking: trunk, length: length)) {
            #expect(view.lookup(address, .zero) == plain.lookup(address, .zero), "\(address)")
          }
        }
      }
    }
    check()
    #expect(table.checkInvariants() == [])
    // Every second one goes, from the longest down: each leaves its places to the next shorter.
    for trunk in trunks {
      for length in stride(from: trunk.family.bitWidth, through: 0, by: -2) {
        let prefix = EIDPrefix(.zero, IPPrefix(masking: trunk, length: length))
        try table.delete(prefix)
        plain[prefix] = nil
      }
    }
    view = Self.publish(table, epoch: 3)
    check()
    #expect(table.checkInvariants() == [])
  }

  @Test func `a default route answers what nothing else covers, in its family only`() throws {
    let table = try PrefixTable()
    try table.insert(Self.prefix("0.0.0.0/0"), value: 1)
    try table.insert(Self.prefix("10.0.0.0/8"), value: 2)
    let view = table.commit()
    #expect(view.lookup(try Self.address("9.255.255.255"), .zero) == 1)
    #expect(view.lookup(try Self.address("10.0.0.0"), .zero) == 2)
    #expect(view.lookup(try Self.address("255.255.255.255"), .zero) == 1)
    #expect(view.lookup(try Self.address("::"), .zero) == 0)
    try table.delete(Self.prefix("0.0.0.0/0"))
    #expect(table.commit().lookup(try Self.address("9.255.255.255"), .zero) == 0)
    #expect(table.checkInvariants() == [])
  }

  @Test func `the order of insertion does not matter`() throws {
    var source = HardPrefixes(seed: 9)
    let prefixes = Array(Set((0..<150).map { _ in source.prefix() }))
    let one = try PrefixTable()
    let other = try PrefixTable()
    for (i, prefix) in prefixes.enumerated() { try one.insert(prefix, value: UInt32(i + 1)) }
    for (i, prefix) in prefixes.enumerated().reversed() { try other.insert(prefix, value: UInt32(i + 1)) }
    let (a, b) = (one.commit(), other.commit())
    for _ in 0..<3000 {
      let (address, instance) = (source.address(), source.instance())
      #expect(a.lookup(address, instance) == b.lookup(address, instance))
    }
    #expect(one.byteCounts.used == other.byteCounts.used)
    #expect(one.allEntries == other.allEntries)
  }

  // MARK: - Instances

  @Test func `instances do not see each other`() throws {
    let table = try PrefixTable()
    let instances: [UInt32] = [0, 1, 2, 0xFF, 0x100, 0x1_0000, 0x1_0001, 0xFF_FFFE, 0xFF_FFFF]
    for instance in instances { try table.insert(Self.prefix("10.0.0.0/8", instance), value: instance + 1) }
    let view = Self.publish(table, epoch: 2)
    for instance in instances {
      #expect(view.lookup(try Self.address("10.1.1.1"), InstanceID(truncating: instance)) == instance + 1)
      #expect(view.instance(instance).isKnown)
    }
    for instance in [3, 0xFE, 0x101, 0x1_0100, 0xFE_FFFF] as [UInt32] {
      #expect(!view.instance(instance).isKnown)
      #expect(view.lookup(try Self.address("10.1.1.1"), InstanceID(truncating: instance)) == 0)
    }
    for instance in instances where instance != 1 { try table.delete(Self.prefix("10.0.0.0/8", instance)) }
    let last = Self.publish(table, epoch: 3)
    #expect(last.lookup(try Self.address("10.1.1.1"), InstanceID(truncating: 1)) == 2)
    #expect(!last.instance(0).isKnown && !last.instance(2).isKnown)
    #expect(table.checkInvariants() == [])
  }

  @Test func `the families of one instance do not see each other`() throws {
    let table = try PrefixTable()
    try table.insert(Self.prefix("10.0.0.0/8", 7), value: 4)
    try table.insert(Self.prefix("a00::/8", 7), value: 6)
    let view = table.commit()
    let instance = InstanceID(truncating: 7)
    #expect(view.lookup(try Self.address("10.0.0.1"), instance) == 4)
    #expect(view.lookup(try Self.address("a00::1"), instance) == 6)
    try table.delete(Self.prefix("10.0.0.0/8", 7))
    let rest = table.commit()
    #expect(rest.lookup(try Self.address("10.0.0.1"), instance) == 0)
    #expect(rest.lookup(try Self.address("a00::1"), instance) == 6)
    #expect(rest.instance(7).isKnown)
  }

  // MARK: - Transactions

  @Test func `a reader with an old view sees nothing of a transaction until it takes the new one, then all of it`() throws {
    let table = try PrefixTable()
    try table.insert(Self.prefix("10.0.0.0/8"), value: 1)
    try table.insert(Self.prefix("10.1.0.0/16"), value: 2)
    let old = Self.publish(table, epoch: 2)
    let questions = try ["10.0.0.1", "10.1.0.1", "10.1.2.3", "11.0.0.1"].map { (address: try Self.address($0), instance: InstanceID.zero) }
    var batch = LookupBatch(capacity: 8)
    #expect(old.lookup(questions, with: &batch) == [1, 2, 2, 0])
    try table.update(Self.prefix("10.0.0.0/8"), value: 11)
    try table.delete(Self.prefix("10.1.0.0/16"))
    try table.insert(Self.prefix("10.1.2.0/24"), value: 13)
    try table.insert(Self.prefix("11.0.0.0/8"), value: 14)
    #expect(old.lookup(questions, with: &batch) == [1, 2, 2, 0])
    #expect(table.view.lookup(questions, with: &batch) == [1, 2, 2, 0], "an open transaction is nobody's to see")
    let new = table.commit()
    table.retire(epoch: 3)
    table.reclaim(oldest: 2)  // a reader has not passed yet
    #expect(old.lookup(questions, with: &batch) == [1, 2, 2, 0])
    #expect(new.lookup(questions, with: &batch) == [11, 11, 13, 14])
    table.reclaim(oldest: 3)
    #expect(new.lookup(questions, with: &batch) == [11, 11, 13, 14])
    #expect(table.checkInvariants() == [])
  }

  @Test func `a change alone may take effect in the view that readers have; two may not, nor while a snapshot is kept`() throws {
    let table = try PrefixTable()
    for i in 0..<600 { try table.insert(Self.prefix("10.\(i / 256).\(i % 256).0/24"), value: UInt32(i + 1)) }
    for i in 0..<600 { try table.insert(Self.prefix("2001:db8:\(String(i, radix: 16))::/48"), value: UInt32(i + 1)) }
    var view = Self.publish(table, epoch: 2)
    let (inside, inside6) = (try Self.address("10.1.7.128"), try Self.address("2001:db8:7:8000::"))
    func expect(_ values: (UInt32, UInt32), stays: Bool) {
      let new = table.commit(mayPrecede: true)
      #expect((new.token == view.token) == stays)
      view = new
      #expect((view.lookup(inside, .zero), view.lookup(inside6, .zero)) == values)
      #expect(table.checkInvariants() == [])
    }
    try table.insert(Self.prefix("10.1.7.128/25"), value: 1000)
    expect((1000, 8), stays: true)
    try table.insert(Self.prefix("2001:db8:7:8000::/64"), value: 2000)
    expect((1000, 2000), stays: true)
    try table.update(Self.prefix("10.1.7.128/25"), value: 1001)
    #expect(view.lookup(inside, .zero) == 1000, "not before the commit")
    expect((1001, 2000), stays: true)
    try table.delete(Self.prefix("10.1.7.128/25"))
    expect((264, 2000), stays: true)
    try table.insert(Self.prefix("10.1.7.128/25"), value: 1002)
    try table.delete(Self.prefix("2001:db8:7:8000::/64"))
    expect((1002, 8), stays: false)
    try table.insert(Self.prefix("10.0.0.0/7"), value: 1003)  // where the root itself differs
    expect((1002, 8), stays: false)
    try table.insert(Self.prefix("10.1.7.128/32"), value: 1004)
    table.rollback()
    expect((1002, 8), stays: true)
    let (before, snapshot) = (view, table.snapshot())
    try table.delete(Self.prefix("10.1.7.128/25"))
    expect((264, 8), stays: false)
    #expect(before.lookup(inside, .zero) == 1002 && snapshot.view.lookup(inside, .zero) == 1002)
  }

  @Test func `a change that fails does not keep the one before from taking effect`() throws {
    let table = try PrefixTable()
    for i in 0..<600 { try table.insert(Self.prefix("10.\(i / 256).\(i % 256).0/24"), value: UInt32(i + 1)) }
    let view = Self.publish(table, epoch: 2)
    try table.insert(Self.prefix("10.1.7.128/25"), value: 1000)
    let present = try Self.prefix("10.2.3.0/24")
    #expect(throws: PrefixTableError.exists(present)) { try table.insert(present, value: 1) }
    table.writer.memory.allocationsUntilFailure = 0
    #expect(throws: PrefixTableError.self) { try table.update(present, value: 1) }
    table.writer.memory.allocationsUntilFailure = .max
    #expect(Self.publish(table, epoch: 3).token == view.token)
    #expect(view.lookup(try Self.address("10.1.7.128"), .zero) == 1000)
    #expect(view.lookup(try Self.address("10.2.3.0"), .zero) == 516)
    #expect(table.checkInvariants() == [])
  }

  @Test func `changes after a commit are not retired with it`() throws {
    let table = try PrefixTable()
    try table.insert(Self.prefix("10.0.0.0/8"), value: 1)
    let published = Self.publish(table, epoch: 2)
    try table.update(Self.prefix("10.0.0.0/8"), value: 2)  // open: supersedes nodes that `published` still shows
    table.retire(epoch: 3)
    table.reclaim(oldest: 3)
    for i in 0..<40 { try table.insert(Self.prefix("11.\(i).0.0/16"), value: 9) }
    #expect(published.lookup(try Self.address("10.0.0.1"), .zero) == 1)
  }

  // MARK: - Refusals

  @Test func `what cannot be is refused by name, and changes nothing`() throws {
    let table = try PrefixTable()
    let prefix = try Self.prefix("10.0.0.0/8", 3)
    try table.insert(prefix, value: 5)
    #expect(throws: PrefixTableError.exists(prefix)) { try table.insert(prefix, value: 6) }
    #expect(throws: PrefixTableError.valueOutOfRange(0)) { try table.update(prefix, value: 0) }
    let missing = try Self.prefix("10.0.0.0/9", 3)
    #expect(throws: PrefixTableError.notFound(missing)) { try table.delete(missing) }
    #expect(table.allEntries == [prefix: 5])
    #expect(PrefixTableError.exists(prefix).description == "[3]10.0.0.0/8 is already in the table")
    #expect(PrefixTableError.notFound(missing).description == "[3]10.0.0.0/9 is not in the table")
    #expect(PrefixTableError.full(byteLimit: 9).description.contains("9 bytes"))
    #expect(PrefixTableError.noMemory(byteCount: 4096).description.contains("4096"))
  }

  @Test func `address space that is not there is an error, not a trap`() {
    for byteLimit in [1 << 50, 16 << 30 + 1, .max] {
      #expect(throws: PrefixTableError.noMemory(byteCount: byteLimit)) { try PrefixTable(byteLimit: byteLimit) }
    }
  }

  static let smallest = 128 << 10

  /// Fills a small table with scattered host prefixes until it says no.
  static func full() throws -> (table: PrefixTable, entries: [EIDPrefix: UInt32], refused: EIDPrefix) {
    let table = try PrefixTable(byteLimit: smallest)
    var epoch: UInt64 = 1
    for i in 0..<10_000 {
      let prefix = try Self.prefix("\(i % 250).\(i / 250).\(i % 7).1/32")
      do { try table.insert(prefix, value: UInt32(i + 1)) } catch {
        #expect(error == .full(byteLimit: smallest))
        #expect(table.value(for: prefix) == nil)
        return (table, table.allEntries, prefix)
      }
      epoch += 1
      Self.publish(table, epoch: epoch)
    }
    Issue.record("a table of 128 KiB took 10,000 scattered host prefixes")
    throw PrefixTableError.noMemory(byteCount: 0)
  }

  @Test func `a full table refuses and keeps answering`() throws {
    let (table, entries, refused) = try Self.full()
    #expect(entries.count > 40)
    #expect(throws: PrefixTableError.full(byteLimit: Self.smallest)) { try table.update(refused, value: 1) }
    #expect(table.allEntries == entries)
    #expect(table.checkInvariants() == [])
    for (prefix, value) in entries { #expect(table.view.lookup(prefix.prefix.address, .zero) == value) }
  }

  @Test func `a full table can be emptied, prefix by prefix`() throws {
    let (table, entries, _) = try Self.full()
    var epoch: UInt64 = 20_000
    for prefix in entries.keys {
      try table.delete(prefix)
      epoch += 1
      Self.publish(table, epoch: epoch)
    }
    #expect(table.count == 0 && table.byteCounts.used == 0)
  }

  @Test func `a table that was often full can be emptied as well`() throws {
    var (table, entries, _) = try Self.full()
    var random = SplitMix64(seed: 5)
    var epoch: UInt64 = 20_000
    for turn in 0..<200 {
      // Some go, and others come until there is no room; readers are late now and then, and hold what was replaced.
      for prefix in entries.keys.sorted().shuffled(using: &random).prefix(20) {
        try table.delete(prefix)
        entries[prefix] = nil
        epoch += 1
        if turn % 4 == 0 { _ = table.commit() } else { Self.publish(table, epoch: epoch) }
      }
      Self.publish(table, epoch: epoch)
      while true {
        let prefix = try Self.prefix("\(random.next() % 250).\(random.next() % 250).1.1/32")
        do { try table.update(prefix, value: 1) } catch { break }
        entries[prefix] = 1
        epoch += 1
        Self.publish(table, epoch: epoch)
      }
    }
    for prefix in entries.keys {
      try table.delete(prefix)
      epoch += 1
      Self.publish(table, epoch: epoch)
    }
    #expect(table.count == 0 && table.byteCounts.used == 0)
  }

  @Test func `too many prefixes: new ones are refused, others still change`() throws {
    let table = try PrefixTable()
    table.maximumCount = 2
    let (one, two, three) = (try Self.prefix("10.0.0.0/8"), try Self.prefix("10.1.0.0/16"), try Self.prefix("0.0.0.0/0"))
    try table.insert(one, value: 1)
    try table.insert(two, value: 2)
    #expect(throws: PrefixTableError.full(byteLimit: 4 << 30)) { try table.insert(three, value: 3) }
    #expect(throws: PrefixTableError.full(byteLimit: 4 << 30)) { try table.update(three, value: 3) }
    #expect(throws: PrefixTableError.exists(two)) { try table.insert(two, value: 4) }
    #expect(try table.update(two, value: 5) == 2)
    #expect(table.allEntries == [one: 1, two: 5])
    try table.delete(one)
    try table.insert(three, value: 3)
    #expect(table.allEntries == [three: 3, two: 5])
    #expect(table.checkInvariants() == [])
  }

  // MARK: - Memory

  @Test func `nodes come back when everything is deleted, and only after the readers have passed`() throws {
    var source = HardPrefixes(seed: 11)
    let table = try PrefixTable()
    for i in 0..<200 { try table.update(source.prefix(), value: UInt32(i + 1)) }
    Self.publish(table, epoch: 2)
    let byteCount = table.byteCounts.used
    #expect(byteCount > 5000)
    for prefix in table.allEntries.keys { try table.delete(prefix) }
    _ = table.commit()
    table.retire(epoch: 3)
    table.reclaim(oldest: 2)
    #expect(table.byteCounts.used >= byteCount, "a reader of epoch 2 may still walk the old nodes")
    table.reclaim(oldest: 3)
    #expect(table.byteCounts.used == 0)
    #expect(table.checkInvariants() == [])
  }

  @Test func `replacing one prefix for ever takes no memory`() throws {
    let table = try PrefixTable()
    for i in 1...10_000 {
      try table.update(Self.prefix("10.1.2.3/32", 9), value: UInt32(i))
      Self.publish(table, epoch: UInt64(i + 1))
    }
    #expect(table.byteCounts.used == 3 * 32)  // a record of the directory, the instance, a record of the address
    #expect(table.view.lookup(try Self.address("10.1.2.3"), InstanceID(truncating: 9)) == 10_000)
  }

  @Test func `longestMatch finds the covering entry, the open transaction included`() throws {
    let table = try PrefixTable()
    try table.insert(Self.prefix("10.0.0.0/8"), value: 1)
    try table.insert(Self.prefix("10.1.0.0/16"), value: 2)
    #expect(table.longestMatch(try Self.address("10.1.2.3"), in: .zero)?.prefix == (try Self.prefix("10.1.0.0/16")))
    #expect(table.longestMatch(try Self.address("10.2.2.3"), in: .zero)?.value == 1)
    #expect(table.longestMatch(try Self.address("11.2.2.3"), in: .zero) == nil)
    #expect(table.longestMatch(try Self.address("10.2.2.3"), in: InstanceID(truncating: 1)) == nil)
  }

  // MARK: - Self-check

  @Test func `the self-check sees what is not as it should be`() throws {
    let table = try PrefixTable()
    try table.insert(Self.prefix("10.1.0.0/16"), value: 1)
    try table.insert(Self.prefix("10.2.0.0/15"), value: 2)
    #expect(table.checkInvariants() == [])
    let root = table.commit().instance(0).ipv4
    let reader = table.writer.reader
    let node = reader.target(record: root)
    let memory = table.writer.memory.memory.base
    /// Damages a word, and puts it back.
    func findings(_ position: Int, _ word: UInt32) -> [String] {
      let old = memory.load(fromByteOffset: position, as: UInt32.self)
      defer { memory.storeBytes(of: old, toByteOffset: position, as: UInt32.self) }
      memory.storeBytes(of: word, toByteOffset: position, as: UInt32.self)
      return table.checkInvariants()
    }
    let entry = table.writer.memory.entryPosition(node, 1)
    #expect(findings(entry, Entry.value(7).raw) == [], "another value is another table, and a good one")
    #expect(!findings(entry, Entry.none.raw).isEmpty, "a prefix without a value")
    let ipv6 = Int(table.view.block(of: 0)) * 32 + 4
    #expect(!findings(ipv6, root.raw).isEmpty, "a block by two ways")
    #expect(!findings(table.writer.memory.inheritedPosition(node), Entry.value(7).raw).isEmpty, "a value from nowhere")
    #expect(!findings(table.writer.memory.shapePosition(node), NodeShape(depth: 1, prefixCount: 3).raw).isEmpty, "a wrong count")
    #expect(!findings(table.writer.memory.targetPosition(root), Entry.value(7).raw).isEmpty, "a leaked block")
    #expect(table.checkInvariants() == [])
  }
}
