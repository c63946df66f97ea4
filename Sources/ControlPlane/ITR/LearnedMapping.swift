// SPDX-License-Identifier: Apache-2.0
//
// A mapping as the mapping system told it, and the judgement of the records that it came in: what of a Map-Reply or a Map-Notify may be
// believed (rules C3, C4, C9). The resolver and the subscriber judge by it; the router installs.

import MapCache
import Wire

/// A record that was found good.
public struct LearnedMapping: Hashable, Sendable {
  public var eid: EIDPrefix
  public var target: Mapping.Target
  /// From now on, in minutes; 0: the prefix is to leave the map-cache.
  public var ttlMinutes: UInt32
  public var answeredBy: Endpoint
  /// RFC 9302; 0: none.
  public var mapVersion: UInt16
  /// E: the site does echo-nonce (rule N1).
  public var echoNonceCapable: Bool

  /// What we choose when the sender leaves the TTL to us: a day (RFC 9301 5.4).
  public static let chosenTTLMinutes: UInt32 = 1440

  public init(
    eid: EIDPrefix, target: Mapping.Target, ttlMinutes: UInt32, answeredBy: Endpoint, mapVersion: UInt16 = 0, echoNonceCapable: Bool = false
  ) {
    self.eid = eid
    self.target = target
    self.ttlMinutes = ttlMinutes
    self.answeredBy = answeredBy
    self.mapVersion = mapVersion
    self.echoNonceCapable = echoNonceCapable
  }

  /// Whether the prefix is to leave the map-cache. Packets that wait for it have their answer: they are to be dropped (`MissDrop.unanswered`),
  /// for taken out of the queue they would only miss again.
  public var isRemoval: Bool { ttlMinutes == 0 }

  /// The prefix is to leave the map-cache.
  init(removing eid: EIDPrefix, answeredBy: Endpoint) {
    self.init(eid: eid, target: .negative(.noAction), ttlMinutes: 0, answeredBy: answeredBy)
  }

  /// Of a record about `eid`; nil when a locator in it is bad (rule C9).
  init?(_ record: EIDRecord, about eid: EIDPrefix, answeredBy: Endpoint, echoNonceCapable: Bool) {
    guard let target = Self.target(of: record) else { return nil }
    self.init(
      eid: eid, target: target, ttlMinutes: record.ttl == EIDRecord.receiverChoosesTTL ? Self.chosenTTLMinutes : record.ttl,
      answeredBy: answeredBy, mapVersion: record.mapVersion, echoNonceCapable: echoNonceCapable)
  }

  /// One bad locator spoils the record. A locator that takes more than an address to reach, such as an explicit path, is left out: we could
  /// not use it; a record of nothing else is spoilt.
  private static func target(of record: EIDRecord) -> Mapping.Target? {
    guard !record.locators.isEmpty else { return .negative(NegativeAction(record.action)) }
    var locators: [Locator] = []
    for locator in record.locators {
      guard let address = locator.address.locatorIP else { continue }
      guard address.canBeLocator else { return nil }
      locators.append(
        Locator(
          address: address, priority: locator.priority, weight: locator.weight, isReachable: locator.flags.contains(.reachable)))
    }
    return locators.isEmpty ? nil : Mapping.Target(locators)
  }
}

extension IPAddress {
  /// Whether packets can be tunnelled to it: a unicast address that means the same everywhere (rule C9).
  var canBeLocator: Bool { locatorFault == nil }
}

extension NegativeAction {
  /// The unassigned codes 6 and 7 drop: whoever invents them means something other than forwarding.
  init(_ action: MapAction) {
    self =
      switch action {
      case .noAction: .noAction
      case .nativelyForward: .nativeForward
      case .sendMapRequest: .sendMapRequest
      case .policyDenied: .policyDenied
      case .authenticationFailure: .authenticationFailure
      default: .drop
      }
  }
}

// MARK: - A message's records together

/// What of an answer's records is good, and why the others are not.
struct JudgedRecords {
  var mappings: [LearnedMapping] = []
  var refusals: [Refusal] = []

  /// Whether the answer to what was asked is that it is our own.
  private(set) var leadsHome = false

  /// A record must be about what was asked: overlap it, or lie within a record that covers it (more-specific prefixes come along, section
  /// 5.5). Anything else would put mappings into the cache that nobody asked for. Of two records for one prefix the first counts.
  ///
  /// A record about EIDs of our own that leads back to us, or to nobody, is not learned: packets to ourselves would follow it. What was
  /// learned of them leaves. A part of them that another site has, such as a host that moved there, is learned like any other prefix.
  init(_ records: [EIDRecord], asked: EIDPrefix, answeredBy: Endpoint, echoNonceCapable: Bool, own: OwnSite) {
    // The shortest prefix around what was asked.
    let answer = records.lazy.compactMap(\.eidPrefix).filter { $0.contains(asked) }.min { $0.prefix.length < $1.prefix.length } ?? asked
    var seen: Set<EIDPrefix> = []
    for record in records {
      guard let eid = record.eidPrefix, answer.contains(eid), records.count == 1 || seen.insert(eid).inserted else {
        refusals.append(.badRecord)
        continue
      }
      guard let mapping = LearnedMapping(record, about: eid, answeredBy: answeredBy, echoNonceCapable: echoNonceCapable) else {
        refusals.append(.badLocator)
        continue
      }
      guard own.isHome(mapping) else {
        mappings.append(mapping)
        continue
      }
      leadsHome = leadsHome || eid.contains(asked)
      mappings.append(LearnedMapping(removing: eid, answeredBy: answeredBy))
    }
    if records.isEmpty { refusals.append(.badRecord) }
  }

  /// `asked` was in the map-cache when it was asked for. Where a shorter prefix is the answer, and it is no prefix of its own any more, it is
  /// to leave: its old mapping would hide the answer (a host that came home, section 5.5; to us, perhaps).
  mutating func retire(_ asked: EIDPrefix, answeredBy: Endpoint) {
    let isAnswered = leadsHome || mappings.contains { !$0.isRemoval && $0.eid.contains(asked) }
    guard isAnswered, !mappings.contains(where: { $0.eid == asked }) else { return }
    mappings.append(LearnedMapping(removing: asked, answeredBy: answeredBy))
  }
}

extension EIDPrefix {
  /// Whether `other` lies within this prefix (or is it), in the same instance.
  func contains(_ other: EIDPrefix) -> Bool { other.instanceID == instanceID && prefix.contains(other.prefix) }

  /// Whether one contains the other.
  func overlaps(_ other: EIDPrefix) -> Bool { contains(other) || other.contains(self) }
}
