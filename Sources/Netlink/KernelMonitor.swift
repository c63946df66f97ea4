// SPDX-License-Identifier: Apache-2.0
//
// Follows the kernel's links, addresses, neighbours, routes and policy rules of both families as rtnetlink events (contract 4).
// The slow path's event loop calls `drain` when `fileDescriptor` is readable.

import CLinux

/// The stream of kernel events. Open it before the first dump, so that no change falls between.
/// Thread: slow path. It watches the network namespace of the thread that made it.
public final class KernelMonitor {
  private static let purpose = "following kernel events (rtnetlink)"
  /// Room for a burst of about 10 000 events: a routing daemon's convergence, an interface with many neighbours.
  public static let defaultReceiveBufferByteCount = 4 << 20

  private let socket: NetlinkSocket
  /// After an overrun: throwing away what is queued, and `overrun` is not reported yet.
  private var isDiscarding = false

  /// The last `drain` stopped at its limit: call it again soon.
  public private(set) var hasMore = false

  /// Non-blocking; readable while events wait (level-triggered). The monitor keeps it.
  public var fileDescriptor: CInt { socket.fileDescriptor }

  public init(receiveBufferByteCount: Int = defaultReceiveBufferByteCount) throws(NetlinkError) {
    socket = try NetlinkSocket(nonBlocking: true, purpose: Self.purpose)
    socket.setReceiveBuffer(byteCount: receiveBufferByteCount)
    for group in [
      RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
      RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP,
    ] {
      do {
        try socket.join(CInt(group.rawValue), purpose: Self.purpose)
      } catch {
        // Kernels before 5.3 have no next-hop objects and so no news of them.
        if group != RTNLGRP_NEXTHOP { throw error }
      }
    }
  }

  /// The events that wait, in order; at most `limit` datagrams are read, so that the caller's other work is not starved.
  /// Throws when the socket itself is broken; lost events are not an error but `.overrun`.
  public func drain(limit: Int = 256) throws(NetlinkError) -> [KernelEvent] {
    var events: [KernelEvent] = []
    hasMore = false
    for _ in 0..<limit {
      switch socket.receive() {
      case .datagram(let bytes):
        if isDiscarding { continue }
        for message in NetlinkMessages(datagram: bytes) {
          if let event = KernelEvent(message) { events.append(event) }
        }
      case .empty:
        if isDiscarding { events = [.overrun] }
        isDiscarding = false
        return events
      case .overrun:
        events = []
        isDiscarding = true
      case .failed(let errno):
        throw .system(purpose: Self.purpose, errno: errno)
      }
    }
    hasMore = true
    return events
  }
}
