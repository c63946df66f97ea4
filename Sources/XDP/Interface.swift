// SPDX-License-Identifier: Apache-2.0
//
// A network interface as AF_XDP sees it. Read at start, and again when an interface comes back, by the router and by
// `xtr check`.

import CLinux
import Glibc
import Wire

/// What is known of one interface at the moment it was asked.
public struct Interface: Equatable, Sendable {
  public let name: String
  public let index: UInt32
  public let macAddress: MACAddress
  /// The largest IP packet in bytes, without the Ethernet header.
  public let mtu: Int
  /// The driver's short name ("veth", "ixgbe"); "" when the device does not say.
  public let driver: String
  /// Receive queues in use, at least 1. Packets arrive on all of them, so each needs its socket.
  public let queueCount: Int
  /// Transmit queues in use, at least 1. A socket on a queue beyond them would receive and never send.
  public let transmitQueueCount: Int
  /// Whether the administrator has set it up. A socket cannot be bound to an interface that is down.
  public let isUp: Bool

  /// Ask the kernel, in the calling thread's network namespace. Thread: any; set-up only.
  public static func named(_ name: String) throws(XDPError) -> Interface {
    let control = try InterfaceControl(name: name)
    let index = control.index()
    guard index != 0, let facts = control.read() else {
      throw .interface(name: name, problem: "no such interface", cure: "`ip link` lists those that there are")
    }
    guard facts.hardware_type == hardwareTypeEthernet else {
      throw .interface(name: name, problem: "not an Ethernet interface", cure: "AF_XDP needs one that carries Ethernet frames")
    }
    let octets = facts.hardware_address
    let macAddress = MACAddress(
      rawValue: [octets.0, octets.1, octets.2, octets.3, octets.4, octets.5].reduce(0) { $0 << 8 | UInt64($1) })
    let queues = QueueCounts(of: control, folder: systemFolder(name: name, index: index, macAddress: macAddress))
    return Interface(
      name: name, index: index, macAddress: macAddress, mtu: Int(facts.mtu), driver: control.driverName(),
      queueCount: queues.receive, transmitQueueCount: queues.transmit, isUp: facts.flags & UInt32(IFF_UP) != 0)
  }
}

/// The queues in use, from ETHTOOL_GCHANNELS, or else from sysfs.
struct QueueCounts {
  let receive: Int
  let transmit: Int

  /// `folder`: the interface's in sysfs, if that is to be had.
  init(of control: borrowing InterfaceControl, folder: String?) {
    var channels = ethtool_channels()
    channels.cmd = UInt32(ETHTOOL_GCHANNELS)
    if control.ethtool(&channels) == 0, channels.combined_count + channels.rx_count > 0 {
      receive = Int(channels.combined_count + channels.rx_count)
      transmit = max(1, Int(channels.combined_count + channels.tx_count))
    } else {
      // A driver without channels has one queue unless sysfs knows better.
      receive = max(1, folder.map { countEntries(of: "\($0)/queues", startingWith: "rx-") } ?? 0)
      transmit = max(1, folder.map { countEntries(of: "\($0)/queues", startingWith: "tx-") } ?? 0)
    }
  }
}

/// The interface's folder under /sys. Nil where that does not show this very interface: sysfs shows the network namespace
/// in which it was mounted, where the name may mean another device or none.
func systemFolder(name: String, index: UInt32, macAddress: MACAddress) -> String? {
  let folder = "/sys/class/net/\(name)"
  guard readSmallFile("\(folder)/ifindex").flatMap({ UInt32($0) }) == index,
    readSmallFile("\(folder)/address") == macAddress.description
  else { return nil }
  return folder
}

/// ARPHRD_ETHER of net/if_arp.h.
private let hardwareTypeEthernet: UInt16 = 1
