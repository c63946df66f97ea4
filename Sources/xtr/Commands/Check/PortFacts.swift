// SPDX-License-Identifier: Apache-2.0
//
// What `xtr check` knows of each configured interface, and of the ways to the locators of the static mappings. Asked of the
// kernel through modules XDP and Netlink; nothing is changed.

import CLinux
import ControlAPI
import Netlink
import Wire
import XDP

/// One configured interface.
struct PortFacts {
  var configuration: Configuration.Interface
  /// nil: it cannot be used, and `problem` says why.
  var facts: InterfaceFacts?
  var problem = ""
  var cure = ""
  /// The id of an XDP program that is attached, ours or another's.
  var attachedProgram: UInt32?
  /// Whether the router that listens at the configuration's control socket has this port: the program is its own then.
  var isRouters = false
  /// Its addresses that could be RLOCs.
  var addresses: [IPAddress] = []

  static func gather(_ configuration: Configuration) -> [PortFacts] {
    let addresses = (try? KernelQueries().addresses()) ?? []
    let routers = portsOfRouter(configuration.router.controlSocket)
    return configuration.interfaces.map { port in
      var found = PortFacts(configuration: port)
      do throws(XDPError) {
        let facts = try InterfaceFacts.of(try Interface.named(port.name))
        found.facts = facts
        found.attachedProgram = program(on: facts.interface.index)
        found.isRouters = routers.contains(facts.interface.index)
        found.addresses =
          addresses
          .filter { $0.interfaceIndex == facts.interface.index && $0.isUsable }.map(\.address).filter { $0.locatorFault == nil }
      } catch {
        found.note(error)
      }
      return found
    }
  }

  /// The interface indices of the ports of the router that listens at `path`; none when nobody does.
  private static func portsOfRouter(_ path: String) -> Set<UInt32> {
    do throws(ControlClientError) {
      var client = try ControlClient(path: path, timeoutSeconds: 2)
      guard case .interfaces(let ports) = try client.request(.interfaces) else { return [] }
      return Set(ports.map(\.index))
    } catch {
      return []
    }
  }

  private mutating func note(_ error: XDPError) {
    switch error {
    case .interface(_, let problem, let cure): (self.problem, self.cure) = (problem, cure)
    case .noPrivilege, .foreignProgram, .system, .kernelTooOld: (problem, cure) = ("it cannot be looked at", error.description)
    }
  }

  private static func program(on index: UInt32) -> UInt32? {
    var id: UInt32 = 0
    guard bpf_xdp_query_id(CInt(bitPattern: index), 0, &id) == 0, id != 0 else { return nil }
    return id
  }
}

/// How the locators of the static mappings are reached.
struct PathFacts: Equatable {
  /// How many locators are asked about; a file with more has the rest taken on trust.
  static let limit = 1000

  /// Locators without a route, and why.
  var unroutable: [String: String] = [:]
  /// Locators whose route leaves by an interface that is not a core port, and which.
  var astray: [String: String] = [:]

  static func gather(_ configuration: Configuration) -> PathFacts {
    var paths = PathFacts()
    guard let queries = try? KernelQueries() else { return paths }
    let links = (try? queries.links()) ?? []
    let names = Dictionary(links.map { ($0.index, $0.name) }) { first, _ in first }
    let core = Set(configuration.interfaces.filter(\.role.facesCore).map(\.name))
    for address in configuration.locatorAddresses.sorted().prefix(limit) {
      switch try? queries.lookup(destination: address) {
      case .forward(let path):
        let name = names[path.interfaceIndex] ?? "interface \(path.interfaceIndex)"
        if !core.contains(name) { paths.astray[address.description] = name }
      case .local: paths.unroutable[address.description] = "it is an address of this host"
      case .refused(let refusal): paths.unroutable[address.description] = refusal.words
      case .special(let type, _): paths.unroutable[address.description] = "its route is of type \(type)"
      case nil: break
      }
    }
    return paths
  }
}

extension Configuration {
  /// Every locator of a static mapping, once.
  var locatorAddresses: Set<IPAddress> {
    Set(
      mappings.flatMap { mapping -> [IPAddress] in
        switch mapping.target {
        case .locators(let locators): locators.map(\.address)
        case .action: []
        }
      })
  }
}

extension RouteRefusal {
  /// In words that follow "no way to …: ".
  fileprivate var words: String {
    switch self {
    case .noRoute: "there is no route"
    case .unreachable: "the route says unreachable"
    case .prohibit: "the route says prohibited"
    case .blackhole: "the route is a blackhole"
    }
  }
}
