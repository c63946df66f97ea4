// SPDX-License-Identifier: Apache-2.0
//
// A captured frame taken apart as far as the tests ask: Ethernet, VLAN tags, IP, UDP, LISP and the packet inside. Independent of Wire
// for the same reason as `FrameBuilder`.

import Wire

/// One IP header and what is behind it.
public struct DecodedPacket: Sendable {
  public let bytes: [UInt8]
  public let source: IPAddress
  public let destination: IPAddress
  public let timeToLive: UInt8
  /// DSCP and ECN.
  public let trafficClass: UInt8
  /// IPv4 only, as everything about fragments.
  public let identification: UInt16
  public let doNotFragment: Bool
  public let protocolNumber: UInt8
  /// The IPv6 flow label.
  public let flowLabel: UInt32
  public let isChecksumRight: Bool
  public let payload: [UInt8]

  public var dscp: UInt8 { trafficClass >> 2 }
  public var ecn: UInt8 { trafficClass & 3 }

  /// nil unless the bytes hold a whole packet; what lies behind it is cut.
  public init?(_ bytes: some Collection<UInt8>) {
    let all = Array(bytes)
    guard let first = all.first else { return nil }
    switch first >> 4 {
    case 4:
      let headerCount = Int(first & 15) * 4
      guard all.count >= 20, headerCount >= 20, all.count >= headerCount else { return nil }
      let total = all.number(2, 2)
      guard total >= headerCount, total <= all.count, let from = IPAddress(octets: all[12..<16]), let to = IPAddress(octets: all[16..<20])
      else { return nil }
      self.bytes = Array(all[..<total])
      (source, destination) = (from, to)
      (timeToLive, trafficClass, protocolNumber) = (all[8], all[1], all[9])
      identification = UInt16(all.number(4, 2))
      doNotFragment = all[6] & 0x40 != 0
      flowLabel = 0
      isChecksumRight = FrameBuilder.checksum(Array(all[..<headerCount])) == 0
      payload = Array(all[headerCount..<total])
    case 6:
      guard all.count >= 40 else { return nil }
      let total = 40 + all.number(4, 2)
      guard total <= all.count, let from = IPAddress(octets: all[8..<24]), let to = IPAddress(octets: all[24..<40]) else { return nil }
      self.bytes = Array(all[..<total])
      (source, destination) = (from, to)
      (timeToLive, protocolNumber) = (all[7], all[6])
      trafficClass = UInt8(all.number(0, 2) >> 4 & 0xFF)
      (identification, doNotFragment, isChecksumRight) = (0, true, true)
      flowLabel = UInt32(all.number(0, 4) & 0xFFFFF)
      payload = Array(all[40..<total])
    default: return nil
    }
  }

  // MARK: UDP

  public var isUDP: Bool { protocolNumber == 17 && payload.count >= 8 }
  public var sourcePort: UInt16 { isUDP ? UInt16(payload.number(0, 2)) : 0 }
  public var destinationPort: UInt16 { isUDP ? UInt16(payload.number(2, 2)) : 0 }
  public var udpByteCount: Int { isUDP ? payload.number(4, 2) : 0 }
  public var udpChecksum: UInt16 { isUDP ? UInt16(payload.number(6, 2)) : 0 }
  public var udpPayload: [UInt8] { isUDP ? Array(payload[8...]) : [] }

  // MARK: ICMP

  /// ICMP and ICMPv6 alike: type and code.
  public var icmp: (type: UInt8, code: UInt8)? {
    guard protocolNumber == 1 || protocolNumber == 58, payload.count >= 8 else { return nil }
    return (payload[0], payload[1])
  }
}

public struct DecodedFrame: Sendable {
  public let bytes: [UInt8]
  public let destination: MACAddress
  public let source: MACAddress
  public let vlans: [UInt16]
  public let type: UInt16
  /// nil when it is not IP.
  public let ip: DecodedPacket?

  public init?(_ bytes: [UInt8]) {
    guard bytes.count >= 14, let to = MACAddress(octets: bytes[0..<6]), let from = MACAddress(octets: bytes[6..<12]) else { return nil }
    self.bytes = bytes
    (destination, source) = (to, from)
    var offset = 12
    var tags: [UInt16] = []
    while bytes.count >= offset + 6, [0x8100, 0x88A8].contains(bytes.number(offset, 2)) {
      tags.append(UInt16(bytes.number(offset + 2, 2)) & 0xFFF)
      offset += 4
    }
    vlans = tags
    type = UInt16(bytes.number(offset, 2))
    ip = type == 0x0800 || type == 0x86DD ? DecodedPacket(bytes[(offset + 2)...]) : nil
  }

  /// The LISP header and the packet in it, when this is LISP data.
  public var lisp: DecodedLISP? {
    guard let ip, ip.isUDP, ip.destinationPort == 4341 else { return nil }
    return DecodedLISP(outer: ip)
  }
}

/// LISP data: RFC 9300 section 5.1.
public struct DecodedLISP: Sendable {
  public let outer: DecodedPacket
  public let flags: UInt8
  public let nonce: UInt32
  public let instance: UInt32
  public let statusBits: UInt8
  public let inner: DecodedPacket

  init?(outer: DecodedPacket) {
    let bytes = outer.udpPayload
    guard bytes.count > 8, let inner = DecodedPacket(bytes[8...]) else { return nil }
    self.outer = outer
    self.inner = inner
    flags = bytes[0]
    nonce = UInt32(bytes.number(1, 3))
    instance = UInt32(bytes.number(4, 3))
    statusBits = bytes[7]
  }
}

extension [UInt8] {
  /// A number in network byte order.
  func number(_ offset: Int, _ byteCount: Int) -> Int { self[offset..<offset + byteCount].reduce(0) { $0 << 8 | Int($1) } }
}
