// SPDX-License-Identifier: Apache-2.0
//
// A whole xTR but for sockets and the data plane: the state machines of this module around a map-cache, as the router's MappingSystem has them,
// in its order of dispatch. What the router does with a mapping and a packet is in SimulatedXTR+Packets. The simulations of whole mapping
// systems are made of these.

import MapCache
import TestSupport
import Wire

@testable import ControlPlane

final class SimulatedXTR: SimulatedNode {
  struct Settings {
    /// Its RLOCs: the first is the one that its EIDs are reachable by.
    var addresses: [IPAddress]
    var identity: XTRIdentity
    var resolvers: [IPAddress]
    var servers: [RegistrationServer]
    var subscriptions: [EIDPrefix] = []
    var ttlMinutes: UInt32 = 5
    /// nil: locators are not probed.
    var probeInterval: Duration?
    var seed: UInt64
  }

  /// By the wall clock, when every simulation begins.
  static let startSeconds: UInt32 = 800_000_000

  var settings: Settings
  var addresses: [IPAddress] { settings.addresses }
  private(set) var isRunning = false
  /// How often it was started.
  private var starts: UInt64 = 0

  var machines: Machines
  var traffic = PacketCounts()
  /// Called for every packet that leaves encapsulated, with the mapping and the locator that it used.
  var forwarded: (Mapping, IPAddress, _ to: IPAddress) -> Void = { _, _, _ in }
  /// Called for every packet that leaves natively, or is dropped, because a mapping says so.
  var notEncapsulated: (Mapping, _ to: IPAddress) -> Void = { _, _ in }

  private(set) var refusals: [Refusal: Int] = [:]
  private(set) var log = RequestLog()
  private(set) var turns: [(rloc: IPAddress, isUp: Bool, at: Instant)] = []
  private(set) var now = Simulation.start
  private var lastTick = Simulation.start
  private var outbox: [Datagram] = []

  init(_ settings: Settings) {
    self.settings = settings
    machines = Machines(settings, startSeconds: Self.startSeconds, seed: settings.seed &* 1_000_003)
  }

  // MARK: - Life

  /// A process begins: it knows its configuration and `mappings`, and nothing of an earlier one.
  func start(_ mappings: [EIDPrefix: [SiteLocator]], now: Instant) -> [Datagram] {
    self.now = now
    starts += 1
    isRunning = true
    makeMachines()
    machines.resolver.setResolvers(settings.resolvers)
    machines.subscriber.setResolvers(settings.resolvers)
    machines.subscriber.setSubscriptions(settings.subscriptions, now: now)
    machines.resolver.setRLOCs(addresses)
    machines.prober.setRLOCs(addresses)
    machines.solicitor.setRLOCs(addresses)
    machines.subscriber.setRLOCs(addresses)
    update(mappings)
    return takeOutbox()
  }

  private func makeMachines() {
    let seconds = Self.startSeconds + UInt32((now - Simulation.start).components.seconds)
    traffic.end(machines.waiting)
    machines = Machines(settings, startSeconds: seconds, seed: settings.seed &* 1_000_003 &+ starts &* 16)
  }

  /// The process is gone, without a word.
  func crash() { isRunning = false }

  /// Does something to a running process and returns what it says. `body` ends with the machines at rest.
  func with(_ now: Instant, _ body: (SimulatedXTR) -> Void) -> [Datagram] {
    guard isRunning else { return [] }
    self.now = now
    body(self)
    return takeOutbox()
  }

  /// Our EID-prefixes have these locators now: what changed is registered and solicited.
  func update(_ mappings: [EIDPrefix: [SiteLocator]]) {
    guard let changed = try? machines.database.replace(with: mappings) else { return refuse(.badLocator) }
    machines.resolver.setEIDPrefixes(machines.database.prefixes)
    machines.subscriber.setEIDPrefixes(machines.database.prefixes)
    let told = Set(machines.peers.recent(now: now)).union(cachedLocators).sorted()
    register()
    if !changed.isEmpty { perform(machines.solicitor.announce(changed, to: told, now: now)) }
  }

  /// With the servers of the settings.
  func register() {
    perform(machines.registrar.configure(settings.servers, now: now))
    perform(machines.registrar.update(machines.database, now: now))
  }

  /// The configuration has another key for the servers.
  func setKey(_ key: AuthenticationKey) {
    for i in settings.servers.indices { settings.servers[i].key = key }
    machines.subscriber.setKey(key)
    register()
  }

  /// A clean end: it goes on until the servers have heard.
  func withdraw() { perform(machines.registrar.withdraw(now: now)) }

  // MARK: - Time

  /// Whether a packet has waited too long is looked at once a second.
  var nextDeadline: Instant? {
    guard isRunning else { return nil }
    let next = machines.nextDeadline(now)
    guard machines.waiting.count > 0 else { return next }
    let look = lastTick + .seconds(1)
    return next.map { min($0, look) } ?? look
  }

