// SPDX-License-Identifier: Apache-2.0
//
// The compiled form of a HeaderTemplate. The header, without the LISP header that differs from packet to packet, stands
// right-aligned at the end of a line, so that it is copied in front of any packet by the same few vector stores, whatever its
// length; what they copy too much falls into the headroom. Over IPv4, and for delivery, fields and header share one line.
//
//     0        16              64 − n                64
//     ├────────┼─────────────────┼───────────────────┤
//     │ fields │                 │ n octets of header│   IPv4 RLOCs, delivery
//     └────────┴─────────────────┴───────────────────┘
//     0        16                               128 − n                     128
//     ├────────┼───────────────────────────────────┼─────────────────────────┤
//     │ fields │                                   │    n octets of header   │   IPv6 RLOCs
//     └────────┴───────────────────────────────────┴─────────────────────────┘
//
// Immutable once its pointer is in a HandleTable; freed after a grace period.

import CLinux
import Wire

/// What the engine needs to know besides the octets.
struct TemplateFields {
  /// The largest inner packet, in bytes.
  var maximumPacket: UInt16
  /// The Ethernet header, in octets: 14 or 18.
  var ethernetByteCount: UInt8
  /// What comes between it and the inner packet: 36 or 56 octets, LISP header included; 0 for delivery.
  var tunnelByteCount: UInt8
  /// 4, 6, or 0 for delivery.
  var tunnelFamily: UInt8
  /// What of the Ethernet header goes out: all, or nothing as long as the next hop's link-layer address is not in.
  var prefixByteCount: UInt8
  /// Transmission on the port, or the slow path's as long as it is not.
  var verdict: Verdict
  /// The sum of the IPv4 header's words with traffic class, length and TTL 0.
  var checksumSeed: UInt32
  /// What the first half of the LISP header holds for this locator: N, E and the nonce, or 0.
  var nonceWord: UInt32
}

/// A pointer to a compiled template.
@safe struct TemplateBlock: @unchecked Sendable {
  static let byteCount = 128

  let base: UnsafeMutableRawPointer

  @unsafe @inline(__always) init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  /// Compiles a template into new memory.
  init(_ template: HeaderTemplate) {
    let octets = template.octets
    let base = UnsafeMutableRawPointer.allocate(byteCount: Self.byteCount, alignment: 64)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: Self.byteCount)
    unsafe self.base = unsafe base
    var seed = InternetChecksum()
    let family = template.tunnel?.source.family
    let isResolved = template.destinationMAC != nil
    let ethernetByteCount = template.ethernet.count
    let tunnelByteCount = family.map { ($0 == .ipv4 ? 20 : 40) + 8 + LISPView.byteCount } ?? 0
    if family == .ipv4 {
      for i in stride(from: ethernetByteCount, to: ethernetByteCount + 20, by: 2) where i != ethernetByteCount + 10 {
        seed.add(UInt16(octets[i]) << 8 | UInt16(octets[i + 1]))
      }
    }
    let fields = TemplateFields(
      maximumPacket: UInt16(clamping: min(template.mtu, 0xFFFF) - tunnelByteCount), ethernetByteCount: UInt8(ethernetByteCount),
      tunnelByteCount: UInt8(tunnelByteCount), tunnelFamily: family?.rawValue ?? 0,
      prefixByteCount: isResolved ? UInt8(ethernetByteCount) : 0,
      verdict: isResolved ? .transmit(template.port) : .punt(family == nil ? .innerNeighbour : .outerNeighbour),
      checksumSeed: UInt32(seed.folded), nonceWord: family == nil ? 0 : template.nonce?.word ?? 0)
    unsafe base.initializeMemory(as: TemplateFields.self, repeating: fields, count: 1)
    let bytes = unsafe PacketBytes(base: base, count: Self.byteCount)
    bytes.store(octets, at: (family == .ipv6 ? 128 : 64) - octets.count)
  }

  /// SAFETY: no reader may hold the block any more.
  @unsafe func deallocate() { unsafe base.deallocate() }

  @inline(__always)
  var fields: TemplateFields {
    // SAFETY: initialised as such by init.
    unsafe base.assumingMemoryBound(to: TemplateFields.self).pointee
  }

  /// Both lines will be read soon: only the fields tell whether there is a second one.
  @inline(__always)
  func prefetch() {
    unsafe clinux_prefetch(base)
    unsafe clinux_prefetch(base + 64)
  }

  /// The line will be read soon. For templates of deliveries.
  @inline(__always)
  func prefetchDelivery() { unsafe clinux_prefetch(base) }

  // SAFETY (all of these): 88 octets before the inner packet belong to its frame: Packet.minimumHeadroom and the Ethernet
  // header that was there.

  /// Copies the header of an IPv4 RLOC so that it ends a LISP header before `packet`; writes 64 octets.
  @inline(__always)
  func copyIPv4Tunnel(before packet: UnsafeMutableRawPointer) {
    for line in 0..<4 { unsafe copy(at: line &* 16, to: packet - 72 + line &* 16) }
  }

  /// Copies the header of an IPv6 RLOC so that it ends a LISP header before `packet`; writes 80 octets.
  @inline(__always)
  func copyIPv6Tunnel(before packet: UnsafeMutableRawPointer) {
    for line in 0..<5 { unsafe copy(at: 48 &+ line &* 16, to: packet - 88 + line &* 16) }
  }

  /// Copies the header of a delivery so that it ends at `packet`; writes 32 octets.
  @inline(__always)
  func copyDelivery(before packet: UnsafeMutableRawPointer) {
    for line in 0..<2 { unsafe copy(at: 32 &+ line &* 16, to: packet - 32 + line &* 16) }
  }

  @unsafe @inline(__always)
  private func copy(at offset: Int, to target: UnsafeMutableRawPointer) {
    let part = unsafe base.load(fromByteOffset: offset, as: SIMD16<UInt8>.self)
    unsafe target.storeBytes(of: part, as: SIMD16<UInt8>.self)
  }
}
