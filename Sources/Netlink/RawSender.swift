// SPDX-License-Identifier: Apache-2.0
//
// Sends complete outer packets as the host's own: those whose next hop's neighbour was not yet known. The kernel resolves the
// neighbour and keeps the packet until it answers. Called by the slow path for punted outer packets.

import CLinux
import Glibc
import Wire

/// What became of a packet.
public enum SendResult: Hashable, Sendable {
  /// The kernel has it, sent or waiting for its neighbour.
  case sent
  /// No room now: too many wait.
  case full
  /// Larger than the interface or the path takes (EMSGSIZE).
  case tooBig
  /// No route, a source that is not ours, a firewall's refusal …
  case unroutable(errno: CInt)
  /// Not an IPv4 or IPv6 packet of the length it claims, or of a family that the kernel does not have.
  case malformed
}

/// Two raw sockets, one per family. Sent unchanged: TTL, DSCP and ECN, the IPv4 identification (0 stays 0 under DF; without DF
/// the kernel replaces 0), DF, the IPv6 flow label, and everything behind the IP header, so a UDP checksum of 0 remains 0. The kernel
/// itself writes the IPv4 total length and header checksum.
/// Thread: slow path. Packets leave from the network namespace of the thread that made it.
public struct RawSender: ~Copyable {
  private static let ipv4HeaderByteCount = 20
  private static let ipv6HeaderByteCount = 40

  private let ipv4: OwnedDescriptor
  /// nil when the kernel has no IPv6.
  private let ipv6: OwnedDescriptor?

  /// `sendBufferByteCount` bounds what may wait for neighbours; nil leaves it to the kernel.
  public init(sendBufferByteCount: Int? = nil) throws(NetlinkError) {
    guard let ipv4 = OwnedDescriptor.rawSocket(AF_INET) else {
      throw .system(purpose: "opening a raw IPv4 socket", errno: errno)
    }
    let ipv6 = OwnedDescriptor.rawSocket(AF_INET6)
    if ipv6 == nil, errno != EAFNOSUPPORT { throw .system(purpose: "opening a raw IPv6 socket", errno: errno) }
    if let sendBufferByteCount {
      _ = ipv4.setOption(SOL_SOCKET, SO_SNDBUF, CInt(clamping: sendBufferByteCount))
      _ = ipv6?.setOption(SOL_SOCKET, SO_SNDBUF, CInt(clamping: sendBufferByteCount))
    }
    self.ipv4 = ipv4
    self.ipv6 = ipv6
  }

  /// Sends a complete IP packet from one of the host's addresses, without blocking.
  public func send(_ packet: Span<UInt8>) -> SendResult {
    guard packet.count >= Self.ipv4HeaderByteCount else { return .malformed }
    let error: CInt
    switch packet[0] >> 4 {
    case 4:
      guard packet[0] & 0xF >= 5, Int(packet[2]) << 8 | Int(packet[3]) == packet.count else { return .malformed }
      error = ipv4.sendIPv4(packet)
    case 6:
      guard packet.count >= Self.ipv6HeaderByteCount,
        Int(packet[4]) << 8 | Int(packet[5]) == packet.count - Self.ipv6HeaderByteCount,
        let result = ipv6?.sendIPv6(packet)
      else { return .malformed }
      error = result
    default: return .malformed
    }
    return switch error {
    case 0: .sent
    case EAGAIN, ENOBUFS, ENOMEM: .full
    case EMSGSIZE: .tooBig
    default: .unroutable(errno: error)
    }
  }
}
