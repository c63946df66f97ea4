// SPDX-License-Identifier: Apache-2.0
//
// Our own EIDs: the database prefixes, the hosts in them whose link-layer address the kernel knows, and the subnets behind
// routers of the site. What is known goes straight out of the fast path; the rest through the kernel, whose neighbour
// discovery then makes it known.

import DataPlane
import MapCache
import Netlink
import Wire

/// Thread: slow path.
final class Site {
  private let kernel: KernelView
  private let ports: [Port]
  private let compiler: ForwardingCompiler
  /// The routing table of each instance; the main one where none is named.
  var tables: [InstanceID: UInt32] = [:]
  var database: [EIDPrefix] = [] { didSet { databasePrefixes = EIDPrefixSet(database) } }
  private var databasePrefixes = EIDPrefixSet([])

  private static let mainTable: UInt32 = 254

  init(kernel: KernelView, ports: [Port], compiler: ForwardingCompiler) {
    self.kernel = kernel
    self.ports = ports
    self.compiler = compiler
  }

  /// Brings the local part of the table up to date. A mapping more specific than the database prefix hides hosts: the EID
  /// has moved away.
  func refresh(hiddenBy mapCache: MapCache) throws(StateError) {
    var wanted: [EIDPrefix: ForwardingCompiler.Local] = [:]
    for eid in database { wanted[eid] = .init(nextHop: nil, database: eid) }
    for route in kernel.siteRoutes { add(route, to: &wanted, mapCache) }
    for (key, neighbour) in kernel.neighbours where neighbour.isUsable && neighbour.macAddress != nil {
      guard let port = sitePort(key.interfaceIndex), port.isUp, let instance = port.instance, isOnLink(key) else { continue }
      let host = EIDPrefix(instance, IPPrefix(host: key.address))
      guard let prefix = databasePrefix(of: host), !isHidden(host, in: prefix, mapCache) else { continue }
      wanted[host] = .init(nextHop: key, database: prefix)
    }
    try compiler.setLocals(wanted, mappingsWithin: mapCache.count(within:), template: template)
  }

  /// The Ethernet header for a host or router of the site.
  func template(_ key: NextHopKey) -> HeaderTemplate? {
    guard let port = sitePort(key.interfaceIndex), port.isUp else { return nil }
    return HeaderTemplate(
      tunnel: nil, port: UInt8(port.number), sourceMAC: port.macAddress, destinationMAC: kernel.macAddress(key), mtu: port.mtu)
  }

  func sitePort(_ interfaceIndex: UInt32) -> Port? {
    ports.first { $0.index == interfaceIndex && $0.configuration.role.facesSite }
  }

  /// Whether any of these prefixes touches our own space, so that `refresh` is due.
  func concerns(_ prefixes: some Sequence<EIDPrefix>) -> Bool {
    prefixes.contains { databasePrefix(of: $0) != nil }
  }

  /// The longest database prefix that covers `eid`.
  func databasePrefix(of eid: EIDPrefix) -> EIDPrefix? { databasePrefixes.covering(eid).first }

  /// Whether `eid` lies in our own space and no mapping says that it has moved away.
  func isOwn(_ eid: EIDPrefix, hiddenBy mapCache: MapCache) -> Bool {
    databasePrefix(of: eid).map { !isHidden(eid, in: $0, mapCache) } ?? false
  }

  private func isHidden(_ eid: EIDPrefix, in prefix: EIDPrefix, _ mapCache: MapCache) -> Bool {
    mapCache.longestMatch(eid).map { $0.eid.prefix.length > prefix.prefix.length } ?? false
  }

  /// Whether the neighbour is a host of a subnet of its interface, not behind a router and not ourselves.
  private func isOnLink(_ key: NextHopKey) -> Bool {
    guard !key.address.isLinkLocal, !kernel.allAddresses.contains(key.address) else { return false }
    return kernel.addresses.contains {
      $0.interfaceIndex == key.interfaceIndex && $0.address.family == key.address.family
        && IPPrefix(masking: $0.address, length: $0.prefixLength).contains(key.address)
    }
  }

  /// A subnet of ours behind a router of the site.
  private func add(_ route: Route, to wanted: inout [EIDPrefix: ForwardingCompiler.Local], _ mapCache: MapCache) {
    guard let hop = route.nextHops.first(where: { $0.gateway != nil && !$0.isDead }), let gateway = hop.gateway,
      let index = hop.interfaceIndex, let port = sitePort(index), port.isUp, let instance = port.instance,
      route.table == tables[instance] ?? Self.mainTable
    else { return }
    let key = NextHopKey(interfaceIndex: index, address: gateway)
    guard kernel.macAddress(key) != nil else { return kernel.resolve(key) }
    let routed = EIDPrefix(instance, route.prefix)
    if let prefix = databasePrefix(of: routed) {
      guard !isHidden(routed, in: prefix, mapCache) else { return }
      wanted[routed] = .init(nextHop: key, database: prefix)
    } else {
      for eid in database where eid.instanceID == instance && route.prefix.contains(eid.prefix) {
        wanted[eid] = .init(nextHop: key, database: eid)
      }
    }
  }
}
