// SPDX-License-Identifier: Apache-2.0
//
// The 24-bit instance ID that keeps overlapping EID spaces apart (RFC 9300 section 8).

/// A LISP instance ID: 24 bits. Zero is the default instance and travels without the I bit.
public struct InstanceID: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let rawValue: UInt32

  /// nil when `rawValue` needs more than 24 bits.
  @inlinable public init?(_ rawValue: some BinaryInteger) {
    guard rawValue >= 0, rawValue <= 0xFF_FFFF else { return nil }
    self.rawValue = UInt32(rawValue)
  }

  /// The low 24 bits.
  @inlinable public init(truncating rawValue: UInt32) { self.rawValue = rawValue & 0xFF_FFFF }

  @inlinable public static var zero: InstanceID { InstanceID(truncating: 0) }
  /// 0xFFFFFF carries encapsulated control messages (lispers.net); never delivered (rule D14).
  @inlinable public static var control: InstanceID { InstanceID(truncating: 0xFF_FFFF) }

  @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  public var description: String { String(rawValue) }
}
