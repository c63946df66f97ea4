// SPDX-License-Identifier: Apache-2.0
//
// An interface that the router has taken: its steering program, the offloads it changed, its sockets. Opened and closed by
// DataPlaneSetup, kept by Router.

import DataPlane
import Wire
import XDP

/// What the slow path keeps of one AF_XDP socket, which itself belongs to a worker.
struct QueueHandle {
  var queue: Int
  var worker: Int
  var mode: SocketMode
  /// Valid as long as the worker lives.
  var descriptor: CInt
}

/// Thread: slow path.
final class Port {
  /// 0…15: the engine's name for it.
  let number: Int
  var configuration: Configuration.Interface
  let index: UInt32
  let driver: String
  let queueCount: Int
  let attachMode: SteeringProgram.AttachMode
  /// Why the program is attached in generic mode although native was tried.
  let nativeRefusal: XDPError?
  let changedOffloads: [String]
  let unchangeableOffloads: [String]
  var queues: [QueueHandle] = []
  /// Followed by link events.
  var macAddress: MACAddress
  var mtu: Int
  var isUp: Bool
  /// Own RLOCs on it.
  var rlocs: [IPAddress] = []
  private var steering: SteeringProgram?
  private var offloads: OffloadGuard

  /// Switches harmful offloads off and attaches the steering program, which passes everything until it has rules.
  init(number: Int, interface: Interface, configuration: Configuration.Interface) throws(XDPError) {
    self.number = number
    self.configuration = configuration
    index = interface.index
    driver = interface.driver
    queueCount = interface.queueCount
    macAddress = interface.macAddress
    mtu = interface.mtu
    isUp = interface.isUp
    let offloads = try OffloadGuard(interface: interface, acceptsVLANs: !configuration.vlans.isEmpty)
    let steering = try SteeringProgram(
      interfaceIndex: interface.index, interfaceName: interface.name, mode: configuration.attach.requested,
      queueCount: interface.queueCount)
    changedOffloads = offloads.changed
    unchangeableOffloads = offloads.unchangeable
    attachMode = steering.attachMode
    nativeRefusal = steering.nativeRefusal
    self.offloads = offloads
    self.steering = consume steering
  }

  var name: String { configuration.name }

  func register(socket descriptor: CInt, queue: Int) throws(XDPError) { try steering?.register(socket: descriptor, queue: queue) }

  func apply(_ rules: SteeringRules) throws(XDPError) { try steering?.apply(rules) }

  /// From now on every packet is the kernel's.
  func detach() { steering = nil }

  /// Puts back what was changed.
  func restore() { offloads.restore() }

  /// The instance of the site's untagged frames; nil on a port that faces the core only.
  var instance: InstanceID? { configuration.role.facesSite ? configuration.instanceID : nil }

  /// How frames of an instance come in from the site here: untagged or under a VLAN's tag; nil if they do not.
  func siteTag(of instance: InstanceID) -> SiteTag? {
    if self.instance == instance { return .untagged }
    return state.vlanInstances.first { $0.value == instance }.map { .vlan($0.key) }
  }

  enum SiteTag: Equatable {
    case untagged
    case vlan(VLANID)

    var vlan: VLANID? {
      switch self {
      case .untagged: nil
      case .vlan(let vlan): vlan
      }
    }
  }

  /// What the engine gets to know.
  var state: PortState {
    var role: PortRole = []
    if configuration.role.facesSite { role.insert(.site) }
    if configuration.role.facesCore { role.insert(.core) }
    var vlans: [VLANID: InstanceID] = [:]
    for vlan in configuration.vlans { if let id = VLANID(rawValue: vlan.id) { vlans[id] = vlan.instanceID } }
    return PortState(role: role, instance: instance, vlanInstances: vlans)
  }

  /// The steering rules under which `database` is the site's.
  func rules(database: some Sequence<EIDPrefix>, rlocs: Set<IPAddress>, ownAddresses: Set<IPAddress>) -> SteeringRules {
    var local: [VLANID?: [IPPrefix]] = [:]
    if configuration.role.facesSite {
      local[nil] = database.filter { $0.instanceID == configuration.instanceID }.map(\.prefix)
      for (vlan, instance) in state.vlanInstances { local[vlan] = database.filter { $0.instanceID == instance }.map(\.prefix) }
    }
    return SteeringRules(
      macAddress: macAddress, role: configuration.role.steering, rlocs: configuration.role.facesCore ? rlocs : [],
      ownAddresses: ownAddresses, localEIDs: local)
  }
}

extension Configuration.Attach {
  var requested: SteeringProgram.RequestedMode {
    switch self {
    case .auto: .auto
    case .native: .native
    case .generic: .generic
    }
  }
}

extension Configuration.Mode {
  var requested: RequestedSocketMode {
    switch self {
    case .auto: .auto
    case .zeroCopy: .zeroCopy
    case .copy: .copy
    }
  }
}

extension Configuration.Role {
  var steering: SteeringRole {
    switch self {
    case .site: .site
    case .core: .core
    case .both: .both
    }
  }
}
