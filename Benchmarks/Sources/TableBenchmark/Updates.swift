// SPDX-License-Identifier: Apache-2.0
//
// A writer and a reader at full rate, each on its own CPU: how many changes per second, so many of them to a transaction, and what the
// reader notices of them.

import Glibc
import Measuring
import PrefixTable
import Synchronization
import Wire

/// What both threads see: what the writer stores and what the reader stores on lines of their own, as in the router.
private final class Shared: Sendable {
  let token: Atomic<UInt32>
  let stop = Atomic<Bool>(false)
  private let between = [16 of UInt64](repeating: 0)
  let lookups = Atomic<Int>(0)
  private let behind = [16 of UInt64](repeating: 0)
  let quiescent = QuiescentState()
  init(_ view: TableView) { token = Atomic(view.token) }
}

struct UpdateResult {
  var updatesPerSecond: Double
  /// Lookups per second with updates, over without: the median of the rounds.
  var readerRatio: Double
  var readerRate: Double
}

/// Changes that come next. Made beforehand, as the messages that ask for them would be.
private struct UpdatePlan {
  /// Takes a prefix out, or puts it in again.
  struct Change {
    var prefix: EIDPrefix
    /// Its number in the table.
    var i: Int
    var isDeletion: Bool

    func make(_ table: PrefixTable) throws {
      if isDeletion { try table.delete(prefix) } else { try table.insert(prefix, value: UInt32(i + 1)) }
    }
  }

  private let all: [EIDPrefix]
  private var isThere: [Bool]
  private var random = SplitMix64(seed: 0xC4A9E)
  private(set) var changes: [Change] = []
  /// More than a writer makes in half a second.
  private static let count = 1_000_000

  init(_ prefixes: Prefixes) {
    all = (prefixes.ipv4 + prefixes.ipv6).map { EIDPrefix(.zero, $0) }
    isThere = [Bool](repeating: true, count: all.count)
  }

  mutating func prepare() {
    changes.removeAll(keepingCapacity: true)
    for _ in 0..<Self.count {
      let i = Int(random.next() % UInt64(all.count))
      changes.append(Change(prefix: all[i], i: i, isDeletion: isThere[i]))
      isThere[i].toggle()
    }
  }

  /// Only the first `count` changes have been made.
  mutating func forget(after count: Int) {
    for change in changes[count...] { isThere[change.i].toggle() }
  }
}

enum Updates {
  /// Rounds of half a second without and half a second with updates.
  static func measure(_ table: PrefixTable, _ prefixes: Prefixes, _ addresses: [UInt32], transaction: Int, rounds: Int) throws
    -> UpdateResult
  {
    let shared = Shared(table.commit())
    let reader = startReader(shared, table.view, addresses)
    defer {
      shared.stop.store(true, ordering: .relaxed)
      pthread_join(reader, nil)
    }
    pin(to: 0)
    var plan = UpdatePlan(prefixes)
    var (ratios, rates, updates): ([Double], [Double], [Double]) = ([], [], [])
    for _ in 0..<rounds {
      plan.prepare()
      let idle = rate(shared) { until in while now() < until { usleep(1000) } }
      var done = 0
      let busy = try rate(shared) { until throws in
        while now() < until, done + transaction <= plan.changes.count {
          for change in plan.changes[done..<done + transaction] { try change.make(table) }
          publish(table, shared)
          done += transaction
        }
      }
      plan.forget(after: done)
      ratios.append(busy.perSecond / idle.perSecond)
      rates.append(busy.perSecond)
      updates.append(Double(done) / busy.seconds)
    }
    return UpdateResult(
      updatesPerSecond: Timing(updates).median, readerRatio: Timing(ratios).median, readerRate: Timing(rates).median)
  }

  private static func publish(_ table: PrefixTable, _ shared: Shared) {
    shared.token.store(table.commit(mayPrecede: true).token, ordering: .releasing)
    table.retire(epoch: shared.quiescent.advance())
    table.reclaim(oldest: shared.quiescent.oldest())
  }

  /// The reader's rate while `body` runs.
  private static func rate(_ shared: Shared, _ body: (Int) throws -> Void) rethrows -> (perSecond: Double, seconds: Double) {
    let (start, before) = (now(), shared.lookups.load(ordering: .relaxed))
    try body(start + 500_000_000)
    let seconds = Double(now() - start) / 1e9
    return (Double(shared.lookups.load(ordering: .relaxed) - before) / seconds, seconds)
  }

  private static func startReader(_ shared: Shared, _ view: TableView, _ addresses: [UInt32]) -> pthread_t {
    final class Start {
      let body: () -> Void
      init(_ body: @escaping () -> Void) { self.body = body }
    }
    let start = Start { read(shared, view, addresses) }
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      {
        Unmanaged<Start>.fromOpaque($0.unsafelyUnwrapped).takeRetainedValue().body(); return nil
      },
      Unmanaged.passRetained(start).toOpaque())
    return thread
  }

  private static func read(_ shared: Shared, _ first: TableView, _ addresses: [UInt32]) {
    pin(to: 1)
    guard let reader = shared.quiescent.register() else { return }
    reader.online()
    var batch = LookupBatch(capacity: 64)
    var (next, done, digest) = (0, 0, UInt32(0))
    while !shared.stop.load(ordering: .relaxed) {
      let view = first.at(shared.token.load(ordering: .acquiring))
      let roots = view.instance(0)
      batch.clear(reserving: 64)
      for k in 0..<64 { batch.put(k, roots.ipv4, raw: addresses[next + k], in: view) }
      batch.run(view)
      for k in 0..<64 { digest ^= batch[k] }
      reader.quiescent()
      next = (next + 64) & (Addresses.count - 1)
      done += 64
      shared.lookups.store(done, ordering: .relaxed)
    }
    reader.offline()
    if digest == 1 { print("") }  // so that the answers are needed
  }
}
