// SPDX-License-Identifier: Apache-2.0
//
// `[mapping-system]` and `[map-cache]`: whom the router asks for mappings, where it registers its own, how it watches locators. Read with the rest
// of the file by ConfigurationReader.

import ControlPlane
import Wire

extension Configuration {
  struct MappingSystem: Sendable, Equatable {
    /// Asked in turn.
    var mapResolvers: [IPAddress] = []
    /// Each address once.
    var mapServers: [MapServer] = []
    /// Map-Requests for new EIDs, a second.
    var requestsPerSecond = 30_000
    /// Seconds between RLOC probes; nil: no probes.
    var probeSeconds: Int? = 10
    /// Of our own mappings, as we register and answer them.
    var ttlMinutes: UInt32 = 1440
    /// Map-Replies to one address that did not ask itself.
    var repliesPerSecond = 200
    /// Who we are; nil: made from the first RLOC.
    var identity: XTRIdentity?
    /// Where nonces are kept from one start to the next; nil: they grow with the clock only.
    var stateFile: String?
    /// EID-prefixes whose changes we want to be told (RFC 9437).
    var subscriptions: [Subscription] = []
  }

  struct MapServer: Sendable, Equatable {
    var address: IPAddress
    var key: AuthenticationKey
    /// Whether the server may answer for us.
    var proxyReply = true
    /// Whether the locators of several xTRs of the site add up.
    var merge = false
    /// Whether the registration lasts as long as `ttl-minutes`, not three minutes.
    var useTTL = false
  }

  struct Subscription: Sendable, Equatable {
    var eid: EIDPrefix
  }

  /// Bounds of what is learned from the mapping system.
  struct MapCache: Sendable, Equatable {
    var maximum = 1_000_000
    /// Of these, negative ones; nil: an eighth.
    var maximumNegative: Int?
    /// Mappings in these are never given up for others.
    var reserved: [EIDPrefix] = []
  }
}

extension ConfigurationReader {
  func mappingSystem(_ root: TableReader) -> Configuration.MappingSystem? {
    let keys = [
      "map-resolvers", "map-server", "requests-per-second", "replies-per-second", "probe-interval", "ttl-minutes", "xtr-id", "site-id",
      "state",
      "subscription",
    ]
    guard let table = root.table("mapping-system", keys: keys) else { return nil }
    var system = Configuration.MappingSystem()
    system.mapResolvers = resolvers(table)
    system.mapServers = mapServers(table)
    system.requestsPerSecond = table.integer("requests-per-second", in: 1...1_000_000) ?? system.requestsPerSecond
    system.repliesPerSecond = table.integer("replies-per-second", in: 1...1_000_000) ?? system.repliesPerSecond
    if let seconds = table.integer("probe-interval", in: 0...3600) { system.probeSeconds = seconds == 0 ? nil : seconds }
    system.ttlMinutes = table.integer("ttl-minutes", in: 1...1_000_000).map { UInt32($0) } ?? system.ttlMinutes
    system.identity = identity(table)
    system.stateFile = table.string("state", expected: "a path")
    system.subscriptions = table.tables("subscription", keys: ["instance-id", "eid-prefix"]).compactMap { table in
      eid(table).map { Configuration.Subscription(eid: $0) }
    }
    if system.mapResolvers.isEmpty, system.mapServers.isEmpty, problems.isEmpty {
      problems.add(table.path, "expected map-resolvers or [[mapping-system.map-server]]; both are missing")
    }
    return system
  }

  func mapCache(_ root: TableReader) -> Configuration.MapCache {
    var cache = Configuration.MapCache()
    guard let table = root.table("map-cache", keys: ["maximum", "maximum-negative", "reserved"]) else { return cache }
    cache.maximum = table.integer("maximum", in: 1...10_000_000) ?? cache.maximum
    cache.maximumNegative = table.integer("maximum-negative", in: 1...10_000_000)
    cache.reserved = table.tables("reserved", keys: ["instance-id", "eid-prefix"]).compactMap(eid)
    return cache
  }

  private func resolvers(_ table: TableReader) -> [IPAddress] {
    var places = FirstPlaces<IPAddress>()
    return (table.addresses("map-resolvers") ?? []).map { address, path in
      checkLocator(address, at: path)
      if let first = places.repeats(address, at: path) { problems.add(path, "\(address) is \(first) already; expected each once") }
      return address
    }
  }

  private func mapServers(_ system: TableReader) -> [Configuration.MapServer] {
    var places = FirstPlaces<IPAddress>()
    return system.tables("map-server", keys: ["address", "key", "key-id", "algorithm", "proxy-reply", "merge", "use-ttl"]).compactMap {
      table in
      table.require("address", "an address such as \"192.0.2.1\"")
      table.require("key", "the secret that the map-server knows us by")
      let address = table.address("address")
      let key = authenticationKey(table)
      guard let address, let key else { return nil }
      checkLocator(address, at: table.path("address"))
      if let first = places.repeats(address, at: table.path) {
        table.problem("address", "\(address) is \(first) already; expected each once")
      }
      var server = Configuration.MapServer(address: address, key: key)
      server.proxyReply = table.boolean("proxy-reply") ?? server.proxyReply
      server.merge = table.boolean("merge") ?? server.merge
      server.useTTL = table.boolean("use-ttl") ?? server.useTTL
      return server
    }
  }

  /// `key`, `key-id` and `algorithm`, the same for routers and map-servers.
  func authenticationKey(_ table: TableReader) -> AuthenticationKey? {
    let id = table.integer("key-id", in: 0...255) ?? 0
    let algorithm = table.name("algorithm", AlgorithmName.self) ?? .hmacSHA256
    guard let secret = table.string("key", expected: "a secret of at least one character") else { return nil }
    return AuthenticationKey(id: UInt8(id), algorithm: algorithm.algorithm, secret: Array(secret.utf8))
  }

  /// 32 hexadecimal digits.
  private func identity(_ table: TableReader) -> XTRIdentity? {
    let siteID = table.integer("site-id", in: 0...Int.max) ?? 0
    guard let text = table.string("xtr-id", expected: "32 hexadecimal digits") else {
      if table.has("site-id"), !table.has("xtr-id") { table.problem("site-id", "expected xtr-id with it, which is missing") }
      return nil
    }
    guard let identity = XTRIdentity(xtrID: text, siteID: UInt64(siteID)) else {
      table.problem("xtr-id", "expected 32 hexadecimal digits, found \"\(text)\"")
      return nil
    }
    return identity
  }
}

/// How algorithms are named in files.
enum AlgorithmName: String, CaseIterable {
  case hmacSHA1 = "hmac-sha-1-96"
  case hmacSHA256 = "hmac-sha-256-128"
  case hmacSHA256WithHKDF = "hmac-sha-256-128-hkdf"

  var algorithm: AuthenticationAlgorithm {
    switch self {
    case .hmacSHA1: .hmacSHA1
    case .hmacSHA256: .hmacSHA256
    case .hmacSHA256WithHKDF: .hmacSHA256WithHKDF
    }
  }
}
