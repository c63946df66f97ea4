// SPDX-License-Identifier: Apache-2.0
//
// What the control server asks of the router. `actor Router` is the service; the tests have a fake.

import ControlAPI

/// One connection to the control socket, and the name under which its mappings are kept.
struct ClientID: Hashable, Sendable, CustomStringConvertible {
  /// The owner of the mappings of a client that gave no name.
  static let defaultOwner = "control"

  /// Counts the connections since the router started.
  let number: UInt64
  /// As the client named itself in the handshake.
  let owner: String

  var description: String { "\(owner)#\(number)" }
}

/// Carries requests out. Thread: called in tasks of the event loop; an actor on that loop is reached without a thread switch.
protocol ControlService: Sendable {
  /// Answers one request. Those of one client come one after the other; those of several may overlap. Never `hello`, `watch`
  /// or a part of a split `replace`: the server sees to these itself.
  func answer(_ request: ControlRequest, from client: ClientID) async -> ControlAnswer
}
