// SPDX-License-Identifier: Apache-2.0
//
// The UDP header (RFC 768), and the ports of LISP (RFC 9300 14.1, RFC 9301 12.1).
//
//    ├───────────────────────────────┼───────────────────────────────┤ 0
//    │          source port          │       destination port        │
//    ├───────────────────────────────┼───────────────────────────────┤ 4
//    │            length             │           checksum            │
//    └───────────────────────────────┴───────────────────────────────┘ 8

/// UDP ports that LISP owns.
public enum LISPPort {
  public static let data: UInt16 = 4341
  public static let control: UInt16 = 4342
}

/// A view on a UDP datagram whose length lies within the bytes.
public struct UDPView: Sendable {
  public static let byteCount = 8

  public let bytes: PacketBytes

  /// nil when there are fewer than 8 bytes or the length field disagrees with them.
  @inlinable @inline(__always)
  public init?(_ bytes: PacketBytes) {
    guard bytes.count >= Self.byteCount else { return nil }
    self.bytes = bytes
    let length = Int(bytes.u16(4))
    guard length >= Self.byteCount, length <= bytes.count else { return nil }
  }

  @inlinable @inline(__always) public var sourcePort: UInt16 { bytes.u16(0) }
  @inlinable @inline(__always) public var destinationPort: UInt16 { bytes.u16(2) }
  /// Header and payload, in bytes.
  @inlinable @inline(__always) public var length: Int { Int(bytes.u16(4)) }
  @inlinable @inline(__always) public var checksum: UInt16 { bytes.u16(6) }
}

/// A UDP header as a value.
public struct UDPHeader: Equatable, Sendable {
  public var sourcePort: UInt16
  public var destinationPort: UInt16
  /// Header and payload, in bytes.
  public var length: UInt16
  public var checksum: UInt16 = 0

  public init(sourcePort: UInt16, destinationPort: UInt16, payloadLength: Int = 0) {
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    length = UInt16(clamping: 8 + payloadLength)
  }

  /// Throws `.truncated` or `.invalid`.
  public init(parsing bytes: PacketBytes) throws(WireError) {
    guard bytes.count >= 8 else { throw .truncated(.udp, needed: 8, available: bytes.count) }
    guard let view = UDPView(bytes) else { throw .invalid(.udp, field: "length", value: UInt64(bytes.u16(4))) }
    sourcePort = view.sourcePort
    destinationPort = view.destinationPort
    length = UInt16(view.length)
    checksum = view.checksum
  }

  /// 8 octets.
  public var array: [UInt8] { sourcePort.octets + destinationPort.octets + length.octets + checksum.octets }
}
