// SPDX-License-Identifier: Apache-2.0
//
// The router's end of the mapping system: the state machines of ControlPlane, their sockets and their time. What comes in is given to the machine
// it is for; what a machine wants done is done here, or by the router, which has set the closures below (Router+MappingSystem).
//
//     UDP 4342 ──▶ Map-Reply ──▶ Prober, Subscriber, Resolver ──▶ install, reachability
//                  Map-Notify ─▶ Registrar, Subscriber ─────────▶ install, reports
//                  Map-Request, ECM ─▶ SiteResponder, Solicitor ─▶ replies, requests
//     misses ────────────────────▶ Resolver, MissQueue ─────────▶ requests; packets when the answer is there

import ControlPlane
import Logging
import MapCache
import NIOCore
import Wire

/// Thread: the event loop.
final class MappingSystem {
  typealias Settings = Configuration.MappingSystem

  let eventLoop: any EventLoop
  let log: Logger
  private(set) var settings: Settings

  /// Puts these into the map-cache in one transaction (rule C4), or takes them away where their TTL is 0.
  var install: ([LearnedMapping]) -> Void = { _ in }
  /// A packet whose mapping has come: it goes the way that the mapping says.
  var release: (WaitingPacket) -> Void = { _ in }
  /// What probes found about a locator.
  var probed: (_ rloc: IPAddress, _ finding: ProbeFinding) -> Void = { _, _ in }
  /// The RLOC of ours that the data plane's packets to a locator leave from.
  var source: (_ rloc: IPAddress) -> IPAddress? = { _ in nil }
  /// The learned prefixes in the map-cache that contain an EID-prefix or lie in it; some, if there are many.
  var learned: (EIDPrefix) -> [EIDPrefix] = { _ in [] }

  var database: SiteDatabase
  var resolver: Resolver
  var waiting = MissQueue()
  var prober: Prober
  var solicitor = Solicitor()
  var subscriber: Subscriber
  var registrar: Registrar
  private var responder: SiteResponder
  /// Whether our Map-Replies say that we do echo-nonce (rule N1).
  var echoesNonces: Bool {
    get { responder.echoNonceCapable }
    set { responder.echoNonceCapable = newValue }
  }
  private let nonces: NonceStore?
  private(set) var sockets: ControlSockets?
  private(set) var received: UInt64 = 0
  private(set) var refusals: [Refusal: UInt64] = [:]
  /// Whether everything is being withdrawn: nothing registers again.
  private var isEnding = false
  /// Whether another turn of `time` is on its way.
  private var isGoingOn = false
  /// The RLOCs that the machines were last told of.
  private var rlocs: [IPAddress] = []

  /// `rlocs`: our own at the start; the first of them names us where the configuration does not, and without any the address of a port.
  init(
    _ settings: Settings, rlocs: [IPAddress], macAddress: MACAddress, eventLoop: any EventLoop, log: Logger
  ) throws(SQLiteError) {
    self.settings = settings
    self.eventLoop = eventLoop
    self.log = log
    let identity = settings.identity ?? XTRIdentity(of: rlocs.first, or: macAddress)
    var limits = Resolver.Limits()
    limits.requestsPerSecond = settings.requestsPerSecond
    resolver = Resolver(limits: limits)
    prober = Prober(settings: settings.probing)
    responder = SiteResponder(repliesPerSecond: settings.repliesPerSecond, burst: 5 * settings.repliesPerSecond)
    let seconds = WallClock.secondsSince2000
    nonces = try settings.stateFile.map { path throws(SQLiteError) in try NonceStore(path: path, log: log) }
    nonces?.keep(subscriptions: settings.subscriptions.map(\.eid))
    registrar = Registrar(identity: identity, secondsSince2000: seconds, nonceFloor: nonces?.registrationFloor ?? 0)
    subscriber = Subscriber(
      settings: Subscriber.Settings(identity: identity, key: settings.mapServers.first?.key), stored: nonces?.subscriptionFloors ?? [:],
      startSeconds: seconds)
    database = SiteDatabase(ttlMinutes: settings.ttlMinutes)
    sockets = ControlSockets(eventLoop: eventLoop, log: log) { [unowned self] in
      receive($0, $1)
    }
  }

  // MARK: - What the router tells

