// SPDX-License-Identifier: Apache-2.0
//
// Hears the ICMP destination-unreachable messages that this host gets: those about our encapsulated packets have no socket of their own that
// the kernel could tell. The slow path reads it when its descriptors are readable.

import CLinux
import Glibc
import Wire

/// Two raw sockets, one per family, that let nothing but destination-unreachable messages through.
/// Thread: slow path. Hears the network namespace of the thread that made it.
public struct ICMPListener: ~Copyable {
  private let ipv4: OwnedDescriptor
  /// nil when the kernel has no IPv6.
  private let ipv6: OwnedDescriptor?
  // linux/icmp.h, linux/icmpv6.h: a set bit keeps the type out.
  private static let ipv4FilterOption: CInt = 1
  private static let ipv6FilterOption: CInt = 1
  private static let unreachableIPv4: UInt32 = 3
  private static let unreachableIPv6: UInt32 = 1

  public init() throws(NetlinkError) {
    guard let ipv4 = OwnedDescriptor.rawSocket(AF_INET, CInt(IPPROTO_ICMP)) else {
      throw .system(purpose: "opening a raw ICMP socket", errno: errno)
    }
    let ipv6 = OwnedDescriptor.rawSocket(AF_INET6, CInt(IPPROTO_ICMPV6))
    if ipv6 == nil, errno != EAFNOSUPPORT { throw .system(purpose: "opening a raw ICMPv6 socket", errno: errno) }
    let code = ipv4.setOption(SOL_RAW, Self.ipv4FilterOption, words: [~(1 << Self.unreachableIPv4)])
    guard code == 0 else { throw .system(purpose: "filtering ICMP", errno: code) }
    if let code = ipv6?.setOption(
      CInt(IPPROTO_ICMPV6), Self.ipv6FilterOption, words: [~(1 << Self.unreachableIPv6)] + Array(repeating: ~0, count: 7)),
      code != 0
    {
      throw .system(purpose: "filtering ICMPv6", errno: code)
    }
    self.ipv4 = ipv4
    self.ipv6 = ipv6
  }

  /// Readable when there is something to `receive`.
  public var fileDescriptors: [CInt] { [ipv4.number(), ipv6?.number()].compactMap(\.self) }

  /// The messages that wait, at most `limit` of each family: what quotes no UDP packet is left out.
  public func receive(limit: Int = 64) -> [ICMPUnreachable] {
    var found: [ICMPUnreachable] = []
    for _ in 0..<limit {
      guard let packet = ipv4.read(limit: 1500) else { break }
      // An IPv4 raw socket gives the IP header, too; an IPv6 one does not.
      let headerByteCount = Int(packet.first ?? 0) % 16 * 4
      guard headerByteCount < packet.count else { continue }
      found += Self.unreachable(Array(packet.dropFirst(headerByteCount)), .ipv4)
    }
    for _ in 0..<limit {
      guard let message = ipv6?.read(limit: 1500) else { break }
      found += Self.unreachable(message, .ipv6)
    }
    return found
  }

  private static func unreachable(_ message: [UInt8], _ family: AddressFamily) -> [ICMPUnreachable] {
    PacketBuffer(message).withBytes { ICMPUnreachable($0, family: family) }.map { [$0] } ?? []
  }
}

extension OwnedDescriptor {
  /// A property cannot be asked of an optional one without consuming it.
  fileprivate func number() -> CInt { rawValue }
}
