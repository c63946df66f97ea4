// SPDX-License-Identifier: Apache-2.0
//
// Explicit congestion notification through a tunnel (RFC 6040, RFC 3168): the two low bits of the traffic class.

/// The ECN field.
public enum ECN: UInt8, Sendable, CaseIterable {
  case notECT = 0b00
  case ect1 = 0b01
  case ect0 = 0b10
  case ce = 0b11

  @inlinable public init(trafficClass: UInt8) {
    switch trafficClass & 3 {
    case 0: self = .notECT
    case 1: self = .ect1
    case 2: self = .ect0
    default: self = .ce
    }
  }

  /// What leaves the tunnel when a packet with `inner` arrives under `outer` (RFC 6040 4.2, figure 4); nil: drop.
  ///
  ///     inner \ outer   Not-ECT   ECT(0)    ECT(1)    CE
  ///     Not-ECT         Not-ECT   Not-ECT   Not-ECT   drop
  ///     ECT(0)          ECT(0)    ECT(0)    ECT(1)    CE
  ///     ECT(1)          ECT(1)    ECT(1)    ECT(1)    CE
  ///     CE              CE        CE        CE        CE
  @inlinable @inline(__always)
  public static func decapsulated(inner: ECN, outer: ECN) -> ECN? {
    if inner == .notECT && outer == .ce { return nil }
    return ECN(trafficClass: UInt8(truncatingIfNeeded: figure >> UInt32(inner.rawValue << 3 | outer.rawValue << 1)))
  }

  /// The figure, two bits each: lines from the right by the inner field's value, columns by the outer one's (0, 1, 2, 3).
  @usableFromInline static let figure: UInt32 = 0b11_11_11_11__11_10_01_10__11_01_01_01__00_00_00_00
}
