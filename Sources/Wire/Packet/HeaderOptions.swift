// SPDX-License-Identifier: Apache-2.0
//
// Options and extension headers of a packet that has come to us: may it be taken apart here? Asked by the ETR about outer headers,
// on the cold path: LISP routers send plain headers.

extension IPv4View {
  /// Whether a source route leads on from here, or the options cannot be read (RFC 791 3.1). Options we do not know are ignored
  /// (RFC 1122 3.2.1.8).
  @inline(never)
  public var isRoutedOn: Bool {
    var at = Self.minimumByteCount
    while at < headerByteCount {
      switch bytes.u8(at) {
      case 0: return false
      case 1: at += 1
      case let option:
        guard at + 2 <= headerByteCount else { return true }
        let length = Int(bytes.u8(at + 1))
        guard length >= 2, at + length <= headerByteCount else { return true }
        // Loose and strict source route: the pointer is behind the list when it is used up.
        if option == 131 || option == 137 { guard length >= 3, bytes.u8(at + 2) > length else { return true } }
        at += length
      }
    }
    return false
  }
}

extension IPv6View {
  /// Whether the extension headers before the upper layer forbid to take the packet: hop-by-hop options that are not first, a routing
  /// header with segments left, an option that we do not know and may not skip (RFC 8200 4.1, 4.2, 4.4). For packets
  /// that have an `upperLayer`.
  @inline(never)
  public var isRefusedByExtension: Bool {
    var (header, at) = (nextHeader, Self.byteCount)
    while true {
      var byteCount = 8
      switch IPProtocol(rawValue: header) {
      case .hopByHop, .destinationOptions:
        byteCount = (Int(bytes.u8(at + 1)) + 1) * 8
        let isMisplaced = header == IPProtocol.hopByHop.rawValue && at != Self.byteCount
        if isMisplaced || hasRefusingOption(at + 2, end: at + byteCount) { return true }
      case .routing:
        byteCount = (Int(bytes.u8(at + 1)) + 1) * 8
        if bytes.u8(at + 3) != 0 { return true }
      case .fragment: if bytes.u16(at + 2) & 0xFFF8 != 0 { return false }
      default: return false
      }
      header = bytes.u8(at)
      at += byteCount
    }
  }

  /// The two upper bits of an option's type say whether those who do not know it skip it. We know none but padding.
  private func hasRefusingOption(_ start: Int, end: Int) -> Bool {
    var at = start
    while at < end {
      let type = bytes.u8(at)
      if type == 0 {
        at += 1
        continue
      }
      guard type >> 6 == 0, at + 2 <= end else { return true }
      at += 2 + Int(bytes.u8(at + 1))
    }
    return at > end
  }
}
