// SPDX-License-Identifier: Apache-2.0
//
// What the steering program of one interface decides by, as values. The slow path makes them from the configuration and
// the kernel's addresses; SteeringProgram.apply brings the program's maps to them.

import Wire

/// Which of the two tests of bpf/steer.bpf.c an interface's frames are put to.
public enum SteeringRole: Sendable, CaseIterable {
  /// Towards the site's hosts: what they send to elsewhere is lifted.
  case site
  /// Towards the core: LISP data to our RLOCs is lifted.
  case core
  case both
}

/// Everything that the steering program of one interface decides by. Thread: any (a value).
public struct SteeringRules: Equatable, Sendable {
  /// Frames to this address only are lifted: the interface's own.
  public var macAddress: MACAddress
  public var role: SteeringRole
  /// Core: UDP port 4341 to these is lifted. Site: they are addresses of the host, whether `ownAddresses` names them or not.
  public var rlocs: Set<IPAddress>
  /// All addresses of the host, of whatever interface. Site: what is sent to these is the kernel's.
  public var ownAddresses: Set<IPAddress>
  /// Site: the local EID-prefixes per VLAN, nil being untagged (and priority-tagged) frames. A packet from one of these is
  /// lifted unless it goes to another of the same VLAN or to an own address.
  public var localEIDs: [VLANID?: [IPPrefix]]

  /// How many addresses (own ones and RLOCs together) and how many local EID-prefixes the rules of an interface may name.
  public static let addressLimit = 4096
  public static let prefixLimit = 131_072

  public init(
    macAddress: MACAddress, role: SteeringRole, rlocs: Set<IPAddress> = [], ownAddresses: Set<IPAddress> = [],
    localEIDs: [VLANID?: [IPPrefix]] = [:]
  ) {
    self.macAddress = macAddress
    self.role = role
    self.rlocs = rlocs
    self.ownAddresses = ownAddresses
    self.localEIDs = localEIDs
  }
}

/// The rules as the maps' entries. Two of these are compared to find what has to change.
struct SteeringEntries: Equatable {
  struct Config: Equatable {
    var macAddress: MACAddress
    var role: SteeringRole
  }

  /// A local EID-prefix in its VLAN; 0 is untagged, as in the map's key.
  struct Prefix: Hashable {
    var vlan: UInt16
    var prefix: IPPrefix
  }

  /// What an address is, as the map's value.
  enum AddressKind {
    case own
    case rloc
  }

  /// nil: the program lifts nothing.
  var config: Config?
  var addresses: [IPAddress: AddressKind] = [:]
  var prefixes: Set<Prefix> = []

  /// What a program that has just been loaded holds.
  init() {}

  init(_ rules: SteeringRules) {
    config = Config(macAddress: rules.macAddress, role: rules.role)
    for address in rules.ownAddresses { addresses[address] = .own }
    for address in rules.rlocs { addresses[address] = .rloc }
    for (vlan, local) in rules.localEIDs {
      for prefix in local { prefixes.insert(Prefix(vlan: vlan?.rawValue ?? 0, prefix: prefix)) }
    }
  }
}
