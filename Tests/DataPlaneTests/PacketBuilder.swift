// SPDX-License-Identifier: Apache-2.0
//
// Packets octet by octet, written from the RFCs and not with Wire's emitters: what the engine's output is compared with. Every
// field can lie.

import Wire

/// Octets, most significant first.
func big(_ value: some FixedWidthInteger) -> [UInt8] {
  stride(from: value.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
}

/// The octets of an address given as text; none when it is not one.
func address(_ text: String) -> [UInt8] { IPAddress(text)?.octets ?? [] }

/// RFC 1071: the ones' complement of the ones'-complement sum.
func checksum(_ octets: [UInt8]) -> UInt16 {
  var sum: UInt32 = 0
  for i in stride(from: 0, to: octets.count, by: 2) {
    sum += UInt32(octets[i]) << 8 | (i + 1 < octets.count ? UInt32(octets[i + 1]) : 0)
    if sum > 0xFFFF { sum = (sum & 0xFFFF) + 1 }
  }
  return ~UInt16(sum)
}

/// An IP packet of the family its addresses have (RFC 791, RFC 8200).
struct IPPacket {
  var source: String
  var destination: String
  var protocolNumber: UInt8 = 17
  var timeToLive: UInt8 = 64
  var trafficClass: UInt8 = 0
  var payload: [UInt8] = []

  // IPv4 alone
  var identification: UInt16 = 0x1234
  /// Flags and fragment offset.
  var fragmentWord: UInt16 = 0x4000
  var options: [UInt8] = []
  var headerChecksum: UInt16?
  // IPv6 alone
  var flowLabel: UInt32 = 0

  /// Total length (IPv4) or payload length (IPv6), when it is to lie.
  var length: UInt16?

  var isIPv6: Bool { source.contains(":") }

  var octets: [UInt8] { isIPv6 ? ipv6 : ipv4 }

  private var ipv4: [UInt8] {
    let total = length ?? UInt16(20 + options.count + payload.count)
    var header = [0x45 + UInt8(options.count / 4), trafficClass] + big(total) + big(identification) + big(fragmentWord)
    header += [timeToLive, protocolNumber, 0, 0] + address(source) + address(destination) + options
    header.replaceSubrange(10..<12, with: big(headerChecksum ?? checksum(header)))
    return header + payload
  }

  private var ipv6: [UInt8] {
    let first: UInt32 = 6 << 28 | UInt32(trafficClass) << 20 | flowLabel
    return big(first) + big(length ?? UInt16(payload.count)) + [protocolNumber, timeToLive] + address(source) + address(destination)
      + payload
  }

  /// One hop later.
  var decremented: IPPacket {
    var packet = self
    packet.timeToLive -= 1
    return packet
  }
}

/// A UDP datagram (RFC 768).
struct UDPDatagram {
  var sourcePort: UInt16
  var destinationPort: UInt16
  var payload: [UInt8] = []
  var checksum: UInt16 = 0
  var length: UInt16?

  var octets: [UInt8] { big(sourcePort) + big(destinationPort) + big(length ?? UInt16(8 + payload.count)) + big(checksum) + payload }

  /// With the checksum over the pseudo-header (RFC 768, RFC 8200 8.1).
  func summed(_ source: String, _ destination: String) -> UDPDatagram {
    var datagram = self
    datagram.checksum = 0
    let octets = datagram.octets
    let pseudo = address(source) + address(destination) + big(UInt32(octets.count)) + big(UInt32(17))
    let sum = DataPlaneTests.checksum(pseudo + octets)
    datagram.checksum = sum == 0 ? 0xFFFF : sum
    return datagram
  }
}

/// An encapsulated packet (RFC 9300 5.1, 5.2).
struct LISPPacket {
  var outer: IPPacket
  var sourcePort: UInt16 = 0xC123
  var destinationPort: UInt16 = 4341
  var udpChecksum: UInt16 = 0
  var udpLength: UInt16?
  /// The LISP header's eight octets.
  var header: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
  var inner: [UInt8]

  init(_ source: String, _ destination: String, instance: UInt32 = 0, _ inner: IPPacket) {
    outer = IPPacket(source: source, destination: destination)
    self.inner = inner.octets
    if instance != 0 { header = [0x08, 0, 0, 0] + big(instance << 8) }
  }

  var datagram: UDPDatagram {
    UDPDatagram(
      sourcePort: sourcePort, destinationPort: destinationPort, payload: header + inner, checksum: udpChecksum, length: udpLength)
  }

  var octets: [UInt8] {
    var packet = outer
    packet.payload += datagram.octets  // behind extension headers, if there are any
    return packet.octets
  }

  /// With a right UDP checksum.
  var summed: LISPPacket {
    var packet = self
    packet.udpChecksum = datagram.summed(outer.source, outer.destination).checksum
    return packet
  }
}

/// Ethernet frames (IEEE 802.3, 802.1Q).
enum Frame {
  static let host: UInt64 = 0x0200_0000_0A01
  static let router: UInt64 = 0x0200_0000_0A02

  /// Around an IP packet; the type follows its version.
  static func of(_ packet: [UInt8], vlan: UInt16? = nil, type: UInt16? = nil, to destination: UInt64 = router, from source: UInt64 = host)
    -> [UInt8]
  {
    let type = type ?? ((packet.first ?? 0) >> 4 == 6 ? 0x86DD : 0x0800)
    return big(destination)[2...] + big(source)[2...] + (vlan.map { [0x81, 0x00] + big($0) } ?? []) + big(type) + packet
  }
}