  /// Our RLOCs are these now, and our EID-prefixes have these locators. New sockets are bound, what changed is registered and solicited.
  func update(rlocs: [IPAddress], mappings: [EIDPrefix: [SiteLocator]], peers: [IPAddress]) {
    if rlocs != self.rlocs {
      self.rlocs = rlocs
      resolver.setRLOCs(rlocs)
      prober.setRLOCs(rlocs)
      solicitor.setRLOCs(rlocs)
      subscriber.setRLOCs(rlocs)
    }
    guard !isEnding else { return }
    // Registers leave from our RLOCs: these are bound before. Who is solicited then asks for what is registered by then.
    sockets?.listen(on: rlocs)
    do throws(SiteDatabaseError) {
      let changed = try database.replace(with: mappings)
      if !changed.isEmpty {
        resolver.setEIDPrefixes(database.prefixes)
        subscriber.setEIDPrefixes(database.prefixes)
      }
      register()
      if !changed.isEmpty { perform(solicitor.announce(changed, to: peers, now: .now)) }
    } catch {
      log.error("our EID-prefixes are registered as they were before: \(error)")
    }
  }

  /// Other servers and prefixes to subscribe to. `update` then registers at these servers.
  func configure(_ settings: Settings) {
    self.settings = settings
    resolver.setResolvers(settings.mapResolvers)
    subscriber.setResolvers(settings.mapResolvers)
    subscriber.setKey(settings.mapServers.first?.key)
    subscriber.setSubscriptions(settings.subscriptions.map(\.eid), now: .now)
  }

  private func register() {
    guard !isEnding else { return }
    let servers = settings.mapServers.map {
      RegistrationServer(Endpoint($0.address), key: $0.key, proxyReply: $0.proxyReply, merge: $0.merge, useTTL: $0.useTTL)
    }
    perform(registrar.configure(servers, now: .now))
    perform(registrar.update(database, now: .now))
  }

  /// Withdraws what is registered: those who ask from now on get no answer that leads here. The sockets stay open for the servers' word, for
  /// as long as `close` is not called.
  func withdraw() {
    isEnding = true
    perform(registrar.withdraw(now: .now))
  }

  /// Whether the servers have confirmed that everything is withdrawn, or were given up.
  var isWithdrawn: Bool { registrar.nextDeadline == nil }

  /// Whether withdrawals are on their way for the first time still: for many EID-prefixes that takes seconds.
  var isWithdrawing: Bool { registrar.hasUnsent }

  /// The end: what nobody has confirmed to be withdrawn the servers have until it expires.
  func close() {
    let left = registrar.unconfirmedWithdrawals
    if left > 0 { log.warning("\(left) withdrawals of EID-prefixes were not confirmed: map-servers may answer for them for three minutes") }
    sockets?.close()
  }

  // MARK: - Misses

  /// A packet without a mapping, or with one that says to ask again. It waits for the answer, or is dropped under a reason.
  func miss(_ packet: @autoclosure () -> WaitingPacket, to eid: IPAddress, in instance: InstanceID, from source: IPAddress?) {
    switch resolver.miss(eid: eid, in: instance, source: source, now: .now) {
    case .wait(let request):
      waiting.append(packet(), now: .now)
      if let request { sockets?.send(request) }
    case .drop(let reason): waiting.refuse(reason)
    }
  }

  /// The packets that a mapping concerns go on.
  func releasePackets(coveredBy eid: EIDPrefix) { for packet in waiting.take(coveredBy: eid) { release(packet) } }

  // MARK: - Time

