// SPDX-License-Identifier: Apache-2.0
//
// A mapping as it is given through the control socket and in the configuration file, and a mapping as the router tells it:
// with its owner, its origin and its counters. JSON and TOML use the same names:
//
//     {"instance-id":7,"eid-prefix":"10.2.0.0/24","rlocs":[{"address":"192.0.2.2","priority":1,"weight":100}],"ttl-minutes":60}
//     {"eid-prefix":"10.9.0.0/16","action":"native-forward"}
//
// `instance-id` is 0 when absent, `priority` 1, `weight` 100.

import Wire

/// What a negative mapping asks for (RFC 9301 section 5.4, the ACT codes 0 to 5 in this order; rule E17).
public enum MappingAction: String, Sendable, Hashable, CaseIterable, Codable {
  case noAction = "no-action"
  case nativeForward = "native-forward"
  case sendMapRequest = "send-map-request"
  case drop
  case policyDenied = "policy-denied"
  case authenticationFailure = "authentication-failure"
}

/// One locator of a mapping.
public struct ControlLocator: Sendable, Hashable {
  public var address: IPAddress
  /// Lowest wins; 255 is never used (RFC 9301 section 5.4).
  public var priority: UInt8
  /// 0…100; the share among locators of equal priority.
  public var weight: UInt8
  /// The R bit: false takes the locator out of use.
  public var reachable: Bool

  public init(address: IPAddress, priority: UInt8 = 1, weight: UInt8 = 100, reachable: Bool = true) {
    self.address = address
    self.priority = priority
    self.weight = weight
    self.reachable = reachable
  }
}

/// Where a mapping sends its packets: to locators, or nowhere with an action. Never both, never neither.
public enum MappingTarget: Sendable, Hashable {
  /// At least one locator.
  case locators([ControlLocator])
  case action(MappingAction)
}

/// A mapping as a client gives it.
public struct ControlMapping: Sendable, Hashable {
  public var eid: EIDPrefix
  public var target: MappingTarget
  /// nil: does not expire.
  public var ttlMinutes: UInt32?

  public init(eid: EIDPrefix, target: MappingTarget, ttlMinutes: UInt32? = nil) {
    self.eid = eid
    self.target = target
    self.ttlMinutes = ttlMinutes
  }
}

/// Which way a mapping came into the table.
public enum MappingOrigin: String, Sendable, Hashable, CaseIterable, Codable {
  /// The configuration file.
  case configuration
  /// The native control socket.
  case control
  /// A Map-Reply (RFC 9301).
  case mapReply = "map-reply"
  /// lispers.net's external data plane.
  case lispersNet = "lispers.net"
  /// The OpenLISP mapping socket.
  case openLISP = "openlisp"
}

/// Packets and bytes since the thing counted exists.
public struct PacketCount: Sendable, Hashable, Codable {
  public var packets: UInt64
  public var bytes: UInt64

  public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
    self.packets = packets
    self.bytes = bytes
  }
}

/// Whether packets can be sent to a locator now.
public enum LocatorState: String, Sendable, Hashable, CaseIterable, Codable {
  /// In use: best priority, route and neighbour known.
  case up
  /// Usable, but a locator of better priority carries the traffic.
  case standby
  /// The next hop has not answered yet; packets go by the kernel if no other locator is up.
  case resolving
  /// The next hop does not answer; packets go by the kernel if there is no other locator.
  case noNeighbour = "no-neighbour"
  /// No route to it, or the route's interface is not a core port.
  case noRoute = "no-route"
  /// We have no RLOC of its family (rule E18).
  case noSource = "no-source"
  /// Reported unreachable: R bit clear, priority 255, or told by a client.
  case unreachable
}

/// A locator as the router tells it. Bytes are those of the inner packets.
public struct LocatorEntry: Sendable, Hashable {
  public var locator: ControlLocator
  public var state: LocatorState
  public var count: PacketCount

  public init(locator: ControlLocator, state: LocatorState, count: PacketCount) {
    self.locator = locator
    self.state = state
    self.count = count
  }
}

/// A mapping as the router tells it. `count` is the sum over all packets that matched the mapping, forwarded or not.
public struct MappingEntry: Sendable, Hashable {
  public enum Target: Sendable, Hashable {
    case locators([LocatorEntry])
    case action(MappingAction)
  }

  public var eid: EIDPrefix
  public var target: Target
  /// Minutes given at the time it was added; nil: does not expire.
  public var ttlMinutes: UInt32?
  /// Seconds until it expires; nil: does not.
  public var expiresInSeconds: UInt32?
  /// Who gave it: the name a client chose in its handshake, or "configuration".
  public var owner: String
  public var origin: MappingOrigin
  public var count: PacketCount

  public init(
    eid: EIDPrefix, target: Target, ttlMinutes: UInt32? = nil, expiresInSeconds: UInt32? = nil,
    owner: String, origin: MappingOrigin, count: PacketCount = PacketCount()
  ) {
    self.eid = eid
    self.target = target
    self.ttlMinutes = ttlMinutes
    self.expiresInSeconds = expiresInSeconds
    self.owner = owner
    self.origin = origin
    self.count = count
  }
}
