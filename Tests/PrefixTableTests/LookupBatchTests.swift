// SPDX-License-Identifier: Apache-2.0
//
// Batches: any mixture of families, instances and depths, and reuse.

import PrefixTable
import Testing
import Wire

@Suite struct LookupBatchTests {
  @Test func `a batch of every size answers as single lookups do, and can be used again`() throws {
    var source = HardPrefixes(seed: 20)
    let table = try PrefixTable()
    for i in 0..<150 { try table.update(source.prefix(), value: UInt32(i + 1)) }
    let view = table.commit()
    var batch = LookupBatch(capacity: 128)
    for size in [0, 1, 2, 3, 63, 64, 127, 128, 5] {
      let questions = (0..<size).map { _ in
        (address: source.address(), instance: source.random.next() & 7 == 0 ? InstanceID(truncating: 77) : source.instance())
      }
      let answers = view.lookup(questions, with: &batch)
      #expect(batch.count == size)
      for (question, answer) in zip(questions, answers) { #expect(view.lookup(question.address, question.instance) == answer) }
    }
  }

  @Test func `reserved places are put in any order, or left out, and added lookups stand behind them`() throws {
    var source = HardPrefixes(seed: 21)
    let table = try PrefixTable()
    for i in 0..<150 { try table.update(source.prefix(), value: UInt32(i + 1)) }
    let view = table.commit()
    var batch = LookupBatch(capacity: 128)
    for round in 0..<50 {
      let reserved = Int(source.random.next() % 65)
      batch.clear(reserving: reserved)
      var questions: [Int: (address: IPAddress, instance: InstanceID)] = [:]
      for place in (0..<reserved).shuffled(using: &source.random) where source.random.next() & 3 != 0 {
        let (address, instance) = (source.address(), source.instance())
        let roots = view.instance(instance.rawValue)
        switch address {
        case .v4(let ipv4): batch.put(place, roots.ipv4, raw: ipv4.rawValue.bigEndian, in: view)
        case .v6(let ipv6): batch.put(place, roots.ipv6, raw: (ipv6.high.bigEndian, ipv6.low.bigEndian), in: view)
        }
        questions[place] = (address, instance)
        if source.random.next() & 3 == 0 {
          let bits = address.leftAligned
          let added = batch.add(address.family == .ipv4 ? roots.ipv4 : roots.ipv6, high: bits.high, low: bits.low, in: view)
          #expect(added >= reserved && questions[added] == nil)
          questions[added] = (address, instance)
        }
      }
      batch.run(view)
      for (place, question) in questions where batch[place] != view.lookup(question.address, question.instance) {
        Issue.record("round \(round), place \(place): [\(question.instance)]\(question.address) is \(batch[place])")
      }
    }
  }

  @Test func `the empty root misses`() throws {
    let table = try PrefixTable()
    var batch = LookupBatch(capacity: 4)
    let place = batch.add(.none, high: .max, low: .max, in: table.view)
    batch.run(table.view)
    #expect(place == 0 && batch[place] == 0)
    #expect(table.view.lookup(.none, high: .max, low: .max) == 0)
    #expect(!table.view.instance(0).isKnown)
  }
}
