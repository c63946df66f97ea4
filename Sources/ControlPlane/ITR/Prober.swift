// SPDX-License-Identifier: Apache-2.0
//
// The prober: whether each locator in use answers (rule C7; RFC 9301 7.1). A probe is a Map-Request with P, sent to the RLOC itself and never
// through the mapping system; the answer is a Map-Reply with P and the probe's nonce. The router says which RLOCs are in use and
// publishes what is found to the data plane.
//
// Probes go in rounds. While a locator is up:
//
//     ├─ probe ─ 300 ms ─ probe ─ 300 ms ─ probe ─ 300 ms ─ down
//     │    └ answered: up, and the next round comes after 0.8 … 1 interval
//
// So a failure is known at most an interval and 0.9 s after it happened. Where the round trip is long, a probe waits half as long again
// as that for its answer, instead of 300 ms. An answer may also have waited for a link to come back: what is taken for the usual round trip
// falls at once, but does no more than double with an answer, from 100 ms on. A locator that is down gets one probe a round: for six rounds
// at the interval, then for six at twice, then at four times the interval. A failure that is mended soon is forgotten soon, and what is
// gone for good costs little.
//
// An answer counts for its own probe only, whose nonce is valid until the next round begins; so the round-trip time is that of one probe. The
// first rounds are spread over an interval, and all probes together are bounded per second: too many locators stretch the interval.
//
// Invariants, executed by `checkInvariants`:
// I1  Every target is in `slotOf` under its RLOC and has a deadline.
// I2  `nonces` has the nonces of the targets' rounds, and no other.

import MapCache
import Wire

/// What a probe, or the want of an answer to it, has shown.
public enum ProbeFinding: Hashable, Sendable {
  case answered(roundTrip: Duration)
  case unanswered(probes: Int)
}

/// Probes of locators. Thread: slow path (a value type).
public struct Prober: Sendable {
  public struct Settings: Sendable {
    /// RFC 9301 gives no number; ours finds a failure before a host's first retransmissions give up.
    public var interval = Duration.seconds(10)
    /// Over all locators.
    public var probesPerSecond = 1000
    public var burst = 100
    public init() {}
  }

  /// What is known of a locator's reachability by probes.
  public enum State: String, Sendable { case unprobed, up, down }

  struct Target: Sendable {
    var rloc: IPAddress
    /// What probes ask for: an EID-prefix that the RLOC serves.
    var eid: EIDPrefix
    var state = State.unprobed
    /// The probes of this round.
    var sent: [Probe] = []
    /// Rounds without an answer since it is down.
    var silentRounds = 0
    var lastSentAt: Instant?
    var lastAnswerAt: Instant?
    var roundTrip: Duration?
    /// Of the answers so far; see above.
    var usualRoundTrip: Duration?
    /// Whether the next deadline is that of a probe's answer, or that of a new round.
    var isWaiting = false
    /// Whether someone else has said that it is down: the next answer is news, even of one that is up.
    var isDoubted = false
  }

  struct Probe: Sendable {
    var nonce: UInt64
    var at: Instant
  }

  static let probesPerRound = 3
  static let shortestPatience = Duration.milliseconds(300)
  static let longestPatience = Duration.seconds(3)
  static let leastGrowth = Duration.milliseconds(100)
  static let roundsBeforeBackOff = 6
  /// Between probes of one RLOC that are asked for.
  static let leastGap = Duration.seconds(1)
  static let tickCount = 256

  private let settings: Settings
  private var own = OwnRLOCs([])
  private var random: NonceSource
  private var rate: RateLimit
  var targets = SlotArray<Target>()
  var slotOf: [IPAddress: UInt32] = [:]
  var deadlines = DeadlineQueue()
  var nonces: [UInt64: UInt32] = [:]

  public private(set) var probesSent: UInt64 = 0
  public private(set) var answers: UInt64 = 0

  public init(settings: Settings = .init(), random: NonceSource = .init()) {
    self.settings = settings
    self.random = random
    rate = RateLimit(perSecond: settings.probesPerSecond, burst: settings.burst)
  }

  /// Our own RLOCs, in the order of preference: a probe leaves from the first of the locator's family, unless `tick` is told better.
  public mutating func setRLOCs(_ addresses: [IPAddress]) { own = OwnRLOCs(addresses) }

  /// An RLOC is in use, and serves this EID-prefix. What is known of it already is kept. O(log n)
  public mutating func setTarget(_ rloc: IPAddress, eid: EIDPrefix, now: Instant) {
    if let slot = slotOf[rloc] {
      targets[slot]?.eid = eid
      return
    }
    let slot = targets.insert(Target(rloc: rloc, eid: eid))
    slotOf[rloc] = slot
    deadlines.schedule(slot, at: now + settings.interval * Double.random(in: 0..<1, using: &random))
  }

  /// An RLOC that is not in use any more.
  public mutating func removeTarget(_ rloc: IPAddress) {
    guard let slot = slotOf.removeValue(forKey: rloc), let target = targets.remove(slot) else { return }
    deadlines.cancel(slot)
    for probe in target.sent { nonces[probe.nonce] = nil }
  }

