// SPDX-License-Identifier: Apache-2.0
//
// An address of this host on an interface as rtnetlink describes it (RTM_NEWADDR). Made by KernelMonitor and KernelQueries.

import CLinux
import Wire

/// The IFA_F_* flags of an address that decide whether it may be used.
public struct AddressFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// A further address of the same subnet (IPv4), or a temporary one (IPv6).
  public static let secondary = AddressFlags(rawValue: 0x01)
  /// Duplicate address detection found another owner: not usable.
  public static let duplicate = AddressFlags(rawValue: 0x08)
  /// Its preferred lifetime is over: not for new traffic.
  public static let deprecated = AddressFlags(rawValue: 0x20)
  /// Duplicate address detection has not finished: not usable yet.
  public static let tentative = AddressFlags(rawValue: 0x40)
  /// Without lifetime.
  public static let permanent = AddressFlags(rawValue: 0x80)
}

/// An address of this host.
public struct AddressEntry: Hashable, Sendable {
  public let interfaceIndex: UInt32
  public let address: IPAddress
  public let prefixLength: Int
  /// RT_SCOPE_*: 0 global, 253 link, 254 host.
  public let scope: UInt8
  public let flags: AddressFlags

  /// Whether packets may be sent from it now.
  public var isUsable: Bool { flags.isDisjoint(with: [.tentative, .duplicate]) }
}

extension AddressEntry {
  /// ifaddrmsg: family, prefix length, u8 flags, scope, u32 interface.
  static let headerByteCount = 8

  init?(_ message: NetlinkMessage) {
    guard let family = message.payload.uint8(at: 0).flatMap(AddressFamily.init(kernelValue:)),
      let prefixLength = message.payload.uint8(at: 1), Int(prefixLength) <= family.bitWidth,
      let shortFlags = message.payload.uint8(at: 2), let scope = message.payload.uint8(at: 3),
      let interfaceIndex = message.payload.uint32(at: 4)
    else { return nil }
    var flags = UInt32(shortFlags)
    var local: IPAddress?
    var other: IPAddress?
    for attribute in message.attributes(after: Self.headerByteCount) {
      switch attribute.type {
      case Int(IFA_LOCAL): local = attribute.value.address(family)
      case Int(IFA_ADDRESS): other = attribute.value.address(family)
      case Int(IFA_FLAGS): flags = attribute.value.number32 ?? flags
      default: break
      }
    }
    // On a point-to-point interface IFA_ADDRESS is the peer's, and IFA_LOCAL ours; IPv6 has only IFA_ADDRESS elsewhere.
    guard let address = local ?? other else { return nil }
    self.init(
      interfaceIndex: interfaceIndex, address: address, prefixLength: Int(prefixLength), scope: scope,
      flags: AddressFlags(rawValue: flags))
  }
}
