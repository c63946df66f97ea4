// SPDX-License-Identifier: Apache-2.0
//
// EIDs that move from xTR to xTR: the new one registers, the old one gives up and solicits. Who sends to them must follow, long before the
// TTL of what is cached.

import MapCache
import Testing
import Wire

@testable import ControlPlane

@Suite struct MobilityTests {
  #if DEBUG
    private static let (xtrCount, moves) = (6, 12)
  #else
    private static let (xtrCount, moves) = (40, 100)
  #endif
  private static let hostCount = 4

  private static func host(_ i: Int) -> EIDPrefix {
    EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(10, 200, 0, UInt8(i)))))
  }

  /// The bound: the old xTR may register once more before it gives up, and with that displace the new one, which comes again within 66
  /// seconds; who asks meanwhile is told for a minute that there is nobody.
  private static let bound = Duration.seconds(150)

  @Test(arguments: [UInt64(1), 2])
  func `C6 correspondents follow an EID that moves`(_ seed: UInt64) {
    let world = MappingWorld(
      .init(siteCount: Self.xtrCount, ttlMinutes: 1440, isOneSite: true, convergence: Self.bound), seed: seed)
    world.startAll()
    var whereabouts = (0..<Self.hostCount).map { $0 % Self.xtrCount }
    let end = Duration.seconds(60 + 60 * Self.moves + 300)
    world.simulation.at(.seconds(30)) { _ in
      for (host, xtr) in whereabouts.enumerated() {
        world.setMappings(xtr) { $0[Self.host(host)] = [SiteLocator(MappingWorld.rlocs(xtr)[0])] }
      }
    }
    // Often: the old xTR tells those that sent to it before it gave the host up. Who has learned its mapping by then and sends for the first
    // time later is told by nobody (RFC 9301 6.1).
    world.every(.seconds(1), from: .seconds(45), until: end) {
      for xtr in 0..<Self.xtrCount {
        for host in 0..<Self.hostCount where whereabouts[host] != xtr { world.send(from: xtr, to: Self.host(host).prefix.address) }
      }
    }
    for move in 0..<Self.moves {
      world.simulation.at(.seconds(60 + 60 * move)) { simulation in
        let host = world.below(Self.hostCount)
        let (old, new) = (whereabouts[host], (whereabouts[host] + 1 + world.below(Self.xtrCount - 1)) % Self.xtrCount)
        whereabouts[host] = new
        world.setMappings(new) { $0[Self.host(host)] = [SiteLocator(MappingWorld.rlocs(new)[0])] }
        simulation.at(simulation.elapsed + .seconds(1)) { _ in
          world.setMappings(old, isTruth: false) { if whereabouts[host] != old { $0[Self.host(host)] = nil } }
        }
      }
    }
    world.run(end)
    #expect(world.checkedPackets > 50 * Self.moves, "seed \(seed)")
    #expect(world.xtrs.reduce(0) { $0 + Int($1.solicitor.sent) } > 5 * Self.moves, "seed \(seed)")
    for host in 0..<Self.hostCount {
      #expect(world.servers[0].locators(of: Self.host(host)) == [MappingWorld.rlocs(whereabouts[host])[0]], "seed \(seed)")
    }
  }

  @Test func `C4 a host that comes home is found by the prefix of its home`() {
    let world = MappingWorld(.init(siteCount: 3, ttlMinutes: 1440, isOneSite: true), seed: 3)
    let host = EIDPrefix(.zero, IPPrefix(host: MappingWorld.host(1)))
    world.startAll()
    world.simulation.at(.seconds(30)) { _ in world.setMappings(2) { $0[host] = [SiteLocator(MappingWorld.rlocs(2)[0])] } }
    world.every(.seconds(5), from: .seconds(60), until: .seconds(300)) { world.send(from: 0, to: host.prefix.address) }
    func locators() -> [IPAddress]? { world.xtrs[0].cache.longestMatch(host)?.target.addresses }
    world.simulation.at(.seconds(119)) { _ in #expect(locators() == [MappingWorld.rlocs(2)[0]]) }
    world.simulation.at(.seconds(120)) { _ in world.setMappings(2) { $0[host] = nil } }
    world.simulation.run(until: .seconds(300))
    #expect(locators() == [MappingWorld.rlocs(1)[0]])
    world.checkInvariants()
  }
}
