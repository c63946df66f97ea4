// SPDX-License-Identifier: Apache-2.0
//
// What the router answers. One answer per request, in order.
//
//     {"id":7,"ok":true,"changed":2}
//     {"id":8,"ok":false,"error":{"code":"not-found","message":"no mapping of [0]10.9.0.0/16"}}

import Wire

/// Why a request was not carried out. Nothing was changed.
public struct ControlFailure: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable, Hashable, CaseIterable {
    /// The line is not a JSON object.
    case malformed
    /// A field is missing, unknown, of the wrong type or out of range.
    case invalid
    case unknownOperation = "unknown-operation"
    /// The first request was not a handshake, or asked for another version.
    case version
    case notFound = "not-found"
    /// The mapping may not be touched this way: a database prefix, one of the configuration file.
    case refused
    /// A line, a split `replace` or the number of clients went beyond its limit.
    case tooLarge = "too-large"
    /// The router could not do it; the message says why.
    case failed
    /// The router is starting or draining.
    case unavailable
  }

  public var code: Code
  /// One line: what, where, and the cure.
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}

/// The answer to one request.
public enum ControlAnswer: Sendable, Equatable {
  /// Done, with nothing more to say (`watch`, `reload`, `drain`).
  case done
  /// To `hello`.
  case hello(version: Int, server: String)
  /// To `add`, `delete`, `replace`: the number of mappings that were put in, replaced or taken away.
  case changed(Int)
  /// To a part of a split `replace`: the mappings collected up to now.
  case collected(Int)
  /// To `get`.
  case mapping(MappingEntry)
  /// To `list`; `next` is the `after` of the following page, nil at the end.
  case mappings([MappingEntry], next: EIDPrefix?)
  case stats(TrafficTotals)
  case status(RouterStatus)
  case drops([DropStatus])
  case database([DatabaseEntry])
  case interfaces([InterfaceStatus])
  case neighbours([NeighbourStatus])
  /// A router's answer to `registrations`.
  case registrations([RegistrationEntry])
  /// A map-server's; `next` is the `after` of the following page, nil at the end.
  case registered([RegisteredEntry], next: EIDPrefix?)
  case resolutions([ResolutionEntry])
  case probes([ProbeEntry])
  case control(ControlPlaneStatus)
  case peers([PeerStatus])
  case failure(ControlFailure)
}
