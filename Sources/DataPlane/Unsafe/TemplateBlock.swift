// SPDX-License-Identifier: Apache-2.0
//
// The compiled form of a HeaderTemplate: two cache lines. The header stands right-aligned at the end of the block, so that
// it is copied in front of any packet by the same few vector stores, whatever its length.
//
//     0        16                 48                  64                          128
//     ├────────┼──────────────────┼───────────────────┼─────────────────────────────┤
//     │ fields │                  │  …header of IPv6 RLOCs begins here   … header ends│
//     └────────┴──────────────────┴───────────────────┴─────────────────────────────┘
//
// Immutable once its pointer is in a HandleTable; freed after a grace period.

import Wire

/// What the engine needs to know besides the octets.
public struct TemplateFields {
  /// Octets to put before the packet.
  @usableFromInline var headerByteCount: UInt8
  /// Of these, the Ethernet header: 14 or 18.
  @usableFromInline var ethernetByteCount: UInt8
  /// 4, 6, or 0 for delivery.
  @usableFromInline var tunnelFamily: UInt8
  @usableFromInline var port: UInt8
  /// Whether the next hop's link-layer address is in.
  @usableFromInline var isResolved: Bool
  /// The largest IP packet, in bytes.
  @usableFromInline var mtu: UInt16
  /// The sum of the IPv4 header's words with traffic class, length and TTL 0.
  @usableFromInline var checksumSeed: UInt32
}

/// A pointer to a compiled template.
@safe public struct TemplateBlock: @unchecked Sendable {
  static let byteCount = 128

  @usableFromInline let base: UnsafeMutableRawPointer

  @unsafe @inlinable @inline(__always) init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  /// Compiles a template into new memory.
  init(_ template: HeaderTemplate) {
    let octets = template.octets
    let base = UnsafeMutableRawPointer.allocate(byteCount: Self.byteCount, alignment: 64)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: Self.byteCount)
    unsafe self.base = unsafe base
    var seed = InternetChecksum()
    let ethernetByteCount = template.ethernet.count
    if template.tunnel?.source.family == .ipv4 {
      for i in stride(from: ethernetByteCount, to: ethernetByteCount + 20, by: 2) where i != ethernetByteCount + 10 {
        seed.add(UInt16(octets[i]) << 8 | UInt16(octets[i + 1]))
      }
    }
    let fields = TemplateFields(
      headerByteCount: UInt8(octets.count), ethernetByteCount: UInt8(ethernetByteCount),
      tunnelFamily: template.tunnel?.source.family.rawValue ?? 0, port: template.port, isResolved: template.destinationMAC != nil,
      mtu: UInt16(clamping: template.mtu), checksumSeed: UInt32(seed.folded))
    unsafe base.initializeMemory(as: TemplateFields.self, repeating: fields, count: 1)
    let bytes = unsafe PacketBytes(base: base, count: Self.byteCount)
    bytes.store(octets, at: Self.byteCount - octets.count)
  }

  /// SAFETY: no reader may hold the block any more.
  @unsafe func deallocate() { unsafe base.deallocate() }

  @inlinable @inline(__always)
  var fields: TemplateFields {
    // SAFETY: initialised as such by init.
    unsafe base.assumingMemoryBound(to: TemplateFields.self).pointee
  }

  /// Both lines will be read soon.
  @inlinable @inline(__always)
  func prefetch() {
    unsafe clinux_prefetch(base)
    unsafe clinux_prefetch(base + 64)
  }

  /// Copies the header so that it ends where `packet` begins. Writes 64 or 80 octets, of which only the header matters:
  /// the rest falls into the headroom.
  ///
  /// SAFETY: 80 octets before `packet` belong to its frame (Packet.minimumHeadroom).
  @inlinable @inline(__always)
  func copyHeader(before packet: UnsafeMutableRawPointer, long: Bool) {
    unsafe copy(16, before: packet, at: 64)
    unsafe copy(16, before: packet, at: 80)
    unsafe copy(16, before: packet, at: 96)
    unsafe copy(16, before: packet, at: 112)
    if long { unsafe copy(16, before: packet, at: 48) }
  }

  @unsafe @inlinable @inline(__always)
  func copy(_ byteCount: Int, before packet: UnsafeMutableRawPointer, at offset: Int) {
    let part = unsafe base.load(fromByteOffset: offset, as: SIMD16<UInt8>.self)
    unsafe packet.storeBytes(of: part, toByteOffset: offset - 128, as: SIMD16<UInt8>.self)
  }
}

import CLinux
