// SPDX-License-Identifier: Apache-2.0
//
// A Map-Server that crashes and comes back, with its file or without, while sites register on a bad network; its sites' keys that change; and
// old messages that come again.

import Testing
import Wire

@testable import ControlPlane

@Suite struct MapServerCrashTests {
  #if DEBUG
    private static let siteCount = 12
  #else
    private static let siteCount = 2000
  #endif

  /// Everything that was registered for longer than it takes to be written.
  private func expectAllRegistered(_ world: MappingWorld, _ when: String) {
    let server = world.servers[0]
    var missing: [Int] = []
    for site in world.xtrs.indices {
      let expected = world.mappings[site][MappingWorld.eid(site)].map { $0.map(\.address) }
      let registered = server.locators(of: MappingWorld.eid(site))
      if registered != expected { missing.append(site) }
    }
    if !missing.isEmpty { Issue.record("seed \(world.seed), \(when): not as they should be: \(missing)") }
  }

  /// The server is away from 300 s on. After it all is as before at once; the refreshes of the sites come in time: what is restored lasts
  /// three minutes, and a site that had no answer for long tries again within one. The first of these tries may be lost.
  @Test(arguments: [(UInt64(1), 20), (2, 170), (3, 500)])
  func `C11 a restarted map-server goes on with what it had`(_ seed: UInt64, secondsAway: Int) {
    let world = MappingWorld(.init(siteCount: Self.siteCount), seed: seed)
    let server = world.servers[0]
    world.startAll()
    world.simulation.at(.seconds(300)) { _ in server.crash() }
    world.simulation.at(.seconds(300 + secondsAway)) { simulation in
      simulation.send(server.restart(now: simulation.now), from: server)
      expectAllRegistered(world, "restarted")
    }
    world.heal(at: .seconds(300 + secondsAway + 60))
    for second in stride(from: 0, to: 400, by: 20) {
      world.simulation.at(.seconds(301 + secondsAway + second)) { _ in expectAllRegistered(world, "\(second) s later") }
    }
    world.run(.seconds(700 + secondsAway))
  }

  /// A site that had no answer for long tries again within a minute. All tries of the first minute may be lost.
  @Test func `C8 sites are registered again within a minute after a map-server has lost everything`() {
    let world = MappingWorld(.init(siteCount: Self.siteCount), seed: 5)
    let server = world.servers[0]
    world.startAll()
    world.simulation.at(.seconds(300)) { _ in server.crash() }
    world.simulation.at(.seconds(500)) { simulation in
      simulation.send(server.restart(losingFile: true, now: simulation.now), from: server)
      #expect(server.server.registrationCount == 0)
    }
    world.heal(at: .seconds(560))
    world.simulation.at(.seconds(560 + 61)) { _ in expectAllRegistered(world, "61 s after the network has healed") }
    world.run(.seconds(640))
  }

  /// Each site registers the one address, then the other; the registers of the first come again, before and after a restart.
  @Test(arguments: [false, true])
  func `C8 old registers change nothing, also after a restart`(restarts: Bool) {
    let world = MappingWorld(.init(siteCount: Self.siteCount), seed: 6)
    let server = world.servers[0]
    var recorded: [([UInt8], Arrival)] = []
    var isRecording = true
    server.heard = { if isRecording { recorded.append(($0, $1)) } }
    world.startAll()
    world.simulation.at(.seconds(100)) { _ in isRecording = false }
    world.simulation.at(.seconds(110)) { _ in
      for site in world.xtrs.indices {
        world.setMappings(site) { $0[MappingWorld.eid(site)] = [SiteLocator(MappingWorld.rlocs(site)[1])] }
      }
    }
    if restarts {
      world.simulation.at(.seconds(150)) { simulation in
        server.crash()
        simulation.send(server.restart(now: simulation.now), from: server)
      }
    }
    world.simulation.at(.seconds(160)) { simulation in
      let before = server.server.counters.refused[.replayed, default: 0]
      for (bytes, arrival) in recorded { _ = server.receive(bytes, arrival, now: simulation.now) }
      let replayed = server.server.counters.refused[.replayed, default: 0] - before
      #expect(replayed == recorded.count && replayed > Self.siteCount)
      expectAllRegistered(world, "after \(replayed) old registers")
    }
    world.run(.seconds(200))
  }

  /// The server takes both keys from 100 s on, the sites change one after the other, and from 200 s on only the new one counts.
  @Test func `C8 a change of keys with an overlap is not seen by anyone`() {
    let world = MappingWorld(
      .init(siteCount: Self.siteCount, ttlMinutes: 1440, subscriptions: { $0 == 0 ? [MappingWorld.eid(1)] : [] }), seed: 7)
    let server = world.servers[0]
    // Who subscribes comes last: what is not registered cannot be subscribed to for a quarter of an hour.
    world.startAll(but: 0)
    world.simulation.at(.seconds(40)) { _ in world.start(0) }
    func setKeys(at seconds: Int, _ ids: [UInt8]) {
      world.simulation.at(.seconds(seconds)) { simulation in
        let sites = server.sites.enumerated().map { i, site in
          MapServerSite(name: site.name, keys: ids.map { MappingWorld.key(i, id: $0) }, allowed: site.allowed)
        }
        simulation.send(server.replaceSites(sites, now: simulation.now), from: server)
      }
    }
    setKeys(at: 100, [1, 2])
    for site in world.xtrs.indices {
      world.simulation.at(.seconds(110) + .milliseconds(world.below(60_000))) { _ in
        world.change(site) { $0.setKey(MappingWorld.key(site, id: 2)) }
      }
    }
    setKeys(at: 200, [2])
    world.every(.seconds(5), from: .seconds(60), until: .seconds(490)) { expectAllRegistered(world, "\(world.simulation.elapsed)") }
    world.simulation.at(.seconds(498)) { _ in
      world.setMappings(1) { $0[MappingWorld.eid(1)] = [SiteLocator(MappingWorld.rlocs(1)[1])] }
    }
    world.run(.seconds(560))
    #expect(world.xtrs[0].cache[MappingWorld.eid(1)]?.target.addresses == [MappingWorld.rlocs(1)[1]], "the subscriber heard of it")
    #expect(server.server.subscriptionCount == 1)
  }
}
