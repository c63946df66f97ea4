// SPDX-License-Identifier: Apache-2.0
//
// The frame of netlink: a datagram holds messages, a message a fixed header and attributes, an attribute may nest more of
// them (RFC 3549 section 2; the kernel's Documentation/userspace-api/netlink). Read by KernelMonitor and KernelQueries.
//
//    0                   1                   2                   3
//   |                       length (header included)                |   nlmsghdr, 16 bytes, host byte order
//   |             type              |             flags             |
//   |                           sequence                            |
//   |                            port id                            |
//
//   |        length (header)        |             type              |   rtattr, 4 bytes, then the value, padded to 4

/// One netlink message.
struct NetlinkMessage {
  static let headerByteCount = 16

  let type: UInt16
  let flags: UInt16
  let sequence: UInt32
  /// What follows the netlink header: the type's own fixed header, then attributes.
  let payload: NetlinkBytes

  /// The attributes behind a fixed header of `headerByteCount` bytes.
  func attributes(after headerByteCount: Int) -> NetlinkAttributes {
    NetlinkAttributes(payload.suffix(from: headerByteCount.roundedUpToFour))
  }
}

/// The messages of a datagram. Ends at the first one whose length is impossible.
struct NetlinkMessages: Sequence, IteratorProtocol {
  private let bytes: NetlinkBytes
  private var offset = 0

  init(datagram: ArraySlice<UInt8>) { bytes = NetlinkBytes(datagram) }

  mutating func next() -> NetlinkMessage? {
    guard let length = bytes.uint32(at: offset), length >= NetlinkMessage.headerByteCount,
      let type = bytes.uint16(at: offset + 4), let flags = bytes.uint16(at: offset + 6),
      let sequence = bytes.uint32(at: offset + 8),
      let payload = bytes.range(
        from: offset + NetlinkMessage.headerByteCount, count: Int(length) - NetlinkMessage.headerByteCount)
    else { return nil }
    offset += Int(length).roundedUpToFour
    return NetlinkMessage(type: type, flags: flags, sequence: sequence, payload: payload)
  }
}

/// One attribute: its type without the flag bits, and its value.
struct NetlinkAttribute {
  let type: Int
  let value: NetlinkBytes

  /// The attributes nested in this one.
  var nested: NetlinkAttributes { NetlinkAttributes(value) }
}

/// A run of attributes. Ends at the first one whose length is impossible.
struct NetlinkAttributes: Sequence, IteratorProtocol {
  /// NLA_TYPE_MASK: the two high bits say "nested" and "network byte order".
  private static let typeMask: UInt16 = 0x3FFF

  private let bytes: NetlinkBytes?
  private var offset = 0

  /// nil bytes (a message too short for its fixed header) are no attributes.
  init(_ bytes: NetlinkBytes?) { self.bytes = bytes }

  mutating func next() -> NetlinkAttribute? {
    guard let bytes, let length = bytes.uint16(at: offset), length >= 4, let type = bytes.uint16(at: offset + 2),
      let value = bytes.range(from: offset + 4, count: Int(length) - 4)
    else { return nil }
    offset += Int(length).roundedUpToFour
    return NetlinkAttribute(type: Int(type & Self.typeMask), value: value)
  }
}

extension Int {
  /// Netlink aligns messages, headers and attributes to four bytes.
  var roundedUpToFour: Int { (self + 3) & ~3 }
}
