// SPDX-License-Identifier: Apache-2.0
//
// The router's side of the mapping system: packets that miss, mappings that are learned, locators that are heard of, and what the site
// registers.

import ControlAPI
import ControlPlane
import DataPlane
import MapCache
import Netlink
import Wire

extension Router {
  /// Begins to speak with the mapping system, if the configuration has one. Our addresses are known by now.
  func startMappingSystem() throws(SQLiteError) {
    mapCache.limits = configuration.mapCache.limits
    locators.turned = { [self] rloc, verdict in assumeIsolated { $0.turned(rloc, verdict) } }
    compiler.verdict = { [locators] in locators.verdict($0.address, SiteEvidence(statusBit: $0.isStatusBitClear ? false : nil)) }
    compiler.told = { [self] eid, target in assumeIsolated { $0.hints.sites.told(eid, target) } }
    warnOfHints()
    guard let settings = configuration.mappingSystem else { return refreshRegistrations() }
    let mac = dataPlane.ports.first { $0.configuration.role.facesCore }?.macAddress ?? MACAddress(rawValue: 0)
    let system = try MappingSystem(settings, rlocs: underlay.ownRLOCs, macAddress: mac, eventLoop: eventLoop, log: log)
    mappingSystem = system
    locators.isProbed = { [unowned system] in system.prober.facts($0) != nil }
    exceptions.onMissedPacket = { [self] item, source, destination in assumeIsolated { $0.missed(item, source, destination) } }
    system.install = { [self] mappings in assumeIsolated { $0.install(mappings) } }
    system.release = { [exceptions] in exceptions.release($0.bytes, to: $0.destination, $0.instanceID, port: $0.port) }
    system.probed = { [locators] rloc, finding in
      let now = ContinuousClock.now
      locators.note(rloc, now: now) { known in
        switch finding {
        case .answered(let roundTrip): known.noteAnswer(at: now, sentAt: now - roundTrip)
        case .unanswered: known.probeFailedAt = now
        }
      }
    }
    system.source = { [compiler] in compiler.source(to: $0) }
    system.learned = { [self] eid in assumeIsolated { $0.learned(around: eid) } }
    system.configure(settings)
    refreshRegistrations()
  }

  // MARK: - Packets

  /// A packet that no mapping covered when a worker looked. One may have come since; one that says to ask again is as good as none.
  private func missed(_ item: PuntRing.Item, _ source: IPAddress, _ destination: IPAddress) {
    let eid = EIDPrefix(item.instanceID, IPPrefix(host: destination))
    func packet() -> WaitingPacket {
      WaitingPacket(in: item.instanceID, to: destination, port: item.port, bytes: item.packet.withBuffer { Array($0) })
    }
    if let mapping = mapCache.longestMatch(eid), mapping.target != .negative(.sendMapRequest) {
      mappingSystem?.release(packet())
    } else {
      mappingSystem?.miss(packet(), to: destination, in: item.instanceID, from: source)
    }
  }

  // MARK: - Mappings

  /// What the mapping system answered: in one publication; then the packets that waited go.
  private func install(_ learned: [LearnedMapping]) {
    let gone = learned.filter { $0.isRemoval && mapCache[$0.eid]?.source.rank == .learned }.map(\.eid)
    let new = learned.filter { !$0.isRemoval && site.databasePrefix(of: $0.eid) != $0.eid }.map {
      Mapping(eid: $0.eid, target: $0.target, source: .learned(from: $0.answeredBy.address), ttlMinutes: $0.ttlMinutes, now: .now)
    }
    let outcome: ChangeOutcome
    do { outcome = try change(remove: gone, set: new) } catch {
      reportFullTable(error)
      for mapping in new { mappingSystem?.waiting.drop(coveredBy: mapping.eid, .noRoom) }
      return
    }
    compiler.publish()
    for removal in learned where removal.isRemoval { mappingSystem?.waiting.drop(coveredBy: removal.eid, .unanswered) }
    let refused = Set(outcome.refused.map(\.mapping.eid))
    noteEchoNonce(learned, refused: refused)
    for mapping in new {
      // Where somebody of a higher rank has said something else, that is what the packets follow. What says to ask again, or found no room,
      // would only make them miss again.
      if let stands = mapCache[mapping.eid], stands.target != .negative(.sendMapRequest) {
        mappingSystem?.releasePackets(coveredBy: mapping.eid)
      } else {
        mappingSystem?.waiting.drop(coveredBy: mapping.eid, refused.contains(mapping.eid) ? .noRoom : .unanswered)
      }
    }
    let stand = new.filter { !refused.contains($0.eid) && mapCache[$0.eid] != nil }
    for mapping in stand { probe(mapping) }
    tell(removed: outcome.removed)
    for mapping in stand { tell(removed: [], set: [ControlMapping(mapping)], owner: mapping.source.owner) }
  }

