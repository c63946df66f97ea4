// SPDX-License-Identifier: Apache-2.0
//
// UDP packets of both families for the tests of what goes through the kernel.

import Wire

/// A UDP packet; all numbers as they stand on the wire.
struct TestPacket {
  var source: IPAddress
  var destination: IPAddress
  var ttl: UInt8 = 64
  var trafficClass: UInt8 = 0
  var identification: UInt16 = 0
  var dontFragment = true
  var flowLabel: UInt32 = 0
  var sourcePort: UInt16 = 50_000
  var destinationPort: UInt16 = 4341
  var payload: [UInt8] = Array("two sites talk".utf8)

  /// The packet with a UDP checksum of 0.
  var bytes: [UInt8] {
    let udp = sourcePort.wire + destinationPort.wire + UInt16(8 + payload.count).wire + [0, 0] + payload
    switch source.family {
    case .ipv4:
      var header: [UInt8] = [0x45, trafficClass] + UInt16(20 + udp.count).wire + identification.wire
      header += (dontFragment ? 0x4000 : 0 as UInt16).wire + [ttl, 17, 0, 0] + source.octets + destination.octets
      header.replaceSubrange(10..<12, with: (~Self.sum(header)).wire)
      return header + udp
    case .ipv6:
      let first = UInt32(6) << 28 | UInt32(trafficClass) << 20 | flowLabel
      return UInt16(first >> 16).wire + UInt16(first & 0xFFFF).wire + UInt16(udp.count).wire + [17, ttl]
        + source.octets + destination.octets + udp
    }
  }

  /// One's-complement sum (RFC 1071).
  static func sum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for i in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt32(bytes[i]) << 8 | (i + 1 < bytes.count ? UInt32(bytes[i + 1]) : 0)
    }
    while sum > 0xFFFF { sum = sum >> 16 + sum & 0xFFFF }
    return UInt16(sum)
  }
}

extension UInt16 {
  fileprivate var wire: [UInt8] { [UInt8(self >> 8), UInt8(self & 0xFF)] }
}
