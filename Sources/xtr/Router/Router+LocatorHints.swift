// SPDX-License-Identifier: Apache-2.0
//
// What packets tell of locators (RFC 9300 section 10), where the configuration has them do so: ours carry the locator-status-bits of the site and the
// nonces of the echo-nonce algorithm; what others carry is taken from the workers ten times a second, and becomes evidence of whether locators
// can be used. Called from Router's tick, and where mappings and our own locators change.

import ControlPlane
import DataPlane
import MapCache
import Wire

/// What the router knows by its packets' headers. Thread: slow path.
final class HintState {
  var sites = StatusBits()
  var echo = EchoNonce()
  /// Of each locator that does echo-nonce, those that say so. Packets to it are counted by these.
  var prefixes = LocatorPrefixes()
  /// What our packets carry.
  var ownBits: UInt32?
  /// Of the log.
  var lines = RateLimit(perSecond: 1, burst: 20)
}

extension Router {
  // MARK: - What our packets carry

  /// How packets are treated, by a configuration and the state of our locators.
  func engineSettings(_ configuration: Configuration) -> EngineSettings {
    var settings = configuration.engineSettings
    settings.statusBits = configuration.locatorHints.usesStatusBits ? hints.ownBits : nil
    return settings
  }

  /// The configuration may be another one, and our EID-prefixes have these locators now.
  func refreshHints(_ mappings: [EIDPrefix: [SiteLocator]]) {
    let settings = configuration.locatorHints
    mappingSystem?.echoesNonces = settings.usesEchoNonce
    if !settings.usesEchoNonce {
      hints.prefixes.removeAll()
      perform(hints.echo.removeAll())
    }
    let told = settings.usesStatusBits ? [] : hints.sites.removeAll()
    for eid in told { compile(eid) }
    let bits = settings.usesStatusBits ? configuration.statusBits(mappings) : nil
    if bits != hints.ownBits {
      hints.ownBits = bits
      dataPlane.publisher.setSettings(engineSettings(configuration))
    } else if told.isEmpty {
      return
    }
    compiler.publish()
  }

  /// What a configuration asks for in vain.
  func warnOfHints() {
    guard configuration.locatorHints.usesStatusBits, !configuration.hasPlacesForStatusBits else { return }
    log.warning("no locator-status-bits are sent: all [[database]] need the same rlocs, named in each, and no map-server may merge them")
  }

  // MARK: - What others' packets carry

  /// Ten times a second.
  func takeHints() {
    let settings = configuration.locatorHints
    guard settings.usesStatusBits || settings.usesEchoNonce else { return }
    if settings.usesEchoNonce { lookForPeers() }
    let now = ContinuousClock.now
    var hasChanged = false
    for worker in dataPlane.workers {
      for hint in worker.counters.hints.takeRecent() {
        if let status = hint.statusBits, take(status, hint, now) { hasChanged = true }
        if let nonce = hint.nonce { perform(hints.echo.receive(nonce, from: hint.rloc, now: now)) }
      }
    }
    for eid in hints.sites.forget(now: now, unless: { mapCache[$0] != nil }) {
      compile(eid)
      hasChanged = true
    }
    if hasChanged { compiler.publish() }
    perform(hints.echo.tick(now: now, sent: packetCount))
  }

  /// Bits that a site says of its locators. Returns whether the forwarding state is another one, to be published.
  private func take(_ status: HeaderHint.StatusBits, _ hint: HeaderHint, _ now: ContinuousClock.Instant) -> Bool {
    let source = EIDPrefix(hint.instanceID, IPPrefix(host: hint.source))
    guard configuration.locatorHints.usesStatusBits, let mapping = mapCache.longestMatch(source),
      hints.sites.note(status.bits, count: status.count, from: hint.rloc, about: mapping, now: now),
      case .locators(let locators) = hints.sites.told(mapping.eid, mapping.target)
    else { return false }
    compile(mapping.eid)
    let down = locators.filter(\.isStatusBitClear).map(\.address)
    // Whoever forges them could fill the log with them.
    if hints.lines.take(now) {
      log.info("\(mapping.eid): by its packets its site has \(down.isEmpty ? "all locators up" : "\(down.map(\.description)) down")")
    }
    // They could be forged: where locators are probed, the answer is better evidence.
    for rloc in down { mappingSystem?.prober.probeNow(rloc, now: now) }
    return true
  }

