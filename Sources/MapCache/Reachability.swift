// SPDX-License-Identifier: Apache-2.0
//
// Whether a locator can be used, from all that is known about it, in one order. Pure: who hears something writes it into the evidence,
// who compiles the forwarding state asks for the verdict, and `show` prints its reason.
//
// What is known is of two kinds. About the address, whichever mapping names it: the operator's word, ICMP, probes, echo-nonces
// (LocatorEvidence). And about the address as a locator of one site: that site's locator-status-bits, and the R bit of its mapping
// (SiteEvidence): a router that two sites share may have lost the way to one of them.
//
// The order. The first that has something to say decides; what comes later is not asked.
//
//   1  operator           up or down, because he said so.
//   2  ICMP unreachable   about an outer packet of ours, and no probe answered since: down at once. It could be forged or pass soon, so
//                         it is to be verified (RFC 9300 section 10): where locators are probed, a probe is sent now, and its answer lifts
//                         the mark and makes further ones count for nothing for a minute; where they are not, the mark lapses after a minute.
//   3  probes             the newest outcome: unanswered is down, answered is up. An answer is the only evidence that goes both ways
//                         and carries a nonce (RFC 9301 section 7.1): what follows are hints, and do not contradict it.
//   4  echo-nonce         asked for and not echoed within the window: down (RFC 9300 section 10.1), for a minute; see EchoNonce.
//   5  status bit         cleared by the site: down (RFC 9300 section 10). Set, it proves nothing: it is what the site thinks; see StatusBits.
//   6  R bit              clear in the mapping: down (RFC 9301 section 5.4).
//   7  nothing            up, until something says otherwise.
//
// Whether a mapping offers a locator at all (rule E14: priority 255, R = 0) is asked apart from this: an answered probe makes no
// locator usable that the mapping does not offer.

/// What is known about a locator's address. Thread: slow path (a value type).
public struct LocatorEvidence: Sendable, Equatable {
  public enum OperatorWord: Sendable, CaseIterable {
    case up
    case down
  }

  public enum EchoNonce: Sendable, CaseIterable {
    /// The nonce came back.
    case echoed
    /// It was asked for and did not come back within the window.
    case missing
  }

  /// Nil as long as he leaves it to the router.
  public var operatorWord: OperatorWord?
  /// When the last ICMP unreachable came that counts.
  public var unreachableAt: ContinuousClock.Instant?
  /// When a probe was answered that an ICMP unreachable had been the reason for.
  public var refutedAt: ContinuousClock.Instant?
  /// When the last RLOC-probe was answered.
  public var probeAnsweredAt: ContinuousClock.Instant?
  /// When the prober last gave up: all its tries went unanswered.
  public var probeFailedAt: ContinuousClock.Instant?
  /// Nil where the echo-nonce algorithm is not in use.
  public var echoNonce: EchoNonce?

  /// Nothing known.
  public init() {}

  /// How long an ICMP unreachable counts where nobody probes: long enough for traffic to leave a dead locator at once, and short
  /// enough for a forged one, or a route that was away for a moment, to do no lasting harm.
  public static let unreachableLapse = Duration.seconds(60)

  /// How long no ICMP unreachable counts after one that a probe has shown to be wrong: who forges them, once a second and with the right
  /// addresses, would keep a locator down for good otherwise. A probe then says within a second what an honest one wanted to say.
  public static let refutationLapse = Duration.seconds(60)

  /// An ICMP unreachable has come that quotes an outer packet of ours to this address.
  public mutating func noteUnreachable(at now: ContinuousClock.Instant) {
    if let refutedAt, now < refutedAt + Self.refutationLapse { return }
    unreachableAt = now
  }

  /// A probe has been answered that was sent at `sentAt`.
  public mutating func noteAnswer(at now: ContinuousClock.Instant, sentAt: ContinuousClock.Instant) {
    if let mark = standingMark, mark <= sentAt, !isDownByProbes { refutedAt = now }
    probeAnsweredAt = now
  }

