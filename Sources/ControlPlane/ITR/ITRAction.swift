// SPDX-License-Identifier: Apache-2.0
//
// What the ITR's state machines want done. The router's event loop obeys, in the order of the array that a machine returned; nothing here
// touches a socket, a clock or the map-cache.

import Wire

/// One thing to do.
public enum ITRAction: Hashable, Sendable {
  /// Send it from UDP port 4342.
  case send(Datagram)
  /// Change the map-cache by all of these in one transaction (rule C4).
  case install([LearnedMapping])
  /// The mapping system has not answered; packets that wait for the prefix have waited in vain.
  case gaveUp(EIDPrefix)
  /// A probe's finding about a locator: a change of it.
  case reachability(IPAddress, isUp: Bool, ProbeFinding)
  /// Have the resolver ask for it through the mapping system: `Resolver.solicited`.
  case ask(EIDPrefix)
  /// A subscription has come into another state.
  case subscription(EIDPrefix, Subscriber.State)
  /// Keep the number where it outlives the process, before anything after it in the array is done.
  case store(EIDPrefix, nonce: UInt64)
  /// Count it: a message, or a part of one, has changed nothing.
  case refused(Refusal)
}
