// SPDX-License-Identifier: Apache-2.0
//
// What `xtr show registrations` shows of a Map-Server: pages of registrations in the order of their prefixes, and what was refused.

import Wire

/// A registered EID-prefix.
public struct RegistrationView: Hashable, Sendable {
  /// One xTR that registered it.
  public struct XTR: Hashable, Sendable {
    public var name: XTRName
    /// Where its last Map-Register came from.
    public var source: IPAddress
    public var wantsProxyReply: Bool
    public var merges: Bool
    public var usesTTL: Bool
    /// Since this content came first; since it came last; until it expires.
    public var age: Duration
    public var refreshedAgo: Duration
    public var expiresIn: Duration
  }

  public var eid: EIDPrefix
  public var site: String
  /// In minutes.
  public var ttl: UInt32
  /// Of the mapping, merged.
  public var locators: [LocatorRecord]
  public var isProxied: Bool
  public var xtrs: [XTR]
}

/// The last Map-Register of a site that was refused.
public struct RefusalView: Hashable, Sendable {
  /// nil: it was about an EID-prefix that is no site's.
  public var site: String?
  public var reason: Refusal
  public var from: Endpoint
  public var ago: Duration
  /// How often this reason has been met.
  public var count: Int
}

extension MapServer {
  /// At most `limit` registrations after `after`, and where the next page goes on; nil: there is none.
  public func page(after: EIDPrefix?, limit: Int, now: Instant) -> (registrations: [RegistrationView], next: EIDPrefix?) {
    var views: [RegistrationView] = []
    var last = after
    while views.count < limit {
      guard let (eid, slot) = registrations.prefixes.next(after: last) else { return (views, nil) }
      if let entry = registrations[slot] { views.append(view(entry, now)) }
      last = eid
    }
    return (views, registrations.prefixes.next(after: last) == nil ? nil : last)
  }

  private func view(_ entry: RegisteredPrefix, _ now: Instant) -> RegistrationView {
    let record = MapServerRecord.decoded(entry.mapping)
    return RegistrationView(
      eid: entry.eid, site: sites.name(entry.site), ttl: record?.ttl ?? 0, locators: record?.locators ?? [], isProxied: isProxied(entry),
      xtrs: entry.registrations.compactMap { registration in
        xtrs[registration.xtr].map { xtr in
          RegistrationView.XTR(
            name: xtr.name, source: xtr.source, wantsProxyReply: registration.wantsProxyReply, merges: registration.merges,
            usesTTL: registration.usesTTL, age: registration.since.duration(to: now),
            refreshedAgo: registration.refreshed.duration(to: now), expiresIn: now.duration(to: registration.deadline))
        }
      })
  }

  /// Those sites' last refusals that had one, in the order of their names; the one of no site comes first.
  public func lastRefusals(now: Instant) -> [RefusalView] {
    refusals.last.compactMap { number, last in
      let view = RefusalView(
        site: number.map(sites.name), reason: last.reason, from: last.from, ago: last.at.duration(to: now), count: last.count)
      return number.map { sites.site($0) != nil } ?? true ? view : nil
    }.sorted { ($0.site ?? "") < ($1.site ?? "") }
  }
}