  /// What a site says of a mapping's locators has changed; the caller publishes.
  private func compile(_ eid: EIDPrefix) {
    guard let mapping = mapCache[eid] else { return }
    do { try compiler.set(eid, mapping.target) } catch { log.error("\(eid): \(error)") }
  }

  // MARK: - Echo-nonce

  /// Locators of mappings whose Map-Reply says that their site does echo-nonce (rule N1).
  /// `refused`: those among them that are not in the map-cache.
  func noteEchoNonce(_ learned: [LearnedMapping], refused: Set<EIDPrefix>) {
    guard configuration.locatorHints.usesEchoNonce else { return }
    for mapping in learned where !mapping.isRemoval && !refused.contains(mapping.eid) && mapCache[mapping.eid] != nil {
      for rloc in mapping.target.addresses {
        guard mapping.echoNonceCapable else {
          forgetEchoNonce(rloc, mapping.eid)
          continue
        }
        hints.prefixes.add(mapping.eid, of: rloc)
        hints.echo.addTarget(rloc)
      }
    }
  }

  /// A mapping has gone, or has been replaced by one that names `kept`.
  func forgetEchoNonce(of mapping: Mapping, keeping kept: [IPAddress]) {
    guard !hints.prefixes.isEmpty else { return }
    for rloc in mapping.target.addresses where !kept.contains(rloc) { forgetEchoNonce(rloc, mapping.eid) }
  }

  private func forgetEchoNonce(_ rloc: IPAddress, _ eid: EIDPrefix) {
    if hints.prefixes.remove(eid, of: rloc)?.isEmpty == true { perform(hints.echo.removeTarget(rloc)) }
  }

  /// Packets to a locator, of the prefixes that are remembered of it.
  private func packetCount(_ rloc: IPAddress) -> UInt64 {
    hints.prefixes[rloc].reduce(0) { sum, eid in
      let counts = compiler.counts(eid)
      guard let i = mapCache[eid]?.target.addresses.firstIndex(of: rloc), i < counts.count else { return sum }
      return sum &+ counts[i].packets
    }
  }

  private func perform(_ actions: [EchoNonceAction]) {
    guard !actions.isEmpty else { return }
    for action in actions {
      switch action {
      case .carry(let rloc, let nonce): compiler.setNonce(nonce, to: rloc)
      case .judge(let rloc, let finding):
        locators.note(rloc) { $0.echoNonce = finding }
        guard finding == .missing, let system = mappingSystem else { continue }
        system.prober.probeNow(rloc, now: .now)
        // Or its site does echo-nonce no more: then the answers say so.
        for eid in hints.prefixes[rloc] { system.perform(system.resolver.refresh(eid, now: .now)) }
      }
    }
    // What was replaced in the templates is freed.
    dataPlane.publisher.reclaim()
  }
}

extension Configuration {
  /// Whether locator i is the same one in all our mappings, here and at who has learned them: the workers put one word into all packets. Where our
  /// RLOCs are the locators, the places of the others shift when one goes; where a map-server merges them with other routers', only it
  /// knows the places.
  var hasPlacesForStatusBits: Bool {
    guard let first = database.first?.locators, mappingSystem?.mapServers.contains(where: \.merge) != true else { return false }
    return database.allSatisfy { $0.locators.map { Set($0.map(\.address)) == Set(first.map(\.address)) } ?? false }
  }

  /// Bit i says that locator i of our mappings is up, in canonical order (rule E11); nil where there is no saying.
  func statusBits(_ mappings: [EIDPrefix: [SiteLocator]]) -> UInt32? {
    guard hasPlacesForStatusBits, let locators = mappings.first?.value.sorted(by: { $0.address < $1.address }) else { return nil }
    return locators.prefix(32).enumerated().reduce(0) { $1.element.isReachable ? $0 | 1 << UInt32($1.offset) : $0 }
  }
}
