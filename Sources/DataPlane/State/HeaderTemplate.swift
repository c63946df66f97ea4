// SPDX-License-Identifier: Apache-2.0
//
// A header that is ready to be put before a packet. For a locator: Ethernet + IP + UDP + LISP, prepared once per (RLOC pair,
// port, VLAN). For delivery to a host of our site: Ethernet alone. The slow path makes values of this type; the engine reads
// their compiled form (TemplateBlock).

import Wire

/// Everything that is known about a header before the packet comes.
public struct HeaderTemplate: Equatable, Sendable {
  /// The outer addresses and port of a locator.
  public struct Tunnel: Equatable, Sendable {
    public var source: IPAddress
    public var destination: IPAddress
    /// 4341, or what the mapping names for NAT traversal (rule E2).
    public var destinationPort: UInt16

    /// nil unless both addresses are of one family.
    public init?(source: IPAddress, destination: IPAddress, destinationPort: UInt16 = LISPPort.data) {
      guard source.family == destination.family else { return nil }
      self.source = source
      self.destination = destination
      self.destinationPort = destinationPort
    }
  }

  /// nil for delivery to a host.
  public var tunnel: Tunnel?
  /// The port to leave by.
  public var port: UInt8
  public var vlan: VLANID?
  /// The port's own address.
  public var sourceMAC: MACAddress
  /// The next hop's address; nil as long as the kernel does not know it.
  public var destinationMAC: MACAddress?
  /// The largest IP packet the port or path takes, in bytes.
  public var mtu: Int
  /// What the LISP header carries where the settings have nonces exchanged; nil: N = 0.
  public var nonce: LISPNonce?

  public init(tunnel: Tunnel?, port: UInt8, vlan: VLANID? = nil, sourceMAC: MACAddress, destinationMAC: MACAddress?, mtu: Int) {
    self.tunnel = tunnel
    self.port = port
    self.vlan = vlan
    self.sourceMAC = sourceMAC
    self.destinationMAC = destinationMAC
    self.mtu = mtu
  }

  /// Ethernet header bytes. A delivery's type depends on the packet; 0 until then.
  var ethernet: [UInt8] {
    let type: EtherType =
      switch tunnel?.source.family {
      case .ipv4: .ipv4
      case .ipv6: .ipv6
      case nil: EtherType(rawValue: 0)
      }
    return EthernetHeader(
      destination: destinationMAC ?? MACAddress(rawValue: 0), source: sourceMAC, vlan: vlan, etherType: type
    ).array
  }

  /// The header without the LISP header; per-packet fields are 0.
  var octets: [UInt8] {
    guard let tunnel else { return ethernet }
    let udp = UDPHeader(sourcePort: 0, destinationPort: tunnel.destinationPort)
    var octets = ethernet
    switch (tunnel.source, tunnel.destination) {
    case (.v4(let source), .v4(let destination)):
      var ip = IPv4Header(protocolNumber: .udp, source: source, destination: destination)
      ip.timeToLive = 0
      ip.totalLength = 0
      octets += ip.array
    case (.v6(let source), .v6(let destination)):
      var ip = IPv6Header(nextHeader: .udp, source: source, destination: destination)
      ip.hopLimit = 0
      octets += ip.array
    default: preconditionFailure("Tunnel.init proves one family")
    }
    return octets + udp.array
  }
}
