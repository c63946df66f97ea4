// SPDX-License-Identifier: Apache-2.0
//
// The echo-nonce algorithm (RFC 9300 section 10.1, rule N1): whether packets to a locator arrive, found out by the packets themselves. Where data
// goes both ways, we have packets to the locator carry a nonce (N) and ask for its return (E); the xTR there puts it, without E, into packets to us.
// The router tells what the data plane saw, and has templates carry what this says.
//
//     idle ── interval over, data comes ──▶ requesting ── nonce returned ──▶ idle: the way there and back is good
//       ▲                                    │  ▲   └──── its window is over, data came without it ──▶ missing: the locator is down
//       │                                    │  └──────── suspended, when the far side requests itself: its request is answered first
//       └── too little data to tell ─────────┘
//
// The window begins when a few packets with the request have left, and what tells is data that came a while later: on a locator that nothing is
// sent to, or whose traffic comes from another one, nothing is found out. A missing one goes on requesting: where packets still go to it (it is the last one)
// its answer clears it. Else the judgement lapses, for nobody would find out any more that the way is good again; where locators are probed, a probe
// is better evidence and comes first.
//
// A far side's request is answered for as long as it comes, and a moment longer: its echo goes before a request of our own.
//
// A nonce is 24 random bits of our own for each locator and request (rule E10), and alone says what is answered: the far side may answer from
// another of its addresses.
//
// Invariants, executed by `checkInvariants`:
// I1  `nonces` has the nonces of the peers that are requesting or suspended, and no other.
// I2  What a peer is said to carry is what `carry` last told.

import MapCache
import Wire

/// What the algorithm wants done.
public enum EchoNonceAction: Hashable, Sendable {
  /// Packets to the locator carry this from now on.
  case carry(IPAddress, LISPNonce?)
  /// The evidence of the locator; nil: there is none any more.
  case judge(IPAddress, LocatorEvidence.EchoNonce?)
}

/// Echo-nonces with all locators. Thread: slow path (a value type).
public struct EchoNonce: Sendable {
  /// The RFC leaves all of these to us.
  public struct Settings: Sendable {
    /// From an answer to the next request.
    public var interval = Duration.seconds(10)
    /// For an answer, from when packets with the request have left.
    public var window = Duration.seconds(3)
    /// Data that comes earlier than this after the request may have been on its way already, or its sender may not know of the request yet.
    public var delay = Duration.seconds(1)
    /// One lost packet shall not be taken for a lost way.
    public var leastPackets: UInt64 = 3
    /// How long a request is answered after it was last seen, and how long our own waits when the two meet.
    public var answering = Duration.seconds(3)
    /// How long a locator is down where nothing else is heard of it.
    public var lapse = LocatorEvidence.unreachableLapse
    /// Locators at a time. Others are not asked.
    public var capacity = 4096
    public init() {}
  }

  private enum Phase {
    case idle(until: Instant)
    case requesting(Request)
    case suspended(UInt32, until: Instant)
  }

  private struct Request {
    var nonce: UInt32
    var since: Instant
    /// Packets to the locator when it began.
    var sentBefore: UInt64
    /// When enough more had left.
    var sentAt: Instant?
  }

  private struct Peer {
    var phase: Phase
    /// When data last came from it.
    var heardAt: Instant
    var missingSince: Instant?
    /// Its nonce, to be returned.
    var owed: (nonce: UInt32, until: Instant)?
    var carried: LISPNonce?

    /// The nonce that we asked it to return.
    var nonce: UInt32? {
      switch phase {
      case .idle: nil
      case .requesting(let request): request.nonce
      case .suspended(let nonce, _): nonce
      }
    }
  }

  private let settings: Settings
  private var random: NonceSource
  /// Those that do echo-nonce by their own word.
  private var targets: Set<IPAddress> = []
  private var peers: [IPAddress: Peer] = [:]
  private var nonces: [UInt32: IPAddress] = [:]

  public init(settings: Settings = Settings(), random: NonceSource = NonceSource()) {
    self.settings = settings
    self.random = random
  }

  public var peerCount: Int { peers.count }

  // MARK: - What the router tells

  /// A locator of a mapping whose Map-Reply had E.
  public mutating func addTarget(_ rloc: IPAddress) { targets.insert(rloc) }

  /// No mapping says so any more.
  public mutating func removeTarget(_ rloc: IPAddress) -> [EchoNonceAction] {
    guard targets.remove(rloc) != nil else { return [] }
    return forget(rloc)
  }

  /// Echo-nonce is not in use any more.
  public mutating func removeAll() -> [EchoNonceAction] {
    targets = []
    return peers.keys.flatMap { forget($0) }
  }

  /// Data came from `rloc`. O(1).
  public mutating func heard(_ rloc: IPAddress, now: Instant) {
    if peers[rloc] != nil {
      peers[rloc]?.heardAt = now
    } else if targets.contains(rloc) {
      add(rloc, now)
    }
  }

  /// A packet from `rloc` carried this. O(1).
  public mutating func receive(_ nonce: LISPNonce, from rloc: IPAddress, now: Instant) -> [EchoNonceAction] {
    nonce.isRequest ? receiveRequest(nonce.value, rloc, now) : receiveEcho(nonce.value, now)
  }

