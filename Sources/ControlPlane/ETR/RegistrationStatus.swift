// SPDX-License-Identifier: Apache-2.0
//
// Where the registration of our EID-prefixes at a Map-Server stands: what `xtr show registrations` and the log say. A Map-Server of
// RFC 9301 never says no. One that does not know us, or us by another key, is silent; one that knows the site confirms the EID-prefixes that
// the site may have and leaves out the others.

import Wire

/// How we register at a Map-Server.
public struct RegistrationServer: Hashable, Sendable {
  public var endpoint: Endpoint
  public var key: AuthenticationKey
  /// P: the server answers Map-Requests for us.
  public var proxyReply: Bool
  /// a: our locators are merged with those that other xTRs of the site register.
  public var merge: Bool
  /// T: the registration lasts as long as the record's TTL, not three minutes.
  public var useTTL: Bool

  public init(_ endpoint: Endpoint, key: AuthenticationKey, proxyReply: Bool = true, merge: Bool = false, useTTL: Bool = false) {
    self.endpoint = endpoint
    self.key = key
    self.proxyReply = proxyReply
    self.merge = merge
    self.useTTL = useTTL
  }

  /// M always: a registration that nobody confirms is not one that we would call so.
  var flags: MapRegister.Flags {
    var flags: MapRegister.Flags = .wantNotify
    if proxyReply { flags.insert(.proxyReply) }
    if merge { flags.insert(.merge) }
    if useTTL { flags.insert(.useTTL) }
    return flags
  }
}

/// Of one EID-prefix at one Map-Server.
public enum RegistrationState: Hashable, Sendable {
  /// Since its last change the mapping was confirmed.
  case registered(since: Instant)
  /// Sent, and the answer is not late yet.
  case registering(since: Instant)
  /// The server confirmed the message without this prefix.
  case refused(since: Instant)
  /// Sent several times, and nobody answered.
  case unanswered(since: Instant)

  public enum Kind: String, Sendable, CaseIterable {
    case registered, registering, refused, unanswered
  }

  public var kind: Kind {
    switch self {
    case .registered: .registered
    case .registering: .registering
    case .refused: .refused
    case .unanswered: .unanswered
    }
  }

  public var since: Instant {
    switch self {
    case .registered(let since), .registering(let since), .refused(let since), .unanswered(let since): since
    }
  }
}

/// What is known of the registration of one EID-prefix at one Map-Server.
public struct RegistrationStatus: Hashable, Sendable {
  public internal(set) var state: RegistrationState
  /// When a verified Map-Notify last had the prefix.
  public internal(set) var lastNotify: Instant?
  /// The locators that it had: of the whole site, where the server merges.
  public internal(set) var serverLocators: [LocatorRecord] = []
}

/// An EID-prefix at one Map-Server, as `xtr show registrations` tells of it.
public struct RegistrationFacts: Hashable, Sendable {
  public var eid: EIDPrefix
  public var status: RegistrationStatus
  /// When its last Map-Register left; nil: none has yet.
  public var lastSend: Instant?
  /// Map-Registers since the last Map-Notify.
  public var tries: Int
  public var nextSend: Instant?
}

/// Something about a Map-Server that an operator wants to read.
public struct RegistrationReport: Hashable, Sendable {
  public var server: Endpoint
  public var kind: RegistrationState.Kind
  /// One sentence.
  public var sentence: String
}

extension RegistrationReport {
  /// `concerned`: the prefixes in the state, ascending, at least one.
  init(_ server: Endpoint, _ state: RegistrationState, concerned: [EIDPrefix], now: Instant) {
    self.server = server
    kind = state.kind
    let seconds = max(0, (now - state.since).components.seconds)
    let eids = Self.list(concerned)
    sentence =
      switch state {
      case .registered: "map-server \(server): confirmed the registration of \(eids)"
      case .registering: "map-server \(server): registering \(eids)"
      case .refused: "map-server \(server): answers, but for \(seconds) s without \(eids): the site may not register that there"
      case .unanswered:
        "map-server \(server): no Map-Notify for \(eids) since \(seconds) s ago: wrong key, unknown site or no path"
      }
  }

  private static func list(_ prefixes: [EIDPrefix]) -> String {
    let first = prefixes.first.map { "\($0)" } ?? "no EID-prefix"
    switch prefixes.count {
    case 0, 1: return first
    case 2: return "\(first) and 1 more EID-prefix"
    default: return "\(first) and \(prefixes.count - 1) more EID-prefixes"
    }
  }
}