  /// Between two lines in the log about replies that found no room: a full table meets with a storm of them.
  private static let fullTableSilence = Duration.seconds(60)

  private func reportFullTable(_ error: any Error) {
    let now = ContinuousClock.now
    if let last = fullTableReportedAt, now - last < Self.fullTableSilence { return }
    fullTableReportedAt = now
    log.error("mappings of the mapping system: \(error)")
  }

  /// Enough for an SMR to name: where one prefix covers more that was learned, the others are asked for with the next.
  private static let maximumSolicited = 64

  private func learned(around eid: EIDPrefix) -> [EIDPrefix] {
    let covering = mapCache.longestMatch(eid).map { [$0] } ?? []
    return (covering + mapCache.descendants(of: eid, limit: Self.maximumSolicited)).filter { $0.source.rank == .learned }.map(\.eid)
  }

  /// What was learned of prefixes that are, or have become, our own.
  func learnedMappings(within own: [EIDPrefix]) -> [EIDPrefix] {
    let found = own.flatMap { eid in (mapCache[eid].map { [$0] } ?? []) + mapCache.descendants(of: eid, limit: .max) }
    return Array(Set(found.filter { $0.source.rank == .learned }.map(\.eid)))
  }

  /// A learned mapping whose time is nearly over is asked for again if packets use it.
  func renew(_ mapping: Mapping) {
    guard mapCache.wasUsed(mapping.eid, packetCount: compiler.packetCount(mapping.eid)), let system = mappingSystem else { return }
    system.perform(system.resolver.refresh(mapping.eid, now: .now))
  }

  // MARK: - Locators

  /// The locators of a learned mapping are probed, from now on for this EID-prefix.
  private func probe(_ mapping: Mapping) {
    guard let system = mappingSystem, system.settings.probeSeconds != nil else { return }
    for address in mapping.target.addresses {
      probedPrefixes.add(mapping.eid, of: address)
      system.prober.setTarget(address, eid: mapping.eid, now: .now)
    }
  }

  /// A mapping has gone, or has been replaced by one that names `kept`. Its other locators may be other mappings' still: they are then probed
  /// for one of these, for their xTR need not answer for this prefix any more.
  func forgetLocators(of mapping: Mapping, keeping kept: [IPAddress] = []) {
    forgetEchoNonce(of: mapping, keeping: kept)
    for address in mapping.target.addresses where !kept.contains(address) {
      let left = probedPrefixes.remove(mapping.eid, of: address)
      if let other = left?.last {
        mappingSystem?.prober.setTarget(address, eid: other, now: .now)
        continue
      }
      if left != nil { mappingSystem?.prober.removeTarget(address) }
      if compiler.isInUse(address) {
        // Nobody would find out any more that it is up again.
        locators.note(address) { ($0.probeAnsweredAt, $0.probeFailedAt) = (nil, nil) }
      } else {
        locators.forget(address)
      }
    }
  }

  /// The verdict on a locator is another one.
  private func turned(_ rloc: IPAddress, _ verdict: Reachability) {
    compiler.refreshVerdict(rloc)
    compiler.publish()
    guard compiler.isInUse(rloc) else { return }
    log.notice("RLOC \(rloc) is \(verdict.isUp ? "usable" : "unusable"): \(verdict)")
    server?.publish(verdict.isUp ? .reach(rloc) : .badreach(rloc, reason: "\(verdict)"))
  }

