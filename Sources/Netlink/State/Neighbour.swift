// SPDX-License-Identifier: Apache-2.0
//
// A neighbour (ARP or ND entry) as rtnetlink describes it (RTM_NEWNEIGH). Made by KernelMonitor and KernelQueries.

import CLinux
import Wire

/// NUD_*: what the kernel knows of a neighbour's reachability (RFC 4861 7.3.2, and the kernel's additions).
public enum NeighbourState: Hashable, Sendable {
  case none, incomplete, reachable, stale, delay, probe, failed, noARP, permanent
  case unknown(UInt16)

  init(kernelValue: UInt16) {
    self =
      switch kernelValue {
      case 0x00: .none
      case 0x01: .incomplete
      case 0x02: .reachable
      case 0x04: .stale
      case 0x08: .delay
      case 0x10: .probe
      case 0x20: .failed
      case 0x40: .noARP
      case 0x80: .permanent
      default: .unknown(kernelValue)
      }
  }
}

/// A neighbour.
public struct Neighbour: Hashable, Sendable {
  public let interfaceIndex: UInt32
  public let address: IPAddress
  /// nil while it is unknown, or when the link has another kind of address.
  public let macAddress: MACAddress?
  public let state: NeighbourState

  /// Whether frames may be sent to `macAddress` now. A stale entry may be used; who uses it lets the kernel verify it by
  /// `KernelQueries.probe`, because the kernel does not see the traffic.
  public var isUsable: Bool {
    guard macAddress != nil else { return false }
    return switch state {
    case .reachable, .stale, .delay, .probe, .permanent, .noARP: true
    case .none, .incomplete, .failed, .unknown: false
    }
  }
}

extension Neighbour {
  /// ndmsg: family, pad ×3, i32 interface, u16 state, u8 flags, u8 type.
  static let headerByteCount = 12
  /// NTF_PROXY: an address the host answers for, not a neighbour.
  private static let flagProxy: UInt8 = 0x08

  /// This neighbour, when it was told of rather than asked about (KernelEvent.neighbour).
  var asHeard: Neighbour {
    guard state == .incomplete else { return self }
    return Neighbour(interfaceIndex: interfaceIndex, address: address, macAddress: macAddress, state: .failed)
  }

  /// nil for a malformed message, for proxy entries and for a bridge's forwarding entries, which share the message type.
  init?(_ message: NetlinkMessage) {
    guard let family = message.payload.uint8(at: 0).flatMap(AddressFamily.init(kernelValue:)),
      let interfaceIndex = message.payload.uint32(at: 4), let state = message.payload.uint16(at: 8),
      let flags = message.payload.uint8(at: 10), flags & Self.flagProxy == 0,
      message.payload.count >= Self.headerByteCount
    else { return nil }
    var address: IPAddress?
    var macAddress: MACAddress?
    for attribute in message.attributes(after: Self.headerByteCount) {
      switch attribute.type {
      case Int(NDA_DST): address = attribute.value.address(family)
      case Int(NDA_LLADDR): macAddress = attribute.value.macAddress
      default: break
      }
    }
    guard let address else { return nil }
    self.init(
      interfaceIndex: interfaceIndex, address: address, macAddress: macAddress,
      state: NeighbourState(kernelValue: state))
  }
}
