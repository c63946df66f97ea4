// SPDX-License-Identifier: Apache-2.0
//
// Two namespaces joined by a veth pair:
//
//   near  v0 02:…:01  10.0.0.1/24, 2001:db8::1/64  ────  10.0.0.2/24, 2001:db8::2/64  v1 02:…:02  far

import Netlink
import Wire

/// The near side is where the code under test works; the far side is its live peer.
struct Pair {
  let near = Namespace()
  let far = Namespace()

  static let nearMAC = MACAddress(rawValue: 0x02_00_00_00_00_01)
  static let farMAC = MACAddress(rawValue: 0x02_00_00_00_00_02)

  init() {
    near.ip("link add v0 address \(Self.nearMAC) type veth peer name v1 address \(Self.farMAC) netns \(far.name)")
    for (namespace, interface, host) in [(near, "v0", 1), (far, "v1", 2)] {
      // Partial checksums are for the same host only; here packets are looked at as on a wire.
      shell("ip netns exec \(namespace.name) ethtool -K \(interface) tx off >/dev/null")
      namespace.ip("addr add 10.0.0.\(host)/24 dev \(interface)")
      namespace.ip("addr add 2001:db8::\(host)/64 dev \(interface) nodad")
      // Until its link-local address is proven, an interface solicits nobody.
      namespace.set("ipv6/conf/\(interface)/accept_dad", 0)
      namespace.ip("link set \(interface) up")
    }
  }

  /// The index of an interface of the near side.
  func index(_ name: String = "v0") -> UInt32 {
    UInt32(near.json("link show \(name)").first?["ifindex"] as? Int ?? 0)
  }
}

func address(_ text: String) -> IPAddress {
  guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
  return address
}
func prefix(_ text: String) throws -> IPPrefix { try IPPrefix(parsing: text) }
