// SPDX-License-Identifier: Apache-2.0
//
// Somebody who hears everything and can put any message on the network, under any address, but has no key: what he says must change
// counters and nothing else. The same world without him tells what there should be.

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct HostileWorldTests {
  #if DEBUG
    private static let (siteCount, messages) = (5, 3_000)
  #else
    private static let (siteCount, messages) = (30, 200_000)
  #endif
  private static let (begin, end) = (Duration.seconds(120), Duration.seconds(420))

  /// What he makes messages of.
  private struct Attacker {
    var random: SplitMix64
    var heard: [[UInt8]] = []
    let addresses: [IPAddress]

    mutating func message() -> Datagram {
      let victim = addresses[random.below(addresses.count)]
      let source = addresses[random.below(addresses.count)]
      return Datagram(payload(), to: Endpoint(victim), from: source)
    }

    private mutating func payload() -> [UInt8] {
      guard !heard.isEmpty, random.below(5) > 0 else { return random.octets(random.below(200)) }
      var bytes = heard[random.below(heard.count)]
      switch random.below(4) {
      case 0: break
      case 1: bytes.removeLast(random.below(bytes.count + 1))
      case 2: bytes += random.octets(1 + random.below(40))
      default: for _ in 0...random.below(3) { bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8)) }
      }
      return bytes
    }
  }

  /// What has a meaning to others.
  private struct State: Equatable {
    var registered: [EIDPrefix: [IPAddress]]
    var subscriptions: Int
    var caches: [[EIDPrefix: Mapping.Target]]
    var databases: [SiteDatabase]
    var locators: [[IPAddress: Prober.State]]
    var registrations: [[RegistrationState.Kind]]
    var topics: [Int]
    var waiting: [Int]
  }

  private func state(_ world: MappingWorld) -> State {
    State(
      registered: world.servers[0].registered(now: world.simulation.now), subscriptions: world.servers[0].server.subscriptionCount,
      caches: world.xtrs.map { xtr in
        let all = xtr.cache.descendants(of: EIDPrefix(.zero, IPPrefix(masking: .v4(.any), length: 0)), limit: .max)
        return Dictionary(uniqueKeysWithValues: all.map { ($0.eid, $0.target) })
      },
      databases: world.xtrs.map(\.database),
      locators: world.xtrs.map { Dictionary(uniqueKeysWithValues: $0.prober.facts.map { ($0.rloc, $0.state) }) },
      registrations: world.xtrs.map { $0.registrar.registrations.flatMap { $0.statuses.map(\.status.state.kind) } },
      topics: world.xtrs.map(\.solicitor.topicCount), waiting: world.xtrs.map(\.waiting.count))
  }

  /// Everybody sends to everybody on a network that does no harm.
  private func world(seed: UInt64, isAttacked: Bool) -> MappingWorld {
    let world = MappingWorld(.init(siteCount: Self.siteCount, ttlMinutes: 60, probeInterval: .seconds(10)), seed: seed, .perfect)
    world.startAll()
    world.every(.seconds(5), from: .seconds(60), until: Self.end) {
      for from in world.xtrs.indices { for to in world.xtrs.indices where from != to { world.send(from: from, to: MappingWorld.host(to)) } }
    }
    if isAttacked { attack(world, seed) }
    world.run(Self.end + .seconds(30))
    return world
  }

  private func attack(_ world: MappingWorld, _ seed: UInt64) {
    let everyone = world.servers[0].addresses + world.xtrs.flatMap(\.addresses)
    var attacker = Attacker(random: SplitMix64(seed: seed &+ 77), addresses: everyone)
    world.simulation.tapped = {
      if $0.destination.port == LISPPort.control, attacker.heard.count < 5000 { attacker.heard.append($0.payload) }
    }
    world.simulation.at(Self.begin) { $0.tapped = { _ in } }
    world.every((Self.end - Self.begin) / Self.messages, from: Self.begin, until: Self.end) {
      world.simulation.send([attacker.message()], from: world.servers[0])
    }
  }

  @Test(arguments: [UInt64(1), 2])
  func `C10 messages that are random, cut, changed, replayed or spoofed change counters and nothing else`(_ seed: UInt64) {
    let (quiet, attacked) = (world(seed: seed, isAttacked: false), world(seed: seed, isAttacked: true))
    let (expected, found) = (state(quiet), state(attacked))
    #expect(found.registered == expected.registered && found.subscriptions == expected.subscriptions, "seed \(seed)")
    #expect(found.caches == expected.caches, "seed \(seed)")
    #expect(found.databases == expected.databases, "seed \(seed)")
    #expect(found.locators == expected.locators, "seed \(seed)")
    #expect(found.registrations == expected.registrations, "seed \(seed)")
    #expect(found.topics == expected.topics && found.waiting == expected.waiting, "seed \(seed)")
    let refused = attacked.xtrs.map(\.refusals) + [attacked.servers[0].server.counters.refused]
    #expect(refused.reduce(0) { $0 + $1.values.reduce(0, +) } > Self.messages / 3, "seed \(seed)")
    #expect(quiet.xtrs.allSatisfy { $0.traffic.encapsulated > 100 })
  }
}
