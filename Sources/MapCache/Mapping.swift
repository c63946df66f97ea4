// SPDX-License-Identifier: Apache-2.0
//
// A mapping: an EID-prefix, and the locators to reach it by or what to do instead (RFC 9301 5.4).

import Wire

/// A routing locator of a mapping.
public struct Locator: Hashable, Sendable {
  public var address: IPAddress
  /// Lowest wins; 255 is never used.
  public var priority: UInt8
  /// 0…100: the share among locators of one priority.
  public var weight: UInt8
  /// The R bit.
  public var isReachable: Bool
  /// Whether its site says in its packets that it is down. Never in the map-cache: StatusBits marks what is compiled.
  public var isStatusBitClear = false

  public init(address: IPAddress, priority: UInt8 = 1, weight: UInt8 = 100, isReachable: Bool = true) {
    self.address = address
    self.priority = priority
    self.weight = weight
    self.isReachable = isReachable
  }
}

/// What a negative mapping asks for: the ACT codes.
public enum NegativeAction: String, Sendable, CaseIterable {
  case noAction = "no-action"
  case nativeForward = "native-forward"
  case sendMapRequest = "send-map-request"
  case drop
  case policyDenied = "policy-denied"
  case authenticationFailure = "authentication-failure"
}

/// One entry of the map-cache.
public struct Mapping: Equatable, Sendable {
  public var eid: EIDPrefix
  public var target: Target
  public var source: MappingSource
  /// Minutes it was given at the time of its arrival; nil: it does not expire.
  public var ttlMinutes: UInt32?
  /// When it came, or was last renewed; kept to the nanosecond.
  public var installedAt: ContinuousClock.Instant

  public init(
    eid: EIDPrefix, target: Target, source: MappingSource, ttlMinutes: UInt32? = nil, now: ContinuousClock.Instant
  ) {
    self.eid = eid
    self.target = target
    self.source = source
    self.ttlMinutes = ttlMinutes
    installedAt = now
  }

  /// When it expires; nil: never.
  public var deadline: ContinuousClock.Instant? { ttlMinutes.map { installedAt + .seconds(60 * Int64($0)) } }
  /// When a learned mapping that is in use is to be asked for again: a tenth of its time before the end, a minute at most. nil: never.
  public var renewal: ContinuousClock.Instant? {
    guard source.rank == .learned, let ttlMinutes else { return nil }
    return deadline.map { $0 - .seconds(min(60, 6 * Int64(ttlMinutes))) }
  }
}

extension Mapping {
  /// Where a mapping sends packets.
  public enum Target: Hashable, Sendable {
    /// In canonical order, which counters and locator-status-bits follow: by address, IPv4 first.
    case locators([Locator])
    case negative(NegativeAction)

    public var isNegative: Bool {
      switch self {
      case .locators: false
      case .negative: true
      }
    }

    /// Sorts the locators.
    public init(_ locators: [Locator]) { self = .locators(locators.sorted { $0.address < $1.address }) }
  }
}
