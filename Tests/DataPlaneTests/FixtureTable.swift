// SPDX-License-Identifier: Apache-2.0
//
// Fixtures/fixtures.json and the captures beside it, as PcapFixtureTests reads them: a router, groups of packets, what has to become of
// each, and what the counters say in the end. Fixtures/make-fixtures.py makes them and explains them.

import Foundation
import Testing
import Wire

@testable import DataPlane

struct FixtureTable: Decodable {
  struct PortRow: Decodable {
    var port: Int
    var roles: [String]
    var instance: UInt32?
    var vlans: [String: UInt32]
  }

  struct Locator: Decodable {
    var vlan: UInt16?
    var mtu: Int
    var resolved: Bool
    /// nil for a host of our site.
    var peer: String?
    var port: UInt16?
    var usable: Bool?
  }

  struct Mapping: Decodable {
    var instance: UInt32
    var prefix: String
    var action: String
    var locators: [Locator]
  }

  struct Settings: Decodable {
    var copiesECN: Bool?
    var computesUDPChecksum: Bool?
    var verifiesUDPChecksum: Bool?
    var copiesDSCP: Bool?
  }

  /// One counter, by what it belongs to.
  struct CounterName: Hashable {
    var instance: UInt32
    var prefix: String
    var locator: Int
  }

  struct PacketRow: Decodable {
    struct Counted: Decodable {
      var instance: UInt32
      var prefix: String
      var locator: Int
      var bytes: UInt64
    }

    var name: String
    var port: Int
    /// As `Verdict.description` has it.
    var verdict: String
    /// Places in the captures of what is transmitted and of what the slow path gets.
    var output: Int?
    var slowPath: Int?
    /// What names the flow, where the packet is encapsulated.
    var flow: String?
    var instance: UInt32?
    var mtu: UInt16?
    var counted: Counted?
  }

  struct Totals: Decodable {
    struct Sum: Decodable {
      var instance: UInt32
      var prefix: String
      var locator: Int
      var packets: UInt64
      var bytes: UInt64
    }

    var encapsulated: UInt64
    var decapsulated: UInt64
    var verdicts: [String: Int]
    var counters: [Sum]
  }

  struct Group: Decodable {
    var name: String
    var settings: Settings
    var totals: Totals
    var packets: [PacketRow]
  }

  var ports: [PortRow]
  var mappings: [Mapping]
  var groups: [Group]

  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

  /// Throws when the file is not there or not sound: without fixtures there is no test.
  static func load() throws -> FixtureTable {
    try JSONDecoder().decode(FixtureTable.self, from: Data(contentsOf: folder.appendingPathComponent("fixtures.json")))
  }

  func group(_ name: String) throws -> Group { try #require(groups.first { $0.name == name }) }

  /// One of a group's captures.
  static func frames(_ name: String, linkType: Int = Pcap.ethernet) throws -> [[UInt8]] {
    try #require(try Pcap.frames(folder.appendingPathComponent("\(name).pcap"), linkType: linkType))
  }
}

// MARK: - The router

extension FixtureTable {
  /// The router of the table, and where its counters are.
  func router(_ settings: Settings) throws -> (rig: Rig, counters: [CounterName: UInt32]) {
    let rig = try Rig()
    for row in ports {
      let vlans = try row.vlans.map { (try #require(UInt16($0.key).flatMap { VLANID(rawValue: $0) }), InstanceID(truncating: $0.value)) }
      let roles = try row.roles.map { try #require(["site": PortRole.site, "core": .core][$0]) }
      rig.publisher.setPort(
        row.port,
        PortState(
          role: PortRole(roles), instance: row.instance.map { InstanceID(truncating: $0) },
          vlanInstances: Dictionary(uniqueKeysWithValues: vlans)))
    }
    var counters: [CounterName: UInt32] = [:]
    for mapping in mappings {
      let first = try rig.map(
        mapping.prefix, instance: mapping.instance, to: locatorSet(mapping, rig), locators: max(1, mapping.locators.count)
      ).counters
      for i in 0..<max(1, mapping.locators.count) {
        counters[CounterName(instance: mapping.instance, prefix: mapping.prefix, locator: i)] = first + UInt32(i)
      }
    }
    var engine = EngineSettings()
    engine.copiesECN = settings.copiesECN ?? engine.copiesECN
    engine.computesUDPChecksum = settings.computesUDPChecksum ?? engine.computesUDPChecksum
    engine.verifiesUDPChecksum = settings.verifiesUDPChecksum ?? engine.verifiesUDPChecksum
    engine.copiesDSCP = settings.copiesDSCP ?? engine.copiesDSCP
    rig.publisher.setSettings(engine)
    rig.publisher.publish()
    return (rig, counters)
  }

  private func locatorSet(_ mapping: Mapping, _ rig: Rig) throws -> LocatorSet {
    let actions: [String: ForwardingAction] = [
      "encapsulate": .encapsulate, "local": .local, "nativeForward": .nativeForward, "sendMapRequest": .sendMapRequest, "drop": .drop,
      "policyDenied": .policyDenied, "authenticationFailure": .authenticationFailure,
    ]
    let choices = try mapping.locators.enumerated().map { i, locator in
      let template =
        if let peer = locator.peer {
          try rig.tunnel(to: peer, port: locator.port ?? 4341, vlan: locator.vlan, isResolved: locator.resolved, mtu: locator.mtu)
        } else {
          rig.delivery(vlan: locator.vlan, isResolved: locator.resolved, mtu: locator.mtu)
        }
      return LocatorChoice(
        ordinal: UInt8(i), template: try rig.publisher.addTemplate(template), weight: 1, isUsable: locator.usable ?? true)
    }
    return LocatorSet(try #require(actions[mapping.action]), choices)
  }
}
