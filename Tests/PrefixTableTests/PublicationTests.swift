// SPDX-License-Identifier: Apache-2.0
//
// Readers on threads of their own look batches up while the writer replaces overlapping prefixes: every batch must be answered
// by one version, and by one that was current while it ran. When each version is one change, which may take effect in the midst of a batch,
// every answer must be that of a version that was current. Runs under ThreadSanitizer as well.

import Foundation
import Synchronization
import Testing
import Wire

@testable import PrefixTable

/// What writer and readers share. Version v is published between `begun` = v and `done` = v.
private final class Shared: Sendable {
  let token = Atomic<UInt32>(0)
  let begun = Atomic<UInt32>(0)
  let done = Atomic<UInt32>(0)
  let stop = Atomic<Bool>(false)
  let wrong = Mutex<[String]>([])
  let batches: [Atomic<Int>.Box]
  init(readers: Int) { batches = (0..<readers).map { _ in Atomic<Int>.Box() } }
}

extension Atomic<Int> {
  /// A counter on its own.
  final class Box: Sendable { let value = Atomic<Int>(0) }
}

@Suite struct PublicationTests {
  /// A value names its version and which of the overlapping prefixes it belongs to.
  static func value(_ version: UInt32, _ which: UInt32) -> UInt32 { version << 3 | which }

