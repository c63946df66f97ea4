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
    let now = ContinuousClock.now
    try change(remove: [], set: mappings.map { Mapping($0, source: source, now: now) })
  }

  /// What became of a change apart from what was asked for.
  struct ChangeOutcome {
    /// Mappings that were not set, and why: nothing of theirs has changed.
    var refused: [(mapping: Mapping, outcome: MapCache.SetOutcome)] = []
    /// What is not there any more: what was to be removed, and learned mappings that went to make room.
    var removed: [Mapping] = []
  }

  /// How many learned mappings go for one new one, where the maximum has been lowered: it is reached step by step.
  private static let maximumEvictions = 8

  /// Removes and sets mappings in one transaction, without publishing it. All or nothing, but for learned mappings that may not be set
  /// because someone of a higher rank has given one for the same prefix, or for which there is no room: these are left out.
  @discardableResult
  func change(remove: [EIDPrefix], set: [Mapping]) throws(StateError) -> ChangeOutcome {
    var undo: [(EIDPrefix, Mapping?)] = []
    var result = ChangeOutcome()
    do {
      for eid in remove {
        try compiler.remove(eid)
        guard let old = mapCache.remove(eid) else { continue }
        undo.append((eid, old))
        result.removed.append(old)
      }
      for mapping in set {
        for _ in 0..<Self.maximumEvictions where mapCache.needsRoom(for: mapping) {
          guard let old = try evict(for: mapping) else { break }
          undo.append((old.eid, old))
          result.removed.append(old)
        }
        let outcome = mapCache.set(mapping)
        switch outcome {
        case .added: undo.append((mapping.eid, nil))
        case .replaced(let old): undo.append((mapping.eid, old))
        case .outranked, .full:
          result.refused.append((mapping, outcome))
          continue
        }
        try compiler.set(mapping.eid, mapping.target)
      }
      if site.concerns(set.lazy.map(\.eid)) || site.concerns(result.removed.lazy.map(\.eid)) {
        try site.refresh(hiddenBy: mapCache)
      }
    } catch {
      revert(undo)
      throw error
    }
    for case (let eid, let old?) in undo { forgetLocators(of: old, keeping: mapCache[eid]?.target.addresses ?? []) }
    return result
  }

  /// Removes the learned mapping that is to go first for another; nil when none may.
  private func evict(for mapping: Mapping) throws(StateError) -> Mapping? {
    guard let eid = mapCache.victim(for: mapping, packetCount: compiler.packetCount) else { return nil }
    try compiler.remove(eid)
    return mapCache.remove(eid)
  }

  /// Puts back what a failed change had done already. Room for it is there: it was taken a moment ago.
  private func revert(_ undo: [(EIDPrefix, Mapping?)]) {
    for (eid, old) in undo.reversed() {
      do {
        if let old {
          try compiler.set(eid, old.target)
          mapCache.restore(old)
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
    if let system = mappingSystem, system.waiting.count > 0 { for mapping in set { system.releasePackets(coveredBy: mapping.eid) } }
    tell(removed: removed, set: set, owner: owner)
  }

  /// Tells who watches of changes that have been published.
  func tell(removed: [Mapping], set: [ControlMapping] = [], owner: String = "") {
    guard let server else { return }
    let watched = server.watchedKinds
    if watched.contains(.delete) { for mapping in removed { server.publish(.delete(mapping.eid, owner: mapping.source.owner)) } }
    if watched.contains(.add) { for mapping in set { server.publish(.add(mapping, owner: owner)) } }
  }

  /// How long mappings that expire keep the event loop from other work before it gets its turn; publishing what was done comes on top.
  private static let expirySlice = Duration.microseconds(300)
  /// A mapping that could not be removed is tried again after it.
  private static let expiryRetry = Duration.seconds(1)

  /// Removes mappings whose time is over, for a slice of time and in one publication; goes on after other work until all are removed.
  func expireMappings() {
    guard !isExpiring, state == .forwarding else { return }
    let end = ContinuousClock.now + Self.expirySlice
    var expired: [Mapping] = []
    while let mapping = mapCache.firstDue(at: .now) {
      if let removed = expire(mapping) { expired.append(removed) }
      guard ContinuousClock.now < end else {
        isExpiring = true
        eventLoop.execute { [self] in
          assumeIsolated {
            $0.isExpiring = false
            $0.expireMappings()
          }
        }
        break
      }
    }
    guard !expired.isEmpty else { return }
    if site.concerns(expired.lazy.map(\.eid)) {
      do { try site.refresh(hiddenBy: mapCache) } catch { log.error("local EIDs after mappings have expired: \(error)") }
    }
    compiler.publish()
    for mapping in expired {
      forgetLocators(of: mapping)
      server?.publish(.expired(mapping.eid, owner: mapping.source.owner))
    }
  }

  private func expire(_ mapping: Mapping) -> Mapping? {
    if let deadline = mapping.deadline, deadline > .now {
      renew(mapping)
      mapCache.postponeExpiry(of: mapping.eid, to: deadline)
      return nil
    }
    do { try compiler.remove(mapping.eid) } catch {
      log.error("removing the expired mapping of \(mapping.eid): \(error); tried again")
      mapCache.postponeExpiry(of: mapping.eid, to: .now + Self.expiryRetry)
      return nil
    }
    return mapCache.remove(mapping.eid)
  }
}

extension Mapping {
  init(_ mapping: ControlMapping, source: MappingSource, now: ContinuousClock.Instant) {
    let target: Target =
      switch mapping.target {
      case .locators(let locators):
        Target(locators.map { Locator(address: $0.address, priority: $0.priority, weight: $0.weight, isReachable: $0.reachable) })
      case .action(let action): .negative(NegativeAction(rawValue: action.rawValue) ?? .noAction)
      }
    self.init(eid: mapping.eid, target: target, source: source, ttlMinutes: mapping.ttlMinutes, now: now)
  }
}
