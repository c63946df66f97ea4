// SPDX-License-Identifier: Apache-2.0
//
// What a router or a map-server tells of the mapping system: registrations, requests under way, probes, and the control messages that were
// refused. In JSON a name is written in words with hyphens, see StatusCoding.swift.

/// A locator of a mapping, as the mapping system has it.
public struct RegisteredLocator: Codable, Sendable, Hashable {
  public var address: String
  public var priority: UInt8
  public var weight: UInt8
  public var reachable: Bool

  public init(address: String, priority: UInt8, weight: UInt8, reachable: Bool) {
    self.address = address
    self.priority = priority
    self.weight = weight
    self.reachable = reachable
  }
}

/// One of our own EID-prefixes at one map-server: a router's answer to `registrations`.
public struct RegistrationEntry: Codable, Sendable, Hashable {
  public var instanceID: UInt32
  public var eidPrefix: String
  public var mapServer: String
  /// "registered", "registering", "refused" or "unanswered".
  public var state: String
  /// How long it has been so.
  public var sinceSeconds: Double
  /// Since the last Map-Register, and how many there have been since the last Map-Notify.
  public var lastRegisterSecondsAgo: Double?
  public var tries: Int
  /// Since the last Map-Notify; nil: there was none.
  public var notifiedSecondsAgo: Double?
  /// Until the next Map-Register.
  public var nextRegisterInSeconds: Double?
  /// What the server has, where it told.
  public var locators: [RegisteredLocator]
  /// One sentence.
  public var why: String

  public init(
    instanceID: UInt32, eidPrefix: String, mapServer: String, state: String, sinceSeconds: Double, lastRegisterSecondsAgo: Double?,
    tries: Int, notifiedSecondsAgo: Double?, nextRegisterInSeconds: Double?, locators: [RegisteredLocator], why: String
  ) {
    self.instanceID = instanceID
    self.eidPrefix = eidPrefix
    self.mapServer = mapServer
    self.state = state
    self.sinceSeconds = sinceSeconds
    self.lastRegisterSecondsAgo = lastRegisterSecondsAgo
    self.tries = tries
    self.notifiedSecondsAgo = notifiedSecondsAgo
    self.nextRegisterInSeconds = nextRegisterInSeconds
    self.locators = locators
    self.why = why
  }
}

/// An EID-prefix that is registered: a map-server's answer to `registrations`.
public struct RegisteredEntry: Codable, Sendable, Hashable {
  /// An xTR that registered it.
  public struct XTR: Codable, Sendable, Hashable {
    /// xTR-ID in hexadecimal digits, or the address it registered from.
    public var name: String
    public var address: String
    public var proxyReply: Bool
    public var merge: Bool
    public var ageSeconds: Double
    public var refreshedSecondsAgo: Double
    public var expiresInSeconds: Double

    public init(
      name: String, address: String, proxyReply: Bool, merge: Bool, ageSeconds: Double, refreshedSecondsAgo: Double,
      expiresInSeconds: Double
    ) {
      self.name = name
      self.address = address
      self.proxyReply = proxyReply
      self.merge = merge
      self.ageSeconds = ageSeconds
      self.refreshedSecondsAgo = refreshedSecondsAgo
      self.expiresInSeconds = expiresInSeconds
    }
  }

  public var instanceID: UInt32
  public var eidPrefix: String
  public var site: String
  /// Whether the map-server answers for the site.
  public var proxied: Bool
  public var ttlMinutes: UInt32
  public var locators: [RegisteredLocator]
  public var xtrs: [XTR]

  public init(
    instanceID: UInt32, eidPrefix: String, site: String, proxied: Bool, ttlMinutes: UInt32, locators: [RegisteredLocator], xtrs: [XTR]
  ) {
    self.instanceID = instanceID
    self.eidPrefix = eidPrefix
    self.site = site
    self.proxied = proxied
    self.ttlMinutes = ttlMinutes
    self.locators = locators
    self.xtrs = xtrs
  }
}

/// A request to the mapping system that is under way or was answered lately.
public struct ResolutionEntry: Codable, Sendable, Hashable {
  public var instanceID: UInt32
  public var eidPrefix: String
  /// "asking", "answered" or "given-up".
  public var state: String
  public var tries: Int
  public var lastRequestSecondsAgo: Double?
  /// The map-resolver that was asked last.
  public var asked: String?
  public var lastReplySecondsAgo: Double?
  public var answeredBy: String?
  /// Until the next Map-Request; nil: none is planned.
  public var nextTryInSeconds: Double?

  public init(
    instanceID: UInt32, eidPrefix: String, state: String, tries: Int, lastRequestSecondsAgo: Double?, asked: String?,
    lastReplySecondsAgo: Double?, answeredBy: String?, nextTryInSeconds: Double?
  ) {
    self.instanceID = instanceID
    self.eidPrefix = eidPrefix
    self.state = state
    self.tries = tries
    self.lastRequestSecondsAgo = lastRequestSecondsAgo
    self.asked = asked
    self.lastReplySecondsAgo = lastReplySecondsAgo
    self.answeredBy = answeredBy
    self.nextTryInSeconds = nextTryInSeconds
  }
}

