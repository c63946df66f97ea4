// SPDX-License-Identifier: Apache-2.0
//
// Who gave a mapping, and whose word goes before whose.

import Wire

/// Who gave a mapping.
public struct MappingSource: Hashable, Sendable {
  /// The way it came in. The raw values are those of the control socket.
  public enum Origin: String, Sendable, CaseIterable {
    /// The configuration file.
    case configuration
    /// A client of the control socket.
    case control
    /// The mapping system, in a Map-Reply (RFC 9301 section 5.4).
    case learned = "map-reply"
  }

  /// Whose word goes before whose, in this order: what the mapping system says of an EID-prefix is not taken where the operator or
  /// a client of his has said something else of the same prefix. These two replace each other's mappings, the last one wins.
  public enum Rank: UInt8, Sendable, Comparable {
    /// May be evicted; never replaces an assigned mapping.
    case learned
    /// Configuration and control socket. Stays until it expires or is taken back.
    case assigned

    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  }

  public var origin: Origin
  /// The client's own name, "configuration", or the address of who answered.
  public var owner: String

  public init(origin: Origin, owner: String) {
    self.origin = origin
    self.owner = owner
  }

  public static let configuration = MappingSource(origin: .configuration, owner: "configuration")

  /// The client of the control socket that calls itself `owner`.
  public static func control(_ owner: String) -> MappingSource { MappingSource(origin: .control, owner: owner) }

  /// The mapping system; `address` sent the Map-Reply.
  public static func learned(from address: IPAddress) -> MappingSource { MappingSource(origin: .learned, owner: "\(address)") }

  public var rank: Rank {
    switch origin {
    case .configuration, .control: .assigned
    case .learned: .learned
    }
  }
}
