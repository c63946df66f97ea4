// SPDX-License-Identifier: Apache-2.0

import Testing
import Wire

@testable import ControlPlane

@Suite struct ETRRegistrarTests {
  @Test func `C8 a site registers at once and then every minute, jittered`() throws {
    let world = try RegistrarWorld()
    world.run(.seconds(3600))
    #expect(world.arrivals.first ?? 9 < 0.1)
    let gaps = zip(world.arrivals, world.arrivals.dropFirst()).map { $1 - $0 }
    #expect((54...67).contains(gaps.count))
    #expect(gaps.allSatisfy { (53.9...66.1).contains($0) })
    #expect(Set(gaps.map { Int($0 * 1000) }).count > 30)
    #expect(world.status()?.state.kind == .registered)
    #expect(world.server.registrations[RegistrarWorld.eid(0)]?.locators.map(\.flags) == [[.local, .reachable]])
    #expect(world.site.refusals.isEmpty)
    #expect(world.site.reports.map(\.sentence) == ["map-server 198.51.100.1:4342: confirmed the registration of [0]10.0.0.0/24"])
  }

  @Test func `C8 without a Map-Notify it repeats after 1, 2, 4 … seconds, up to a minute`() throws {
    let world = try RegistrarWorld()
    world.server.answers = false
    world.run(.seconds(400))
    let gaps = zip(world.arrivals, world.arrivals.dropFirst()).map { $1 - $0 }
    for (gap, expected) in zip(gaps, [1.0, 2, 4, 8, 16, 32, 60, 60, 60]) {
      #expect((expected - 1e-9...min(expected * 1.1, 60) + 1e-9).contains(gap))
    }
    #expect(gaps.count >= 9)
    #expect(world.server.replayedCount == 0, "a retransmission has a new nonce")
  }

  @Test func `C8 silence is told in one sentence, once and then at most once a minute`() throws {
    let world = try RegistrarWorld(prefixCount: 3, serverKey: AuthenticationKey(id: 1, secret: [9]))
    world.run(.seconds(600))
    #expect(world.server.wrongKeyCount > 10 && world.server.registrations.isEmpty)
    #expect(world.status()?.state == .unanswered(since: Simulation.start))
    let expected =
      "map-server 198.51.100.1:4342: no Map-Notify for [0]10.0.0.0/24 and 2 more EID-prefixes since 7 s ago: "
      + "wrong key, unknown site or no path"
    #expect(world.site.reports.first?.sentence == expected)
    #expect((8...10).contains(world.site.reports.count))
    #expect(world.site.reports.allSatisfy { $0.kind == .unanswered })
  }

  @Test func `a registration is known again when the server is back`() throws {
    let world = try RegistrarWorld()
    world.simulation.isUp = { _, _, now in !(Duration.seconds(100)..<Duration.seconds(1000)).contains(now - Simulation.start) }
    var during: RegistrationState?
    world.simulation.at(.seconds(990)) { _ in during = world.status()?.state }
    world.run(.seconds(1200))
    #expect(during?.kind == .unanswered)
    #expect(world.status()?.state.kind == .registered)
    #expect(world.site.reports.map(\.kind).first == .registered && world.site.reports.map(\.kind).last == .registered)
    #expect(world.server.isRegistered(RegistrarWorld.eid(0), at: world.simulation.now))
  }

