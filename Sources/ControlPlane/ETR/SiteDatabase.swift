// SPDX-License-Identifier: Apache-2.0
//
// Our EID-to-RLOC database (RFC 9301 section 3): the EID-prefixes of the site and the locators that each is reachable by. The registrar
// registers what it says, the site responder answers from it, and the solicitor tells others what changed in it.
//
// A mapping's locators stand in canonical order, IPv4 before IPv6 and ascending (RFC 9301 5.5): bit i of the locator-status-bits is locator i
// (rule E11). The prefixes stand in ascending order too, where one comes right before all that it covers: a search and a walk find the
// overlapping prefixes that have to be answered together.
//
//     10.0.0.0/8   10.1.0.0/16   10.1.1.0/24   10.1.2.0/24   10.2.0.0/16       10.1.7.7: the /16 and the two /24 behind it

import Wire

/// A locator of our site.
public struct SiteLocator: Hashable, Sendable {
  public var address: IPAddress
  /// Lowest wins; 255 is never used.
  public var priority: UInt8
  /// 0…100: the share among locators of one priority.
  public var weight: UInt8
  public var multicastPriority: UInt8
  public var multicastWeight: UInt8
  /// L: an address of this xTR, not of another one of the site.
  public var isLocal: Bool
  /// R: we see it up.
  public var isReachable: Bool

  public init(
    _ address: IPAddress, priority: UInt8 = 1, weight: UInt8 = 100, multicastPriority: UInt8 = 255, multicastWeight: UInt8 = 0,
    isLocal: Bool = true, isReachable: Bool = true
  ) {
    self.address = address
    self.priority = priority
    self.weight = weight
    self.multicastPriority = multicastPriority
    self.multicastWeight = multicastWeight
    self.isLocal = isLocal
    self.isReachable = isReachable
  }

  var record: LocatorRecord {
    var flags: LocatorRecord.Flags = []
    if isLocal { flags.insert(.local) }
    if isReachable { flags.insert(.reachable) }
    var record = LocatorRecord(.ip(address), priority: priority, weight: weight, flags: flags)
    record.multicastPriority = multicastPriority
    record.multicastWeight = multicastWeight
    return record
  }
}

/// Why a mapping cannot be one of ours.
public enum SiteDatabaseError: Error, Equatable {
  /// Unspecified, loopback, multicast, broadcast or link-local (rule C9).
  case badLocator(IPAddress, EIDPrefix)
  case doubledLocator(IPAddress, EIDPrefix)
  /// None, or more than the 255 that a record can hold.
  case locatorCount(Int, EIDPrefix)
}

extension SiteDatabaseError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .badLocator(let address, let eid): "\(address) cannot be a locator of \(eid): it is no unicast address that others can reach"
    case .doubledLocator(let address, let eid): "\(address) is twice a locator of \(eid)"
    case .locatorCount(let count, let eid): "\(eid) has \(count) locators; a mapping has 1 to 255"
    }
  }
}

/// The mappings of our site. A value: who keeps a copy can tell what changed. Thread: slow path.
public struct SiteDatabase: Equatable, Sendable {
  /// Of our mappings, in minutes.
  public private(set) var ttlMinutes: UInt32
  /// Ascending.
  public private(set) var prefixes: [EIDPrefix] = []
  /// In canonical order, never empty.
  private var locators: [EIDPrefix: [SiteLocator]] = [:]
  /// Of the locators that are this xTR's own.
  public private(set) var localFamilies: Set<AddressFamily> = []

  public init(ttlMinutes: UInt32 = 1440) { self.ttlMinutes = ttlMinutes }

  // MARK: - Changing

  /// Makes `mappings` all that there is. Returns the prefixes that came, went or have other locators, ascending; nothing changes when it
  /// throws. O(n log n).
  public mutating func replace(with mappings: [EIDPrefix: [SiteLocator]]) throws(SiteDatabaseError) -> [EIDPrefix] {
    var sorted: [EIDPrefix: [SiteLocator]] = [:]
    for (eid, locators) in mappings { sorted[eid] = try Self.canonical(locators, of: eid) }
    let changed = Set(locators.keys).union(sorted.keys).filter { locators[$0] != sorted[$0] }
    guard !changed.isEmpty else { return [] }
    locators = sorted
    prefixes = sorted.keys.sorted()
    localFamilies = Set(sorted.values.joined().lazy.filter(\.isLocal).map(\.address.family))
    return changed.sorted()
  }

  private static func canonical(_ locators: [SiteLocator], of eid: EIDPrefix) throws(SiteDatabaseError) -> [SiteLocator] {
    guard (1...255).contains(locators.count) else { throw .locatorCount(locators.count, eid) }
    let sorted = locators.sorted { $0.address < $1.address }
    for (i, locator) in sorted.enumerated() {
      guard locator.address.canBeLocator else { throw .badLocator(locator.address, eid) }
      guard i == 0 || sorted[i - 1].address != locator.address else { throw .doubledLocator(locator.address, eid) }
    }
    return sorted
  }

  // MARK: - Asking

  /// The locators of a prefix of ours in canonical order; empty for any other.
  public func locators(of eid: EIDPrefix) -> [SiteLocator] { locators[eid] ?? [] }

  /// The record of a prefix of ours, as its ETR gives it: authoritative, without a map-version.
  public func record(of eid: EIDPrefix) -> EIDRecord { record(eid, like: eid) }

  /// A record for `eid` with the locators of `own`, which covers it.
  func record(_ eid: EIDPrefix, like own: EIDPrefix) -> EIDRecord {
    EIDRecord(eid, ttl: ttlMinutes, isAuthoritative: true, locators: locators(of: own).map(\.record))
  }

  /// The longest of our prefixes that `eid` lies in or is. At most 129 lookups.
  public func longestMatch(_ eid: EIDPrefix) -> EIDPrefix? {
    stride(from: eid.prefix.length, through: 0, by: -1).lazy
      .map { EIDPrefix(eid.instanceID, IPPrefix(masking: eid.prefix.address, length: $0)) }
      .first { locators[$0] != nil }
  }

  /// Our prefixes that `eid` covers or is, ascending. O(log n).
  public func prefixes(within eid: EIDPrefix) -> ArraySlice<EIDPrefix> {
    let start = prefixes.partition { $0 < eid }
    let end = prefixes.partition { $0 < eid || $0.instanceID == eid.instanceID && eid.prefix.contains($0.prefix) }
    return prefixes[start..<end]
  }
}

extension [EIDPrefix] {
  /// The first position whose element does not satisfy `isBefore`, which holds for none behind it.
  fileprivate func partition(_ isBefore: (EIDPrefix) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