  /// Whether the prober has given up, and nothing has been answered since.
  private var isDownByProbes: Bool {
    guard let probeFailedAt else { return false }
    return probeAnsweredAt.map { $0 < probeFailedAt } ?? true
  }

  /// When the verdict changes by itself; nil: it does not.
  public func lapse(isProbed: Bool) -> ContinuousClock.Instant? {
    guard !isProbed, let mark = standingMark else { return nil }
    return mark + Self.unreachableLapse
  }

  /// The ICMP unreachable, if no probe has been answered since.
  fileprivate var standingMark: ContinuousClock.Instant? {
    guard let unreachableAt else { return nil }
    if let probeAnsweredAt, probeAnsweredAt >= unreachableAt { return nil }
    return unreachableAt
  }
}

/// What is known about a locator as one of a site's. Thread: slow path (a value type).
public struct SiteEvidence: Sendable, Equatable {
  /// Its locator-status-bit in the last packet of the site that had any; nil without one.
  public var statusBit: Bool?
  /// The R bit of the mapping.
  public var isReachable: Bool

  public init(statusBit: Bool? = nil, isReachable: Bool = true) {
    self.statusBit = statusBit
    self.isReachable = isReachable
  }
}

/// Whether a locator can be used, and why.
public enum Reachability: Sendable, Hashable, CaseIterable {
  case operatorUp
  case operatorDown
  case unreachable
  case probeUnanswered
  case probeAnswered
  case echoMissing
  case statusBitClear
  case reachableBitClear
  case assumed

  /// The verdict on a locator. `isProbed` says whether somebody sends probes to it.
  public init(_ locator: LocatorEvidence, _ site: SiteEvidence, isProbed: Bool, now: ContinuousClock.Instant) {
    self =
      Self.spoken(locator.operatorWord) ?? Self.marked(locator, isProbed, now) ?? Self.probed(locator)
      ?? (locator.echoNonce == .missing ? .echoMissing : nil) ?? (site.statusBit == false ? .statusBitClear : nil)
      ?? (site.isReachable ? .assumed : .reachableBitClear)
  }

  private static func spoken(_ word: LocatorEvidence.OperatorWord?) -> Self? {
    switch word {
    case .up: .operatorUp
    case .down: .operatorDown
    case nil: nil
    }
  }

  private static func marked(_ locator: LocatorEvidence, _ isProbed: Bool, _ now: ContinuousClock.Instant) -> Self? {
    guard locator.standingMark != nil else { return nil }
    if let lapse = locator.lapse(isProbed: isProbed), now >= lapse { return nil }
    return .unreachable
  }

  private static func probed(_ locator: LocatorEvidence) -> Self? {
    switch (locator.probeAnsweredAt, locator.probeFailedAt) {
    case (nil, nil): nil
    case (_?, nil): .probeAnswered
    case (nil, _?): .probeUnanswered
    case (let answered?, let failed?): answered >= failed ? .probeAnswered : .probeUnanswered
    }
  }

  public var isUp: Bool {
    switch self {
    case .operatorUp, .probeAnswered, .assumed: true
    case .operatorDown, .unreachable, .probeUnanswered, .echoMissing, .statusBitClear, .reachableBitClear: false
    }
  }
}

extension Reachability: CustomStringConvertible {
  /// One plain sentence.
  public var description: String {
    switch self {
    case .operatorUp: "The operator has said that it is up."
    case .operatorDown: "The operator has said that it is down."
    case .unreachable: "The network answered a packet to it with ICMP unreachable."
    case .probeUnanswered: "It does not answer probes."
    case .probeAnswered: "It answers probes."
    case .echoMissing: "It does not echo our nonces: packets to it, or from it, get lost."
    case .statusBitClear: "Its site says so in the locator-status-bits of its packets."
    case .reachableBitClear: "The mapping says that it is not reachable (R bit)."
    case .assumed: "Nothing speaks against it."
    }
  }
}
