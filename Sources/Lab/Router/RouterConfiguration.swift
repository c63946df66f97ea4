// SPDX-License-Identifier: Apache-2.0
//
// The configuration file of one router of a lab, as TOML text. `RouterProcess` writes it; a test that wants another one changes the
// values or appends lines of its own.

import Wire

public struct RouterConfiguration: Sendable {
  public struct Interface: Sendable {
    public var name: String
    public var role: String
    public var instance: UInt32?
    /// More lines of this table, "mode = \"generic\"".
    public var lines: [String] = []

    public init(_ name: String, role: String, instance: UInt32? = nil, lines: [String] = []) {
      self.name = name
      self.role = role
      self.instance = instance
      self.lines = lines
    }
  }

  public struct Mapping: Sendable {
    public var instance: UInt32
    public var prefix: String
    /// Empty: a negative mapping with `action`.
    public var locators: [String]
    public var action: String?

    public init(instance: UInt32, prefix: String, locators: [String], action: String? = nil) {
      self.instance = instance
      self.prefix = prefix
      self.locators = locators
      self.action = action
    }
  }

  public var controlSocket: String
  /// More lines of [router], "workers = 2".
  public var routerLines: [String] = []
  public var interfaces: [Interface] = []
  /// Those whose prefixes are in another routing table than the main one.
  public var instances: [(id: UInt32, table: Int)] = []
  public var database: [(instance: UInt32, prefix: String)] = []
  /// The locators of all of `database`; empty: all RLOCs.
  public var locators: [String] = []
  public var mappings: [Mapping] = []
  /// Appended at the end: tables of their own.
  public var lines: [String] = []

  /// A site of the two-site topology: both instances, both families, and no mapping yet.
  public init(site: Site, controlSocket: String) {
    self.controlSocket = controlSocket
    interfaces = [Interface(site.coreInterface, role: "core")]
    for (index, name) in site.siteInterfaces.enumerated() {
      let instance = UInt32(index + 1)
      interfaces.append(Interface(name, role: "site", instance: instance))
      if index > 0 { instances.append((instance, TwoSites.secondTable)) }
      for family in AddressFamily.allCases { database.append((instance, site.eidPrefix(family).description)) }
    }
  }

  /// Mappings of everything that `remote` has, towards its RLOC of `family`.
  public static func mappings(to remote: Site, over family: AddressFamily) -> [Mapping] {
    [UInt32(1), 2].flatMap { instance in
      AddressFamily.allCases.map {
        Mapping(instance: instance, prefix: remote.eidPrefix($0).description, locators: [remote.rloc(family).description])
      }
    }
  }

  public var text: String {
    var text = ["[router]", "control-socket = \"\(controlSocket)\""] + routerLines
    for interface in interfaces {
      text += ["", "[[interface]]", "name = \"\(interface.name)\"", "role = \"\(interface.role)\""]
      if let instance = interface.instance { text.append("instance-id = \(instance)") }
      text += interface.lines
    }
    for instance in instances {
      text += ["", "[[instance]]", "id = \(instance.id)", "table = \(instance.table)"]
    }
    for prefix in database {
      text += ["", "[[database]]", "instance-id = \(prefix.instance)", "eid-prefix = \"\(prefix.prefix)\""]
      if !locators.isEmpty { text.append("rlocs = [\(locators.map { "{ address = \"\($0)\" }" }.joined(separator: ", "))]") }
    }
    for mapping in mappings {
      text += ["", "[[mapping]]", "instance-id = \(mapping.instance)", "eid-prefix = \"\(mapping.prefix)\""]
      if let action = mapping.action {
        text.append("action = \"\(action)\"")
      } else {
        let locators = mapping.locators.map { "{ address = \"\($0)\", priority = 1, weight = 100 }" }
        text.append("rlocs = [\(locators.joined(separator: ", "))]")
      }
    }
    return (text + lines).joined(separator: "\n") + "\n"
  }
}
