// SPDX-License-Identifier: Apache-2.0
//
// A world for state machines: nodes with addresses, a network between them that loses, doubles, delays and reorders, and a clock that
// jumps from event to event, so that hours take seconds. Everything follows from one seed, which a failing test prints.
//
//     receive, tick ──▶ datagrams ──▶ network: lost? twice? how late? ──▶ queue, by time ──▶ receive
//     nextDeadline  ──────────────────────────────────────────────▶ deadlines, one a node ──▶ tick
//
// A node is whatever has addresses and follows SimulatedNode: a machine of this module, several in one box, or a model of a peer.

import MapCache
import TestSupport
import Wire

@testable import ControlPlane

/// A box on the simulated network. Its datagrams leave from port 4342 of the first address of their family where they name no source.
protocol SimulatedNode: AnyObject {
  var addresses: [IPAddress] { get }
  func receive(_ bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [Datagram]
  func tick(now: Instant) -> [Datagram]
  /// nil: `tick` is not wanted until something comes.
  var nextDeadline: Instant? { get }
}

/// What the network does to datagrams.
struct NetworkConditions {
  var loss = 0.0
  var duplication = 0.0
  /// Uniform in between: a wide range reorders.
  var latency: ClosedRange<Duration> = .milliseconds(10)...(.milliseconds(10))

  static let perfect = NetworkConditions()
  static let hostile = NetworkConditions(loss: 0.05, duplication: 0.05, latency: .milliseconds(1)...(.milliseconds(400)))
}

final class Simulation {
  private enum Event {
    case arrival([UInt8], Arrival)
    case script((Simulation) -> Void)
  }

  /// What the network did.
  struct Counts: Equatable {
    var sent = 0, delivered = 0, lost = 0, doubled = 0, undeliverable = 0
  }

  /// The beginning of all simulated time.
  static let start = ContinuousClock.now

  let seed: UInt64
  private(set) var now = Simulation.start
  private(set) var counts = Counts()
  var conditions: NetworkConditions
  /// Whether a path is up; asked when a datagram is sent.
  var isUp: (_ from: IPAddress, _ to: IPAddress, _ now: Instant) -> Bool = { _, _, _ in true }

  /// Sees every datagram that somebody sends.
  var tapped: (Datagram) -> Void = { _ in }

  private var nodes: [any SimulatedNode] = []
  private var owners: [IPAddress: Int] = [:]
  /// When each node wants its next tick.
  private var deadlines = DeadlineQueue()
  private var queue = EventQueue<Event>()
  private var random: SplitMix64

  init(seed: UInt64, _ conditions: NetworkConditions = .perfect) {
    self.seed = seed
    self.conditions = conditions
    random = SplitMix64(seed: seed)
  }

  /// How long the simulation has been running.
  var elapsed: Duration { now - Self.start }

  /// Adds a node; its first tick comes at once.
  func add(_ node: some SimulatedNode) {
    for address in node.addresses { owners[address] = nodes.count }
    deadlines.schedule(UInt32(nodes.count), at: now)
    nodes.append(node)
  }

  /// Has something done to the world at a time from the start: a restart, a new key, an inspection. What it makes nodes say is to be sent.
  func at(_ time: Duration, _ script: @escaping (Simulation) -> Void) { queue.push(.script(script), at: Self.start + time) }

  /// Puts on the network what `node` said when something was done to it, and asks for its deadline again.
  func send(_ datagrams: [Datagram], from node: some SimulatedNode) {
    for datagram in datagrams { send(datagram, node.addresses) }
    if let i = node.addresses.first.flatMap({ owners[$0] }) { scheduleTick(i) }
  }

  /// Runs until this time from the start; what is to happen at the very end happens.
  func run(until end: Duration) {
    let end = Self.start + end
    while true {
      let (event, tick) = (queue.next, deadlines.first)
      if let tick, tick.deadline <= event ?? end {
        guard tick.deadline <= end else { break }
        now = max(now, tick.deadline)
        self.tick(Int(tick.key))
      } else {
        guard let next = queue.pop(notAfter: end) else { break }
        now = next.at
        handle(next.event)
      }
    }
    now = end
  }

  private func handle(_ event: Event) {
    switch event {
    case .arrival(let bytes, let arrival):
      guard let i = owners[arrival.to] else { return counts.undeliverable += 1 }
      counts.delivered += 1
      for datagram in nodes[i].receive(bytes, arrival, now: now) { send(datagram, nodes[i].addresses) }
      scheduleTick(i)
    case .script(let script): script(self)
    }
  }

  private func tick(_ i: Int) {
    for datagram in nodes[i].tick(now: now) { send(datagram, nodes[i].addresses) }
    scheduleTick(i)
  }

  private func scheduleTick(_ i: Int) {
    if let deadline = nodes[i].nextDeadline { deadlines.schedule(UInt32(i), at: deadline) } else { deadlines.cancel(UInt32(i)) }
  }

  private func send(_ datagram: Datagram, _ sources: [IPAddress]) {
    counts.sent += 1
    tapped(datagram)
    let to = datagram.destination.address
    guard let source = datagram.source ?? sources.first(where: { $0.family == to.family }) else { return counts.undeliverable += 1 }
    guard isUp(source, to, now), !chance(conditions.loss) else { return counts.lost += 1 }
    let arrival = Arrival(from: Endpoint(source), to: to)
    queue.push(.arrival(datagram.payload, arrival), at: now + latency())
    guard chance(conditions.duplication) else { return }
    counts.doubled += 1
    queue.push(.arrival(datagram.payload, arrival), at: now + latency())
  }

  private func chance(_ probability: Double) -> Bool { probability > 0 && Double.random(in: 0..<1, using: &random) < probability }

  private func latency() -> Duration {
    let (low, high) = (conditions.latency.lowerBound, conditions.latency.upperBound)
    return low == high ? low : low + (high - low) * Double.random(in: 0...1, using: &random)
  }
}
