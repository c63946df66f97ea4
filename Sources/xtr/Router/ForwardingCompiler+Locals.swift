// SPDX-License-Identifier: Apache-2.0
//
// ForwardingCompiler's local part: our own EID-prefixes, and within them the hosts whose next hop is known. Hosts share a template and a set each;
// what has no known next hop shares the set that leaves delivery to the kernel.

import DataPlane
import MapCache
import Wire

extension ForwardingCompiler {
  /// A local EID-prefix, or a host or subnet within one whose next hop is known.
  struct Local: Equatable {
    /// nil: through the kernel.
    var nextHop: NextHopKey?
    /// The database prefix whose counter it uses.
    var database: EIDPrefix
  }

  /// One of our own EID-prefixes.
  struct Database {
    var counters: CounterRun
    /// Mappings of the same prefix or of prefixes in it: they say that something has moved away. Without any, every address in it is ours.
    var mappingsWithin: Int
  }

  struct CompiledLocal {
    var local: Local
    var counters: UInt32
    var set: SetHandle
    /// The host whose use count it holds; nil when delivery is the kernel's.
    var host: NextHopKey?
  }

  final class Host {
    let template: TemplateHandle
    let set: SetHandle
    var users = 1

    init(_ header: HeaderTemplate, _ publisher: ForwardingPublisher) throws(StateError) {
      template = try publisher.addTemplate(header)
      do { set = try publisher.addSet(LocatorSet(.local, [LocatorChoice(ordinal: 0, template: template, weight: 1)])) } catch {
        publisher.removeTemplate(template)
        throw error
      }
    }
  }

  /// Makes the local part of the table exactly `wanted`; a mapping of the same prefix goes before. `mappingsWithin` says how many there
  /// are of a prefix or of prefixes in it.
  func setLocals(
    _ wanted: [EIDPrefix: Local], mappingsWithin: (EIDPrefix) -> Int, template: (NextHopKey) -> HeaderTemplate?
  ) throws(StateError) {
    let own = Set(wanted.values.map(\.database))
    defer {
      databasePrefixes = EIDPrefixSet(databases.keys)
      haveSpacesChanged = true
    }
    for prefix in own where databases[prefix] == nil {
      databases[prefix] = Database(counters: try counterBlocks.allocate(1), mappingsWithin: mappingsWithin(prefix))
    }
    for (eid, local) in wanted { try setLocal(eid, local, template) }
    for eid in locals.keys where wanted[eid] == nil { try removeLocal(eid) }
    for (prefix, database) in databases where !own.contains(prefix) {
      databases[prefix] = nil
      retired.append(database.counters)
    }
  }

  private func setLocal(_ eid: EIDPrefix, _ local: Local, _ template: (NextHopKey) -> HeaderTemplate?) throws(StateError) {
    let old = locals[eid]
    if old?.local == local { return }
    let (set, host) = try localSet(local.nextHop, template)
    let new = CompiledLocal(local: local, counters: databases[local.database]?.counters.first ?? 0, set: set, host: host)
    if mapping(eid) == nil {
      do { try publisher.setMapping(eid, set: set, counters: new.counters) } catch {
        releaseHost(host)
        throw error
      }
    }
    locals[eid] = new
    if let old { releaseHost(old.host) }
  }

  private func removeLocal(_ eid: EIDPrefix) throws(StateError) {
    guard let old = locals[eid] else { return }
    if mapping(eid) == nil { try publisher.removeMapping(eid) }
    locals[eid] = nil
    releaseHost(old.host)
  }

  /// The set of a next hop, whose use it counts, or the one that leaves delivery to the kernel.
  private func localSet(
    _ nextHop: NextHopKey?, _ template: (NextHopKey) -> HeaderTemplate?
  ) throws(StateError) -> (set: SetHandle, host: NextHopKey?) {
    guard let nextHop, let header = template(nextHop) else {
      if let bareLocalSet { return (bareLocalSet, nil) }
      let set = try publisher.addSet(LocatorSet(.local))
      bareLocalSet = set
      return (set, nil)
    }
    if let host = hosts[nextHop] {
      host.users += 1
      return (host.set, nextHop)
    }
    let host = try Host(header, publisher)
    hosts[nextHop] = host
    return (host.set, nextHop)
  }

  private func releaseHost(_ nextHop: NextHopKey?) {
    guard let nextHop, let host = hosts[nextHop] else { return }
    host.users -= 1
    guard host.users == 0 else { return }
    hosts[nextHop] = nil
    publisher.removeSet(host.set)
    publisher.removeTemplate(host.template)
  }

  /// New link-layer addresses for the site's hosts.
  func refreshHosts(template: (NextHopKey) -> HeaderTemplate?) {
    for (key, host) in hosts { if let header = template(key) { publisher.replaceTemplate(host.template, header) } }
  }
}
