// SPDX-License-Identifier: Apache-2.0
//
// A next-hop object (`ip nexthop`), which routes may name in place of next hops of their own. Asked for by KernelQueries.

import CLinux
import Wire

/// A next-hop object (RTM_NEWNEXTHOP): a next hop, or a group of others.
struct NextHopObject {
  /// nhmsg: family, scope, protocol, reserved, u32 flags.
  static let headerByteCount = 8
  /// nexthop_grp: u32 id, u8 weight − 1, reserved ×3.
  private static let memberByteCount = 8

  private(set) var fields: NextHopFields
  private(set) var members: [(id: UInt32, weight: Int)] = []

  init?(_ message: NetlinkMessage) {
    guard let family = message.payload.uint8(at: 0), let flags = message.payload.uint32(at: 4) else { return nil }
    fields = NextHopFields(flags: flags)
    for attribute in message.attributes(after: Self.headerByteCount) {
      switch attribute.type {
      case Int(NHA_OIF): fields.interfaceIndex = attribute.value.number32
      case Int(NHA_ENCAP_TYPE): fields.isEncapsulated = attribute.value.number16.map { $0 != 0 } ?? false
      case Int(NHA_GATEWAY):
        fields.gateway = AddressFamily(kernelValue: family).flatMap { attribute.value.address($0) }
      case Int(NHA_GROUP):
        for offset in stride(from: 0, to: attribute.value.count, by: Self.memberByteCount) {
          guard let id = attribute.value.uint32(at: offset), let weight = attribute.value.uint8(at: offset + 4) else { break }
          members.append((id, Int(weight) + 1))
        }
      default: break
      }
    }
  }
}
