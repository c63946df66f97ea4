// SPDX-License-Identifier: Apache-2.0
//
// What the Map-Server knows about an EID: the records of a Map-Reply, or the ETR to ask (RFC 9301 5.5, 8.1, 8.3, 8.4). Pure questions to
// the database.
//
// Of the configured and the registered prefix around an EID the longer one decides:
//
//     registered, asks for proxy     the mapping, and the more specific ones
//     registered, no proxy           the Map-Request goes on to an ETR
//     configured, not registered     negative, natively-forward, 1 minute; the hole in the configured prefix
//     neither                        negative, natively-forward, 15 minutes; the hole in the whole EID space of the instance
//
// A configured prefix of another site within a registered one is not that registration's to answer for. Within one site it is:
// a site that registers 10.0.0.0/8 serves all of it.
//
// A hole is the shortest prefix around the EID that overlaps nothing known.
//
// Overlap (5.5): an answer with 10.0.0.0/8 would draw the traffic of a registered 10.1.0.0/16 to the wrong place, so the more specific
// ones go into the same answer, all with the smallest TTL among them. Where there are more than 16 of them, more than fits a message, or
// such as we may not answer for, the answer is narrower instead: the mapping for the shortest prefix around the EID that overlaps nothing
// more specific. That is as true, it only covers less.
//
// A request for a prefix that has known ones within it, and none around it, is answered for its first address.

import MapCache
import Wire

/// An answer about one EID.
enum MapServerAnswer: Sendable {
  /// Encoded EID-records.
  case positive([[UInt8]])
  case negative(EIDRecord)
  /// The prefix of whose ETRs one is to answer.
  case askETR(RegisteredPrefix)
}

extension MapServer {
  /// More specific ones that go into one answer. Our choice: with two locators each they fit a packet.
  static let moreSpecificLimit = 16
  /// TTLs of negative answers in minutes (section 8.1).
  static let notAnEIDMinutes: UInt32 = 15
  static let notRegisteredMinutes: UInt32 = 1

  /// The registration that speaks for `eid`.
  func registered(_ eid: EIDPrefix) -> RegisteredPrefix? {
    guard let entry = registrations.longestMatch(eid) else { return nil }
    guard let configured = sites.match(eid), configured.site != entry.site else { return entry }
    return configured.prefix.prefix.length <= entry.eid.prefix.length ? entry : nil
  }

  func isProxied(_ entry: RegisteredPrefix) -> Bool { entry.wantsProxyReply || sites.site(entry.site)?.forcesProxyReply == true }

  func answer(_ eid: EIDPrefix) -> MapServerAnswer {
    if let entry = registered(eid) { return isProxied(entry) ? positive(entry, eid) : .askETR(entry) }
    let configured = sites.match(eid)
    let within = configured?.prefix ?? EIDPrefix(eid.instanceID, IPPrefix(masking: eid.prefix.address, length: 0))
    guard let hole = hole(around: eid, within: within, sites: true) else { return answerForFirstAddress(of: eid) }
    let ttl = configured == nil ? Self.notAnEIDMinutes : Self.notRegisteredMinutes
    return .negative(EIDRecord(hole, ttl: ttl, action: .nativelyForward))
  }

  /// `eid` is no host prefix: a host prefix has a hole or an entry.
  private func answerForFirstAddress(of eid: EIDPrefix) -> MapServerAnswer {
    let host = EIDPrefix(eid.instanceID, IPPrefix(host: eid.prefix.address))
    return host == eid ? .negative(EIDRecord(host, ttl: Self.notRegisteredMinutes, action: .nativelyForward)) : answer(host)
  }

  private func positive(_ entry: RegisteredPrefix, _ eid: EIDPrefix) -> MapServerAnswer {
    let others = sites.othersWithin(entry.eid, than: entry.site)
    if !others {
      if !registrations.prefixes.hasDescendants(of: entry.eid) { return .positive([entry.mapping]) }
      if let records = withMoreSpecifics(entry) { return .positive(records) }
    }
    if let hole = hole(around: eid, within: entry.eid, sites: others) {
      return .positive([MapServerRecord.renamed(entry.mapping, to: hole)])
    }
    let host = EIDPrefix(eid.instanceID, IPPrefix(host: eid.prefix.address))
    return host == eid ? .positive([MapServerRecord.renamed(entry.mapping, to: host)]) : answer(host)
  }

  /// The mapping and all more specific ones, if they may be in one answer.
  private func withMoreSpecifics(_ entry: RegisteredPrefix) -> [[UInt8]]? {
    let within = registrations.prefixes.descendants(of: entry.eid, limit: Self.moreSpecificLimit + 1)
    guard within.count <= Self.moreSpecificLimit else { return nil }
    var records = [entry.mapping]
    for (_, slot) in within {
      guard let other = registrations[slot], isProxied(other) else { return nil }
      records.append(other.mapping)
    }
    guard records.reduce(0, { $0 + $1.count }) <= Self.recordByteLimit else { return nil }
    let ttl = records.lazy.map(MapServerRecord.ttl).min() ?? 0
    for i in records.indices { MapServerRecord.setTTL(ttl, of: &records[i]) }
    return records
  }

  /// The shortest prefix around `eid`, in `within`, that overlaps no registered prefix within `within`, and no configured one if
  /// `sites` are to be looked at.
  private func hole(around eid: EIDPrefix, within: EIDPrefix, sites asksSites: Bool) -> EIDPrefix? {
    guard let among = registrations.prefixes.free(around: eid, within: within) else { return nil }
    guard asksSites else { return among }
    guard let configured = sites.prefixes.free(around: eid, within: within) else { return nil }
    return configured.prefix.length > among.prefix.length ? configured : among
  }

  // MARK: - The ETR to ask

  /// Where a Map-Request for `entry` goes: to its locators that we can send to, or else to where its xTRs registered from, in turn. Priorities
  /// are about packets; any ETR may answer (section 8.3), and one that is silent is not asked again before the others were. The first turn
  /// is the best locator's.
  func etr(of entry: RegisteredPrefix, turn: Int) -> Endpoint? {
    let locators = MapServerRecord.decoded(entry.mapping)?.locators ?? []
    let usable = locators.compactMap { locator -> (address: IPAddress, priority: UInt8, weight: UInt8)? in
      guard locator.priority < 255, locator.flags.contains(.reachable), let address = locator.address.locatorIP,
        settings.families.contains(address.family)
      else { return nil }
      return (address, locator.priority, locator.weight)
    }
    let ordered = usable.sorted { ($0.priority, $1.weight, $0.address) < ($1.priority, $0.weight, $1.address) }.map(\.address)
    let candidates = ordered.isEmpty ? entry.registrations.compactMap { xtrs[$0.xtr]?.source } : ordered
    return candidates.isEmpty ? nil : Endpoint(candidates[turn % candidates.count])
  }
}

extension PrefixTrie {
  /// As `hole`, but what is stored for `within` itself does not matter.
  fileprivate func free(around eid: EIDPrefix, within: EIDPrefix) -> EIDPrefix? {
    hasDescendants(of: within) ? hole(around: eid, within: within) : within
  }
}
