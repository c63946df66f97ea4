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

  /// How good the way is, for the choice among locators.
  enum Quality: Comparable {
    case none
    /// The next hop does not answer: for when nothing better is left. The kernel tries again with each packet.
    case silent
    /// The next hop has been asked and has not answered yet: it may be silent. Packets go by way of the kernel.
    case resolving
    case good
  }

  var quality: Quality {
    guard template != nil else { return .none }
    switch state {
    case .noNeighbour: return .silent
    case .resolving: return .resolving
    default: return .good
    }
  }
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

  /// `before` is the path as it was: a next hop that fell silent stays so until it answers, while the kernel asks again and again.
  func path(to rloc: IPAddress, before: RLOCPath? = nil) throws(NetlinkError) -> RLOCPath {
    guard let first = try way(to: rloc) else { return .unusable(.noRoute) }
    guard let source = source(for: rloc, first.path, first.port), let tunnel = HeaderTemplate.Tunnel(source: source, destination: rloc)
    else { return .unusable(.noSource) }
    // With its source known, policy rules may send the packet another way.
    guard let (path, port) = try way(to: rloc, from: source) else { return .unusable(.noRoute) }
    let nextHop = NextHopKey(interfaceIndex: path.interfaceIndex, address: path.gateway ?? rloc)
    let mac = kernel.macAddress(nextHop)
    let template = HeaderTemplate(
      tunnel: tunnel, port: UInt8(port.number), sourceMAC: port.macAddress, destinationMAC: mac,
      mtu: min(port.mtu, path.mtu ?? port.mtu))
    let wasSilent = before?.nextHop == nextHop && before?.state == .noNeighbour
    let isSilent = mac == nil && (wasSilent || kernel.neighbours[nextHop]?.state == .failed)
    let state: LocatorState = mac != nil ? .up : isSilent ? .noNeighbour : .resolving
    return RLOCPath(state: state, template: template, nextHop: nextHop)
  }

  /// The kernel's route, if it leaves by a core port of ours that is up.
  private func way(to rloc: IPAddress, from source: IPAddress? = nil) throws(NetlinkError) -> (path: ForwardPath, port: Port)? {
    guard let path = try kernel.queries.lookup(destination: rloc, source: source).path, !path.isEncapsulated,
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
