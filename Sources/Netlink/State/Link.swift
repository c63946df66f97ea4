// SPDX-License-Identifier: Apache-2.0
//
// A network interface as rtnetlink describes it (RTM_NEWLINK). Made by KernelMonitor and KernelQueries.

import CLinux
import Wire

/// A network interface.
public struct Link: Hashable, Sendable {
  public let index: UInt32
  public let name: String
  /// nil when the interface has no 48-bit address (a TUN, some tunnels).
  public let macAddress: MACAddress?
  /// Bytes of an IP packet.
  public let mtu: Int
  /// Administratively up (IFF_UP).
  public let isUp: Bool
  /// The carrier is there (IFF_LOWER_UP).
  public let isLowerUp: Bool
  public let isLoopback: Bool
  /// "veth", "tun", "bridge" …; nil for hardware, which has no kind.
  public let kind: String?
  /// The index of the bridge or bond this interface is a port of.
  public let master: UInt32?
}

extension Link {
  /// ifinfomsg: family, pad, u16 device type, i32 index, u32 flags, u32 changed flags.
  static let headerByteCount = 16

  // include/uapi/linux/if.h, which cannot be included beside <net/if.h>.
  private static let flagUp: UInt32 = 1
  private static let flagLoopback: UInt32 = 8
  private static let flagLowerUp: UInt32 = 1 << 16

  /// nil for a malformed message, and for one that describes an aspect of a link rather than the link: bridge ports and
  /// wireless news come as RTM_NEWLINK and RTM_DELLINK too, under another family or without a name.
  init?(_ message: NetlinkMessage) {
    guard let family = message.payload.uint8(at: 0), family == 0, let index = message.payload.uint32(at: 4), index > 0,
      let flags = message.payload.uint32(at: 8), message.payload.count >= Self.headerByteCount
    else { return nil }
    var name: String?
    var macAddress: MACAddress?
    var mtu: UInt32?
    var kind: String?
    var master: UInt32?
    for attribute in message.attributes(after: Self.headerByteCount) {
      switch attribute.type {
      case Int(IFLA_IFNAME): name = attribute.value.text
      case Int(IFLA_ADDRESS): macAddress = attribute.value.macAddress
      case Int(IFLA_MTU): mtu = attribute.value.number32
      case Int(IFLA_MASTER): master = attribute.value.number32
      case Int(IFLA_LINKINFO): kind = attribute.nested.first { $0.type == Int(IFLA_INFO_KIND) }?.value.text
      default: break
      }
    }
    guard let name, !name.isEmpty, let mtu else { return nil }
    self.init(
      index: index, name: name, macAddress: macAddress, mtu: Int(mtu), isUp: flags & Self.flagUp != 0,
      isLowerUp: flags & Self.flagLowerUp != 0, isLoopback: flags & Self.flagLoopback != 0, kind: kind, master: master)
  }
}
