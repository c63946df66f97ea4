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
  @inlinable public static func decapsulated(inner: ECN, outer: ECN) -> ECN? {
    switch (inner, outer) {
    case (.notECT, .ce): nil
    case (.notECT, _): .notECT
    case (.ce, _), (_, .ce): .ce
    case (.ect1, _), (_, .ect1): .ect1
    case (.ect0, _): .ect0
    }
  }
}
