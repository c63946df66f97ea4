// SPDX-License-Identifier: Apache-2.0
//
// Builds the bytes of a control message, most significant octet first. The counterpart of ControlReader.

/// Bytes in the making.
public struct ControlWriter: Sendable {
  public private(set) var bytes: [UInt8] = []

  public init(capacity: Int = 256) { bytes.reserveCapacity(capacity) }

  var count: Int { bytes.count }

  mutating func u8(_ value: UInt8) { bytes.append(value) }

  mutating func u16(_ value: UInt16) {
    bytes.append(UInt8(truncatingIfNeeded: value >> 8))
    bytes.append(UInt8(truncatingIfNeeded: value))
  }

  mutating func u32(_ value: UInt32) {
    u16(UInt16(truncatingIfNeeded: value >> 16))
    u16(UInt16(truncatingIfNeeded: value))
  }

  mutating func u64(_ value: UInt64) {
    u32(UInt32(truncatingIfNeeded: value >> 32))
    u32(UInt32(truncatingIfNeeded: value))
  }

  mutating func append(_ more: [UInt8]) { bytes.append(contentsOf: more) }

  mutating func address(_ address: IPAddress) {
    switch address {
    case .v4(let a): u32(a.rawValue)
    case .v6(let a):
      u64(a.high)
      u64(a.low)
    }
  }

  /// Writes `value` over the two bytes at `offset`, which are there already: lengths and checksums that are known at the end.
  mutating func setU16(_ value: UInt16, at offset: Int) {
    bytes[offset] = UInt8(truncatingIfNeeded: value >> 8)
    bytes[offset + 1] = UInt8(truncatingIfNeeded: value)
  }
}