  @Test func `a prefix that the server leaves out is shown as refused, the others are registered`() throws {
    let world = try RegistrarWorld(prefixCount: 3)
    world.server.notAllowed = [RegistrarWorld.eid(1)]
    world.run(.seconds(150))
    #expect((0..<3).map { world.status($0)?.state.kind } == [.registered, .refused, .registered])
    #expect(
      world.site.reports.first?.sentence
        == "map-server 198.51.100.1:4342: answers, but for 0 s without [0]10.0.1.0/24: the site may not register that there")
    #expect(world.site.reports.count == 2)
    world.server.notAllowed = []
    world.run(.seconds(300))
    #expect(world.status(1)?.state.kind == .registered)
  }

  @Test func `C8 many prefixes travel in several messages that fit, one in 10 ms`() throws {
    let world = try RegistrarWorld(prefixCount: 1000)
    world.run(.seconds(30))
    #expect(world.server.largestMessage <= 1232 && world.server.largestMessage > 1150)
    #expect(world.statuses.map(\.eid) == (0..<1000).map(RegistrarWorld.eid))
    #expect(world.statuses.allSatisfy { $0.status.state.kind == .registered })
    let gaps = zip(world.arrivals, world.arrivals.dropFirst()).map { $1 - $0 }
    #expect((23...30).contains(world.arrivals.count))
    #expect(gaps.allSatisfy { $0 > 0.0099 })
  }

  /// One record a message: as many messages as 330 000 prefixes need.
  @Test func `C8 eight thousand messages are refreshed every minute, evenly`() throws {
    let database = try RegistrarWorld.database(8000)
    var registration = ServerRegistration(RegistrationServer(Endpoint(RegistrarWorld.serverAddress), key: RegistrarWorld.key), now: start)
    _ = registration.set(database.prefixes.map(database.record), byteCount: 36, overhead: 0, now: start)
    var random = NonceSource(seed: 3)
    var (now, nonce) = (start, UInt64(0))
    var lastSent: [UInt32: Instant] = [:]
    var (longest, perSecond) = (Duration.zero, [Int64: Int]())
    while let deadline = registration.nextDeadline, deadline < at(400) {
      now = max(now, deadline)
      guard case .send(let slot)? = registration.nextDue(now) else { continue }
      nonce += 1
      _ = registration.noteSent(slot, nonce, now, &random)
      registration.noteAnswered(slot, nonce, registration.records(slot), isCurrent: true, now, &random)
      if let last = lastSent[slot] { longest = max(longest, last.duration(to: now)) }
      lastSent[slot] = now
      perSecond[start.duration(to: now).components.seconds, default: 0] += 1
    }
    #expect(lastSent.count == 8000 && longest < .seconds(67), "\(longest)")
    #expect(perSecond.values.allSatisfy { $0 <= 190 }, "\(perSecond.values.max() ?? 0)")
  }

  @Test func `a change is registered at once, and only what changed`() throws {
    let world = try RegistrarWorld(prefixCount: 200)
    world.run(.seconds(5))
    let before = world.arrivals.count
    var database = try RegistrarWorld.database(200)
    var mappings = Dictionary(
      uniqueKeysWithValues: (0..<200).map { (RegistrarWorld.eid($0), database.locators(of: RegistrarWorld.eid($0))) })
    mappings[RegistrarWorld.eid(199)]?[0].priority = 7
    #expect(try database.replace(with: mappings) == [RegistrarWorld.eid(199)])
    world.at(.seconds(6)) { [database] in $0.update(database, now: $1) }
    world.run(.seconds(8))
    #expect(world.arrivals.count == before + 1)
    #expect(world.server.registrations[RegistrarWorld.eid(199)]?.locators.first?.priority == 7)
    #expect(world.status(199)?.state == .registered(since: Simulation.start + .milliseconds(6020)))
  }

  @Test func `a prefix that is gone is withdrawn with TTL 0, repeated until confirmed`() throws {
    let world = try RegistrarWorld(prefixCount: 2)
    world.simulation.isUp = { _, _, now in now - Simulation.start < .seconds(10) || now - Simulation.start > .seconds(12) }
    let database = try RegistrarWorld.database(1)
    world.at(.seconds(10)) { $0.update(database, now: $1) }
    world.run(.seconds(20))
    #expect(Set(world.server.registrations.keys) == [RegistrarWorld.eid(0)])
    #expect(world.status(1) == nil)
    world.run(.seconds(600))
    #expect(world.arrivals.count < 16)
  }

  @Test func `a withdrawal that nobody confirms ends; a prefix that comes back is registered`() throws {
    let world = try RegistrarWorld(prefixCount: 2)
    world.run(.seconds(5))
    world.server.answers = false
    world.at(.seconds(10)) { $0.withdraw(now: $1) }
    world.run(.seconds(60))
    #expect(world.server.registrations.isEmpty)
    #expect(world.site.registrar.nextDeadline == nil && world.arrivals.count == 1 + RegisterBatch.withdrawalPatience)
    world.server.answers = true
    world.at(.seconds(70)) { [settings = world.settings] in $0.configure([settings], now: $1) }
    world.run(.seconds(80))
    #expect(world.status(1)?.state.kind == .registered && world.server.registrations.count == 2)
  }

  @Test func `withdrawing at a clean end is over when the server has confirmed`() throws {
    let world = try RegistrarWorld(prefixCount: 100)
    world.at(.seconds(10)) { $0.withdraw(now: $1) }
    world.run(.seconds(11))
    #expect(world.server.registrations.isEmpty && world.site.registrar.nextDeadline == nil)
  }

  /// 42 messages, a millisecond apart.
  @Test func `many prefixes are withdrawn without delay`() throws {
    let world = try RegistrarWorld(prefixCount: 3000)
    world.run(.seconds(10))
    #expect(world.server.registrations.count == 3000)
    world.at(.seconds(10)) { $0.withdraw(now: $1) }
    world.run(.milliseconds(10_010))
    #expect(world.site.registrar.hasUnsent && world.site.registrar.unconfirmedWithdrawals == 3000)
    world.run(.milliseconds(10_050))
    #expect(!world.site.registrar.hasUnsent)
    world.run(.milliseconds(10_100))
    #expect(world.server.registrations.isEmpty && world.site.registrar.unconfirmedWithdrawals == 0)
  }

  @Test func `a server that is configured again while it is being left keeps the registrations`() throws {
    let world = try RegistrarWorld(prefixCount: 100)
    let settings = world.settings
    world.at(.seconds(10)) { $0.withdraw(now: $1) + $0.configure([settings], now: $1) }
    world.run(.seconds(15))
    #expect(world.server.registrations.count == 100)
    #expect(world.status(99)?.state.kind == .registered)
  }

  @Test func `a new key is used at once, and a Map-Notify under the old one still counts for what was sent under it`() throws {
    let other = AuthenticationKey(id: 2, algorithm: .hmacSHA1, secret: Array("another".utf8))
    let world = try RegistrarWorld()
    var changed = world.settings
    changed.key = other
    // The register of 0 s is confirmed at 0.02 s, after the key has changed at 0.015 s.
    world.at(.milliseconds(15)) { [changed] in $0.configure([changed], now: $1) }
    var early: RegistrationStatus?
    world.simulation.at(.milliseconds(22)) { _ in early = world.status() }
    world.run(.seconds(5))
    #expect(early?.state.kind == .registered)
    #expect(world.server.wrongKeyCount == 3, "the new key: 0.015 s, then after 1 and 2 seconds")
    #expect(world.site.refusals.isEmpty)
    world.server.key = other
    world.run(.seconds(70))
    #expect(world.status()?.lastNotify ?? Simulation.start > Simulation.start + .seconds(5))
  }

  @Test func `each server has timers of its own, and one that is taken out is withdrawn from`() throws {
    let world = try RegistrarWorld()
    let silent = ModelMapServer(.v4(IPv4Address(198, 51, 100, 2)), key: RegistrarWorld.key)
    silent.answers = false
    world.simulation.add(silent)
    let second = RegistrationServer(Endpoint(silent.addresses[0]), key: RegistrarWorld.key)
    world.at(.seconds(1)) { [settings = world.settings] in $0.configure([settings, second], now: $1) }
    world.run(.seconds(30))
    #expect(world.site.registrar.registrations.map { $0.statuses.map(\.status.state.kind) } == [[.registered], [.unanswered]])
    #expect(world.arrivals.count == 1)
    world.at(.seconds(31)) { $0.configure([second], now: $1) }
    world.run(.seconds(50))
    #expect(world.server.registrations.isEmpty && silent.registrations.count == 1)
    #expect(world.site.registrar.registrations.map(\.server) == [second])
  }

  @Test func `a key with a longer MAC makes no message too long`() throws {
    let world = try RegistrarWorld()
    var settings = world.settings
    settings.key = AuthenticationKey(algorithm: .hmacSHA1, secret: [1])
    // Four records of 23 locators have 1168 bytes: with the 20 bytes of HMAC-SHA-1 they fit one message, with 32 bytes they do not.
    let locators = (1...23).map { SiteLocator(.v4(IPv4Address(192, 0, 2, $0))) }
    var database = SiteDatabase()
    _ = try database.replace(with: Dictionary(uniqueKeysWithValues: (0..<8).map { (RegistrarWorld.eid($0), locators) }))
    world.at(.seconds(1)) { [database, settings] in $0.configure([settings], now: $1) + $0.update(database, now: $1) }
    world.at(.seconds(100)) { [settings = world.settings] in $0.configure([settings], now: $1) }
    world.run(.seconds(99))
    #expect(world.server.largestMessage == 1228)
    world.run(.seconds(110))
    #expect(world.server.largestMessage == 1228)
    #expect(world.statuses.count == 8 && world.statuses.allSatisfy { $0.status.state.kind == .registered })
  }

  @Test func `the bits of a register follow the settings`() throws {
    let world = try RegistrarWorld()
    var settings = world.settings
    world.run(.seconds(1))
    #expect(world.server.registrations[RegistrarWorld.eid(0)]?.flags == [.wantNotify, .proxyReply])
    (settings.proxyReply, settings.merge, settings.useTTL) = (false, true, true)
    world.at(.seconds(2)) { [settings] in $0.configure([settings], now: $1) }
    world.run(.seconds(3))
    #expect(world.server.registrations[RegistrarWorld.eid(0)]?.flags == [.wantNotify, .merge, .useTTL])
    #expect(world.server.registrations[RegistrarWorld.eid(0)]?.expires ?? Simulation.start > Simulation.start + .seconds(86_000))
  }
}

