// SPDX-License-Identifier: Apache-2.0
//
// An IPv4 address (RFC 791), as a number in host byte order. Bytes on the wire are PacketBytes' business.

/// An IPv4 address.
public struct IPv4Address: Hashable, Sendable, Comparable {
  /// The address as a number: 192.0.2.1 is 0xC000_0201.
  public var rawValue: UInt32

  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  @inlinable public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    rawValue = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
  }

  @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

  public static let any = IPv4Address(rawValue: 0)
  public static let broadcast = IPv4Address(rawValue: 0xFFFF_FFFF)

  @inlinable public var isUnspecified: Bool { rawValue == 0 }
  @inlinable public var isLoopback: Bool { rawValue >> 24 == 127 }
  /// 224.0.0.0/4 (RFC 5771).
  @inlinable public var isMulticast: Bool { rawValue >> 28 == 0xE }
  @inlinable public var isBroadcast: Bool { rawValue == 0xFFFF_FFFF }
  /// 169.254.0.0/16 (RFC 3927).
  @inlinable public var isLinkLocal: Bool { rawValue >> 16 == 0xA9FE }

  /// The four octets, most significant first.
  public var octets: [UInt8] {
    [
      UInt8(truncatingIfNeeded: rawValue >> 24), UInt8(truncatingIfNeeded: rawValue >> 16),
      UInt8(truncatingIfNeeded: rawValue >> 8), UInt8(truncatingIfNeeded: rawValue),
    ]
  }
}

extension IPv4Address: LosslessStringConvertible, CustomStringConvertible {
  /// Four decimal octets and nothing else; leading zeros are refused because some readers take them for octal.
  public init?(_ text: some StringProtocol) {
    var value: UInt32 = 0
    var octet: UInt32 = 0
    var digits = 0
    var dots = 0
    for byte in text.utf8 {
      if byte == UInt8(ascii: ".") {
        guard digits > 0, dots < 3 else { return nil }
        value = value << 8 | octet
        (octet, digits, dots) = (0, 0, dots + 1)
      } else {
        guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9"), !(digits > 0 && octet == 0) else { return nil }
        octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
        digits += 1
        guard octet <= 255 else { return nil }
      }
    }
    guard dots == 3, digits > 0 else { return nil }
    rawValue = value << 8 | octet
  }

  public init?(_ description: String) { self.init(description[...]) }

  public var description: String {
    "\(rawValue >> 24).\(rawValue >> 16 & 0xFF).\(rawValue >> 8 & 0xFF).\(rawValue & 0xFF)"
  }
}