  /// Every locator that a mapping names, for `xtr show probes`.
  func probes() -> [ProbeEntry] {
    let (now, saidDown) = (ContinuousClock.now, hints.sites.saidDown)
    return compiler.locatorAddresses.sorted().map { rloc in
      let site = SiteEvidence(statusBit: saidDown.contains(rloc) ? false : nil)
      return ProbeEntry(rloc, mappingSystem?.prober.facts(rloc), locators.verdict(rloc, site, now: now), now)
    }
  }

  /// ICMP messages have come: those about a packet that we could have sent concern us (RFC 9300 section 10). Where our own next hop does not
  /// answer they are our kernel's, and say nothing of the locator that we do not know from the neighbour.
  func heardUnreachable() {
    let own = Set(underlay.ownRLOCs)
    for message in unreachables.receive() {
      guard own.contains(message.source), message.destinationPort == LISPPort.data, message.sourcePort >= 49152,
        compiler.hasGoodWay(to: message.destination)
      else { continue }
      locators.note(message.destination) { $0.noteUnreachable(at: .now) }
      mappingSystem?.prober.probeNow(message.destination, now: .now)
    }
  }

  // MARK: - What the site registers

  /// Our EID-prefixes with their locators, as they are now: for our packets' status bits, and for the map-servers.
  func refreshRegistrations() {
    let own = underlay.ownRLOCs
    let up = Set(dataPlane.ports.filter(\.isUp).flatMap(\.rlocs))
    let mappings = siteMappings(own, up)
    refreshHints(mappings)
    guard let system = mappingSystem else { return }
    lookForPeers()
    let solicited = Set(compiler.locatorAddresses).union(peers.recent(now: .now))  // rule C6
    // Those of links that are up come first: requests and probes leave from the first one, and no answer finds its way to another.
    let preferred = own.filter(up.contains) + own.filter { !up.contains($0) }
    system.update(rlocs: preferred, mappings: mappings, peers: solicited.sorted())
  }

  private func siteMappings(_ own: [IPAddress], _ up: Set<IPAddress>) -> [EIDPrefix: [SiteLocator]] {
    // A locator of ours that has lost its address is ours still, and down.
    everOwnRLOCs.formUnion(own)
    for port in dataPlane.ports { everOwnRLOCs.formUnion(port.configuration.rlocs ?? []) }
    var mappings: [EIDPrefix: [SiteLocator]] = [:]
    for entry in configuration.database {
      let locators = entry.locators ?? own.map { ControlLocator(address: $0) }
      guard !locators.isEmpty else { continue }
      mappings[entry.eid] = locators.map { locator in
        let isLocal = everOwnRLOCs.contains(locator.address)
        return SiteLocator(
          locator.address, priority: locator.priority, weight: locator.weight, isLocal: isLocal,
          isReachable: !isLocal || up.contains(locator.address))
      }
    }
    return mappings
  }

  /// Takes back what is registered, and waits for the servers to confirm, a second after the last withdrawal has left: their answers would
  /// lead here. 70 000 EID-prefixes are withdrawn in a second; nobody waits for more than ten.
  func withdraw() async {
    guard let system = mappingSystem else { return }
    system.withdraw()
    var quiet = 0
    for _ in 0..<500 where quiet < 50 && !system.isWithdrawn {
      try? await eventLoop.scheduleTask(in: .milliseconds(20)) {}.futureResult.get()
      if !system.isWithdrawing { quiet += 1 }
    }
  }
}

extension Configuration.MapCache {
  var limits: MapCache.Limits {
    MapCache.Limits(maximumLearned: maximum, maximumNegative: maximumNegative, reserved: EIDPrefixSet(reserved))
  }
}

extension ControlMapping {
  /// As clients of the control socket see it.
  init(_ mapping: Mapping) {
    let target: MappingTarget =
      switch mapping.target {
      case .negative(let action): .action(MappingAction(rawValue: action.rawValue) ?? .noAction)
      case .locators(let locators):
        .locators(
          locators.map { ControlLocator(address: $0.address, priority: $0.priority, weight: $0.weight, reachable: $0.isReachable) })
      }
    self.init(eid: mapping.eid, target: target, ttlMinutes: mapping.ttlMinutes)
  }
}
