// SPDX-License-Identifier: Apache-2.0
//
// Readers on threads of their own look batches up while the writer replaces overlapping prefixes: every batch must be answered
// by one version, and by one that was current while it ran. Written to be run under ThreadSanitizer as well (`make tsan`).

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

  private static func write(_ table: PrefixTable, version: UInt32) throws {
    for (which, text) in nested.enumerated() {
      let prefix = EIDPrefix(.zero, try IPPrefix(parsing: text))
      if version % 2 == 1, which == 2 || which == 5 {
        if table.value(for: prefix) != nil { try table.delete(prefix) }
      } else {
        try table.update(prefix, value: value(version, UInt32(which)))
      }
    }
  }

  private static func read(_ shared: Shared, _ first: TableView, _ reader: QuiescentState.Reader, _ me: Int) {
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
      let version = batch[0] >> 3
      var isRight = version >= oldest && version <= newest
      for i in 0..<48 {
        let question = questions[i % keys.count]
        if batch[i] != value(version, version % 2 == 1 ? question.odd : question.even) { isRight = false }
      }
      if !isRight {
        let answers = (0..<6).map { "\(batch[$0] >> 3):\(batch[$0] & 7)" }
        shared.wrong.withLock { $0.append("reader \(me), versions \(oldest)…\(newest): \(answers)") }
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
    let readerCount = 2
    let table = try PrefixTable()
    let quiescent = QuiescentState()
    let shared = Shared(readers: readerCount)
    func publish(_ version: UInt32) throws {
      try Self.write(table, version: version)
      shared.begun.store(version, ordering: .releasing)
      shared.token.store(table.commit().token, ordering: .releasing)
      shared.done.store(version, ordering: .releasing)
      table.retire(epoch: quiescent.advance())
      table.reclaim(oldest: quiescent.oldest())
    }
    // So many others that the roots are pages.
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
        Self.read(shared, first, reader, me)
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
  }
}
