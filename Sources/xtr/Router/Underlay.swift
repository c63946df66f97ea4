// SPDX-License-Identifier: Apache-2.0
//
// The way to an RLOC: which of our RLOCs is the source, which port and next hop, and the header template all this makes
// (rules E2, E18). Asked by ForwardingCompiler whenever the kernel's view changes.

import ControlAPI
import DataPlane
import Netlink
import Wire

/// How packets get to an RLOC now.
struct RLOCPath: Equatable {
  var state: LocatorState
  /// nil when there is no way.
  var template: HeaderTemplate?
  var nextHop: NextHopKey?

  static func unusable(_ state: LocatorState) -> RLOCPath { RLOCPath(state: state, template: nil, nextHop: nil) }

  /// Whether flows may be sent this way: an unresolved next hop is, the kernel sends meanwhile.
  var isUsable: Bool { template != nil }
}

/// Thread: slow path.
final class Underlay {
  private let kernel: KernelView
  private let ports: [Port]

  init(kernel: KernelView, ports: [Port]) {
    self.kernel = kernel
    self.ports = ports
  }

  /// Our RLOCs, of every core port.
  var ownRLOCs: [IPAddress] { ports.flatMap(\.rlocs) }

  /// Takes the core ports' RLOCs from the configuration and the kernel's addresses: what is configured must be there.
  func refreshOwnRLOCs() {
    for port in ports where port.configuration.role.facesCore {
      let present = kernel.globalAddresses(port.index)
      // An RLOC may live on another interface, a loopback as a rule.
      port.rlocs = port.configuration.rlocs.map { $0.filter(kernel.allAddresses.contains) } ?? present
    }
  }

  func path(to rloc: IPAddress) -> RLOCPath {
    guard let first = way(to: rloc) else { return .unusable(.noRoute) }
    guard let source = source(for: rloc, first.path, first.port), let tunnel = HeaderTemplate.Tunnel(source: source, destination: rloc)
    else { return .unusable(.noSource) }
    // With its source known, policy rules may send the packet another way.
    guard let (path, port) = way(to: rloc, from: source) else { return .unusable(.noRoute) }
    let nextHop = NextHopKey(interfaceIndex: path.interfaceIndex, address: path.gateway ?? rloc)
    let mac = kernel.macAddress(nextHop)
    let template = HeaderTemplate(
      tunnel: tunnel, port: UInt8(port.number), sourceMAC: port.macAddress, destinationMAC: mac,
      mtu: min(port.mtu, path.mtu ?? port.mtu))
    return RLOCPath(state: mac == nil ? .resolving : .up, template: template, nextHop: nextHop)
  }

  /// The kernel's route, if it leaves by a core port of ours that is up.
  private func way(to rloc: IPAddress, from source: IPAddress? = nil) -> (path: ForwardPath, port: Port)? {
    guard let path = (try? kernel.queries.lookup(destination: rloc, source: source))?.path, !path.isEncapsulated,
      let port = ports.first(where: { $0.index == path.interfaceIndex && $0.configuration.role.facesCore }), port.isUp
    else { return nil }
    return (path, port)
  }

  /// The kernel's choice if it is an RLOC of ours, else the first of the port, else of any port.
  private func source(for rloc: IPAddress, _ path: ForwardPath, _ port: Port) -> IPAddress? {
    if let preferred = path.preferredSource, ownRLOCs.contains(preferred) { return preferred }
    return (port.rlocs + ownRLOCs).first { $0.family == rloc.family }
  }
}
