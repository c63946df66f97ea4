// SPDX-License-Identifier: Apache-2.0
//
// Switches off, for as long as the router runs, the offloads that hand AF_XDP something else than the packet on the wire.
// The router holds one per port, made before its sockets, and logs `changed`.

import CLinux
import Glibc

/// Offloads of one interface that are off while this lives. What was off before stays off. After a SIGKILL they stay off
/// too, which costs the host some speed and nothing else.
///
/// Thread: one at a time; set-up and end. Restores in the namespace in which it was made, whatever thread ends it.
public struct OffloadGuard: ~Copyable {
  /// The kernel's names (`ethtool -k` shows them) of the features that were on and are off now.
  public private(set) var changed: [String]
  /// Those that were on, should be off, and cannot be changed on this device: for a warning.
  public let unchangeable: [String]
  private let control: InterfaceControl
  private let names: [String]

  /// What has to go.
  /// - rx-vlan-hw-parse, rx-vlan-stag-hw-parse: the tag is taken out of the packet, and XDP never learns of it.
  ///   (On a veth the far end's tx-vlan-hw-insert decides that, and switching these off changes nothing: seen on 6.18.)
  /// - rx-lro, rx-gro-hw: several packets arrive as one that is larger than a frame and never was on the wire.
  static let always = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-lro", "rx-gro-hw"]
  /// With VLANs that the kernel has no interface for, also the filters that drop their frames in the card.
  static let withVLANs = ["rx-vlan-filter", "rx-vlan-stag-filter"]

  /// - Parameter acceptsVLANs: whether tagged packets are wanted from VLANs that the kernel itself has no interface for
  public init(interface: Interface, acceptsVLANs: Bool = false) throws(XDPError) {
    let control = try InterfaceControl(name: interface.name)
    let names = control.featureNames()
    let features = control.features(count: names.count)
    let unwanted = Self.always + (acceptsVLANs ? Self.withVLANs : [])
    let active = names.indices.filter { $0 < features.count && features[$0].active && unwanted.contains(names[$0]) }
    let changeable = active.filter { features[$0].changeable }

    if !changeable.isEmpty {
      let code = control.setFeatures(changeable, of: names.count, to: false)
      if code == EPERM { throw .noPrivilege(doing: "switch offloads of \(interface.name) off") }
      if code != 0 {
        throw .system(
          call: "ETHTOOL_SFEATURES", errno: code, where: interface.name,
          cure: "switch off by hand: ethtool -K \(interface.name) \(changeable.map { names[$0] + " off" }.joined(separator: " "))")
      }
    }
    // A driver may keep a feature on although it says that it can be changed: look what has become of them.
    let after = control.features(count: names.count)
    let off = changeable.filter { $0 < after.count && !after[$0].active }
    changed = off.map { names[$0] }
    unchangeable = active.filter { !off.contains($0) }.map { names[$0] }
    self.names = names
    self.control = control
  }

  /// Switch on again what this switched off. Does nothing the second time, nor when the interface is gone.
  public mutating func restore() {
    restoreNow()
    changed = []
  }

  private func restoreNow() {
    guard !changed.isEmpty else { return }
    _ = control.setFeatures(names.indices.filter { changed.contains(names[$0]) }, of: names.count, to: true)
  }

  deinit { restoreNow() }
}
