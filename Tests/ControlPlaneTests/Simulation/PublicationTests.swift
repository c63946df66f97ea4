// SPDX-License-Identifier: Apache-2.0
//
// Subscribers behind a bad network, over changes, losses and restarts of both sides: in the end they have what is registered.

import MapCache
import Testing
import Wire

@testable import ControlPlane

@Suite struct PublicationTests {
  #if DEBUG
    private static let (publishers, subscribers) = (6, 2)
  #else
    private static let (publishers, subscribers) = (100, 30)
  #endif
  private static let conditions = NetworkConditions(loss: 0.2, duplication: 0.1, latency: .milliseconds(1)...(.milliseconds(900)))

  /// The last change, and the end of the bad network. While it lasts a renewal has its first tries lost now and then, and is asking again.
  private static let healed = 1200
  /// By when all is well: a subscription is renewed within five minutes, whatever was lost before, and its tries are half a minute apart.
  private static let settled = Duration.seconds(healed + 300 + 31)

  /// The last sites subscribe to all others. TTLs are long: without publications what they know would be old for a day.
  private func world(seed: UInt64) -> MappingWorld {
    let world = MappingWorld(
      .init(
        siteCount: Self.publishers + Self.subscribers, ttlMinutes: 1440,
        subscriptions: { $0 < Self.publishers ? [] : (0..<Self.publishers).map(MappingWorld.eid) }),
      seed: seed, Self.conditions)
    for i in world.xtrs.indices {
      // Publishers are there first: what is not registered cannot be subscribed to for a quarter of an hour.
      world.simulation.at(.seconds(i < Self.publishers ? 1 : 30)) { _ in world.start(i) }
    }
    world.every(.seconds(7), from: .seconds(60), until: .seconds(Self.healed)) {
      let site = world.below(Self.publishers)
      world.setMappings(site) { $0[MappingWorld.eid(site)] = [SiteLocator(MappingWorld.rlocs(site)[world.below(2)])] }
    }
    world.heal(at: .seconds(Self.healed))
    return world
  }

  private func expectKnown(_ world: MappingWorld) {
    for subscriber in Self.publishers..<Self.publishers + Self.subscribers {
      for site in 0..<Self.publishers {
        let known = world.xtrs[subscriber].cache[MappingWorld.eid(site)]?.target.addresses
        let expected = world.mappings[site][MappingWorld.eid(site)]?.map(\.address)
        #expect(known == expected, "seed \(world.seed): subscriber \(subscriber), site \(site)")
      }
      let facts = world.xtrs[subscriber].subscriber.facts
      let asking = facts.count { $0.state != .subscribed }
      #expect(facts.count == Self.publishers && asking == 0, "seed \(world.seed): \(asking) are not subscribed")
    }
  }

  private func restart(_ world: MappingWorld, subscriberAt seconds: Int) {
    let i = Self.publishers
    world.simulation.at(.seconds(seconds)) { _ in world.xtrs[i].crash() }
    world.simulation.at(.seconds(seconds + 45)) { _ in world.start(i) }
  }

  private func restart(_ world: MappingWorld, serverAt seconds: Int, losingFile: Bool = false) {
    let server = world.servers[0]
    world.simulation.at(.seconds(seconds)) { _ in server.crash() }
    world.simulation.at(.seconds(seconds + 20)) { simulation in
      simulation.send(server.restart(losingFile: losingFile, now: simulation.now), from: server)
    }
  }

  @Test(arguments: [UInt64(1), 2])
  func `C12 subscribers end up with the last of many changes`(_ seed: UInt64) {
    let world = world(seed: seed)
    world.run(Self.settled)
    expectKnown(world)
    let counters = world.servers[0].server.counters
    #expect(counters.retransmissions > 10 && counters.announcementsSent > 100, "seed \(seed)")
    #expect(world.servers[0].server.deliveries.count == 0, "seed \(seed)")
  }

  /// What the server did not send before it crashed, the next renewal of the subscription brings: five minutes, and its tries.
  @Test(arguments: [UInt64(3), 4])
  func `C12 subscribers end up with the last of many changes when both sides are restarted meanwhile`(_ seed: UInt64) {
    let world = world(seed: seed)
    restart(world, subscriberAt: 200)
    restart(world, serverAt: 400)
    restart(world, subscriberAt: 700)
    restart(world, serverAt: 705)
    restart(world, serverAt: 1195)
    world.run(Self.settled)
    expectKnown(world)
  }

  /// Who asks before the sites have registered again is declined, and asks again after a quarter of an hour.
  @Test func `C12 subscribers end up with the last of many changes when the server has lost its file`() {
    let world = world(seed: 5)
    restart(world, serverAt: 600, losingFile: true)
    world.run(.seconds(2300))
    expectKnown(world)
  }
}
