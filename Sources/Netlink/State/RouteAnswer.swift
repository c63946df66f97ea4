// SPDX-License-Identifier: Apache-2.0
//
// What the kernel answers when asked where a packet would go. Made by KernelQueries.lookup.

import CLinux
import Glibc
import Wire

/// Why a packet goes nowhere.
public enum RouteRefusal: Hashable, Sendable {
  case noRoute, unreachable, prohibit, blackhole
}

/// The way to a host or gateway.
public struct ForwardPath: Hashable, Sendable {
  public let interfaceIndex: UInt32
  /// The neighbour to send to, of either family; nil when it is the destination itself.
  public let gateway: IPAddress?
  /// The source the host itself would take.
  public let preferredSource: IPAddress?
  /// The route's MTU, or the path MTU learnt for this destination; nil: the interface's.
  public let mtu: Int?
  public let table: UInt32
  /// The route adds a header of its own (MPLS, SRv6 …): such packets must be left to the kernel.
  public let isEncapsulated: Bool
}

/// Where a packet to some destination would go. Refusals are answers, not errors.
public enum RouteAnswer: Hashable, Sendable {
  /// To a host or gateway on an interface.
  case forward(ForwardPath)
  /// To this host.
  case local(interfaceIndex: UInt32)
  case refused(RouteRefusal)
  /// Broadcast, multicast, anycast: nothing a locator or EID may be.
  case special(RouteType, interfaceIndex: UInt32)

  public var path: ForwardPath? {
    switch self {
    case .forward(let path): path
    case .local, .refused, .special: nil
    }
  }
}

extension RouteAnswer {
  init?(_ message: NetlinkMessage) {
    // The answer has RTM_F_CLONED set, which Route's other initialiser takes for a cached entry.
    guard let header = RouteHeader(message.payload),
      let route = Route(header, message.attributes(after: Route.headerByteCount))
    else { return nil }
    let hop = route.nextHops.first
    switch route.type {
    case .unicast:
      guard let hop, let interfaceIndex = hop.interfaceIndex else { return nil }
      self = .forward(
        ForwardPath(
          interfaceIndex: interfaceIndex, gateway: hop.gateway, preferredSource: route.preferredSource, mtu: route.mtu,
          table: route.table, isEncapsulated: hop.isEncapsulated))
    case .local: self = .local(interfaceIndex: hop?.interfaceIndex ?? 0)
    case .blackhole: self = .refused(.blackhole)
    case .unreachable: self = .refused(.unreachable)
    case .prohibit: self = .refused(.prohibit)
    case .broadcast, .anycast, .multicast, .throwOn, .unknown:
      self = .special(route.type, interfaceIndex: hop?.interfaceIndex ?? 0)
    }
  }

  /// The refusals that the kernel gives as an error code; nil when `errno` is none of them.
  init?(errno: CInt) {
    switch errno {
    case ENETUNREACH: self = .refused(.noRoute)
    case EHOSTUNREACH: self = .refused(.unreachable)
    case EACCES: self = .refused(.prohibit)
    case EINVAL: self = .refused(.blackhole)
    default: return nil
    }
  }
}
