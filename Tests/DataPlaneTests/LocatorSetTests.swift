// SPDX-License-Identifier: Apache-2.0
//
// How flows are shared out among locators (rule E14): the buckets of a set, and flows seen through the engine.

import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct LocatorSetTests {
  /// A set whose templates are numbered like its locators, from 1.
  static func set(_ weights: [UInt8], down: Set<Int> = []) -> LocatorSet {
    LocatorSet(
      .encapsulate,
      weights.enumerated().map { i, weight in
        LocatorChoice(ordinal: UInt8(i), template: TemplateHandle(i + 1), weight: weight, isUsable: !down.contains(i))
      })
  }

  static func counts(_ buckets: [Int], _ choices: Int) -> [Int] {
    buckets.reduce(into: Array(repeating: 0, count: choices)) { $0[$1] += 1 }
  }

  // MARK: - Buckets

  @Test func `E14 weights 30, 20, 20, 10 share 256 buckets as 37.5, 25, 25, 12.5 percent`() {
    #expect(Self.counts(Self.set([30, 20, 20, 10]).buckets(), 4) == [96, 64, 64, 32])
    #expect(Self.counts(Self.set([3, 2, 2, 1]).buckets(), 4) == [96, 64, 64, 32])
  }

  @Test func `E14 all weights 0 mean equal shares, as all weights equal do`() {
    for count in 2...32 {
      for weight in [0, 1, 50, 100] as [UInt8] {
        let counts = Self.counts(Self.set(Array(repeating: weight, count: count)).buckets(), count)
        #expect(counts.allSatisfy { $0 == 256 / count || $0 == 256 / count + 1 })
        #expect(counts.reduce(0, +) == 256)
      }
    }
  }

  @Test func `E14 every share is within one bucket of exact, for random weights`() {
    var random = SplitMix64(seed: 100)
    for _ in 0..<200 {
      let weights = (0..<random.below(12) + 2).map { _ in UInt8(random.below(101)) }
      let total = weights.reduce(0) { $0 + Int($1) }
      guard total > 0 else { continue }
      let counts = Self.counts(Self.set(weights).buckets(), weights.count)
      #expect(counts.reduce(0, +) == 256)
      for (count, weight) in zip(counts, weights) {
        let exact = 256 * Double(weight) / Double(total)
        #expect(abs(Double(count) - exact) < 1, "\(weights): \(counts)")
        if weight == 0 { #expect(count == 0) }
      }
    }
  }

  @Test func `E14 when a locator fails only its buckets move, and when it returns they return`() {
    var random = SplitMix64(seed: 101)
    for _ in 0..<60 {
      let weights = (0..<random.below(6) + 2).map { _ in UInt8(random.below(100) + 1) }
      let all = Self.set(weights).buckets()
      for failed in weights.indices {
        let without = Self.set(weights, down: [failed]).buckets()
        #expect(without.count == 256)
        for (before, after) in zip(all, without) { #expect(before == failed ? after != failed : after == before) }
      }
      #expect(Self.set(weights).buckets() == all)
    }
  }

  @Test func `E14 when a second locator fails only its buckets move, whatever failed before`() {
    let weights: [UInt8] = [30, 20, 20, 10, 5]
    for first in 0..<5 {
      for second in 0..<5 where second != first {
        let before = Self.set(weights, down: [first]).buckets()
        let after = Self.set(weights, down: [first, second]).buckets()
        for (a, b) in zip(before, after) { #expect(a == second ? b != second && b != first : b == a) }
      }
    }
  }

  @Test func `E14 the flows of a failed locator are shared by the others' weights`() {
    // 96 buckets of the failed one, 40 : 20 : 20 : 20 among the rest; three standard deviations are 14.
    let weights: [UInt8] = [60, 40, 20, 20, 20]
    let all = Self.set(weights).buckets()
    let without = Self.set(weights, down: [0]).buckets()
    var gained = Array(repeating: 0, count: 5)
    for (before, after) in zip(all, without) where before == 0 { gained[after] += 1 }
    #expect(gained[0] == 0 && gained.reduce(0, +) == 96)
    #expect((38 - 15...38 + 15).contains(gained[1]), "\(gained)")
    for i in 2..<5 { #expect((19 - 13...19 + 13).contains(gained[i]), "\(gained)") }
  }

  @Test func `E14 a weight of 0 beside others takes nothing until nothing else is left`() {
    let counts = Self.counts(Self.set([10, 0, 10, 0]).buckets(), 4)
    #expect(counts == [128, 0, 128, 0])
    #expect(Self.counts(Self.set([10, 0, 10, 0], down: [0]).buckets(), 4) == [0, 0, 256, 0])
    let left = Self.counts(Self.set([10, 0, 10, 0], down: [0, 2]).buckets(), 4)
    #expect(left[0] == 0 && left[2] == 0 && left[1] > 90 && left[3] > 90)
  }

  @Test func `one locator needs one bucket, none usable needs none`() {
    #expect(Self.set([50]).buckets() == [0])
    #expect(Self.set([0]).buckets() == [0])
    #expect(Self.set([50], down: [0]).buckets() == [])
    #expect(Self.set([50, 50], down: [0, 1]).buckets() == [])
    #expect(LocatorSet(.drop).buckets() == [])
    #expect(Self.set([50, 50], down: [0]).buckets() == Array(repeating: 1, count: 256))
  }

  @Test func `as many locators as ordinals can name are shared out`() {
    let counts = Self.counts(Self.set(Array(repeating: 1, count: 256)).buckets(), 256)
    #expect(counts == Array(repeating: 1, count: 256))
  }

  @Test func `apportionment sums to the bucket count, whatever rounding does`() {
    var random = SplitMix64(seed: 102)
    for _ in 0..<500 {
      let weights = (0..<random.below(40) + 1).map { _ in Double(random.below(100) + 1) }
      let total = weights.reduce(0, +)
      let target = LocatorSet.apportionment(weights.map { $0 / total })
      #expect(target.reduce(0, +) == 256 && target.allSatisfy { $0 >= 0 })
    }
  }

  @Test func `a compiled set answers with ordinal and template of its buckets`() {
    let set = Self.set([30, 20, 20, 10], down: [2])
    let block = SetBlock(set)
    defer { block.deallocate() }
    #expect(block.actionCode == ForwardingAction.encapsulate.rawValue)
    for (bucket, choice) in set.buckets().enumerated() {
      for low in [0, 0xFF_FFFF] as [UInt32] {
        #expect(block.choice(UInt32(bucket) << 24 | low) == UInt32(choice) << 24 | UInt32(choice + 1))
      }
    }
    let single = SetBlock(Self.set([1]))
    defer { single.deallocate() }
    #expect(single.choice(0) == 1 && single.choice(.max) == 1)
    let none = SetBlock(LocatorSet(.drop))
    defer { none.deallocate() }
    #expect(none.actionCode == ForwardingAction.drop.rawValue && none.choice(.max) == 0)
  }

  // MARK: - Flows

  /// Four locators of weights 30, 20, 20, 10, and 4,000 flows of both families.
  struct Flows {
    static let weights: [UInt8] = [30, 20, 20, 10]
    let rig: Rig
    let templates: [TemplateHandle]
    let set: SetHandle
    let frames: [[UInt8]]

    init() throws {
      rig = try Rig()
      for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { try rig.local(eid) }
      templates = try (1...4).map { [rig] in try rig.publisher.addTemplate(rig.tunnel(to: "198.51.100.\($0)")) }
      set = try rig.map("10.2.0.0/16", to: LocatorSet(.encapsulate)).set
      try rig.publisher.setMapping(Rig.eid("2001:db8:b::/48"), set: set, counters: 100)
      frames = (0..<4000).map { flow in
        let payload = UDPDatagram(sourcePort: UInt16(10_000 + flow / 2), destinationPort: 443).octets
        return Frame.of((flow % 2 == 0 ? IPPacket.v4(payload) : .v6(payload)).octets)
      }
      use()
      rig.publisher.publish()
    }

    /// Sets which locators are up; takes effect at once.
    func use(down: Set<Int> = []) {
      let choices = templates.enumerated().map { i, template in
        LocatorChoice(ordinal: UInt8(i), template: template, weight: Self.weights[i], isUsable: !down.contains(i))
      }
      rig.publisher.replaceSet(set, LocatorSet(.encapsulate, choices))
    }

    /// The locator of each flow; nil: not transmitted.
    func locators() -> [Int?] {
      rig.send(frames, port: Port.site).map { outcome in outcome.verdict.isTransmit ? Int(outcome.outerDestination[3]) - 1 : nil }
    }
  }

  @Test func `E14 flows are shared out by weight, each keeps its locator`() throws {
    let flows = try Flows()
    let first = flows.locators()
    #expect(first == flows.locators())
    let counts = Self.counts(first.compactMap { $0 }, 4)
    // 1500, 1000, 1000, 500 expected; one standard deviation is at most 31.
    for (count, expected) in zip(counts, [1500, 1000, 1000, 500]) { #expect(abs(count - expected) < 110, "\(counts)") }
  }

  @Test func `E14 when a locator fails only its flows move, at once, and they return with it`() throws {
    let flows = try Flows()
    let all = flows.locators()
    for failed in 0..<4 {
      flows.use(down: [failed])
      let without = flows.locators()
      for (before, after) in zip(all, without) { #expect(before == failed ? after != failed && after != nil : after == before) }
      flows.use()
      #expect(flows.locators() == all)
    }
    flows.use(down: [0, 1, 2, 3])
    #expect(flows.locators().allSatisfy { $0 == nil })
    flows.use(down: [0, 1, 2])
    #expect(flows.locators().allSatisfy { $0 == 3 })
  }

  @Test func `E14 flows keep their locators through unrelated changes`() throws {
    let flows = try Flows()
    let all = flows.locators()
    let rig = flows.rig
    // Other mappings, nested and beside; other templates; a new link-layer address; settings; ports.
    for i in 0..<50 { try rig.remote("10.\(i + 3).0.0/16", over: [rig.tunnel(to: "203.0.113.\(i)")]) }
    try rig.map("10.0.0.0/8", to: LocatorSet(.nativeForward))
    rig.publisher.publish()
    #expect(flows.locators() == all)
    for i in 0..<25 { try rig.publisher.removeMapping(Rig.eid("10.\(i + 3).0.0/16")) }
    var moved = try rig.tunnel(to: "198.51.100.1")
    moved.destinationMAC = MACAddress(rawValue: 0x0200_0000_FFFF)
    rig.publisher.replaceTemplate(flows.templates[0], moved)
    rig.publisher.setPort(Port.tagged, PortState(role: .site))
    rig.publisher.publish()
    #expect(flows.locators() == all)
    try rig.publisher.setMapping(Rig.eid("10.2.0.0/16"), set: flows.set, counters: 200)
    rig.publisher.publish()
    #expect(flows.locators() == all)
  }

  @Test func `E14 both families of a flow set and both directions of the hash agree on nothing but the weights`() throws {
    // One locator's share must not depend on the family: each is within its own deviation.
    let flows = try Flows()
    let locators = flows.locators()
    for family in 0..<2 {
      let counts = Self.counts(stride(from: family, to: 4000, by: 2).compactMap { locators[$0] }, 4)
      for (count, expected) in zip(counts, [750, 500, 500, 250]) { #expect(abs(count - expected) < 85, "family \(family): \(counts)") }
    }
  }
}
