// SPDX-License-Identifier: Apache-2.0
//
// What the router knows of the kernel: links, addresses, neighbours, and the routes behind site interfaces; loaded once and
// then followed by events. Owned by Router.

import Netlink
import Wire

/// A host or gateway on a link.
struct NextHopKey: Hashable {
  var interfaceIndex: UInt32
  var address: IPAddress
}

/// What a round of events changed, as far as the router cares.
struct KernelChanges {
  /// Names, MTUs, MAC addresses, up and down.
  var links: Set<UInt32> = []
  var addresses = false
  var neighbours: Set<NextHopKey> = []
  /// Some route: what was asked of the kernel has to be asked again.
  var routes = false
  /// Events were lost and everything was loaded anew.
  var resynchronised = false

  var isEmpty: Bool {
    links.isEmpty && !addresses && neighbours.isEmpty && !routes && !resynchronised
  }
}

/// Thread: slow path.
final class KernelView {
  let queries: KernelQueries
  private let monitor: KernelMonitor
  private(set) var links: [UInt32: Link] = [:]
  private(set) var addresses: Set<AddressEntry> = []
  private(set) var neighbours: [NextHopKey: Neighbour] = [:]
  /// Gateway routes out of the followed interfaces.
  private(set) var siteRoutes: Set<Route> = []
  /// The interfaces whose routes are kept: a full table elsewhere costs nothing here.
  private let followed: Set<UInt32>

  /// Begins to listen, then loads everything, so that nothing is missed in between.
  init(following followed: Set<UInt32>) throws(NetlinkError) {
    self.followed = followed
    monitor = try KernelMonitor()
    queries = try KernelQueries()
    try load()
  }

  /// Becomes readable when something has changed.
  var fileDescriptor: CInt { monitor.fileDescriptor }
  /// More events wait than the last round took.
  var hasMore: Bool { monitor.hasMore }

  private func load() throws(NetlinkError) {
    links = Dictionary(try queries.links().map { ($0.index, $0) }) { $1 }
    addresses = Set(try queries.addresses())
    neighbours = Dictionary(try queries.neighbours().map { (NextHopKey($0), $0) }) { $1 }
    try loadSiteRoutes()
  }

  /// Read again rather than kept by events: the kernel drops the routes of a link without a word for each, and tells of a
  /// replaced route only what has taken its place.
  private func loadSiteRoutes() throws(NetlinkError) {
    var found: Set<Route> = []
    for interface in followed where links[interface] != nil {
      for family in AddressFamily.allCases {
        found.formUnion(try queries.routes(family, interfaceIndex: interface).filter { $0.type == .unicast && $0.hasGateway })
      }
    }
    siteRoutes = found
  }

  /// Takes in what has happened.
  func update() throws(NetlinkError) -> KernelChanges {
    var changes = KernelChanges()
    for event in try monitor.drain() { apply(event, &changes) }
    if changes.resynchronised {
      try load()
    } else if changes.routes || changes.addresses || !changes.links.isDisjoint(with: followed) {
      try loadSiteRoutes()
    }
    return changes
  }

  /// Loads everything anew.
  func resynchronise() throws(NetlinkError) -> KernelChanges {
    try load()
    var changes = KernelChanges()
    changes.resynchronised = true
    return changes
  }

  private func apply(_ event: KernelEvent, _ changes: inout KernelChanges) {
    switch event {
    case .link(let link):
      if links.updateValue(link, forKey: link.index) != link { changes.links.insert(link.index) }
    case .linkGone(let index):
      links[index] = nil
      changes.links.insert(index)
    case .address(let entry):
      addresses = addresses.filter { !($0.interfaceIndex == entry.interfaceIndex && $0.address == entry.address) }
      addresses.insert(entry)
      changes.addresses = true
    case .addressGone(let entry):
      addresses = addresses.filter { !($0.interfaceIndex == entry.interfaceIndex && $0.address == entry.address) }
      changes.addresses = true
    case .neighbour(let neighbour):
      neighbours[NextHopKey(neighbour)] = neighbour
      changes.neighbours.insert(NextHopKey(neighbour))
    case .neighbourGone(let neighbour):
      neighbours[NextHopKey(neighbour)] = nil
      changes.neighbours.insert(NextHopKey(neighbour))
    case .route, .routeGone, .policyChanged: changes.routes = true
    case .overrun: changes.resynchronised = true
    }
  }

  /// The link-layer address of a next hop; nil when the kernel has none that is good.
  func macAddress(_ key: NextHopKey) -> MACAddress? {
    neighbours[key].flatMap { $0.isUsable ? $0.macAddress : nil }
  }

  /// Asks the kernel to resolve or re-verify a next hop. Its answer comes as an event.
  func resolve(_ key: NextHopKey) {
    // Nothing to do about a refusal: the interface is going, and its link event is on the way.
    try? queries.probe(neighbour: key.address, interfaceIndex: key.interfaceIndex)
  }

  /// The global addresses of an interface, or of all, that can be used, in order.
  func globalAddresses(_ interfaceIndex: UInt32? = nil) -> [IPAddress] {
    addresses.filter { interfaceIndex == nil || $0.interfaceIndex == interfaceIndex }
      .filter { $0.isUsable && !$0.address.isLinkLocal && !$0.address.isLoopback }.map(\.address).sorted()
  }

  /// Every address of the host.
  var allAddresses: Set<IPAddress> { Set(addresses.map(\.address)) }
}

extension Route {
  fileprivate var hasGateway: Bool { nextHops.contains { $0.gateway != nil } }
}

extension NextHopKey {
  init(_ neighbour: Neighbour) { self.init(interfaceIndex: neighbour.interfaceIndex, address: neighbour.address) }
}
