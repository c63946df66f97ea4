// SPDX-License-Identifier: Apache-2.0
//
// An Ethernet address (IEEE 802), in the low 48 bits of a number.

/// A 48-bit Ethernet address.
public struct MACAddress: Hashable, Sendable {
  /// The address in the low 48 bits; the first octet on the wire is bits 47–40.
  public let rawValue: UInt64

  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue & 0xFFFF_FFFF_FFFF }

  /// From six octets in wire order; nil for any other count.
  public init?(octets: some Collection<UInt8>) {
    guard octets.count == 6 else { return nil }
    self.init(rawValue: octets.reduce(0) { $0 << 8 | UInt64($1) })
  }

  /// The six octets in wire order.
  public var octets: [UInt8] {
    (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * $0)) }
  }

  /// The group bit: multicast and broadcast.
  @inlinable public var isMulticast: Bool { rawValue >> 40 & 1 == 1 }
}

extension MACAddress: LosslessStringConvertible, CustomStringConvertible {
  /// Six pairs of hexadecimal digits with colons between.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    var octets: [UInt8] = []
    for part in parts {
      guard part.utf8.count == 2, part.isUnsigned, let octet = UInt8(part, radix: 16) else { return nil }
      octets.append(octet)
    }
    self.init(octets: octets)
  }

  public var description: String {
    octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
