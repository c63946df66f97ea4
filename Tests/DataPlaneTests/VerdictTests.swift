// SPDX-License-Identifier: Apache-2.0
//
// Verdicts and reasons: what `xtr show drops` prints.

import Testing

@testable import DataPlane

@Suite struct VerdictTests {
  @Test func `a verdict is one thing and gives back what it was made of`() {
    for port in UInt8.min...UInt8.max {
      let verdict = Verdict.transmit(port)
      #expect(verdict.port == port && verdict.dropReason == nil && verdict.puntReason == nil && verdict.isTransmit && !verdict.isPending)
    }
    for reason in DropReason.allCases {
      let verdict = Verdict.drop(reason)
      #expect(verdict.dropReason == reason && verdict.port == nil && verdict.puntReason == nil && !verdict.isPending && !verdict.isPunt)
      #expect(verdict.description == "drop(\(reason.name))")
    }
    for reason in PuntReason.allCases {
      let verdict = Verdict.punt(reason)
      #expect(verdict.puntReason == reason && verdict.port == nil && verdict.dropReason == nil && verdict.isPunt)
      #expect(verdict.description == "punt(\(reason.name))")
    }
    #expect(
      Verdict.pending.isPending && Verdict.pending.port == nil && Verdict.pending.dropReason == nil && Verdict.pending.puntReason == nil)
    #expect(Verdict.pending.description == "pending" && Verdict.transmit(3).description == "transmit(3)")
  }

  @Test func `every reason has a name of its own in kebab-case, a meaning and a counter`() {
    let names = DropReason.allCases.map(\.name) + PuntReason.allCases.map(\.name)
    #expect(Set(DropReason.allCases.map(\.name)).count == DropReason.allCases.count)
    #expect(Set(PuntReason.allCases.map(\.name)).count == PuntReason.allCases.count)
    for name in names { #expect(name.wholeMatch(of: /[a-z]+(-[a-z]+)*/) != nil, "\(name)") }
    let meanings = DropReason.allCases.map(\.meaning) + PuntReason.allCases.map(\.meaning)
    #expect(Set(meanings).count == meanings.count && meanings.allSatisfy { $0.count > 15 })
    #expect(DropReason.allCases.allSatisfy { $0.rawValue < 64 } && PuntReason.allCases.allSatisfy { $0.rawValue < 64 })
    let directions = Dictionary(grouping: DropReason.allCases, by: \.direction)
    #expect(directions.count == 4)
  }

  @Test func `every counter of a worker is a word of its own`() throws {
    let counters = try #require(WorkerCounters())
    var next: UInt64 = 0
    func each(_ body: (String, (UInt64) -> Void, () -> UInt64) -> Void) {
      for counter in WorkerCounter.allCases {
        body("\(counter)", { counters[counter].storeRelaxed($0) }, { counters[counter].loadRelaxed() })
      }
      for reason in DropReason.allCases { body(reason.name, { counters[reason].storeRelaxed($0) }, { counters[reason].loadRelaxed() }) }
      for reason in PuntReason.allCases { body(reason.name, { counters[reason].storeRelaxed($0) }, { counters[reason].loadRelaxed() }) }
      for port in 0..<16 {
        for counter in PortCounter.allCases {
          body("\(port) \(counter)", { counters[port, counter].storeRelaxed($0) }, { counters[port, counter].loadRelaxed() })
        }
      }
    }
    each { name, store, load in
      #expect(load() == 0, "\(name)")
      next += 1
      store(next)
    }
    var expected: UInt64 = 0
    each { name, _, load in
      expected += 1
      #expect(load() == expected, "\(name)")
    }
  }

  @Test func `locator counters are pairs, reset one by one, up to the last`() throws {
    let counters = try #require(WorkerCounters())
    let last = UInt32(WorkerCounters.maximumLocatorCounters - 1)
    for index in [0, 1, 2, last - 1, last] {
      counters.locatorCounters.count(index, bytes: Int(index % 1000) + 1)
      counters.locatorCounters.count(index, bytes: 10)
      #expect(counters.locator(index) == (2, UInt64(index % 1000) + 11))
    }
    counters.resetLocator(1)
    #expect(counters.locator(1) == (0, 0) && counters.locator(0).packets == 2 && counters.locator(2).packets == 2)
  }
}
