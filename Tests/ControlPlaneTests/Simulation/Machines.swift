// SPDX-License-Identifier: Apache-2.0
//
// The state machines of one process of a SimulatedXTR. They are together in a value that cannot be copied, so that a question to one of
// thousands of xTRs, such as when it is due, copies no machine out of its xTR's object.

import MapCache
import Wire

@testable import ControlPlane

struct Machines: ~Copyable {
  var database: SiteDatabase
  var resolver: Resolver
  var waiting = MissQueue()
  var prober: Prober
  var solicitor: Solicitor
  var subscriber: Subscriber
  var registrar: Registrar
  var responder: SiteResponder
  var peers = Peers()
  var cache = MapCache()

  // The router's side of it: see SimulatedXTR+Packets.
  var packetCounts: [EIDPrefix: UInt32] = [:]
  var down: [IPAddress: Instant] = [:]

  /// A short history, so that it is full early.
  private static let limits: Resolver.Limits = {
    var limits = Resolver.Limits()
    limits.historyCount = 64
    return limits
  }()

  /// Of a process that starts at this time of the wall clock. `seed` is its own.
  init(_ settings: SimulatedXTR.Settings, startSeconds: UInt32, seed: UInt64) {
    func random(_ machine: UInt64) -> NonceSource { NonceSource(seed: seed &+ machine) }
    var probing = Prober.Settings()
    if let interval = settings.probeInterval { probing.interval = interval }
    database = SiteDatabase(ttlMinutes: settings.ttlMinutes)
    resolver = Resolver(limits: Self.limits, random: random(0))
    prober = Prober(settings: probing, random: random(1))
    solicitor = Solicitor(random: random(2))
    subscriber = Subscriber(
      settings: .init(identity: settings.identity, key: settings.servers.first?.key), stored: [:], startSeconds: startSeconds,
      random: random(3))
    registrar = Registrar(identity: settings.identity, secondsSince2000: startSeconds, random: random(4))
    responder = SiteResponder(random: random(5))
  }

  /// When something is to be done, but for packets that have waited too long.
  func nextDeadline(_ now: Instant) -> Instant? {
    var next = registrar.nextDeadline
    func note(_ deadline: Instant?) { if let deadline { next = next.map { min($0, deadline) } ?? deadline } }
    note(resolver.nextDeadline(now))
    note(prober.nextDeadline(now))
    note(solicitor.nextDeadline(now))
    note(subscriber.nextDeadline(now))
    note(cache.nextDeadline)
    return next
  }
}

extension SimulatedXTR {
  // Copies, for inspections.
  var database: SiteDatabase { machines.database }
  var resolver: Resolver { machines.resolver }
  var waiting: MissQueue { machines.waiting }
  var prober: Prober { machines.prober }
  var solicitor: Solicitor { machines.solicitor }
  var subscriber: Subscriber { machines.subscriber }
  var registrar: Registrar { machines.registrar }
  var peers: Peers { machines.peers }
  var cache: MapCache { machines.cache }
}
