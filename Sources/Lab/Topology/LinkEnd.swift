// SPDX-License-Identifier: Apache-2.0
//
// One end of a veth pair: where it is, what it is called, which addresses it has, what its offloads are. `Lab.connect` makes two of them.

import CLinux
import Wire

public struct LinkEnd: Sendable {
  public enum Offloads: Sendable {
    /// As the kernel made them: for a router's own ports, whose settings the router looks after.
    case untouched
    /// Nothing left to the "card": a veth peer otherwise hands over partial checksums and super-sized segments, which no wire would
    /// carry and which AF_XDP passes on as they are.
    case wire
  }

  public var namespace: Namespace
  public var name: String
  public var macAddress: MACAddress?
  /// With prefix length, "10.1.0.1/24".
  public var addresses: [String]
  /// False: no routes to the addresses' prefixes in the main table.
  public var prefixRoutes: Bool
  public var offloads: Offloads

  public init(
    _ namespace: Namespace, _ name: String, mac: MACAddress? = nil, addresses: [String] = [], prefixRoutes: Bool = true,
    offloads: Offloads = .wire
  ) {
    self.namespace = namespace
    self.name = name
    self.macAddress = mac
    self.addresses = addresses
    self.prefixRoutes = prefixRoutes
    self.offloads = offloads
  }

  var macWords: String { macAddress.map { " address \($0)" } ?? "" }

  /// Offloads before the link comes up, addresses without duplicate detection, then up.
  func configure() throws(LabError) {
    switch offloads {
    case .wire:
      try namespace.execute(
        "ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off", "txvlan", "off", "rxvlan", "off")
    case .untouched: break
    }
    let lines = addresses.map {
      "addr add \($0) dev \(name)\($0.contains(":") ? " nodad" : "")\(prefixRoutes ? "" : " noprefixroute")"
    }
    try namespace.ip(lines + ["link set \(name) up"])
  }
}
