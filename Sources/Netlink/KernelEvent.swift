// SPDX-License-Identifier: Apache-2.0
//
// What KernelMonitor reports.

import CLinux

/// A change of the kernel's network state. Applied in order to a copy that was dumped after the monitor was opened, the events of
/// links, addresses and neighbours keep the copy equal to the kernel's. Those of routes do not:
/// - when a link goes down or an address is removed, the kernel drops the IPv4 routes that relied on it without a word;
/// - IPv6 reports the removal of one of several next hops as `routeGone` with just this one, and an appended one as `route` with all;
/// - IPv4 can hold several routes of the same table, prefix and priority, and "replace" says only what there is now.
/// A route event therefore means "ask again about this prefix": by `KernelQueries.lookup`, or by a dump for whoever keeps a
/// copy; `link`, `linkGone` and `addressGone` mean it, too.
public enum KernelEvent: Hashable, Sendable {
  /// A link is new or changed: up, down, carrier, address, MTU, name.
  case link(Link)
  case linkGone(index: UInt32)
  case address(AddressEntry)
  case addressGone(AddressEntry)
  /// A neighbour is new or changed; a state of `failed` means that nobody answered. It is never `incomplete`: the kernel says nothing
  /// when it begins to ask. What it calls so is a neighbour that failed, and that a packet had asked for again before it was told.
  case neighbour(Neighbour)
  case neighbourGone(Neighbour)
  /// A route is new or changed.
  case route(Route)
  case routeGone(Route)
  /// A policy rule or a next-hop object changed: any answer of `KernelQueries.lookup` may differ now.
  case policyChanged
  /// Events were lost. Everything that was still queued is thrown away already, so that a dump made now is not
  /// followed by older news: dump everything again.
  case overrun
}

extension KernelEvent {
  /// nil for what is malformed or does not concern us.
  init?(_ message: NetlinkMessage) {
    let event: KernelEvent? =
      switch Int(message.type) {
      case Int(RTM_NEWLINK): Link(message).map { .link($0) }
      case Int(RTM_DELLINK): Link(message).map { .linkGone(index: $0.index) }
      case Int(RTM_NEWADDR): AddressEntry(message).map { .address($0) }
      case Int(RTM_DELADDR): AddressEntry(message).map { .addressGone($0) }
      case Int(RTM_NEWNEIGH): Neighbour(message).map { .neighbour($0.asHeard) }
      case Int(RTM_DELNEIGH): Neighbour(message).map { .neighbourGone($0) }
      case Int(RTM_NEWROUTE): Route(message).map { .route($0) }
      case Int(RTM_DELROUTE): Route(message).map { .routeGone($0) }
      case Int(RTM_NEWRULE), Int(RTM_DELRULE), Int(RTM_NEWNEXTHOP), Int(RTM_DELNEXTHOP): .policyChanged
      default: nil
      }
    guard let event else { return nil }
    self = event
  }
}
