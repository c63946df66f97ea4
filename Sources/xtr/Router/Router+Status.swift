// SPDX-License-Identifier: Apache-2.0
//
// What the router tells about itself: sums over the workers' counters, in the control socket's types.

import ControlAPI
import DataPlane
import Glibc
import MapCache
import Netlink
import Wire
import XDP

/// The share of turns that found packets, over the last second.
struct BusyMeter {
  private var last: [(loops: UInt64, idle: UInt64)] = []
  private(set) var percent: [Double] = []

  mutating func update(_ workers: [WorkerCounters]) {
    let now = workers.map { (loops: $0[.loops].loadRelaxed(), idle: $0[.idleLoops].loadRelaxed()) }
    percent = now.enumerated().map { i, now in
      let before = i < last.count ? last[i] : (loops: 0, idle: 0)
      let loops = now.loops &- before.loops
      return loops == 0 ? 0 : 100 * Double(loops &- min(loops, now.idle &- before.idle)) / Double(loops)
    }
    last = now
  }
}

extension Router {
  private var counters: [WorkerCounters] { dataPlane.workers.map(\.counters) }

  private func sum(_ counter: WorkerCounter) -> UInt64 { counters.reduce(0) { $0 &+ $1[counter].loadRelaxed() } }

  private func sum(_ port: Int, _ packets: PortCounter, _ bytes: PortCounter) -> PacketCount {
    counters.reduce(into: PacketCount()) {
      $0.packets &+= $1[port, packets].loadRelaxed()
      $0.bytes &+= $1[port, bytes].loadRelaxed()
    }
  }

  func totals() -> TrafficTotals {
    let ports = dataPlane.ports.map(\.number)
    func total(_ packets: PortCounter, _ bytes: PortCounter) -> PacketCount {
      ports.reduce(into: PacketCount()) { total, port in
        let count = sum(port, packets, bytes)
        total.packets &+= count.packets
        total.bytes &+= count.bytes
      }
    }
    let drops = DropReason.allCases.map { reason in
      ReasonCount(reason: reason.name, packets: counters.reduce(0) { $0 &+ $1[reason].loadRelaxed() })
    }
    let punts = PuntReason.allCases.map { reason in
      ReasonCount(reason: reason.name, packets: counters.reduce(0) { $0 &+ $1[reason].loadRelaxed() })
    }
    return TrafficTotals(
      received: total(.receivedPackets, .receivedBytes), transmitted: total(.transmittedPackets, .transmittedBytes),
      encapsulated: sum(.encapsulated), decapsulated: sum(.decapsulated), dropped: sum(.dropped), punted: sum(.punted),
      drops: drops.occurring, punts: punts.occurring)
  }

  func status() -> RouterStatus {
    RouterStatus(
      version: Version.text, pid: getpid(), state: state, uptimeSeconds: (ContinuousClock.now - startedAt) / .seconds(1),
      configuration: file, generation: dataPlane.publisher.generation, mappings: mapCache.count,
      databasePrefixes: site.database.count, locators: compiler.locatorCount, workers: workers(), totals: totals(),
      exception: ExceptionStatus(
        injected: exceptions.injected, failed: exceptions.failed,
        overflowed: counters.reduce(0) { $0 &+ $1[DropReason.puntRingFull].loadRelaxed() }))
  }

  private func workers() -> [WorkerStatus] {
    dataPlane.workers.enumerated().map { index, worker in
      let counters = worker.counters
      func value(_ counter: WorkerCounter) -> UInt64 { counters[counter].loadRelaxed() }
      return WorkerStatus(
        index: index, core: worker.thread.core, queue: worker.queue, loops: value(.loops),
        busyPercent: index < meter.percent.count ? meter.percent[index] : 0, sleeps: value(.sleeps), received: value(.received),
        transmitted: value(.transmitted), dropped: value(.dropped), punted: value(.punted),
        frames: FrameStatus(
          free: Int(value(.framesFree)), fill: Int(value(.framesInFill)), received: Int(value(.framesReceived)),
          transmit: Int(value(.framesInTransmit)), total: Int(value(.framesTotal)), violations: value(.frameViolations)))
    }
  }

  func drops() -> [DropStatus] {
    DropReason.allCases.map { reason in
      DropStatus(
        reason: reason.name, direction: reason.direction.told, packets: counters.reduce(0) { $0 &+ $1[reason].loadRelaxed() },
        meaning: reason.meaning)
    }
  }

