// SPDX-License-Identifier: Apache-2.0
//
// An address of an xTR goes dark and comes back: whoever sends to it must know in time, and use another one meanwhile.

import Testing
import Wire

@testable import ControlPlane

@Suite struct LocatorFailureTests {
  #if DEBUG
    private static let xtrCount = 6
  #else
    private static let xtrCount = 60
  #endif
  private static let interval = Duration.seconds(10)
  /// Nothing is lost: what is late and doubled must not matter.
  private static let conditions = NetworkConditions(duplication: 0.05, latency: .milliseconds(1)...(.milliseconds(140)))

  /// Every site has two locators, the second for when the first is gone; all send to site 0, whose first locator is dark for a while.
  private func run(seed: UInt64, dark: Range<Duration>, until end: Duration) -> (MappingWorld, usedWhileDark: Int) {
    let world = MappingWorld(
      .init(siteCount: Self.xtrCount, ttlMinutes: 1440, probeInterval: Self.interval), seed: seed, Self.conditions)
    let failing = MappingWorld.rlocs(0)[0]
    world.simulation.isUp = { from, to, now in !(from == failing || to == failing) || !dark.contains(now - Simulation.start) }
    world.startAll()
    world.simulation.at(.seconds(30)) { _ in
      world.setMappings(0) { mappings in
        mappings[MappingWorld.eid(0)] = [SiteLocator(failing), SiteLocator(MappingWorld.rlocs(0)[1], priority: 2)]
      }
    }
    var used = 0
    for xtr in world.xtrs.dropFirst() {
      let check = xtr.forwarded
      xtr.forwarded = { mapping, locator, destination in
        check(mapping, locator, destination)
        let elapsed = world.simulation.elapsed
        if locator == failing, elapsed > dark.lowerBound + Self.interval + .seconds(1), elapsed < dark.upperBound { used += 1 }
      }
    }
    world.every(.seconds(1), from: .seconds(60), until: end) {
      for xtr in 1..<Self.xtrCount { world.send(from: xtr, to: MappingWorld.host(0)) }
    }
    world.every(.seconds(10), from: .seconds(10), until: end, world.checkInvariants)
    world.run(end)
    return (world, used)
  }

  /// Within `found`, of the failure and of the return; there is nothing else to be found.
  private func check(_ world: MappingWorld, _ dark: Range<Duration>, downWithin: Duration, upWithin: Duration, _ seed: UInt64) {
    let failing = MappingWorld.rlocs(0)[0]
    for xtr in world.xtrs.dropFirst() {
      #expect(xtr.turns.allSatisfy { $0.rloc == failing || $0.isUp }, "seed \(seed)")
      let turns = xtr.turns.filter { $0.rloc == failing }.map { (isUp: $0.isUp, at: $0.at - Simulation.start) }
      #expect(turns.map(\.isUp) == [true, false, true], "seed \(seed)")
      guard turns.count == 3 else { continue }
      #expect((dark.lowerBound...(dark.lowerBound + downWithin)).contains(turns[1].at), "seed \(seed): down at \(turns[1].at)")
      #expect((dark.upperBound...(dark.upperBound + upWithin)).contains(turns[2].at), "seed \(seed): up at \(turns[2].at)")
    }
  }

  @Test(arguments: [UInt64(1), 2, 3])
  func `C7 a failure and a return are known within an interval and a second`(_ seed: UInt64) {
    let dark = Duration.seconds(120)..<Duration.seconds(165)
    let (world, used) = run(seed: seed, dark: dark, until: .seconds(240))
    check(world, dark, downWithin: Self.interval + .seconds(1), upWithin: Self.interval + .seconds(1), seed)
    #expect(used == 0, "seed \(seed): \(used) packets went to a locator that was known to be dark")
  }

  @Test func `C7 what was dark for long is found within four intervals`() {
    let dark = Duration.seconds(120)..<Duration.seconds(720)
    let (world, used) = run(seed: 4, dark: dark, until: .seconds(800))
    check(world, dark, downWithin: Self.interval + .seconds(1), upWithin: Self.interval * 4 + .seconds(1), 4)
    #expect(used == 0)
  }
}