  /// Begins a round as soon as possible: after an ICMP unreachable, for one. At most one a second for an RLOC; unknown ones are ignored. The
  /// next answer is told of, whatever was known before.
  public mutating func probeNow(_ rloc: IPAddress, now: Instant) {
    guard let slot = slotOf[rloc] else { return }
    targets[slot]?.isDoubted = true
    guard let target = targets[slot], !target.isWaiting else { return }
    deadlines.schedule(slot, at: max(now, target.lastSentAt.map { $0 + Self.leastGap } ?? now))
  }

  /// When `tick` has something to do; nil: never. In the past: at once.
  public func nextDeadline(_ now: Instant) -> Instant? {
    guard let deadline = deadlines.first?.deadline else { return nil }
    return deadline <= now ? max(deadline, rate.available(now)) : deadline
  }

  // MARK: - Time

  /// Sends the probes that are due and says which locators have not answered. At most 256 at a time: the next deadline is then in the past.
  /// `source` is the RLOC of ours that packets to a locator leave from, as far as that is known: probes shall go the way that they go.
  public mutating func tick(now: Instant, source: (_ rloc: IPAddress) -> IPAddress? = { _ in nil }) -> [ITRAction] {
    var actions: [ITRAction] = []
    for _ in 0..<Self.tickCount {
      guard let (slot, deadline) = deadlines.first, deadline <= now, let target = targets[slot] else { break }
      if target.isWaiting, target.sent.count >= probesInRound(target) {
        if let action = endRound(slot, now) { actions.append(action) }
      } else {
        guard rate.take(now) else { break }
        if let datagram = send(slot, now, source) { actions.append(.send(datagram)) }
      }
    }
    return actions
  }

  private func probesInRound(_ target: Target) -> Int { target.state == .down ? 1 : Self.probesPerRound }

  /// The next probe of a round, or the first of a new one. nil when we have no RLOC of the family: the next round may.
  private mutating func send(_ slot: UInt32, _ now: Instant, _ source: (_ rloc: IPAddress) -> IPAddress?) -> Datagram? {
    guard var target = targets[slot] else { return nil }
    if !target.isWaiting {
      for probe in target.sent { nonces[probe.nonce] = nil }
      target.sent = []
    }
    defer { targets[slot] = target }
    guard let source = source(target.rloc) ?? own.first(of: target.rloc.family) else {
      target.isWaiting = false
      deadlines.schedule(slot, at: now + settings.interval)
      return nil
    }
    let probe = Probe(nonce: random.next(), at: now)
    nonces[probe.nonce] = slot
    target.sent.append(probe)
    target.isWaiting = true
    target.lastSentAt = now
    deadlines.schedule(slot, at: now + patience(target))
    probesSent += 1
    let request = MapRequest(nonce: probe.nonce, flags: .probe, itrRLOCs: [.ip(source)], records: [MapRequest.Record(target.eid)])
    return Datagram(.mapRequest(request), to: Endpoint(target.rloc), from: source)
  }

  /// How long a probe's answer may take before the next probe is sent.
  private func patience(_ target: Target) -> Duration {
    min(max(Self.shortestPatience, target.usualRoundTrip.map { $0 * 3 / 2 } ?? .zero), Self.longestPatience)
  }

  /// No probe of the round was answered. Their nonces are valid still: what comes late says that the locator is up.
  private mutating func endRound(_ slot: UInt32, _ now: Instant) -> ITRAction? {
    guard var target = targets[slot] else { return nil }
    let wasDown = target.state == .down
    target.state = .down
    target.isWaiting = false
    target.silentRounds = wasDown ? target.silentRounds + 1 : 0
    targets[slot] = target
    scheduleRound(slot, times: 1 << min(target.silentRounds / Self.roundsBeforeBackOff, 2), now)
    return wasDown ? nil : .reachability(target.rloc, isUp: false, .unanswered(probes: target.sent.count))
  }

  /// Jitter only shortens the interval: it is a promise.
  private mutating func scheduleRound(_ slot: UInt32, times: Int, _ now: Instant) {
    deadlines.schedule(slot, at: now + settings.interval * times * Double.random(in: 0.8...1, using: &random))
  }

  // MARK: - Answers

  /// A Map-Reply with P. One whose records are not authoritative, which only the locator's own xTR can say, is refused (section 5.4).
  public mutating func receive(_ reply: MapReply, now: Instant) -> [ITRAction] {
    guard reply.flags.contains(.probe), let slot = nonces[reply.nonce], var target = targets[slot],
      let probe = target.sent.first(where: { $0.nonce == reply.nonce })
    else { return [.refused(.unknownNonce)] }
    guard reply.records.allSatisfy(\.isAuthoritative) else { return [.refused(.badRecord)] }
    for probe in target.sent { nonces[probe.nonce] = nil }
    let isNews = target.state != .up || target.isDoubted
    target.isDoubted = false
    let roundTrip = probe.at.duration(to: now)
    target.sent = []
    target.isWaiting = false
    target.state = .up
    target.silentRounds = 0
    target.lastAnswerAt = now
    target.usualRoundTrip = target.usualRoundTrip.map { min(roundTrip, max($0 * 2, Self.leastGrowth)) } ?? roundTrip
    target.roundTrip = roundTrip
    targets[slot] = target
    answers += 1
    scheduleRound(slot, times: 1, now)
    return isNews ? [.reachability(target.rloc, isUp: true, .answered(roundTrip: roundTrip))] : []
  }
}