  private mutating func receiveRequest(_ value: UInt32, _ rloc: IPAddress, _ now: Instant) -> [EchoNonceAction] {
    // Strangers leave half of the room to those that we ask.
    if peers[rloc] == nil, targets.contains(rloc) || peers.count < settings.capacity / 2 { add(rloc, now) }
    peers[rloc]?.owed = (value, now + settings.answering)
    if case .requesting(let request)? = peers[rloc]?.phase {
      // Both at once. What is not the same at both ends keeps them from meeting again.
      peers[rloc]?.phase = .suspended(request.nonce, until: now + random.jittered(settings.answering, by: 0.5))
    }
    return carry(rloc)
  }

  private mutating func receiveEcho(_ value: UInt32, _ now: Instant) -> [EchoNonceAction] {
    guard let rloc = nonces.removeValue(forKey: value), let peer = peers[rloc] else { return [] }
    peers[rloc]?.phase = .idle(until: now + random.jittered(settings.interval))
    peers[rloc]?.missingSince = nil
    return (peer.missingSince == nil ? [] : [.judge(rloc, .echoed)]) + carry(rloc)
  }

  // MARK: - Time

  /// Ten times a second. `sent`: how many packets have gone to a locator, asked of few. O(peers).
  public mutating func tick(now: Instant, sent: (IPAddress) -> UInt64) -> [EchoNonceAction] {
    var actions: [EchoNonceAction] = []
    for rloc in Array(peers.keys) { actions += advance(rloc, now, sent) }
    return actions
  }

  private mutating func advance(_ rloc: IPAddress, _ now: Instant, _ sent: (IPAddress) -> UInt64) -> [EchoNonceAction] {
    guard let peer = peers[rloc] else { return [] }
    if let owed = peer.owed, owed.until <= now { peers[rloc]?.owed = nil }
    if let since = peer.missingSince, now - since >= settings.lapse { return lapse(rloc, now) }
    switch peer.phase {
    case .idle(let until):
      if now - peer.heardAt >= settings.lapse { return forget(rloc) }
      if until <= now, now - peer.heardAt < settings.delay { request(rloc, now, sent(rloc)) }
    case .suspended(let nonce, let until):
      guard until <= now else { break }
      nonces[nonce] = nil
      peers[rloc]?.phase = .idle(until: now)
    case .requesting(var request):
      guard peer.missingSince == nil else { break }
      if let sentAt = request.sentAt {
        guard now - sentAt < settings.window || peer.heardAt - sentAt < settings.delay else {
          peers[rloc]?.missingSince = now
          return [.judge(rloc, .missing)]
        }
      } else if sent(rloc) >= request.sentBefore + settings.leastPackets {
        request.sentAt = now
        peers[rloc]?.phase = .requesting(request)
      }
      if now - (request.sentAt ?? request.since) >= settings.interval {
        nonces[request.nonce] = nil
        peers[rloc]?.phase = .idle(until: now + random.jittered(settings.interval))
      }
    }
    return carry(rloc)
  }

  // MARK: - Steps

  private mutating func add(_ rloc: IPAddress, _ now: Instant) {
    guard peers.count < settings.capacity else { return }
    peers[rloc] = Peer(phase: .idle(until: now), heardAt: now)
  }

  /// Begins a request, unless the far side's is to be answered first, or it never said that it does echo-nonce.
  private mutating func request(_ rloc: IPAddress, _ now: Instant, _ sent: UInt64) {
    guard peers[rloc]?.owed == nil, targets.contains(rloc) else { return }
    var nonce = UInt32(truncatingIfNeeded: random.next()) & 0xFF_FFFF
    while nonces[nonce] != nil { nonce = UInt32(truncatingIfNeeded: random.next()) & 0xFF_FFFF }
    nonces[nonce] = rloc
    peers[rloc]?.phase = .requesting(Request(nonce: nonce, since: now, sentBefore: sent))
  }

  /// Traffic may go there again, and is asked about at once.
  private mutating func lapse(_ rloc: IPAddress, _ now: Instant) -> [EchoNonceAction] {
    if let nonce = peers[rloc]?.nonce { nonces[nonce] = nil }
    peers[rloc]?.missingSince = nil
    peers[rloc]?.phase = .idle(until: now)
    return [.judge(rloc, nil)] + carry(rloc)
  }

  private mutating func forget(_ rloc: IPAddress) -> [EchoNonceAction] {
    guard let peer = peers.removeValue(forKey: rloc) else { return [] }
    if let nonce = peer.nonce { nonces[nonce] = nil }
    return (peer.carried == nil ? [] : [.carry(rloc, nil)]) + (peer.missingSince == nil ? [] : [.judge(rloc, nil)])
  }

  /// Tells what packets carry, if it is not what they do.
  private mutating func carry(_ rloc: IPAddress) -> [EchoNonceAction] {
    guard let peer = peers[rloc] else { return [] }
    let wanted = Self.wanted(peer)
    guard wanted != peer.carried else { return [] }
    peers[rloc]?.carried = wanted
    return [.carry(rloc, wanted)]
  }

  private static func wanted(_ peer: Peer) -> LISPNonce? {
    if let owed = peer.owed { return LISPNonce(owed.nonce, isRequest: false) }
    guard case .requesting(let request) = peer.phase else { return nil }
    return LISPNonce(request.nonce, isRequest: true)
  }

  /// What is wrong; empty when nothing is.
  func checkInvariants() -> [String] {
    var wrong: [String] = []
    let asked = Dictionary(peers.compactMap { rloc, peer in peer.nonce.map { ($0, rloc) } }) { first, _ in first }
    if asked != nonces { wrong.append("I1: \(asked) are asked, \(nonces) are known") }
    for (rloc, peer) in peers where peer.carried != Self.wanted(peer) { wrong.append("I2: \(rloc) carries what it should not") }
    return wrong
  }
}
