// SPDX-License-Identifier: Apache-2.0
//
// EID-records as the Map-Server keeps them: encoded, so that an answer copies bytes. Kept records are in the form in which a server that
// answers for others sends them (RFC 9301 5.4, 5.5): A, L and p are 0, ACT is 0, and the locators are in ascending order, no two of one
// address. R stays as it was registered (8.2).

import Wire

/// Makes, reads and changes encoded EID-records.
enum MapServerRecord {
  /// The kept form of a registered record.
  static func encoded(_ record: EIDRecord) -> [UInt8] {
    var record = record
    (record.isAuthoritative, record.action) = (false, .noAction)
    record.locators = canonical(record.locators)
    return bytes(record)
  }

  /// A record as bytes, as it is.
  static func bytes(_ record: EIDRecord) -> [UInt8] {
    var writer = ControlWriter(capacity: 18 + 28 * record.locators.count)
    record.emit(into: &writer)
    return writer.bytes
  }

  /// The value of kept bytes; nil for bytes that are no EID-record.
  static func decoded(_ bytes: [UInt8]) -> EIDRecord? {
    var reader = ControlReader(bytes)
    return try? EIDRecord(parsing: &reader)
  }

  /// The union of the locators of kept records of one EID-prefix; the later record decides about a locator that two have. The first
  /// 255 locators count, as many as a record can have.
  static func merged(_ records: [[UInt8]]) -> [UInt8] {
    let values = records.compactMap(decoded)
    guard var merged = values.last else { return [] }
    merged.ttl = values.lazy.map(\.ttl).min() ?? merged.ttl
    merged.locators = Array(canonical(values.reversed().flatMap(\.locators)).prefix(255))
    return bytes(merged)
  }

  /// In ascending order, the first of each address, without the flags that only the ETR itself may set.
  private static func canonical(_ locators: [LocatorRecord]) -> [LocatorRecord] {
    var seen = Set<AFIAddress>()
    var kept: [LocatorRecord] = []
    for locator in locators where locators.count == 1 || seen.insert(locator.address).inserted {
      var locator = locator
      locator.flags.subtract([.local, .probed])
      kept.append(locator)
    }
    return kept.count == 1 ? kept : kept.sorted { $0.address.precedes($1.address) }
  }

  /// The TTL of kept bytes, in minutes.
  static func ttl(_ bytes: [UInt8]) -> UInt32 { bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }

  /// Writes another TTL over that of kept bytes.
  static func setTTL(_ ttl: UInt32, of bytes: inout [UInt8]) {
    for i in 0..<4 { bytes[i] = UInt8(truncatingIfNeeded: ttl >> UInt32(24 - 8 * i)) }
  }

  /// The same mapping for another EID-prefix.
  static func renamed(_ bytes: [UInt8], to eid: EIDPrefix) -> [UInt8] {
    guard let record = decoded(bytes) else { return bytes }
    var renamed = EIDRecord(eid, ttl: record.ttl, locators: record.locators)
    (renamed.reserved, renamed.versionWord) = (record.reserved, record.versionWord)
    return self.bytes(renamed)
  }

  /// Whether any of the locators is one that nobody may be sent to (rule C9). Where there is no IP address in a locator (names, paths),
  /// there is nothing to say against it.
  static func hasBadLocator(_ record: EIDRecord) -> Bool { record.locators.contains { $0.address.isBadLocator } }
}

extension AFIAddress {
  fileprivate var isBadLocator: Bool {
    switch self {
    case .none: true
    case .ip(let address): address.isBadLocator
    case .name, .mac: false
    case .lcaf(let lcaf):
      if case .list(let addresses) = lcaf.content { addresses.contains(where: \.isBadLocator) } else { locatorIP?.isBadLocator ?? false }
    }
  }

  /// The order of locators in a record: by AFI, then by address (RFC 9301 5.5, RFC 8060 section 3).
  fileprivate func precedes(_ other: AFIAddress) -> Bool {
    if case .ip(let a) = self, case .ip(let b) = other { return a < b }
    return encoded.lexicographicallyPrecedes(other.encoded)
  }

  private var encoded: [UInt8] {
    var writer = ControlWriter(capacity: 32)
    emit(into: &writer)
    return writer.bytes
  }
}

extension IPAddress {
  /// Unspecified, loopback, multicast, broadcast or link-local: no locator (RFC 9301 5.4).
  var isBadLocator: Bool { isUnspecified || isLoopback || isMulticast || isBroadcast || isLinkLocal }
}