/// A locator that is probed.
public struct ProbeEntry: Codable, Sendable, Hashable {
  public var rloc: String
  /// "up", "down" or "unprobed".
  public var state: String
  public var roundTripMilliseconds: Double?
  public var lastProbeSecondsAgo: Double?
  public var lastReplySecondsAgo: Double?
  public var nextProbeInSeconds: Double?
  /// Whether packets are sent to it, all evidence taken together.
  public var reachable: Bool
  /// One sentence.
  public var why: String

  public init(
    rloc: String, state: String, roundTripMilliseconds: Double?, lastProbeSecondsAgo: Double?, lastReplySecondsAgo: Double?,
    nextProbeInSeconds: Double?, reachable: Bool, why: String
  ) {
    self.rloc = rloc
    self.state = state
    self.roundTripMilliseconds = roundTripMilliseconds
    self.lastProbeSecondsAgo = lastProbeSecondsAgo
    self.lastReplySecondsAgo = lastReplySecondsAgo
    self.nextProbeInSeconds = nextProbeInSeconds
    self.reachable = reachable
    self.why = why
  }
}

/// An EID-prefix that a router is subscribed to (RFC 9437).
public struct SubscriptionEntry: Codable, Sendable, Hashable {
  public var instanceID: UInt32
  public var eidPrefix: String
  /// "asking", "subscribed", "declined" or "leaving".
  public var state: String
  /// Who confirmed it.
  public var mapServer: String?
  public var lastRequestSecondsAgo: Double?
  public var lastNotifySecondsAgo: Double?
  public var nextTryInSeconds: Double?

  public init(
    instanceID: UInt32, eidPrefix: String, state: String, mapServer: String?, lastRequestSecondsAgo: Double?, lastNotifySecondsAgo: Double?,
    nextTryInSeconds: Double?
  ) {
    self.instanceID = instanceID
    self.eidPrefix = eidPrefix
    self.state = state
    self.mapServer = mapServer
    self.lastRequestSecondsAgo = lastRequestSecondsAgo
    self.lastNotifySecondsAgo = lastNotifySecondsAgo
    self.nextTryInSeconds = nextTryInSeconds
  }
}

/// How often something happened, and what it means.
public struct CountedReason: Codable, Sendable, Hashable {
  public var reason: String
  public var count: UInt64
  public var meaning: String

  public init(reason: String, count: UInt64, meaning: String) {
    self.reason = reason
    self.count = count
    self.meaning = meaning
  }
}

/// The last Map-Register that a map-server refused of a site.
public struct SiteRefusal: Codable, Sendable, Hashable {
  /// nil: it was about an EID-prefix that is no site's.
  public var site: String?
  /// As in `ControlPlaneStatus.refused`.
  public var reason: String
  /// Address and port.
  public var from: String
  public var secondsAgo: Double
  /// How often this reason has been met of the site.
  public var count: UInt64
  /// One sentence.
  public var why: String

  public init(site: String?, reason: String, from: String, secondsAgo: Double, count: UInt64, why: String) {
    self.site = site
    self.reason = reason
    self.from = from
    self.secondsAgo = secondsAgo
    self.count = count
    self.why = why
  }
}

/// The answer to `control`: control messages in and out.
public struct ControlPlaneStatus: Codable, Sendable, Equatable {
  /// Our addresses with UDP port 4342 open.
  public var addresses: [String]
  public var mapResolvers: [String]
  public var received: UInt64
  public var sent: UInt64
  /// Messages of ours that the kernel did not take, or that had no address of ours to leave from.
  public var unsendable: UInt64
  /// Messages to us that the kernel threw away: its buffer was full, or the UDP checksum wrong.
  public var dropped: UInt64
  /// Messages that changed nothing, by reason; those that occurred.
  public var refused: [CountedReason]
  /// A map-server's: the last Map-Register refused of each site that had one.
  public var siteRefusals: [SiteRefusal]
  /// Packets that wait for a mapping now, and what became of those before.
  public var waiting: Int
  public var released: UInt64
  public var unresolved: [CountedReason]
  /// Requests under way.
  public var outstanding: Int
  /// What the router has asked, probed and told, or the map-server answered and told; what occurred.
  public var events: [CountedReason]
  public var subscriptions: [SubscriptionEntry]

  public init(
    addresses: [String], mapResolvers: [String] = [], received: UInt64, sent: UInt64, unsendable: UInt64 = 0, dropped: UInt64 = 0,
    refused: [CountedReason], siteRefusals: [SiteRefusal] = [], waiting: Int = 0, released: UInt64 = 0,
    unresolved: [CountedReason] = [], outstanding: Int = 0, events: [CountedReason] = [], subscriptions: [SubscriptionEntry] = []
  ) {
    self.addresses = addresses
    self.mapResolvers = mapResolvers
    self.received = received
    self.sent = sent
    self.unsendable = unsendable
    self.dropped = dropped
    self.refused = refused
    self.siteRefusals = siteRefusals
    self.waiting = waiting
    self.released = released
    self.unresolved = unresolved
    self.outstanding = outstanding
    self.events = events
    self.subscriptions = subscriptions
  }
}