  func interfaces() -> [InterfaceStatus] {
    dataPlane.ports.map { port in
      InterfaceStatus(
        name: port.name, index: port.index, role: port.configuration.role.rawValue, up: port.isUp, driver: port.driver,
        attachMode: "\(port.attachMode)",
        queues: port.queues.map { queue in
          QueueStatus(
            queue: queue.queue, worker: queue.worker, socketMode: "\(queue.mode)",
            kernel: KernelQueueStatistics(SocketStatistics.read(fileDescriptor: queue.descriptor)))
        },
        mtu: port.mtu, mac: "\(port.macAddress)", rlocs: port.rlocs.map { "\($0)" },
        received: sum(port.number, .receivedPackets, .receivedBytes),
        transmitted: sum(port.number, .transmittedPackets, .transmittedBytes), changedOffloads: port.changedOffloads)
    }
  }

  func neighbours() -> [NeighbourStatus] {
    compiler.nextHopUsers().map { neighbourStatus($0.key, usedBy: $0.value) }
      .sorted { ($0.interface, $0.address) < ($1.interface, $1.address) }
  }

  func neighbourStatus(_ key: NextHopKey, usedBy: [String]) -> NeighbourStatus {
    let neighbour = kernel.neighbours[key]
    return NeighbourStatus(
      interface: kernel.links[key.interfaceIndex]?.name ?? "\(key.interfaceIndex)", address: "\(key.address)",
      mac: neighbour?.macAddress.map { "\($0)" }, state: neighbour?.state.told ?? "gone", usedBy: usedBy.sorted())
  }

  /// As of now: what the workers saw since the last tick counts.
  func peerStatus() -> [PeerStatus] {
    lookForPeers()
    return peers.ages(now: .now).map { PeerStatus(rloc: "\($0.address)", secondsAgo: Int($0.age.components.seconds)) }
  }

  /// A mapping as clients see it.
  func entry(_ mapping: Mapping) -> MappingEntry {
    let counts = compiler.counts(mapping.eid)
    let target: MappingEntry.Target =
      switch hints.sites.told(mapping.eid, mapping.target) {
      case .negative(let action): .action(MappingAction(rawValue: action.rawValue) ?? .noAction)
      case .locators(let locators):
        .locators(
          locators.enumerated().map { i, locator in
            LocatorEntry(
              locator: ControlLocator(
                address: locator.address, priority: locator.priority, weight: locator.weight, reachable: locator.isReachable),
              state: compiler.state(of: locator, among: locators), count: i < counts.count ? counts[i] : PacketCount())
          })
      }
    let remaining = mapping.deadline.map { UInt32(clamping: max(0, ($0 - .now).components.seconds)) }
    return MappingEntry(
      eid: mapping.eid, target: target, ttlMinutes: mapping.ttlMinutes, expiresInSeconds: remaining, owner: mapping.source.owner,
      origin: MappingOrigin(rawValue: mapping.source.origin.rawValue) ?? .control,
      count: counts.reduce(into: PacketCount()) {
        $0.packets += $1.packets
        $0.bytes += $1.bytes
      })
  }
}

extension [ReasonCount] {
  fileprivate var occurring: [ReasonCount] { filter { $0.packets > 0 }.sorted { $0.packets > $1.packets } }
}

extension DropReason.Direction {
  fileprivate var told: TrafficDirection? {
    switch self {
    case .encapsulate: .encapsulation
    case .decapsulate: .decapsulation
    case .any, .transmit: nil
    }
  }
}

extension NeighbourState {
  fileprivate var told: String {
    switch self {
    case .none: "none"
    case .incomplete: "incomplete"
    case .reachable: "reachable"
    case .stale: "stale"
    case .delay: "delay"
    case .probe: "probe"
    case .failed: "failed"
    case .noARP: "noarp"
    case .permanent: "permanent"
    case .unknown(let code): "0x" + String(code, radix: 16)
    }
  }
}

extension KernelQueueStatistics {
  fileprivate init(_ statistics: SocketStatistics) {
    self.init(
      rxDropped: statistics.receiveDropped, rxInvalidDescriptors: statistics.receiveInvalidDescriptors,
      txInvalidDescriptors: statistics.transmitInvalidDescriptors, rxRingFull: statistics.receiveRingFull,
      rxFillRingEmpty: statistics.fillRingEmpty, txRingEmpty: statistics.transmitRingEmpty)
  }
}
