// SPDX-License-Identifier: Apache-2.0
//
// What sites say in the locator-status-bits of their packets (RFC 9300 section 10): bit i says that locator i of the mapping that covers the packet's
// source is up (rule E11). The router notes what the data plane has heard, and has the mappings that change by it compiled anew; a locator
// whose bit is clear is not used until it is set again, unless better evidence says that it is up (Reachability).
//
// The bits are not authenticated. They are heard only from an address that is itself a locator of the mapping. And as the routers of a site need not
// know the same, each has its own word: a locator is down as long as one of them says so. The word of a router that has not
// been heard for a minute is forgotten, and all with the mapping.
//
// Only words that speak against a locator are kept: as a rule there are none.

import Wire

/// The sites that say that a locator of theirs is down. Thread: slow path (a value type).
public struct StatusBits: Sendable {
  /// How long a router's word counts after it was last heard.
  public static let wordLifetime = Duration.seconds(60)

  private struct Site {
    /// The locators that the bits are about, in canonical order.
    var addresses: [IPAddress]
    /// By the router that speaks: a set bit is a locator that it says is down.
    var words: [IPAddress: (down: UInt32, at: ContinuousClock.Instant)] = [:]

    var down: UInt32 { words.values.reduce(0) { $0 | $1.down } }

    mutating func forgetOldWords(_ now: ContinuousClock.Instant) { words = words.filter { now - $0.value.at <= StatusBits.wordLifetime } }
  }

  private let capacity: Int
  private var sites: [EIDPrefix: Site] = [:]

  /// 4096: sites with a failed locator at one time; more are not heard.
  public init(capacity: Int = 4096) { self.capacity = capacity }

  public var count: Int { sites.count }

  /// `rloc` has sent a packet from an EID of this mapping with these bits, of which `count` tell something: 8 or 32. Returns whether the mapping has
  /// to be compiled anew. O(locators).
  public mutating func note(
    _ bits: UInt32, count: Int, from rloc: IPAddress, about mapping: Mapping, now: ContinuousClock.Instant
  ) -> Bool {
    guard case .locators(let locators) = mapping.target, locators.contains(where: { $0.address == rloc }) else { return false }
    let told = min(count, locators.count, 32)
    let down = ~bits & UInt32(truncatingIfNeeded: (UInt64(1) << UInt64(told)) - 1)
    let known = sites[mapping.eid]
    guard known != nil || down != 0 && sites.count < capacity else { return false }
    let addresses = locators.map(\.address)
    var site = known?.addresses == addresses ? known ?? Site(addresses: addresses) : Site(addresses: addresses)
    let before = site.down
    site.forgetOldWords(now)
    site.words[rloc] = down == 0 ? nil : (down, now)
    sites[mapping.eid] = site.words.isEmpty ? nil : site
    return site.down != before || known.map { $0.addresses != addresses } ?? false
  }

  /// The target of a mapping with what its site says of the locators. O(1) where it says nothing.
  public func told(_ eid: EIDPrefix, _ target: Mapping.Target) -> Mapping.Target {
    guard let site = sites[eid], case .locators(var locators) = target, locators.map(\.address) == site.addresses else { return target }
    let down = site.down
    for i in locators.indices.prefix(32) { locators[i].isStatusBitClear = down >> UInt32(i) & 1 == 1 }
    return .locators(locators)
  }

  /// The addresses that a site says are down. O(sites).
  public var saidDown: Set<IPAddress> {
    var down: Set<IPAddress> = []
    for site in sites.values {
      for (i, address) in site.addresses.prefix(32).enumerated() where site.down >> UInt32(i) & 1 == 1 { down.insert(address) }
    }
    return down
  }

  /// Forgets the sites whose mapping is gone, `isCached` says which are not, and the words that are too old. Returns the prefixes of the mappings that
  /// have to be compiled anew. O(sites).
  public mutating func forget(now: ContinuousClock.Instant, unless isCached: (EIDPrefix) -> Bool) -> [EIDPrefix] {
    var changed: [EIDPrefix] = []
    for (eid, site) in sites {
      guard isCached(eid) else {
        sites[eid] = nil
        continue
      }
      guard site.words.values.contains(where: { now - $0.at > Self.wordLifetime }) else { continue }
      var left = site
      left.forgetOldWords(now)
      if left.down != site.down { changed.append(eid) }
      sites[eid] = left.words.isEmpty ? nil : left
    }
    return changed
  }

  /// Forgets all; returns the prefixes of the mappings that have to be compiled anew.
  public mutating func removeAll() -> [EIDPrefix] {
    defer { sites = [:] }
    return Array(sites.keys)
  }
}
