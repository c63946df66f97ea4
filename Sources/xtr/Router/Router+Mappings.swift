// SPDX-License-Identifier: Apache-2.0
//
// Changes of the map-cache: from the configuration, from clients of the control socket, by the passing of time. Each is one
// publication: readers see all of it or nothing.

import ControlAPI
import DataPlane
import MapCache
import Wire

extension Router {
  /// Adds or replaces mappings; the caller publishes. All or nothing: on an error the table is as it was.
  func setMappings(_ mappings: [ControlMapping], source: MappingSource) throws(StateError) {
    try change(remove: [], set: mappings.map { Mapping($0, source: source) })
  }

  /// Removes and sets mappings in one transaction, without publishing it.
  func change(remove: [EIDPrefix], set: [Mapping]) throws(StateError) {
    var undo: [(EIDPrefix, Mapping?)] = []
    do {
      for eid in remove {
        try compiler.remove(eid)
        undo.append((eid, mapCache.remove(eid)))
      }
      for mapping in set {
        try compiler.set(mapping.eid, mapping.target)
        undo.append((mapping.eid, mapCache.set(mapping)))
      }
      if site.concerns(remove) || site.concerns(set.lazy.map(\.eid)) { try site.refresh(hiddenBy: mapCache) }
    } catch {
      revert(undo)
      throw error
    }
  }

  /// Puts back what a failed change had done already. Room for it is there: it was taken a moment ago.
  private func revert(_ undo: [(EIDPrefix, Mapping?)]) {
    for (eid, old) in undo.reversed() {
      do {
        if let old {
          try compiler.set(eid, old.target)
          mapCache.set(old)
        } else {
          try compiler.remove(eid)
          mapCache.remove(eid)
        }
      } catch {
        log.error("taking back a change of \(eid): \(error)")
      }
    }
  }

  /// Makes what was changed visible, and tells who watches.
  func publishMappings(removed: [Mapping], set: [ControlMapping], owner: String) {
    compiler.publish()
    guard let server else { return }
    let watched = server.watchedKinds
    if watched.contains(.delete) { for mapping in removed { server.publish(.delete(mapping.eid, owner: mapping.source.owner)) } }
    if watched.contains(.add) { for mapping in set { server.publish(.add(mapping, owner: owner)) } }
  }

  func expireMappings() {
    let expired = mapCache.expired(at: .now).compactMap { mapCache[$0] }
    guard !expired.isEmpty else { return }
    do { try change(remove: expired.map(\.eid), set: []) } catch {
      log.error("removing expired mappings: \(error)")
      return
    }
    compiler.publish()
    for mapping in expired { server?.publish(.expired(mapping.eid, owner: mapping.source.owner)) }
  }
}

extension Mapping {
  init(_ mapping: ControlMapping, source: MappingSource) {
    let target: Target =
      switch mapping.target {
      case .locators(let locators):
        Target(locators.map { Locator(address: $0.address, priority: $0.priority, weight: $0.weight, isReachable: $0.reachable) })
      case .action(let action): .negative(NegativeAction(rawValue: action.rawValue) ?? .noAction)
      }
    self.init(eid: mapping.eid, target: target, source: source, ttlMinutes: mapping.ttlMinutes, now: .now)
  }
}
