// SPDX-License-Identifier: Apache-2.0
//
// Priorities, reachability and ways: which locators of a mapping packets may take.

import DataPlane
import MapCache
import Testing
import Wire

@testable import xtr

@Suite struct LocatorSelectionTests {
  /// Priority and weight of locators 1, 2, …; R = 0 for those in `unreachable`.
  static func locators(_ values: [(priority: UInt8, weight: UInt8)], unreachable: Set<Int> = []) -> [Locator] {
    values.enumerated().map { i, value in
      Locator(
        address: .v4(IPv4Address(198, 51, 100, UInt8(i + 1))), priority: value.priority, weight: value.weight,
        isReachable: !unreachable.contains(i + 1))
    }
  }

  /// The number of a locator is the last octet of its address; its template has the number + 100.
  static func number(_ locator: Locator) -> Int { Int(locator.address.octets[3]) }

  static func set(_ locators: [Locator], withoutWay: Set<Int> = [], silent: Set<Int> = [], resolving: Set<Int> = []) -> LocatorSet {
    func way(_ locator: Locator) -> RLOCPath.Quality {
      if withoutWay.contains(number(locator)) { return .none }
      if silent.contains(number(locator)) { return .silent }
      return resolving.contains(number(locator)) ? .resolving : .good
    }
    return LocatorSet(locators, way: way, template: { TemplateHandle(number($0) + 100) })
  }

  static func choice(_ number: Int, weight: UInt8 = 1, isUsable: Bool = true) -> LocatorChoice {
    LocatorChoice(ordinal: UInt8(number - 1), template: TemplateHandle(number + 100), weight: weight, isUsable: isUsable)
  }

  @Test func `E14 the lowest priority wins, and takes its weights and positions along`() {
    let set = Self.set(Self.locators([(2, 50), (1, 30), (3, 10), (1, 70)]))
    #expect(set == LocatorSet(.encapsulate, [Self.choice(2, weight: 30), Self.choice(4, weight: 70)]))
  }

  @Test func `E14 priority 0 is the lowest, 254 the highest that is used`() {
    #expect(Self.set(Self.locators([(1, 1), (0, 1)])) == LocatorSet(.encapsulate, [Self.choice(2)]))
    #expect(Self.set(Self.locators([(254, 1), (255, 1)])) == LocatorSet(.encapsulate, [Self.choice(1)]))
  }

  @Test func `E14 priority 255 is never used, not even when nothing else is there`() {
    #expect(Self.set(Self.locators([(255, 1), (255, 100)])) == LocatorSet(.encapsulate))
    #expect(Self.set(Self.locators([(1, 1), (255, 1)], unreachable: [1])) == LocatorSet(.encapsulate))
    #expect(Self.set(Self.locators([(1, 1), (255, 1)]), withoutWay: [1]) == LocatorSet(.encapsulate))
  }

  @Test func `E14 a locator with R=0 is not used, its share goes to others of its priority`() {
    let set = Self.set(Self.locators([(1, 1), (1, 1), (2, 1)], unreachable: [1]))
    #expect(set == LocatorSet(.encapsulate, [Self.choice(1, isUsable: false), Self.choice(2)]))
    #expect(Set(set.buckets()) == [1])
  }

  @Test func `E14 a locator whose next hop is silent gives way to others, of its priority or a worse one`() {
    let values: [(UInt8, UInt8)] = [(1, 1), (1, 1), (2, 5)]
    #expect(Self.set(Self.locators(values), silent: [1]) == LocatorSet(.encapsulate, [Self.choice(1, isUsable: false), Self.choice(2)]))
    #expect(Self.set(Self.locators(values), silent: [1, 2]) == LocatorSet(.encapsulate, [Self.choice(3, weight: 5)]))
    #expect(
      Self.set(Self.locators(values), withoutWay: [3], silent: [1, 2]) == LocatorSet(.encapsulate, [Self.choice(1), Self.choice(2)]))
    #expect(
      Self.set(Self.locators(values, unreachable: [1, 3]), silent: [1, 2])
        == LocatorSet(.encapsulate, [Self.choice(1, isUsable: false), Self.choice(2)]))
    #expect(Self.set(Self.locators([(255, 1), (1, 1)]), silent: [2]) == LocatorSet(.encapsulate, [Self.choice(2)]))
  }

  @Test func `E14 a locator whose next hop has not answered yet waits while another can be used`() {
    let values: [(UInt8, UInt8)] = [(1, 1), (1, 1), (2, 5)]
    #expect(Self.set(Self.locators(values), resolving: [1]) == LocatorSet(.encapsulate, [Self.choice(1, isUsable: false), Self.choice(2)]))
    #expect(Self.set(Self.locators(values), resolving: [1, 2]) == LocatorSet(.encapsulate, [Self.choice(3, weight: 5)]))
    #expect(
      Self.set(Self.locators(values), silent: [2, 3], resolving: [1])
        == LocatorSet(.encapsulate, [Self.choice(1), Self.choice(2, isUsable: false)]))
    #expect(Self.set(Self.locators([(1, 1)]), resolving: [1]) == LocatorSet(.encapsulate, [Self.choice(1)]))
  }

  @Test func `E14 when a whole priority is down the next one takes over, and gives way again`() {
    let values: [(UInt8, UInt8)] = [(1, 1), (1, 1), (2, 5), (3, 1)]
    #expect(Self.set(Self.locators(values, unreachable: [1, 2])) == LocatorSet(.encapsulate, [Self.choice(3, weight: 5)]))
    #expect(Self.set(Self.locators(values), withoutWay: [1, 2, 3]) == LocatorSet(.encapsulate, [Self.choice(4)]))
    #expect(Self.set(Self.locators(values)) == LocatorSet(.encapsulate, [Self.choice(1), Self.choice(2)]))
  }

  @Test func `E18 a locator without a way is not used, one of its priority that has one is`() {
    let set = Self.set(Self.locators([(1, 1), (1, 1)]), withoutWay: [2])
    #expect(set == LocatorSet(.encapsulate, [Self.choice(1), Self.choice(2, isUsable: false)]))
    #expect(Self.set(Self.locators([(1, 1), (1, 1)]), withoutWay: [1, 2]) == LocatorSet(.encapsulate))
  }

  @Test func `a mapping without locators encapsulates to nobody`() {
    #expect(Self.set([]) == LocatorSet(.encapsulate))
    #expect(Self.set([]).buckets() == [])
  }
}
