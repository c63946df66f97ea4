// SPDX-License-Identifier: Apache-2.0
//
// What the engine reads from a packet before it looks anything up: the flow a packet belongs to, the length it claims.

import Wire

/// Which flow a packet belongs to (rule E3): addresses, protocol and ports of TCP, UDP and SCTP; addresses and protocol of
/// anything else; addresses alone for fragments after the first. The outer source port, the IPv6 flow label and the locator
/// all come from this hash.
enum FlowHash {
  private static let k1: UInt64 = 0x9E37_79B9_7F4A_7C15
  private static let k2: UInt64 = 0xD6E8_FEB8_6659_FD93
  private static let k3: UInt64 = 0xA076_1D64_78BD_642F
  private static let k4: UInt64 = 0xE703_7ED1_A0B4_28DB

  @inline(__always)
  static func of(_ packet: IPv4View) -> UInt32 {
    let addresses = packet.bytes.raw64(12)
    let number = packet.protocolNumber
    if packet.isLaterFragment { return mix(addresses, 0, 0) }
    let header = packet.headerByteCount
    let ports = hasPorts(number) && header &+ 4 <= packet.totalLength ? packet.bytes.raw32(header) : 0
    return mix(addresses, ports, number)
  }

  @inline(__always)
  static func of(_ packet: IPv6View) -> UInt32 {
    let (source, destination) = (packet.rawSource, packet.rawDestination)
    let addresses = fold(source.0 ^ k1, source.1 ^ k2) ^ fold(destination.0 ^ k3, destination.1 ^ k4)
    if hasPorts(packet.nextHeader) {
      return mix(addresses, packet.payloadLength >= 4 ? packet.bytes.raw32(40) : 0, packet.nextHeader)
    }
    return behindExtensions(packet, addresses)
  }

  /// Not TCP, UDP or SCTP at first sight: another protocol, or extension headers.
  @inline(never)
  private static func behindExtensions(_ packet: IPv6View, _ addresses: UInt64) -> UInt32 {
    guard let upper = packet.upperLayer(), !upper.isLaterFragment else { return mix(addresses, 0, 0) }
    let hasRoom = hasPorts(upper.protocolNumber) && upper.offset + 4 <= packet.totalLength
    return mix(addresses, hasRoom ? packet.bytes.raw32(upper.offset) : 0, upper.protocolNumber)
  }

  @inline(__always)
  private static func hasPorts(_ number: UInt8) -> Bool { number == 6 || number == 17 || number == 132 }

  @inline(__always)
  private static func mix(_ addresses: UInt64, _ ports: UInt32, _ number: UInt8) -> UInt32 {
    UInt32(truncatingIfNeeded: fold(addresses ^ k1, (UInt64(ports) << 8 | UInt64(number)) ^ k2))
  }

  /// Both halves of the product: every bit of the one number meets every bit of the other (Wang Yi: wyhash).
  @inline(__always)
  private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }
}

/// The outer UDP source port of a flow: the dynamic range, 49152–65535 (RFC 6335), by 14 bits of the hash.
@inline(__always)
func outerSourcePort(_ hash: UInt32) -> UInt16 { 0xC000 | UInt16(truncatingIfNeeded: hash & 0x3FFF) }
