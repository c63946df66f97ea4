// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import Wire

@testable import MapCache

@Suite struct StatusBitsTests {
  private let start = ContinuousClock.now

  private static func rloc(_ i: Int) -> IPAddress { .v4(IPv4Address(rawValue: 0xC633_6400 + UInt32(i))) }

  private func mapping(_ locators: [Int], _ prefix: UInt32 = 0x0A02_0000) -> Mapping {
    let eid = EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: prefix)), length: 24))
    return Mapping(
      eid: eid, target: Mapping.Target(locators.map { Locator(address: Self.rloc($0)) }), source: .learned(from: Self.rloc(1)), now: start)
  }

  /// What is under test, where an expectation may change it.
  private final class Subject {
    var bits: StatusBits
    init(capacity: Int = 4096) { bits = StatusBits(capacity: capacity) }

    func note(_ word: UInt32, count: Int, from rloc: IPAddress, about mapping: Mapping, now: ContinuousClock.Instant) -> Bool {
      bits.note(word, count: count, from: rloc, about: mapping, now: now)
    }
  }

  /// The locators that are marked.
  private func down(_ subject: Subject, _ mapping: Mapping) -> [IPAddress] {
    guard case .locators(let locators) = subject.bits.told(mapping.eid, mapping.target) else { return [] }
    return locators.filter(\.isStatusBitClear).map(\.address)
  }

  @Test func `E11 bit i is about locator i in canonical order, whatever order they came in`() {
    let mapping = mapping([3, 1, 2])
    for i in 0..<3 {
      let subject = Subject()
      #expect(subject.note(0b111 & ~(1 << UInt32(i)), count: 8, from: Self.rloc(2), about: mapping, now: start))
      #expect(down(subject, mapping) == [Self.rloc(i + 1)])
      #expect(subject.bits.saidDown == [Self.rloc(i + 1)])
    }
  }

  @Test func `E11 a bit that is set again takes the mark away, and nothing is kept`() {
    let mapping = mapping([1, 2])
    let subject = Subject()
    #expect(!subject.note(0b11, count: 32, from: Self.rloc(1), about: mapping, now: start))
    #expect(subject.bits.count == 0)
    #expect(subject.note(0b01, count: 32, from: Self.rloc(1), about: mapping, now: start))
    #expect(!subject.note(0b01, count: 32, from: Self.rloc(1), about: mapping, now: start), "the same again changes nothing")
    #expect(subject.note(0b11, count: 32, from: Self.rloc(1), about: mapping, now: start))
    #expect(down(subject, mapping) == [] && subject.bits.count == 0)
  }

  @Test func `E11 only a locator of the mapping is believed, and only about locators that it has bits for`() {
    let ten = mapping(Array(1...10))
    let subject = Subject()
    #expect(!subject.note(0, count: 8, from: Self.rloc(11), about: ten, now: start))
    #expect(subject.note(0, count: 8, from: Self.rloc(1), about: ten, now: start))
    #expect(down(subject, ten) == (1...8).map(Self.rloc))
    let forty = mapping(Array(1...40), 0x0A03_0000)
    #expect(subject.note(0, count: 32, from: Self.rloc(40), about: forty, now: start))
    #expect(down(subject, forty) == (1...32).map(Self.rloc))
    var negative = ten
    negative.target = .negative(.drop)
    #expect(!subject.note(0, count: 8, from: Self.rloc(1), about: negative, now: start))
  }

  @Test func `a locator is down as long as one router of its site says so, and a silent one's word is over when another speaks`() {
    let mapping = mapping([1, 2])
    let subject = Subject()
    #expect(subject.note(0b10, count: 8, from: Self.rloc(1), about: mapping, now: start))
    #expect(!subject.note(0b11, count: 8, from: Self.rloc(2), about: mapping, now: start + .seconds(1)))
    #expect(down(subject, mapping) == [Self.rloc(1)])
    let over = start + StatusBits.wordLifetime + .nanoseconds(1)
    #expect(down(subject, mapping) == [Self.rloc(1)], "nobody has spoken since")
    #expect(subject.note(0b11, count: 8, from: Self.rloc(2), about: mapping, now: over))
    #expect(down(subject, mapping) == [])
  }

  @Test func `a word that nobody repeats is over after a minute, also where nobody else speaks`() {
    let mapping = mapping([1, 2])
    let subject = Subject()
    #expect(subject.note(0b10, count: 8, from: Self.rloc(1), about: mapping, now: start))
    #expect(!subject.note(0b10, count: 8, from: Self.rloc(1), about: mapping, now: start + .seconds(30)), "repeated")
    let end = start + .seconds(30) + StatusBits.wordLifetime
    #expect(subject.bits.forget(now: end) { _ in true } == [] && down(subject, mapping) == [Self.rloc(1)])
    #expect(subject.bits.forget(now: end + .nanoseconds(1)) { _ in true } == [mapping.eid])
    #expect(down(subject, mapping) == [] && subject.bits.count == 0)
  }

  @Test func `what was said of other locators does not count for a mapping that has changed`() {
    let (before, after) = (mapping([1, 2]), mapping([2, 3]))
    let subject = Subject()
    #expect(subject.note(0b10, count: 8, from: Self.rloc(2), about: before, now: start))
    #expect(down(subject, after) == [])
    #expect(subject.note(0b01, count: 8, from: Self.rloc(2), about: after, now: start))
    #expect(down(subject, after) == [Self.rloc(3)] && down(subject, before) == [])
    #expect(subject.bits.forget(now: start) { $0 != after.eid } == [])
    #expect(subject.bits.count == 0)
  }

  @Test func `C10 no more sites are kept than there is room for`() {
    let subject = Subject(capacity: 2)
    let mappings = (0..<3).map { mapping([1, 2], 0x0A02_0000 + $0 << 8) }
    #expect(mappings.map { subject.note(0, count: 8, from: Self.rloc(1), about: $0, now: start) } == [true, true, false])
    #expect(subject.note(0b01, count: 8, from: Self.rloc(1), about: mappings[0], now: start), "known ones are heard")
    #expect(Set(subject.bits.removeAll()) == Set(mappings.prefix(2).map(\.eid)) && subject.bits.count == 0)
  }

  @Test func `it says what a model of it says`() {
    var random = SplitMix64(seed: 0x15B)
    let mapping = mapping([1, 2, 3, 4])
    let subject = Subject()
    var words: [Int: (bits: UInt32, at: ContinuousClock.Instant)] = [:]
    var now = start
    for _ in 0..<5000 {
      now += .seconds(Int.random(in: 0...30, using: &random))
      let (router, word) = (
        Int.random(in: 1...4, using: &random), UInt32.random(in: 0...15, using: &random) | .random(in: 0...15, using: &random)
      )
      _ = subject.note(word, count: 8, from: Self.rloc(router), about: mapping, now: now)
      words = words.filter { now - $0.value.at <= StatusBits.wordLifetime }
      words[router] = (word, now)
      let up = words.values.reduce(15) { $0 & $1.bits }
      #expect(down(subject, mapping) == (0..<4).filter { up >> UInt32($0) & 1 == 0 }.map { Self.rloc($0 + 1) })
    }
  }
}
