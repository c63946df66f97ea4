// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct SimulationTests {
  /// Sends a numbered datagram every second and takes down what comes.
  private final class Counter: SimulatedNode {
    let addresses: [IPAddress]
    let peer: IPAddress
    private(set) var sentCount: UInt8 = 0
    private(set) var received: [UInt8] = []
    private(set) var lastArrival: Arrival?
    var nextDeadline: Instant?

    init(_ own: UInt8, peer: UInt8) {
      addresses = [.v4(IPv4Address(192, 0, 2, own))]
      self.peer = .v4(IPv4Address(192, 0, 2, peer))
      nextDeadline = Simulation.start
    }

    func receive(_ bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [Datagram] {
      received += bytes
      lastArrival = arrival
      return []
    }

    func tick(now: Instant) -> [Datagram] {
      guard let deadline = nextDeadline, deadline <= now else { return [] }
      nextDeadline = sentCount < 199 ? deadline + .seconds(1) : nil
      sentCount += 1
      return [Datagram([sentCount], to: Endpoint(peer))]
    }
  }

  private func run(seed: UInt64, _ conditions: NetworkConditions) -> (Counter, Counter, Simulation) {
    let (a, b) = (Counter(1, peer: 2), Counter(2, peer: 1))
    let simulation = Simulation(seed: seed, conditions)
    simulation.add(a)
    simulation.add(b)
    simulation.run(until: .seconds(300))
    return (a, b, simulation)
  }

  @Test func `a perfect network delivers everything once and in order`() {
    let (a, b, simulation) = run(seed: 1, .perfect)
    #expect(a.received == Array(1...200))
    #expect(b.received == Array(1...200))
    #expect(b.lastArrival == Arrival(from: Endpoint(a.addresses[0]), to: b.addresses[0]))
    #expect(simulation.counts == Simulation.Counts(sent: 400, delivered: 400))
    #expect(simulation.elapsed == .seconds(300))
  }

  @Test func `a bad network loses, doubles and reorders, and accounts for all of it`() {
    let conditions = NetworkConditions(loss: 0.2, duplication: 0.1, latency: .milliseconds(1)...(.seconds(3)))
    let (a, _, simulation) = run(seed: 7, conditions)
    let counts = simulation.counts
    #expect((40...120).contains(counts.lost) && (10...70).contains(counts.doubled))
    #expect(counts.delivered == counts.sent - counts.lost + counts.doubled)
    #expect(a.received != a.received.sorted())
  }

  @Test func `one seed is one history`() {
    let conditions = NetworkConditions.hostile
    #expect(run(seed: 3, conditions).0.received == run(seed: 3, conditions).0.received)
    #expect(run(seed: 3, conditions).0.received != run(seed: 4, conditions).0.received)
  }

  @Test func `nothing passes a path that is down, and nobody has an address without an owner`() {
    let (a, b) = (Counter(1, peer: 2), Counter(2, peer: 3))
    let simulation = Simulation(seed: 1)
    simulation.isUp = { _, _, now in now - Simulation.start >= .seconds(10) }
    simulation.add(a)
    simulation.add(b)
    var seen = 0
    simulation.at(.seconds(10)) { _ in seen = b.received.count }
    simulation.run(until: .seconds(300))
    #expect(seen == 0)
    #expect(b.received == Array(11...200))
    #expect(simulation.counts.undeliverable == 190)
  }

  @Test func `events leave the queue by time, and of one time in the order they came`() {
    var random = SplitMix64(seed: 11)
    var queue = EventQueue<Int>()
    var oracle: [(at: Int, serial: Int)] = []
    for i in 0..<2000 {
      let at = random.below(100)
      queue.push(i, at: Simulation.start + .seconds(at))
      oracle.append((at, i))
    }
    var popped: [Int] = []
    while let (event, _) = queue.pop(notAfter: Simulation.start + .seconds(49)) { popped.append(event) }
    #expect(popped == oracle.filter { $0.at <= 49 }.sorted { ($0.at, $0.serial) < ($1.at, $1.serial) }.map(\.serial))
    #expect(queue.count == 2000 - popped.count)
  }
}