  func tick(now: Instant) -> [Datagram] {
    guard isRunning else { return [] }
    self.now = now
    lastTick = now
    machines.waiting.tick(now: now)
    perform(machines.registrar.tick(now: now))
    perform(machines.resolver.tick(now: now))
    perform(machines.prober.tick(now: now))
    perform(machines.solicitor.tick(now: now))
    perform(machines.subscriber.tick(now: now))
    expireMappings()
    return takeOutbox()
  }

  private func takeOutbox() -> [Datagram] {
    defer { outbox = [] }
    return outbox
  }

  // MARK: - What comes in

  func receive(_ bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [Datagram] {
    guard isRunning else { return [] }
    self.now = now
    guard let message = try? ControlMessage(parsing: bytes) else {
      refuse(.malformed)
      return []
    }
    switch message {
    case .mapReply(let reply): receive(reply, arrival)
    case .mapNotify(let notify): receive(notify, bytes, arrival)
    case .mapRequest(let request): perform(machines.responder.receive(request, arrival, machines.database, now: now))
    case .encapsulated(let envelope): perform(machines.responder.receive(envelope, arrival, machines.database, now: now))
    case .mapRegister, .mapNotifyAck, .mapReferral: refuse(.notForUs)
    }
    return takeOutbox()
  }

  private func receive(_ reply: MapReply, _ arrival: Arrival) {
    if reply.flags.contains(.probe) {
      perform(machines.prober.receive(reply, now: now))
    } else if machines.subscriber.isAnswer(reply) {
      perform(machines.subscriber.receive(reply, arrival, now: now))
    } else {
      perform(machines.resolver.receive(reply, arrival, now: now))
    }
  }

  private func receive(_ notify: MapNotify, _ bytes: [UInt8], _ arrival: Arrival) {
    if machines.registrar.isAddressed(by: notify) {
      perform(machines.registrar.receive(notify, bytes: bytes, arrival, now: now))
    } else {
      perform(machines.subscriber.receive(notify, bytes: bytes, arrival, now: now))
    }
  }

  func refuse(_ reason: Refusal) { refusals[reason, default: 0] += 1 }

  // MARK: - What is to be done

  func perform(_ actions: [ITRAction]) {
    for action in actions {
      switch action {
      case .send(let datagram): send(datagram)
      case .install(let mappings): install(mappings)
      case .gaveUp(let eid): machines.waiting.drop(coveredBy: eid, .unanswered)
      case .reachability(let rloc, let isUp, _):
        machines.down[rloc] = isUp ? nil : now
        turns.append((rloc, isUp, now))
      case .ask(let eid): perform(machines.resolver.solicited(eid, now: now))
      case .subscription, .store: break
      case .refused(let reason): refuse(reason)
      }
    }
  }

  private func perform(_ actions: [RegistrarAction]) {
    for action in actions {
      switch action {
      case .send(let datagram): send(datagram)
      case .report(let report): if report.kind == .registered { machines.subscriber.registered(now: now) }
      case .refused(let reason): refuse(reason)
      }
    }
  }

  private func perform(_ actions: [SiteAction]) {
    for action in actions {
      switch action {
      case .send(let datagram): send(datagram)
      case .solicited(let request, _):
        let cache = machines.cache
        perform(machines.solicitor.receiveSMR(request, now: now, cached: cache.learned(around:)))
      case .invoked(let request): machines.solicitor.receiveInvoked(request)
      case .refused(let reason): refuse(reason)
      }
    }
  }

  func send(_ datagram: Datagram) {
    log.note(datagram, now)
    outbox.append(datagram)
  }
}

/// When an xTR asked for each prefix, and what of it is against rule C1.
struct RequestLog {
  private var last: [EIDPrefix: (at: Instant, nonce: UInt64, tries: Int)] = [:]
  private(set) var count = 0
  private(set) var violations: [String] = []

  /// Takes down a request that goes through the mapping system and is no subscription.
  mutating func note(_ datagram: Datagram, _ now: Instant) {
    guard datagram.payload.first.map({ $0 >> 4 }) == ControlMessageType.encapsulatedControl.rawValue,
      case .encapsulated(let envelope)? = try? ControlMessage(parsing: datagram.payload),
      case .mapRequest(let request)? = try? ControlMessage(parsing: envelope.message), request.identity == nil,
      let eid = request.records.first?.eidPrefix
    else { return }
    count += 1
    var tries = 1
    if let last = last[eid] {
      if now - last.at < .seconds(1) { violations.append("\(eid) was asked for \(now - last.at) after the last time") }
      if last.nonce == request.nonce { tries = last.tries + 1 }
      if tries > 1, now - last.at < min(.seconds(30), .seconds(1) * (1 << (tries - 2))) { violations.append("\(eid) did not back off") }
      if tries > 10 { violations.append("\(eid) had \(tries) tries") }
    }
    last[eid] = (now, request.nonce, tries)
  }
}