// MARK: - Nonces across restarts

extension ETRRegistrarTests {
  @Test func `C8 after a restart nonces go on ascending, also when the clock was set back`() throws {
    for (seconds, keepsNonce, isAccepted) in [(UInt32(800_000_200), false, true), (700_000_000, true, true), (700_000_000, false, false)] {
      let world = try RegistrarWorld()
      world.run(.seconds(100))
      let stored = world.site.registrar.lastNonce
      #expect(stored >> 32 == 800_000_000)
      let database = try RegistrarWorld.database(1, locator: .v4(IPv4Address(192, 0, 2, 77)))
      world.site.restart(RegistrarWorld.registrar(seconds: seconds, floor: keepsNonce ? stored : 0))
      world.at(.seconds(110)) { [settings = world.settings] in $0.update(database, now: $1) + $0.configure([settings], now: $1) }
      world.run(.seconds(115))
      #expect((world.server.replayedCount == 0) == isAccepted)
      let locators = world.server.registrations[RegistrarWorld.eid(0)]?.locators.compactMap(\.address.locatorIP)
      #expect((locators == [.v4(IPv4Address(192, 0, 2, 77))]) == isAccepted)
    }
  }

  @Test func `a stored nonce at the end of all numbers does not stop the router`() throws {
    let world = try RegistrarWorld(floor: .max)
    world.run(.seconds(200))
    #expect(world.status()?.state.kind == .registered)
  }
}
