// SPDX-License-Identifier: Apache-2.0
//
// What the router tells the clients that watch. The names are those of OpenLISP's mapping messages where they exist.
//
//     {"event":"miss","instance-id":0,"eid":"10.2.9.9","source":"10.1.0.5"}
//     {"event":"neighbour","interface":"core0","address":"192.0.2.254","mac":"02:00:00:00:00:01","state":"reachable"}

import Wire

/// Something that happened in the router.
public enum ControlEvent: Sendable, Equatable {
  /// A packet found no mapping. The router limits how often it says so for one EID.
  case miss(instanceID: InstanceID, eid: IPAddress, source: IPAddress?)
  /// A mapping was put in or replaced.
  case add(ControlMapping, owner: String)
  /// A mapping was taken away.
  case delete(EIDPrefix, owner: String)
  /// A mapping reached the end of its time.
  case expired(EIDPrefix, owner: String)
  /// A locator became usable.
  case reach(IPAddress)
  /// A locator became unusable, and why ("no route", …).
  case badreach(IPAddress, reason: String)
  /// What we or a peer hold of this EID-prefix is out of date.
  case stale(EIDPrefix)
  /// A neighbour in use came, changed or went.
  case neighbour(NeighbourStatus)
  /// Made by the server: this client read too slowly and missed so many events here.
  case lost(UInt64)

  /// What a client may choose to watch; `lost` is always told.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    case miss, add, delete, expired, reach, badreach, stale, neighbour
  }

  /// nil for `lost`.
  public var kind: Kind? {
    switch self {
    case .miss: .miss
    case .add: .add
    case .delete: .delete
    case .expired: .expired
    case .reach: .reach
    case .badreach: .badreach
    case .stale: .stale
    case .neighbour: .neighbour
    case .lost: nil
    }
  }
}
