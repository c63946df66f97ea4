// SPDX-License-Identifier: Apache-2.0
//
// Holds the ICMP listener for the router, which is an actor and keeps references.

import Netlink
import Wire

/// Thread: slow path.
final class UnreachableListener {
  private let listener: ICMPListener

  init() throws(NetlinkError) { listener = try ICMPListener() }

  /// Readable when there is something to `receive`.
  var fileDescriptors: [CInt] { listener.fileDescriptors }

  func receive() -> [ICMPUnreachable] { listener.receive() }
}
