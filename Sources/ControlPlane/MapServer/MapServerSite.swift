// SPDX-License-Identifier: Apache-2.0
//
// What an operator configures of a Map-Server: the sites that may register (RFC 9301 8.2), and what the server is able to send. The
// program reads these from its configuration and hands them to MapServer.

import MapCache
import Wire

/// A LISP site: who may register which EID-prefixes.
public struct MapServerSite: Hashable, Sendable {
  /// An EID-prefix of the site.
  public struct Allowed: Hashable, Sendable {
    public var eid: EIDPrefix
    /// Whether prefixes within it may be registered, too.
    public var acceptsMoreSpecifics: Bool

    public init(_ eid: EIDPrefix, acceptsMoreSpecifics: Bool = false) {
      self.eid = eid
      self.acceptsMoreSpecifics = acceptsMoreSpecifics
    }
  }

  /// Unique among the sites: what is kept of a site outlives a change of its settings under this name.
  public var name: String
  /// Any of them is accepted, so that old and new ones may overlap while keys are changed. The first one signs what no registration
  /// has chosen a key for.
  public var keys: [AuthenticationKey]
  public var allowed: [Allowed]
  /// The server answers for the site's ETRs, whether or not they ask it to (P).
  public var forcesProxyReply = false
  /// The names of the sites whose xTRs may subscribe to this site's mappings (RFC 9437); nil: all configured ones.
  public var subscribers: Set<String>?
  /// Whether a nonce that is not greater than the last one makes a Map-Register a replay (RFC 9301 5.6). lispers.net sends one nonce for
  /// ever: its sites need `false`, and then have no protection against replays.
  public var requiresIncreasingNonces = true

  public init(name: String, keys: [AuthenticationKey], allowed: [Allowed]) {
    self.name = name
    self.keys = keys
    self.allowed = allowed
  }
}

/// What of a Map-Server is not about one site.
public struct MapServerSettings: Hashable, Sendable {
  /// The families that the server has an address of: nothing is sent to others.
  public var families: Set<AddressFamily>
  /// Map-Replies to one address that are not free (see MapServer+Request): in the long run, above 0, and at once. With the longest
  /// replies 220 kB/s to a victim. Our choice: ITRs behind another Map-Resolver ask by its address, and have to live with this.
  public var repliesPerSecond = 200
  public var replyBurst: Int { 5 * repliesPerSecond }
  /// EID-prefixes that may be registered at one time.
  public var maximumRegistrations = 2_000_000
  /// xTRs whose nonces are remembered, for each site.
  public var maximumXTRsPerSite = 65_536
  /// xTRs that may merge their locators for one EID-prefix.
  public var maximumXTRsPerPrefix = 64
  /// Subscriptions of all xTRs.
  public var maximumSubscriptions = 1_000_000
  /// Those among them that nobody has acknowledged yet: anybody can ask for one under a false name.
  public var maximumUnconfirmedSubscriptions = 16_384

  public init(families: Set<AddressFamily> = Set(AddressFamily.allCases)) { self.families = families }
}

/// The configured sites, found by EID-prefix. A site has a number for as long as the process runs, also while it is not configured.
struct SiteTable: Sendable {
  typealias Number = UInt32

  private var numbers: [String: Number] = [:]
  private var names: [String] = []
  /// By number; nil: not configured any more.
  private(set) var sites: [MapServerSite?] = []
  /// The configured EID-prefixes, with positions in `allowed`.
  private(set) var prefixes = PrefixTrie()
  private var allowed: [(site: Number, acceptsMoreSpecifics: Bool)] = []

  /// Takes over `configured` in the place of all sites. Of an EID-prefix that two sites claim the first one has it.
  mutating func replace(with configured: [MapServerSite]) {
    for number in sites.indices { sites[number] = nil }
    (prefixes, allowed) = (PrefixTrie(), [])
    for site in configured {
      let number = self.number(of: site.name)
      sites[Int(number)] = site
      for entry in site.allowed where prefixes[entry.eid] == nil {
        prefixes.insert(entry.eid, UInt32(allowed.count))
        allowed.append((number, entry.acceptsMoreSpecifics))
      }
    }
  }

  private mutating func number(of name: String) -> Number {
    if let number = numbers[name] { return number }
    let number = Number(sites.count)
    numbers[name] = number
    names.append(name)
    sites.append(nil)
    return number
  }

  /// nil: it is not configured any more.
  func site(_ number: Number) -> MapServerSite? { sites[Int(number)] }

  /// Also of a site that is not configured any more.
  func name(_ number: Number) -> String { names[Int(number)] }

  func number(named name: String) -> Number? {
    guard let number = numbers[name], sites[Int(number)] != nil else { return nil }
    return number
  }

  /// The configured prefix around `eid` and whose it is. The longest one decides.
  func match(_ eid: EIDPrefix) -> (prefix: EIDPrefix, site: Number)? {
    prefixes.longestMatch(eid).map { ($0.prefix, allowed[Int($0.value)].site) }
  }

  /// Whether `site` may register `eid`.
  func allows(_ eid: EIDPrefix, site: Number) -> Bool {
    guard let match = prefixes.longestMatch(eid) else { return false }
    let entry = allowed[Int(match.value)]
    return entry.site == site && (match.prefix == eid || entry.acceptsMoreSpecifics)
  }

  /// Whether xTRs of `subscriber` may subscribe to `eid`, whoever has it.
  func maySubscribe(_ subscriber: Number, to eid: EIDPrefix) -> Bool {
    guard let own = sites[Int(subscriber)], let site = match(eid).flatMap({ sites[Int($0.site)] }) else { return false }
    return site.subscribers?.contains(own.name) ?? true
  }

  /// Whether another site than `site` has a configured prefix within `eid`. More than 16 of them are taken for yes.
  func othersWithin(_ eid: EIDPrefix, than site: Number) -> Bool {
    guard prefixes.hasDescendants(of: eid) else { return false }
    let within = prefixes.descendants(of: eid, limit: 17)
    return within.count > 16 || within.contains { allowed[Int($0.value)].site != site }
  }
}
