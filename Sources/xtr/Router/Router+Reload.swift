// SPDX-License-Identifier: Apache-2.0
//
// SIGHUP and `reload`: the configuration file is read again, and what can change while the router runs does, in one publication.
// A file that cannot be applied changes nothing.

import ControlAPI
import DataPlane
import MapCache
import Wire

extension Router {
  /// Applies the file as it is now. Returns what takes effect at the next start only.
  func reload() throws -> [String] {
    let new = try Configuration.load(file: file)
    let old = configuration
    do {
      try applyAtRunTime(new)
    } catch {
      do { try applyAtRunTime(old) } catch { log.error("going back to the configuration as it was: \(error)") }
      throw error
    }
    configuration = new
    configuration.router = old.router
    configuration.instances = old.instances
    configuration.interfaces = dataPlane.ports.map(\.configuration)
    mapCache.limits = configuration.mapCache.limits
    if let settings = configuration.mappingSystem { mappingSystem?.configure(settings) }
    refreshRegistrations()
    warnOfHints()
    return Self.needsRestart(from: old, to: new)
  }

  /// What differs between two configurations and is fixed at start.
  private static func needsRestart(from old: Configuration, to new: Configuration) -> [String] {
    var changes: [String] = []
    if new.router != old.router { changes.append("[router]") }
    if new.instances != old.instances { changes.append("[[instance]]") }
    if new.mappingSystem?.isFixed(as: old.mappingSystem) != (old.mappingSystem == nil ? nil : true) {
      changes.append(
        "[mapping-system] itself, its probe-interval, requests-per-second, replies-per-second, ttl-minutes, xtr-id, state, or the key of subscriptions"
      )
    }
    if new.interfaces.map(\.name) != old.interfaces.map(\.name) { return changes + ["the list of interfaces"] }
    for (old, new) in zip(old.interfaces, new.interfaces) where !old.differsAtRunTimeOnly(from: new) {
      changes.append("role, attach, mode or busy-poll of \(old.name)")
    }
    return changes
  }

  /// Interfaces' RLOCs and instances, our EID-prefixes, static mappings, settings: all visible at once.
  private func applyAtRunTime(_ new: Configuration) throws {
    if new.interfaces.map(\.name) == dataPlane.ports.map(\.name) {
      for (port, interface) in zip(dataPlane.ports, new.interfaces) {
        port.configuration.takeRunTimeSettings(of: interface)
        dataPlane.publisher.setPort(port.number, port.state)
      }
    }
    dataPlane.publisher.setSettings(engineSettings(new))
    site.database = new.database.map(\.eid)
    try refreshAddresses()
    let wanted = Set(new.mappings.map(\.eid))
    let own = Set(configuration.database.map(\.eid))
    let become = new.database.map(\.eid).filter { !own.contains($0) }
    let gone = learnedMappings(within: become) + mapCache.prefixes { $0 == .configuration }.filter { !wanted.contains($0) }
    let now = ContinuousClock.now
    let outcome = try change(remove: gone, set: new.mappings.map { Mapping($0, source: .configuration, now: now) })
    report(compiler.refreshRLOCs())
    try site.refresh(hiddenBy: mapCache)
    compiler.publish()
    tell(removed: outcome.removed)
    try applyRules()
  }
}

extension Configuration.Interface {
  /// Whether everything that is fixed at start is the same.
  func differsAtRunTimeOnly(from other: Self) -> Bool {
    role == other.role && attach == other.attach && mode == other.mode && busyPoll == other.busyPoll && vlans.isEmpty == other.vlans.isEmpty
  }

  mutating func takeRunTimeSettings(of other: Self) {
    rlocs = other.rlocs
    instanceID = other.instanceID
    vlans = other.vlans
  }
}

extension Configuration.MappingSystem {
  /// Whether what is fixed at start is the same.
  fileprivate func isFixed(as old: Self?) -> Bool {
    guard let old else { return false }
    return probeSeconds == old.probeSeconds && requestsPerSecond == old.requestsPerSecond && repliesPerSecond == old.repliesPerSecond
      && ttlMinutes == old.ttlMinutes
      && identity == old.identity && stateFile == old.stateFile
      && (subscriptions.isEmpty || mapServers.first?.key == old.mapServers.first?.key)
  }
}
