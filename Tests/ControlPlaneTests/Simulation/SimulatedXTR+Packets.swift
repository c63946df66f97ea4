// SPDX-License-Identifier: Apache-2.0
//
// What the router around the machines does, in small: looks packets up, lets them wait, installs what was learned, renews what is in use and
// lets go what is over. The data plane itself is not simulated: a packet that has a mapping is told to the test, and that is all.

import MapCache
import Wire

@testable import ControlPlane

/// What became of packets: `offered` is the sum of the others, of what waits, and of what the queues have dropped.
struct PacketCounts {
  var offered = 0
  var encapsulated = 0
  /// A mapping said so.
  var native = 0
  var dropped = 0
  /// No locator of the mapping was usable.
  var unusable = 0
  /// Waited in a process that has ended.
  var lost = 0
  private var droppedBefore: UInt64 = 0

  /// The queue of a process that ends.
  mutating func end(_ queue: MissQueue) {
    lost += queue.count
    droppedBefore += drops(queue)
  }

  private func drops(_ queue: MissQueue) -> UInt64 { MissDrop.allCases.reduce(0) { $0 + queue.dropped($1) } }

  /// Whether every packet is accounted for.
  func isComplete(_ queue: MissQueue) -> Bool {
    offered == encapsulated + native + dropped + unusable + lost + queue.count + Int(droppedBefore + drops(queue))
  }
}

extension SimulatedXTR {
  /// A packet of a host of ours.
  func send(packetTo destination: IPAddress) {
    traffic.offered += 1
    route(WaitingPacket(in: .zero, to: destination, port: 0, bytes: [1]))
  }

  private func route(_ packet: WaitingPacket) {
    let eid = EIDPrefix(packet.instanceID, IPPrefix(host: packet.destination))
    guard let mapping = machines.cache.longestMatch(eid), mapping.target != .negative(.sendMapRequest) else { return miss(packet) }
    machines.packetCounts[mapping.eid, default: 0] &+= 1
    switch mapping.target {
    case .negative(let action):
      if action == .nativeForward || action == .noAction { traffic.native += 1 } else { traffic.dropped += 1 }
      notEncapsulated(mapping, packet.destination)
    case .locators(let locators):
      let usable = locators.filter { $0.isReachable && $0.priority < 255 && machines.down[$0.address] == nil }
      guard let best = usable.min(by: { $0.priority < $1.priority }) else {
        traffic.unusable += 1
        return
      }
      traffic.encapsulated += 1
      forwarded(mapping, best.address, packet.destination)
    }
  }

  private func miss(_ packet: WaitingPacket) {
    let source = machines.database.prefixes.first?.prefix.address
    switch machines.resolver.miss(eid: packet.destination, in: packet.instanceID, source: source, now: now) {
    case .wait(let request):
      machines.waiting.append(packet, now: now)
      if let request { send(request) }
    case .drop(let reason): machines.waiting.refuse(reason)
    }
  }

  // MARK: - Mappings

  func install(_ learned: [LearnedMapping]) {
    let own = Set(machines.database.prefixes)
    for mapping in learned where mapping.isRemoval { remove(mapping.eid) }
    let new = learned.filter { !$0.isRemoval && !own.contains($0.eid) }.map {
      Mapping(eid: $0.eid, target: $0.target, source: .learned(from: $0.answeredBy.address), ttlMinutes: $0.ttlMinutes, now: now)
    }
    for mapping in new { if case .replaced(let old) = machines.cache.set(mapping) { forgetLocators(of: old) } }
    for mapping in new {
      if settings.probeInterval != nil {
        for address in mapping.target.addresses { machines.prober.setTarget(address, eid: mapping.eid, now: now) }
      }
      for packet in machines.waiting.take(coveredBy: mapping.eid) { route(packet) }
    }
  }

  private func remove(_ eid: EIDPrefix) {
    guard let old = machines.cache.remove(eid) else { return }
    machines.packetCounts[eid] = nil
    forgetLocators(of: old)
  }

  private func forgetLocators(of mapping: Mapping) {
    for address in mapping.target.addresses where machines.prober.facts(address)?.eid == mapping.eid {
      machines.prober.removeTarget(address)
      machines.down[address] = nil
    }
  }

  /// A mapping that is in use is asked for again shortly before its end.
  func expireMappings() {
    while let mapping = machines.cache.firstDue(at: now) {
      guard let deadline = mapping.deadline, deadline > now else {
        remove(mapping.eid)
        continue
      }
      if machines.cache.wasUsed(mapping.eid, packetCount: machines.packetCounts[mapping.eid] ?? 0) {
        perform(machines.resolver.refresh(mapping.eid, now: now))
      }
      machines.cache.postponeExpiry(of: mapping.eid, to: deadline)
    }
  }

  var cachedLocators: [IPAddress] {
    machines.cache.descendants(of: EIDPrefix(.zero, IPPrefix(masking: .v4(.any), length: 0)), limit: .max).flatMap(\.target.addresses)
  }
}

extension MapCache {
  /// The learned prefixes that contain an EID-prefix or lie in it: for the solicitor.
  func learned(around eid: EIDPrefix) -> [EIDPrefix] {
    let covering = longestMatch(eid).map { [$0] } ?? []
    return (covering + descendants(of: eid, limit: 64)).filter { $0.source.rank == .learned }.map(\.eid)
  }
}

extension Mapping.Target {
  /// Of its locators; none of a negative one.
  var addresses: [IPAddress] {
    switch self {
    case .locators(let locators): locators.map(\.address)
    case .negative: []
    }
  }
}
