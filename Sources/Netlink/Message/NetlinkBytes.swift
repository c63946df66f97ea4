// SPDX-License-Identifier: Apache-2.0
//
// Bytes of a netlink message that cannot be read out of bounds: every read of a short message is nil. All parsers of this
// module read through it, so a truncated or hostile message is ignored and never trusted.

import Wire

/// A view over some bytes of a received datagram. Offsets count from the view's first byte.
struct NetlinkBytes {
  private let bytes: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  var count: Int { bytes.count }

  /// The byte at `offset`.
  func uint8(at offset: Int) -> UInt8? {
    guard offset >= 0, offset < bytes.count else { return nil }
    return bytes[bytes.startIndex + offset]
  }

  /// Netlink headers and numbers are in the host's byte order.
  func uint16(at offset: Int) -> UInt16? {
    guard offset >= 0, offset <= bytes.count - 2 else { return nil }
    let start = bytes.startIndex + offset
    return UInt16(littleEndian: UInt16(bytes[start]) | UInt16(bytes[start + 1]) << 8)
  }

  func uint32(at offset: Int) -> UInt32? {
    guard offset >= 0, offset <= bytes.count - 4 else { return nil }
    let start = bytes.startIndex + offset
    return UInt32(
      littleEndian: UInt32(bytes[start]) | UInt32(bytes[start + 1]) << 8 | UInt32(bytes[start + 2]) << 16
        | UInt32(bytes[start + 3]) << 24)
  }

  /// An attribute's whole value as a number: its first bytes, as the kernel's own readers do.
  var number8: UInt8? { uint8(at: 0) }
  var number16: UInt16? { uint16(at: 0) }
  var number32: UInt32? { uint32(at: 0) }

  /// The text up to the first zero byte or the end.
  var text: String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }

  /// An address of exactly this family's length; nil for any other length.
  func address(_ family: AddressFamily) -> IPAddress? {
    bytes.count == family.byteCount ? IPAddress(octets: bytes) : nil
  }

  /// An Ethernet address; nil when the link layer has another kind of address.
  var macAddress: MACAddress? { MACAddress(octets: bytes) }

  /// `count` bytes from `offset` on.
  func range(from offset: Int, count: Int) -> NetlinkBytes? {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else { return nil }
    let start = bytes.startIndex + offset
    return NetlinkBytes(bytes[start..<start + count])
  }

  /// Everything from `offset` on.
  func suffix(from offset: Int) -> NetlinkBytes? { range(from: offset, count: bytes.count - offset) }
}

extension AddressFamily {
  /// AF_INET or AF_INET6, as netlink headers carry it.
  var kernelValue: UInt8 {
    switch self {
    case .ipv4: 2
    case .ipv6: 10
    }
  }

  /// nil for the kernel's other families (AF_BRIDGE, multicast routing …), whose messages are not ours.
  init?(kernelValue: UInt8) {
    switch kernelValue {
    case 2: self = .ipv4
    case 10: self = .ipv6
    default: return nil
    }
  }
}
