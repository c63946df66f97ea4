// SPDX-License-Identifier: Apache-2.0
//
// What the file of `xtr map-server` says: `[map-server]`, and a `[[site]]` for each site that may register. The server runs by it and, on
// SIGHUP, takes the sites anew.

import ControlAPI
import ControlPlane
import Logging
import Wire

/// A whole, checked configuration of a map-server. Thread: any.
struct MapServerConfiguration: Sendable, Equatable {
  /// Which of the host's addresses to listen on; nil: all global ones.
  var listen: [IPAddress]?
  /// Where registrations survive a restart; nil: they do not.
  var stateFile: String?
  /// Map-Replies to an address that did not ask itself, or that are much longer than the question; nil: the server's choice.
  var repliesPerSecond: Int?
  var controlSocket = "/run/xtr/map-server.sock"
  var controlGroup: String?
  var logLevel = Logger.Level.info
  /// Names differ, and no EID-prefix is of two sites.
  var sites: [Site] = []

  struct Site: Sendable, Equatable {
    var name: String
    /// At least one; several while keys change.
    var keys: [AuthenticationKey] = []
    /// Whether we answer for the site's xTRs even if they did not ask us to.
    var proxyReply = false
    /// The sites whose xTRs may have changes of this one's mappings published to them (RFC 9437), by their names; nil: all.
    var subscribers: Set<String>?
    /// Whether a register whose nonce is not greater than the last one's is a replay. lispers.net uses one nonce for ever.
    var increasingNonces = true
    var prefixes: [Prefix] = []
  }

  struct Prefix: Sendable, Equatable {
    var eid: EIDPrefix
    /// Whether the site may register parts of it.
    var acceptsMoreSpecifics = false
  }
}

extension MapServerConfiguration {
  /// Whether a file is a map-server's and not a router's.
  static func isMeant(by file: String) throws(ConfigurationErrors) -> Bool {
    let members = try ConfigurationFile(reading: file).members
    return members["map-server"] != nil || members["site"] != nil
  }

  static func load(file: String) throws(ConfigurationErrors) -> Self { try check(ConfigurationFile(reading: file)) }

  static func parse(_ bytes: [UInt8], file: String) throws(ConfigurationErrors) -> Self {
    try check(ConfigurationFile(parsing: bytes, file: file))
  }

  private static func check(_ file: ConfigurationFile) throws(ConfigurationErrors) -> Self {
    let configuration = ConfigurationReader(problems: file.problems).readMapServer(file.members)
    guard file.problems.isEmpty else { throw file.problems.errors() }
    return configuration
  }
}

extension ConfigurationReader {
  fileprivate func readMapServer(_ members: [String: ConfigurationValue]) -> MapServerConfiguration {
    let root = TableReader(members, path: "", keys: ["map-server", "site"], problems: problems)
    var configuration = MapServerConfiguration()
    let keys = ["listen", "state", "replies-per-second", "control-socket", "control-group", "log-level"]
    if let table = root.table("map-server", keys: keys) {
      configuration.listen = rlocs(table, "listen")
      configuration.stateFile = table.string("state", expected: "a path")
      configuration.repliesPerSecond = table.integer("replies-per-second", in: 1...1_000_000)
      configuration.controlSocket = socketPath(table) ?? configuration.controlSocket
      configuration.controlGroup = table.string("control-group", expected: "a group's name")
      configuration.logLevel = table.name("log-level", Logger.Level.self) ?? configuration.logLevel
    }
    configuration.sites = sites(root)
    if configuration.sites.isEmpty, problems.isEmpty {
      root.problem("site", "expected at least one [[site]]: without it nobody may register")
    }
    return configuration
  }

  private func sites(_ root: TableReader) -> [MapServerConfiguration.Site] {
    var names = FirstPlaces<String>()
    var prefixes = FirstPlaces<EIDPrefix>()
    let keys = ["name", "key", "key-id", "algorithm", "keys", "proxy-reply", "subscribers", "increasing-nonces", "eid-prefix"]
    var subscribers: [(name: String, table: TableReader)] = []
    let sites = root.tables("site", keys: keys).map { table in
      table.require("name", "a name for the site")
      var site = MapServerConfiguration.Site(name: table.string("name", expected: "a name for the site") ?? "")
      if let first = names.repeats(site.name, at: table.path) {
        table.problem("name", "\"\(site.name)\" is \(first) already; expected each site once")
      }
      site.keys = siteKeys(table)
      site.proxyReply = table.boolean("proxy-reply") ?? false
      site.subscribers = table.strings("subscribers", of: "names of sites").map { Set($0) }
      for name in site.subscribers ?? [] { subscribers.append((name, table)) }
      site.increasingNonces = table.boolean("increasing-nonces") ?? true
      site.prefixes = table.tables("eid-prefix", keys: ["instance-id", "eid-prefix", "more-specifics"]).compactMap { table in
        guard let eid = eid(table) else { return nil }
        if let first = prefixes.repeats(eid, at: table.path) {
          table.problem("eid-prefix", "\(eid) is \(first) already; expected each once")
        }
        return MapServerConfiguration.Prefix(eid: eid, acceptsMoreSpecifics: table.boolean("more-specifics") ?? false)
      }
      if site.prefixes.isEmpty, problems.isEmpty {
        table.problem("eid-prefix", "expected at least one [[site.eid-prefix]]: without it the site has nothing to register")
      }
      return site
    }
    for (name, table) in subscribers where !sites.contains(where: { $0.name == name }) {
      table.problem("subscribers", "\"\(name)\" is no site of this file; expected names of [[site]]")
    }
    return sites
  }

  /// Either `key` with its companions, or `keys`.
  private func siteKeys(_ site: TableReader) -> [AuthenticationKey] {
    switch (site.has("key"), site.has("keys")) {
    case (true, true):
      site.problem("keys", "expected either key or keys, found both")
      return []
    case (false, false):
      site.problem("key", "expected a secret that the site's routers know, or keys; both are missing")
      return []
    case (true, false): return authenticationKey(site).map { [$0] } ?? []
    case (false, true):
      let tables = site.tables("keys", keys: ["key", "key-id", "algorithm"])
      if tables.isEmpty, problems.isEmpty { site.problem("keys", "expected at least one key") }
      return tables.compactMap { table in
        table.require("key", "the secret")
        return authenticationKey(table)
      }
    }
  }
}