  static let nested = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "2001:db8::/32", "2001:db8:0:0:8000::/65"]

  /// Lookups, and what answers them: when the version is odd, the /24 and the /65 are not there.
  static let questions: [(address: String, even: UInt32, odd: UInt32)] = [
    ("10.9.9.9", 0, 0), ("10.1.9.9", 1, 1), ("10.1.2.9", 2, 1), ("10.1.2.3", 3, 3), ("2001:db8::1", 4, 4), ("2001:db8:0:0:8000::1", 5, 4),
  ]

  private static func write(_ table: PrefixTable, _ version: UInt32) throws {
    for (which, text) in nested.enumerated() {
      let prefix = EIDPrefix(.zero, try IPPrefix(parsing: text))
      if version % 2 == 1, which == 2 || which == 5 {
        if table.value(for: prefix) != nil { try table.delete(prefix) }
      } else {
        try table.update(prefix, value: value(version, UInt32(which)))
      }
    }
  }

  /// Whether the answers to the questions, in turn, may be had while the versions of the range were current.
  private typealias Judge = @Sendable ([UInt32], ClosedRange<UInt32>) -> Bool

  private static func read(_ shared: Shared, _ first: TableView, _ reader: QuiescentState.Reader, _ me: Int, _ isRight: Judge) {
    var batch = LookupBatch(capacity: 64)
    let keys = questions.compactMap { IPAddress($0.address).map { ($0.family, $0.leftAligned) } }
    reader.online()
    var turns = 0
    while !shared.stop.load(ordering: .relaxed) {
      let oldest = shared.done.load(ordering: .acquiring)
      let view = first.at(shared.token.load(ordering: .acquiring))
      let roots = view.instance(0)
      batch.clear()
      for i in 0..<48 {
        let (family, bits) = keys[i % keys.count]
        batch.add(family == .ipv4 ? roots.ipv4 : roots.ipv6, high: bits.high, low: bits.low, in: view)
      }
      batch.run(view)
      let newest = shared.begun.load(ordering: .acquiring)
      let answers = (0..<48).map { batch[$0] }
      guard isRight(answers, oldest...newest) else {
        shared.wrong.withLock { $0.append("reader \(me), versions \(oldest)…\(newest): \(answers.map { "\($0 >> 3):\($0 & 7)" })") }
        break
      }
      reader.quiescent()
      turns += 1
      shared.batches[me].value.store(turns, ordering: .relaxed)
      if turns % 64 == 0 {
        reader.offline()
        if turns % 256 == 0 { usleep(200) }
        reader.online()
      }
    }
    reader.offline()
  }

  @Test(.timeLimit(.minutes(2)))
  func `a batch is answered by one version, and by one that was current while it ran`() throws {
    let inPlace = try Self.race(Self.write) { answers, versions in
      let version = answers[0] >> 3
      return versions.contains(version)
        && answers.indices.allSatisfy { i in
          let question = Self.questions[i % Self.questions.count]
          return answers[i] == Self.value(version, version % 2 == 1 ? question.odd : question.even)
        }
    }
    #expect(inPlace == 0)
  }

  /// From the longest to the shortest, which of the nested prefixes cover each question.
  static let covering: [[UInt32]] = [[0], [1, 0], [2, 1, 0], [3, 2, 1, 0], [4], [5, 4]]

  /// Version v puts prefix v mod 6 in, or takes it out when it is there; sometimes another prefix changes as well. What its value is in this version: 0 when it is not there.
  private static func value(of which: UInt32, in version: UInt32) -> UInt32 {
    let count = UInt32(nested.count)
    let first = which == 0 ? count : which
    guard version >= first else { return 0 }
    let ordinal = (version - first) / count
    return ordinal % 2 == 0 ? value(first + ordinal * count, which) : 0
  }

  @Test(.timeLimit(.minutes(2)))
  func `changes one by one: every answer is that of a version that was current while the batch ran`() throws {
    let prefixes = try Self.nested.map { EIDPrefix(.zero, try IPPrefix(parsing: $0)) }
    let write = { (table: PrefixTable, version: UInt32) throws in
      let which = version % UInt32(prefixes.count)
      let value = Self.value(of: which, in: version)
      if value == 0 { try table.delete(prefixes[Int(which)]) } else { try table.insert(prefixes[Int(which)], value: value) }
      if version % 7 == 0 { try table.update(EIDPrefix(.zero, try IPPrefix(parsing: "10.200.0.0/24")), value: version) }
    }
    let inPlace = try Self.race(write) { answers, versions in
      answers.indices.allSatisfy { i in
        let covering = Self.covering[i % Self.covering.count]
        return versions.contains { version in
          answers[i] == covering.lazy.map { Self.value(of: $0, in: version) }.first { $0 != 0 } ?? 0
        }
      }
    }
    #expect(inPlace > 1000)
  }

  /// `write` makes one version after the other; two readers judge what they see of it. Returns how many versions kept the old root.
  private static func race(_ write: (PrefixTable, UInt32) throws -> Void, _ isRight: @escaping Judge) throws -> Int {
    let readerCount = 2
    let table = try PrefixTable()
    let quiescent = QuiescentState()
    let shared = Shared(readers: readerCount)
    var inPlace = 0
    func publish(_ version: UInt32) throws {
      try write(table, version)
      shared.begun.store(version, ordering: .releasing)
      let token = table.commit(mayPrecede: true).token
      inPlace += token == shared.token.load(ordering: .relaxed) ? 1 : 0
      shared.token.store(token, ordering: .releasing)
      shared.done.store(version, ordering: .releasing)
      table.retire(epoch: quiescent.advance())
      table.reclaim(oldest: quiescent.oldest())
    }
    // So many others that the first octets are read from pages.
    try table.insert(EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: 0x0B00_0000)), length: 24)), value: 1)
    for i in 0..<600 as Range<UInt32> {
      try table.insert(EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: 0x0A80_0000 | i << 8)), length: 24)), value: i + 1)
      let address = IPAddress.v6(IPv6Address(high: 0x2001_0E00_0000_0000 | UInt64(i) << 16, low: 0))
      try table.insert(EIDPrefix(.zero, IPPrefix(masking: address, length: 48)), value: i + 1)
    }
    try publish(1)
    #expect(table.view.instance(0).ipv4.isPage && table.view.instance(0).ipv6.isRecord)
    let first = table.view
    let finished = DispatchGroup()
    for me in 0..<readerCount {
      let reader = try #require(quiescent.register())
      finished.enter()
      let thread = Thread {
        read(shared, first, reader, me, isRight)
        finished.leave()
      }
      thread.stackSize = 1 << 20
      thread.start()
    }
    var version: UInt32 = 1
    var largest = 0
    func isDone() -> Bool { version >= 3000 && shared.batches.allSatisfy { $0.value.load(ordering: .relaxed) >= 500 } }
    while !isDone(), shared.wrong.withLock({ $0.isEmpty }), version < 1 << 24 {
      version += 1
      try publish(version)
      largest = max(largest, table.byteCounts.used)
    }
    shared.stop.store(true, ordering: .relaxed)
    finished.wait()
    #expect(shared.wrong.withLock { $0 } == [])
    #expect(version >= 3000)
    for prefix in table.allEntries.keys { try table.delete(prefix) }
    _ = table.commit()
    table.retire(epoch: quiescent.advance())
    table.reclaim(oldest: quiescent.oldest())
    #expect(table.byteCounts.used == 0, "all readers are gone; at most \(largest) bytes were in use")
    return inPlace
  }
}
