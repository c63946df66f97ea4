// SPDX-License-Identifier: Apache-2.0
//
// The router's answers to the control socket (contract 1).

import ControlAPI
import DataPlane
import MapCache
import Wire

extension Router: ControlService {
  func answer(_ request: ControlRequest, from client: ClientID) async -> ControlAnswer {
    guard state != .starting else { return .failure(ControlFailure(.unavailable, "the router is starting: try again in a moment")) }
    let source = MappingSource.control(client.owner)
    switch request.operation {
    case .hello, .watch: return .done
    case .add(let mappings): return changed { try self.add(mappings, source) }
    case .delete(let prefixes): return changed { try self.delete(prefixes) }
    case .replace(let scope, let mappings, _): return changed { try self.replace(scope, mappings, source) }
    case .get(let eid, let exact): return get(eid, exact: exact)
    case .list(let instance, let after, let limit):
      let page = mapCache.page(after: after, limit: limit, in: instance)
      return .mappings(page.mappings.map(entry), next: page.next)
    case .stats: return .stats(totals())
    case .status: return .status(status())
    case .drops: return .drops(drops())
    case .database:
      return .database(
        site.database.map { eid in
          DatabaseEntry(instanceID: eid.instanceID.rawValue, eidPrefix: "\(eid.prefix)", table: site.tables[eid.instanceID])
        })
    case .interfaces: return .interfaces(interfaces())
    case .neighbours: return .neighbours(neighbours())
    case .registrations: return .registrations(mappingSystem?.registrations() ?? [])
    case .resolutions: return .resolutions(mappingSystem?.resolutions() ?? [])
    case .probes: return .probes(probes())
    case .control: return .control(mappingSystem?.status() ?? ControlPlaneStatus(addresses: [], received: 0, sent: 0, refused: []))
    case .peers: return .peers(peerStatus())
    case .locator(let address, let word):
      locators.note(address) { $0.operatorWord = word.evidence }
      return .done
    case .reload: return reloadAnswer()
    case .drain:
      requestEnd()
      return .done
    }
  }

  private func changed(_ body: () throws -> Int) -> ControlAnswer {
    do {
      return .changed(try body())
    } catch let failure as ControlFailure {
      return .failure(failure)
    } catch {
      return .failure(ControlFailure(.failed, "\(error)"))
    }
  }

  private func add(_ mappings: [ControlMapping], _ source: MappingSource) throws -> Int {
    let (mappings, _) = distinct(mappings)
    try refuseDatabase(mappings)
    try setMappings(mappings, source: source)
    publishMappings(removed: [], set: mappings, owner: source.owner)
    return mappings.count
  }

  private func delete(_ prefixes: [EIDPrefix]) throws -> Int {
    let prefixes = Set(prefixes).sorted()
    for eid in prefixes where mapCache[eid] == nil {
      throw ControlFailure(.notFound, "\(eid) is not in the map-cache: `xtr map list` shows what is")
    }
    publishMappings(removed: try change(remove: prefixes, set: []).removed, set: [], owner: "")
    return prefixes.count
  }

  private func replace(_ scope: ReplaceScope, _ mappings: [ControlMapping], _ source: MappingSource) throws -> Int {
    let (mappings, kept) = distinct(mappings)
    try refuseDatabase(mappings)
    let inScope =
      switch scope {
      case .owner(let owner): mapCache.prefixes { $0.owner == owner ?? source.owner }
      case .instance(let instance): mapCache.prefixes(in: instance) { $0 != .configuration }
      }
    let gone = inScope.filter { !kept.contains($0) }
    let now = ContinuousClock.now
    let outcome = try change(remove: gone, set: mappings.map { Mapping($0, source: source, now: now) })
    publishMappings(removed: outcome.removed, set: mappings, owner: source.owner)
    return gone.count + mappings.count
  }

  /// The mappings and their prefixes; of a prefix that is named twice the last counts.
  private func distinct(_ mappings: [ControlMapping]) -> (mappings: [ControlMapping], eids: Set<EIDPrefix>) {
    let eids = Set(mappings.map(\.eid))
    guard eids.count < mappings.count else { return (mappings, eids) }
    var missing = eids
    return (mappings.reversed().filter { missing.remove($0.eid) != nil }.reversed(), eids)
  }

  /// A mapping for one of our own EID-prefixes would send the site's traffic away.
  private func refuseDatabase(_ mappings: [ControlMapping]) throws(ControlFailure) {
    let own = Set(site.database)
    if let mapping = mappings.first(where: { own.contains($0.eid) }) {
      throw ControlFailure(.refused, "\(mapping.eid) is one of our own EID-prefixes ([[database]])")
    }
  }

  private func get(_ eid: EIDPrefix, exact: Bool) -> ControlAnswer {
    guard let mapping = exact ? mapCache[eid] : mapCache.longestMatch(eid) else {
      return .failure(ControlFailure(.notFound, exact ? "\(eid) is not in the map-cache" : "no mapping covers \(eid)"))
    }
    return .mapping(entry(mapping))
  }

  private func reloadAnswer() -> ControlAnswer {
    do {
      let needsRestart = try reload()
      for what in needsRestart { log.warning("\(file): \(what) takes effect at the next start") }
      log.notice("\(file): applied")
      return .done
    } catch let errors as ConfigurationErrors {
      return .failure(ControlFailure(.invalid, "\(errors)"))
    } catch {
      return .failure(ControlFailure(.failed, "\(error)"))
    }
  }
}

extension LocatorWord {
  fileprivate var evidence: LocatorEvidence.OperatorWord? {
    switch self {
    case .up: .up
    case .down: .down
    case .auto: nil
    }
  }
}