  /// What is due. The router calls it ten times a second; in between it comes back by itself when something is due, so that a probe's patience
  /// is not a tick longer than it says.
  func time() {
    let now = ContinuousClock.now
    waiting.tick(now: now)
    perform(registrar.tick(now: now))
    perform(resolver.tick(now: now))
    perform(prober.tick(now: now, source: source))
    perform(solicitor.tick(now: now))
    perform(subscriber.tick(now: now))
    let deadlines = [
      registrar.nextDeadline, resolver.nextDeadline(now), prober.nextDeadline(now), solicitor.nextDeadline(now),
      subscriber.nextDeadline(now),
    ]
    guard !isGoingOn, let next = deadlines.compactMap(\.self).min(), next < now + .milliseconds(100) else { return }
    isGoingOn = true
    eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(max(.milliseconds(1), now.duration(to: next)))) { [weak self] in
      self?.isGoingOn = false
      self?.time()
    }
  }

  // MARK: - What comes in

  private func receive(_ bytes: [UInt8], _ arrival: Arrival) {
    received &+= 1
    let now = ContinuousClock.now
    do throws(WireError) {
      switch try ControlMessage(parsing: bytes) {
      case .mapReply(let reply): receive(reply, arrival, now)
      case .mapNotify(let notify): receive(notify, bytes, arrival, now)
      case .mapRequest(let request): perform(responder.receive(request, arrival, database, now: now))
      case .encapsulated(let message): perform(responder.receive(message, arrival, database, now: now))
      case .mapRegister, .mapNotifyAck, .mapReferral: refuse(.notForUs)
      }
    } catch {
      refuse(error == .unknownType(of: bytes) ? .unknownType : .malformed)
    }
  }

  private func receive(_ reply: MapReply, _ arrival: Arrival, _ now: Instant) {
    if reply.flags.contains(.probe) {
      perform(prober.receive(reply, now: now))
    } else if subscriber.isAnswer(reply) {
      perform(subscriber.receive(reply, arrival, now: now))
    } else {
      perform(resolver.receive(reply, arrival, now: now))
    }
  }

  private func receive(_ notify: MapNotify, _ bytes: [UInt8], _ arrival: Arrival, _ now: Instant) {
    if registrar.isAddressed(by: notify) {
      perform(registrar.receive(notify, bytes: bytes, arrival, now: now))
    } else {
      perform(subscriber.receive(notify, bytes: bytes, arrival, now: now))
    }
  }

  private func refuse(_ reason: Refusal) { refusals[reason, default: 0] += 1 }

  // MARK: - What is to be done

  func perform(_ actions: [ITRAction]) {
    nonces?.note(subscriptions: actions.compactMap { if case .store(let eid, let nonce) = $0 { (eid, nonce) } else { nil } })
    for action in actions {
      switch action {
      case .send(let datagram): sockets?.send(datagram)
      case .install(let mappings): install(mappings)
      case .gaveUp(let eid): waiting.drop(coveredBy: eid, .unanswered)
      case .reachability(let rloc, _, let finding): probed(rloc, finding)
      case .ask(let eid): perform(resolver.solicited(eid, now: .now))
      case .subscription(let eid, let state): log.info("subscription to \(eid): \(state.rawValue)")
      case .store: break  // all at once, before the first message leaves
      case .refused(let reason): refuse(reason)
      }
    }
  }

  private func perform(_ actions: [RegistrarAction]) {
    if !actions.isEmpty { nonces?.noteRegistration(registrar.lastNonce) }
    for action in actions {
      switch action {
      case .send(let datagram): sockets?.send(datagram)
      case .report(let report):
        if report.kind == .registered { subscriber.registered(now: .now) }
        log.log(level: report.kind == .registered ? .notice : .warning, "\(report.sentence)")
      case .refused(let reason): refuse(reason)
      }
    }
  }

  private func perform(_ actions: [SiteAction]) {
    for action in actions {
      switch action {
      case .send(let datagram): sockets?.send(datagram)
      case .solicited(let request, _):
        perform(solicitor.receiveSMR(request, now: .now, cached: learned))
      case .invoked(let request): solicitor.receiveInvoked(request)
      case .refused(let reason): refuse(reason)
      }
    }
  }
}

extension WireError {
  /// The error of a message whose type we do not know.
  fileprivate static func unknownType(of bytes: [UInt8]) -> WireError {
    .invalid(.control, field: "type", value: UInt64((bytes.first ?? 0) >> 4))
  }
}

extension XTRIdentity {
  /// An xTR-ID that two xTRs do not share and that is the same at the next start: an address of ours, an IPv4 one as IPv6 maps it; without
  /// one, the link-local address that a port's MAC address makes (RFC 4291 appendix A).
  fileprivate init(of rloc: IPAddress?, or mac: MACAddress) {
    switch rloc {
    case .v4(let address)?: self.init(xtrIDHigh: 0, xtrIDLow: 0xFFFF_0000_0000 | UInt64(address.rawValue))
    case .v6(let address)?: self.init(xtrIDHigh: address.high, xtrIDLow: address.low)
    case nil:
      let (vendor, number) = (mac.rawValue >> 24, mac.rawValue & 0xFF_FFFF)
      self.init(xtrIDHigh: 0xFE80 << 48, xtrIDLow: (vendor ^ 0x02_0000) << 40 | 0xFFFE << 24 | number)
    }
  }
}

extension Configuration.MappingSystem {
  fileprivate var probing: Prober.Settings {
    var probing = Prober.Settings()
    if let probeSeconds { probing.interval = .seconds(probeSeconds) }
    return probing
  }
}
