// SPDX-License-Identifier: Apache-2.0
//
// The configuration of a lab's map-server, and what routers have to say to use it.

import Wire

/// As TOML text. A site's key is its name's: `MapServerFile.key(of:)`.
public struct MapServerFile: Sendable {
  public struct Site: Sendable {
    public var name: String
    public var key: String
    /// Accepted as well, while keys change.
    public var otherKeys: [String] = []
    public var prefixes: [(instance: UInt32, prefix: String)]
    /// More lines of this table, "proxy-reply = true".
    public var lines: [String] = []
    /// Whether it may register parts of its prefixes.
    public var moreSpecifics = false

    public init(_ name: String, key: String, prefixes: [(instance: UInt32, prefix: String)]) {
      self.name = name
      self.key = key
      self.prefixes = prefixes
    }

    fileprivate var keyLines: [String] {
      guard !otherKeys.isEmpty else { return ["key = \"\(key)\""] }
      return ["keys = [\(([key] + otherKeys).map { "{ key = \"\($0)\" }" }.joined(separator: ", "))]"]
    }
  }

  public var controlSocket: String
  /// More lines of [map-server], "state = …".
  public var lines: [String] = []
  public var sites: [Site]

  /// For the two-site topology: both instances, both families.
  public init(for topology: TwoSites, controlSocket: String) {
    self.controlSocket = controlSocket
    sites = ["A", "B"].map { letter in
      var prefixes: [(instance: UInt32, prefix: String)] = []
      for instance in [UInt32(1), 2] {
        for family in AddressFamily.allCases { prefixes.append((instance, "\(topology.site(letter).eidPrefix(family))")) }
      }
      return Site("site-\(letter)", key: Self.key(of: letter), prefixes: prefixes)
    }
  }

  /// What site A or B and the map-server share.
  public static func key(of letter: String) -> String { "secret of site \(letter)" }

  public var text: String {
    var text = ["[map-server]", "control-socket = \"\(controlSocket)\""] + lines
    for site in sites {
      text += ["", "[[site]]", "name = \"\(site.name)\""] + site.keyLines + site.lines
      for prefix in site.prefixes {
        text += ["[[site.eid-prefix]]", "instance-id = \(prefix.instance)", "eid-prefix = \"\(prefix.prefix)\""]
        if site.moreSpecifics { text.append("more-specifics = true") }
      }
    }
    return text.joined(separator: "\n") + "\n"
  }
}

extension RouterConfiguration {
  /// Asks and registers at `server`; more lines of [mapping-system] come before the map-server's.
  public mutating func use(mapServer server: String, key: String, lines more: [String] = []) {
    lines += ["", "[mapping-system]", "map-resolvers = [\"\(server)\"]"] + more
    lines += ["[[mapping-system.map-server]]", "address = \"\(server)\"", "key = \"\(key)\""]
  }
}
