// SPDX-License-Identifier: Apache-2.0
//
// Hours of a whole mapping system in seconds: registrars on a bad network, with outages, restarts and changes.

import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct ETRSimulationTests {
  private static let server = IPAddress.v4(IPv4Address(198, 51, 100, 1))
  private static let key = AuthenticationKey(id: 1, secret: Array("a secret".utf8))

  /// A site, and what is done to it.
  private struct Plan {
    let number: Int
    let site: RegisteringSite
    /// The network does not carry anything to or from it then.
    let outage: Range<Duration>
    let restart: Duration
    var eid: EIDPrefix { EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: 0x0A00_0000 | UInt32(number) << 8)), length: 24)) }

    init(_ number: Int, hours: Int, _ random: inout SplitMix64) {
      self.number = number
      let start = Duration.seconds(random.below(hours * 3600))
      outage = start..<start + .seconds(1 + random.below(1800))
      restart = .seconds(60 + random.below(hours * 3600 - 60))
      site = RegisteringSite(
        .v4(IPv4Address(rawValue: 0xC000_0000 + UInt32(number))), Plan.registrar(number, seconds: 800_000_000, floor: 0))
    }

    static func registrar(_ number: Int, seconds: UInt32, floor: UInt64) -> Registrar {
      Registrar(
        identity: XTRIdentity(xtrIDHigh: 0, xtrIDLow: UInt64(number)), secondsSince2000: seconds, nonceFloor: floor,
        random: NonceSource(seed: UInt64(number)))
    }

    func begin(_ simulation: Simulation) {
      var database = SiteDatabase()
      _ = try? database.replace(with: [eid: [SiteLocator(site.addresses[0])]])
      let server = RegistrationServer(Endpoint(ETRSimulationTests.server), key: ETRSimulationTests.key)
      let actions = site.with { $0.update(database, now: simulation.now) + $0.configure([server], now: simulation.now) }
      simulation.send(actions, from: site)
    }

    /// The clock of every other site is set back by a day while it is down; it has its nonce stored.
    func restartNow(_ simulation: Simulation) {
      let seconds = UInt32(800_000_000 + simulation.elapsed.components.seconds) - (number % 2 == 0 ? 86_400 : 0)
      site.restart(Plan.registrar(number, seconds: seconds, floor: number % 2 == 0 ? site.registrar.lastNonce : 0))
      begin(simulation)
    }

    /// Whether nothing excuses its absence from the server at this time: the last outage ended five minutes ago.
    func mustBeRegistered(at time: Duration) -> Bool { !outage.overlaps(time - .seconds(300)..<time + .seconds(1)) }
  }

  /// Builds sites and lets them begin within the first minute.
  private func world(siteCount: Int, hours: Int, seed: UInt64) -> (Simulation, ModelMapServer, [Plan]) {
    let simulation = Simulation(seed: seed, .hostile)
    var random = SplitMix64(seed: seed &+ 1)
    let server = ModelMapServer(Self.server, key: Self.key)
    simulation.add(server)
    let plans = (0..<siteCount).map { Plan($0, hours: hours, &random) }
    let outages = Dictionary(uniqueKeysWithValues: plans.map { ($0.site.addresses[0], $0.outage) })
    simulation.isUp = { from, to, now in (outages[from] ?? outages[to])?.contains(now - Simulation.start) != true }
    for plan in plans {
      simulation.add(plan.site)
      simulation.at(.milliseconds(random.below(60_000)), plan.begin)
      simulation.at(plan.restart, plan.restartNow)
    }
    return (simulation, server, plans)
  }

  /// Unoptimised, an hour of a site costs eight times as much.
  #if DEBUG
    private static let siteCount = 100
  #else
    private static let siteCount = 2000
  #endif

  @Test(arguments: [UInt64(1)])
  func `C8 sites stay registered for three hours on a bad network`(_ seed: UInt64) {
    let (hours, siteCount) = (3, Self.siteCount)
    let (simulation, server, plans) = world(siteCount: siteCount, hours: hours, seed: seed)
    var checked = 0
    for minute in 6..<hours * 60 {
      simulation.at(.seconds(60 * minute)) { simulation in
        for plan in plans where plan.mustBeRegistered(at: simulation.elapsed) {
          checked += 1
          let isRegistered = server.isRegistered(plan.eid, at: simulation.now)
          if !isRegistered { Issue.record("seed \(seed): site \(plan.number) is not registered after \(minute) minutes") }
        }
      }
    }
    simulation.run(until: .seconds(3600 * hours))
    #expect(checked > siteCount * hours * 60 / 2)
    #expect(simulation.counts.lost > 12 * siteCount && simulation.counts.doubled > 12 * siteCount)
    for plan in plans { checkRate(of: plan, server, hours: hours, seed) }
    #expect(server.wrongKeyCount == 0)
    // Doubled and overtaken registers are replays, and there are no others.
    #expect(server.replayedCount < siteCount * hours * 60 / 10, "seed \(seed)")
  }

  /// A minute has 1.1 registers by jitter and up to 7 when answers stay out; nine in ten minutes have their answer.
  private func checkRate(of plan: Plan, _ server: ModelMapServer, hours: Int, _ seed: UInt64) {
    let times = server.arrivals[plan.site.addresses[0]] ?? []
    #expect(times.count <= hours * 60 * 13 / 10 + 20, "seed \(seed): site \(plan.number) sent \(times.count) registers")
    var first = 0
    for (i, time) in times.enumerated() {
      while time - times[first] > .seconds(60) { first += 1 }
      #expect(i - first < 16, "seed \(seed): site \(plan.number) sent \(i - first + 1) registers in a minute")
    }
  }
}
