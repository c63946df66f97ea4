// SPDX-License-Identifier: Apache-2.0
//
// Whole mapping systems over hours: sites register, resolve each other, change their locators, end and come back, on a network that loses,
// doubles and reorders. Every packet is checked against the truth.

import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct MappingWorldTests {
  /// Unoptimised, an hour of a site costs ten times as much.
  #if DEBUG
    private static let (siteCount, hours, changes, packetInterval) = (30, 1, 40, 20)
  #else
    private static let (siteCount, hours, changes, packetInterval) = (2000, 2, 4000, 60)
  #endif

  /// A host of each site sends every so many seconds on average: to a few favourites most of the time, or to anyone.
  private func sendPackets(_ world: MappingWorld, until end: Duration) {
    let count = world.xtrs.count
    world.every(.seconds(Self.packetInterval) / count, from: .seconds(60), until: end) {
      let from = world.below(count)
      let to = world.below(10) < 7 ? (from * 7 + 1 + world.below(5)) % count : world.below(count)
      if from != to { world.send(from: from, to: MappingWorld.host(to, UInt8(world.below(4)))) }
    }
  }

  /// For the last minutes the sites stay as they are, and for the last of these the network does no harm.
  private static let quietTime = Duration.seconds(120)

  /// Half of the changes are another locator, the others a clean end with a return after a minute to a quarter of an hour.
  private func changeSites(_ world: MappingWorld, _ changes: Int, until end: Duration) {
    let milliseconds = Int((end - .seconds(120 + 900) - Self.quietTime) / .milliseconds(1))
    var busy: Set<Int> = []
    for change in 0..<changes {
      world.simulation.at(.seconds(120) + .milliseconds(world.below(milliseconds))) { _ in
        let site = world.below(world.xtrs.count)
        guard !busy.contains(site), world.isUp(site) else { return }
        if change % 2 == 0 {
          world.setMappings(site) { $0[MappingWorld.eid(site)] = [SiteLocator(MappingWorld.rlocs(site)[world.below(2)])] }
        } else {
          busy.insert(site)
          world.stop(site)
          world.simulation.at(world.simulation.elapsed + .seconds(60 + world.below(840))) { _ in
            busy.remove(site)
            world.start(site)
          }
        }
      }
    }
  }

  private func sizes(_ world: MappingWorld) -> [TableSizes] {
    world.xtrs.flatMap { xtr -> [TableSizes] in
      [
        TableSizes(of: xtr.resolver), TableSizes(of: xtr.waiting), TableSizes(of: xtr.prober), TableSizes(of: xtr.solicitor),
        TableSizes(of: xtr.subscriber), TableSizes(of: xtr.registrar), TableSizes(of: xtr.peers),
      ]
    } + world.servers.map { TableSizes(of: $0.server) }
  }

  @Test(arguments: [UInt64(1)])
  func `C1 C3 C8 sites resolve each other for hours on a bad network, and no packet goes by what was never true`(_ seed: UInt64) {
    let end = Duration.seconds(3600 * Self.hours)
    let world = MappingWorld(.init(siteCount: Self.siteCount), seed: seed)
    world.startAll()
    sendPackets(world, until: end)
    changeSites(world, Self.changes, until: end)
    world.heal(at: end - .seconds(61))
    world.every(.seconds(600), from: .seconds(600), until: end, world.checkInvariants)
    var before: [TableSizes] = []
    world.simulation.at(end / 2) { _ in before = sizes(world) }
    world.run(end)
    for (old, new) in zip(before, sizes(world)) {
      for table in new.grown(since: old, factor: 1.5, floor: 2 * Self.siteCount + 100) { Issue.record("seed \(seed): it grows: \(table)") }
    }
    check(world, seed)
  }

  /// That what is tested did happen, and the rates.
  private func check(_ world: MappingWorld, _ seed: UInt64) {
    let packets = Self.siteCount * Self.hours * 3600 / Self.packetInterval
    #expect(world.checkedPackets > packets * 8 / 10, "seed \(seed): \(world.checkedPackets) of \(packets) packets had a mapping")
    let registers = world.servers[0].registersFrom.values.reduce(0, +)
    #expect(registers < Self.siteCount * Self.hours * 80, "seed \(seed)")
    let waitedInVain = world.xtrs.reduce(0) { sum, xtr in sum + Int(xtr.waiting.dropped(.timedOut) + xtr.waiting.dropped(.unanswered)) }
    #expect(waitedInVain < packets / 1000, "seed \(seed): \(waitedInVain) packets waited in vain")
    let counts = world.simulation.counts
    #expect(counts.lost > counts.sent / 30 && counts.doubled > counts.sent / 30)
    for site in world.xtrs.indices where world.isUp(site) {
      #expect(world.servers[0].locators(of: MappingWorld.eid(site)) != nil, "seed \(seed): site \(site) is not registered")
    }
  }

  /// The last packet is at two minutes. What was in use is asked for once more shortly before its five minutes are over.
  @Test func `C1 a mapping that no packet uses any more is not asked for again`() {
    let world = MappingWorld(.init(siteCount: 3), seed: 8)
    world.startAll()
    world.every(.seconds(1), from: .seconds(60), until: .seconds(120)) { world.send(from: 0, to: MappingWorld.host(1)) }
    world.simulation.at(.seconds(400)) { _ in #expect(world.xtrs[0].cache[MappingWorld.eid(1)] != nil) }
    world.run(.seconds(700))
    #expect(world.xtrs[0].cache.count == 0)
    #expect((2...8).contains(world.xtrs[0].log.count))
  }
}
