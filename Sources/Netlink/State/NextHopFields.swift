// SPDX-License-Identifier: Apache-2.0
//
// The attributes that make a next hop. They stand directly in a route, or once per entry of its RTA_MULTIPATH. Used by Route.

import CLinux
import Wire

/// A next hop while its attributes are read.
struct NextHopFields {
  /// RTNH_F_DEAD, in rtm_flags and rtnh_flags alike. RTNH_F_LINKDOWN alone does not stop the kernel from using a next hop;
  /// where it is told to (ignore_routes_with_linkdown), it sets both.
  private static let flagDead: UInt32 = 0x01
  /// rtnexthop: u16 length, u8 flags, u8 weight − 1, i32 interface.
  private static let headerByteCount = 8

  var flags: UInt32
  var weight = 1
  var interfaceIndex: UInt32?
  var gateway: IPAddress?
  var isEncapsulated = false

  init(flags: UInt32) { self.flags = flags }

  mutating func take(_ attribute: NetlinkAttribute, _ family: AddressFamily) {
    switch attribute.type {
    case Int(RTA_OIF.rawValue): interfaceIndex = attribute.value.number32
    case Int(RTA_GATEWAY.rawValue): gateway = attribute.value.address(family)
    case Int(RTA_VIA.rawValue): gateway = Self.via(attribute.value)
    case Int(RTA_ENCAP_TYPE.rawValue): isEncapsulated = attribute.value.number16.map { $0 != 0 } ?? false
    default: break
    }
  }

  /// nil when no interface was named.
  var nextHop: NextHop? {
    guard let interfaceIndex else { return nil }
    return NextHop(
      interfaceIndex: interfaceIndex, gateway: gateway, weight: weight, isDead: flags & Self.flagDead != 0,
      isEncapsulated: isEncapsulated)
  }

  /// The value of RTA_MULTIPATH: next hops one behind the other. Ends at the first whose length is impossible.
  static func list(_ bytes: NetlinkBytes, _ family: AddressFamily) -> [NextHop] {
    var result: [NextHop] = []
    var offset = 0
    while let length = bytes.uint16(at: offset), length >= headerByteCount, let flags = bytes.uint8(at: offset + 2),
      let hops = bytes.uint8(at: offset + 3), let interfaceIndex = bytes.uint32(at: offset + 4),
      let rest = bytes.range(from: offset + headerByteCount, count: Int(length) - headerByteCount)
    {
      var fields = NextHopFields(flags: UInt32(flags))
      fields.weight = Int(hops) + 1
      fields.interfaceIndex = interfaceIndex
      for attribute in NetlinkAttributes(rest) { fields.take(attribute, family) }
      if let hop = fields.nextHop { result.append(hop) }
      offset += Int(length).roundedUpToFour
    }
    return result
  }

  /// rtvia: u16 family, then the address.
  private static func via(_ bytes: NetlinkBytes) -> IPAddress? {
    guard let family = bytes.uint16(at: 0).flatMap({ AddressFamily(kernelValue: UInt8(truncatingIfNeeded: $0)) }) else {
      return nil
    }
    return bytes.suffix(from: 2)?.address(family)
  }
}
