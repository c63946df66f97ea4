// SPDX-License-Identifier: Apache-2.0
//
// What a client may ask of the router. `ControlRequest(line:)` reads one (RequestDecoding.swift), `line` writes one
// (RequestEncoding.swift); the router's `ControlService` carries them out.

import Wire

/// The `id` of a request: a number or a string, given back unchanged with the answer.
public enum RequestID: Sendable, Hashable {
  case number(Int64)
  case text(String)
}

/// Which mappings a `replace` takes away before it puts its own in.
public enum ReplaceScope: Sendable, Hashable {
  /// All that this owner gave. nil: the client that asks.
  case owner(String?)
  /// All of one instance, whoever gave them, except those of the configuration file.
  case instance(InstanceID)
}

/// The place of one line in a `replace` that is split over several: 0, 1, 2 …, all but the last with `more`.
public struct ReplacePart: Sendable, Hashable {
  public var index: Int
  public var more: Bool

  public init(index: Int, more: Bool) {
    self.index = index
    self.more = more
  }
}

/// What an operator says of a locator, whatever probes and ICMP say.
public enum LocatorWord: String, Sendable, Hashable, CaseIterable {
  case up, down
  /// Nothing: the router judges for itself.
  case auto
}

/// One request, of which everything has been understood.
public struct ControlRequest: Sendable, Equatable {
  public enum Operation: Sendable, Equatable {
    /// The handshake. `name` is the owner of what this client adds; nil: "control".
    case hello(version: Int, name: String?)
    /// Puts mappings in; one of the same EID-prefix is replaced. All or nothing.
    case add([ControlMapping])
    /// Takes away exactly these EID-prefixes. All or nothing: one that is not there fails with `not-found`.
    case delete([EIDPrefix])
    /// Atomic: what is in scope goes, `mappings` come, in one change. `part` is nil when the line is the whole; the service
    /// never sees a part: the server collects them.
    case replace(scope: ReplaceScope, mappings: [ControlMapping], part: ReplacePart?)
    /// The longest match of an EID (a host prefix) or an EID-prefix; with `exact` the entry of this very prefix.
    case get(EIDPrefix, exact: Bool)
    /// Mappings in ascending order: after `after`, at most `limit`; of one instance or of all.
    case list(instance: InstanceID?, after: EIDPrefix?, limit: Int)
    /// Events from now on; empty: none any more. The server carries this out, the service does not see it.
    case watch(Set<ControlEvent.Kind>)
    case stats, status, drops, database, interfaces, neighbours
    /// EID-prefixes at map-servers. A map-server has pages of them, as `list` has; a router tells all at once.
    case registrations(after: EIDPrefix?, limit: Int)
    case resolutions, probes, control, peers
    /// Declares a locator up or down until it is told otherwise, or leaves it to the router again.
    case locator(IPAddress, LocatorWord)
    /// Reads the configuration file again, as SIGHUP does.
    case reload
    /// Ends the router, as SIGTERM does: drains, detaches, restores.
    case drain
  }

  public var id: RequestID?
  public var operation: Operation

  public init(_ operation: Operation, id: RequestID? = nil) {
    self.operation = operation
    self.id = id
  }
}
