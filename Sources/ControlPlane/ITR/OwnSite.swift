// SPDX-License-Identifier: Apache-2.0
//
// What is our own, as the ITR's state machines need it. RLOCs: where requests leave from, where the answers shall go, and the envelope in
// which a Map-Request travels through the mapping system. EID-prefixes: what of an answer is about ourselves.

import MapCache
import Wire

/// The addresses of ours that other xTRs and the mapping system can reach.
public struct OwnRLOCs: Hashable, Sendable {
  /// In the order of preference.
  public let addresses: [IPAddress]
  /// For Map-Requests; more than 32 do not fit (RFC 9301 5.2).
  let itrRLOCs: [AFIAddress]

  public init(_ addresses: [IPAddress]) {
    self.addresses = addresses
    itrRLOCs = addresses.prefix(32).map { .ip($0) }
  }

  /// The preferred one of a family (rule E18).
  func first(of family: AddressFamily) -> IPAddress? { addresses.first { $0.family == family } }

  /// `request` in an Encapsulated Control Message to a Map-Resolver (rule C2); nil when we have no RLOC of its family.
  ///
  /// The inner header is between `source`, an EID of ours, and `eid`. Without such a source, or with one of the other family, it is
  /// between RLOCs: section 5.8 allows either kind of address there, and what is asked for stands in the request.
  ///
  /// The answer comes to `port`, of the inner header (section 5.4).
  func encapsulated(
    _ request: MapRequest, from source: IPAddress?, port: UInt16 = LISPPort.control, about eid: IPAddress, to resolver: IPAddress
  ) -> Datagram? {
    guard let outer = first(of: resolver.family) else { return nil }
    let message = ControlMessage.mapRequest(request).bytes
    let inner = source ?? first(of: eid.family) ?? outer
    let envelope =
      EncapsulatedControlMessage(source: inner, destination: eid, sourcePort: port, message: message)
      ?? EncapsulatedControlMessage(source: outer, destination: resolver, sourcePort: port, message: message)
    return envelope.map { Datagram(.encapsulated($0), to: Endpoint(resolver), from: outer) }
  }
}

/// Our EID-prefixes and RLOCs: to tell whether a mapping leads back to us.
struct OwnSite: Sendable {
  var rlocs = OwnRLOCs([])
  var eids = EIDPrefixSet([])

  /// Whether the mapping is of EIDs of ours, and says that they are here, or nowhere. Of an EID-prefix of ours itself our database alone says
  /// where it is. O(number of lengths of our prefixes)
  func isHome(_ mapping: LearnedMapping) -> Bool {
    guard let longest = eids.covering(mapping.eid).first else { return false }
    switch mapping.target {
    case .negative: return true
    case .locators(let locators): return longest == mapping.eid || locators.contains { rlocs.addresses.contains($0.address) }
    }
  }
}
