// SPDX-License-Identifier: Apache-2.0
//
// Mappings of every kind that goes over the control socket, by seed. What is one value by hand is in ControlSamples.

import TestSupport
import Wire

@testable import ControlAPI

func prefix(_ text: String) throws -> IPPrefix { try IPPrefix(parsing: text) }

func eid(_ text: String, instance: UInt32 = 0) throws -> EIDPrefix { EIDPrefix(InstanceID(truncating: instance), try prefix(text)) }

func address(_ text: String) throws -> IPAddress { try prefix(text).address }

extension SplitMix64 {
  mutating func address() -> IPAddress {
    Bool.random(using: &self)
      ? .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: next()))) : .v6(IPv6Address(high: next(), low: next()))
  }

  mutating func eid() -> EIDPrefix {
    let address = address()
    return EIDPrefix(
      InstanceID(truncating: UInt32(truncatingIfNeeded: next())),
      IPPrefix(masking: address, length: Int.random(in: 0...address.family.bitWidth, using: &self)))
  }

  mutating func locator() -> ControlLocator {
    ControlLocator(
      address: address(), priority: .random(in: 0...255, using: &self), weight: .random(in: 0...100, using: &self),
      reachable: .random(using: &self))
  }

  mutating func mapping() -> ControlMapping {
    let target: MappingTarget =
      Int.random(in: 0..<4, using: &self) == 0
      ? .action(MappingAction.allCases.randomElement(using: &self) ?? .drop)
      : .locators((0..<Int.random(in: 1...4, using: &self)).map { _ in locator() })
    return ControlMapping(eid: eid(), target: target, ttlMinutes: Bool.random(using: &self) ? nil : .random(in: 1...(.max), using: &self))
  }

  mutating func count() -> PacketCount { PacketCount(packets: next() >> 1, bytes: next() >> 1) }

  mutating func entry() -> MappingEntry {
    let target: MappingEntry.Target =
      switch mapping().target {
      case .action(let action): .action(action)
      case .locators(let locators):
        .locators(
          locators.map { LocatorEntry(locator: $0, state: LocatorState.allCases.randomElement(using: &self) ?? .up, count: count()) })
      }
    return MappingEntry(
      eid: eid(), target: target, ttlMinutes: Bool.random(using: &self) ? nil : 60, expiresInSeconds: Bool.random(using: &self) ? nil : 17,
      owner: "mapd", origin: MappingOrigin.allCases.randomElement(using: &self) ?? .control, count: count())
  }
}
