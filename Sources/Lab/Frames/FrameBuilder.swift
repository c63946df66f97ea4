// SPDX-License-Identifier: Apache-2.0
//
// Frames byte by byte, right ones and wrong ones. On purpose it shares nothing with Wire: what the router believes about a header must
// not be what the tests believe.

import Wire

public enum FrameBuilder {
  public static func ethernet(
    to destination: MACAddress, from source: MACAddress, type: UInt16, vlans: [UInt16] = [], _ payload: [UInt8]
  ) -> [UInt8] {
    let tags = vlans.flatMap { UInt16(0x8100).bigEndianBytes + $0.bigEndianBytes }
    return destination.octets + source.octets + tags + type.bigEndianBytes + payload
  }

  /// An Ethernet frame around an IP packet; its type by the packet's version nibble.
  public static func frame(to destination: MACAddress, from source: MACAddress, vlans: [UInt16] = [], ip packet: [UInt8]) -> [UInt8] {
    ethernet(to: destination, from: source, type: etherType(packet), vlans: vlans, packet)
  }

  private static func etherType(_ packet: [UInt8]) -> UInt16 { (packet.first ?? 0x40) >> 4 == 6 ? 0x86DD : 0x0800 }

  /// What of an IP header a test may want to say itself.
  public struct IPFields: Sendable {
    public var timeToLive: UInt8 = 64
    /// DSCP and ECN.
    public var trafficClass: UInt8 = 0
    public var identification: UInt16 = 0
    public var flagsAndOffset: UInt16 = 0x4000
    /// The length field's value when it is to lie.
    public var statedByteCount: UInt16?
    /// IPv4 options or IPv6 extension headers, whole; for IPv6 `extensionType` is the type of the first.
    public var extra: [UInt8] = []
    public var extensionType: UInt8?
    /// IPv4 header length nibble when it is to lie.
    public var headerWords: UInt8?
    public init() {}
  }

  public static func ip(
    from source: IPAddress, to destination: IPAddress, protocol number: UInt8, _ fields: IPFields = IPFields(), _ payload: [UInt8]
  ) -> [UInt8] {
    source.family == .ipv4
      ? ipv4(source, destination, number, fields, payload) : ipv6(source, destination, number, fields, payload)
  }

  private static func ipv4(
    _ source: IPAddress, _ destination: IPAddress, _ number: UInt8, _ fields: IPFields, _ payload: [UInt8]
  ) -> [UInt8] {
    let headerCount = 20 + fields.extra.count
    var header: [UInt8] = [0x40 | (fields.headerWords ?? UInt8(headerCount / 4)), fields.trafficClass]
    header += (fields.statedByteCount ?? UInt16(truncatingIfNeeded: headerCount + payload.count)).bigEndianBytes
    header += fields.identification.bigEndianBytes + fields.flagsAndOffset.bigEndianBytes
    header += [fields.timeToLive, number, 0, 0] + source.octets + destination.octets + fields.extra
    header.replaceSubrange(10..<12, with: checksum(header).bigEndianBytes)
    return header + payload
  }

  private static func ipv6(
    _ source: IPAddress, _ destination: IPAddress, _ number: UInt8, _ fields: IPFields, _ payload: [UInt8]
  ) -> [UInt8] {
    var header = (UInt32(6) << 28 | UInt32(fields.trafficClass) << 20).bigEndianBytes
    header += (fields.statedByteCount ?? UInt16(truncatingIfNeeded: fields.extra.count + payload.count)).bigEndianBytes
    header += [fields.extensionType ?? number, fields.timeToLive] + source.octets + destination.octets
    return header + fields.extra + payload
  }

  /// A UDP datagram inside an IP packet, with its checksum (`isChecksummed`) or with 0.
  public static func udp(
    from source: IPAddress, _ sourcePort: UInt16, to destination: IPAddress, _ destinationPort: UInt16,
    _ fields: IPFields = IPFields(), isChecksummed: Bool = true, statedByteCount: UInt16? = nil, _ payload: [UInt8]
  ) -> [UInt8] {
    let byteCount = statedByteCount ?? UInt16(truncatingIfNeeded: 8 + payload.count)
    var datagram = sourcePort.bigEndianBytes + destinationPort.bigEndianBytes + byteCount.bigEndianBytes + [0, 0] + payload
    if isChecksummed {
      let pseudo = source.octets + destination.octets + UInt32(datagram.count).bigEndianBytes + [0, 0, 0, 17]
      let sum = checksum(pseudo + datagram)
      datagram.replaceSubrange(6..<8, with: (sum == 0 ? 0xFFFF : sum).bigEndianBytes)
    }
    return ip(from: source, to: destination, protocol: 17, fields, datagram)
  }

  /// The LISP header (RFC 9300 section 5.1): `flags` is its first octet, N L E V I R K K.
  public static func lisp(flags: UInt8 = 0x08, nonce: UInt32 = 0, instance: UInt32, statusBits: UInt8 = 0) -> [UInt8] {
    (UInt32(flags) << 24 | nonce & 0xFF_FFFF).bigEndianBytes + (instance << 8 | UInt32(statusBits)).bigEndianBytes
  }

  /// The Internet checksum (RFC 1071) of bytes whose checksum field is zero.
  public static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
    }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return ~UInt16(sum)
  }
}
