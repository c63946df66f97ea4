// SPDX-License-Identifier: Apache-2.0
//
// A cursor over the bytes of a control message: every format of this folder reads through it. A read beyond the end throws and names the
// format that wanted the bytes; nothing here can trap, whatever the bytes are.

/// A position in the bytes of a control message. A value: a copy looks ahead.
public struct ControlReader: Sendable {
  let bytes: [UInt8]
  /// Of the next byte.
  private(set) var offset: Int
  private let end: Int

  public init(_ bytes: [UInt8]) { self.init(bytes, from: 0, to: bytes.count) }

  private init(_ bytes: [UInt8], from offset: Int, to end: Int) {
    self.bytes = bytes
    self.offset = offset
    self.end = end
  }

  /// How many bytes are left.
  var remaining: Int { end - offset }

  mutating func u8(_ format: WireFormat) throws(WireError) -> UInt8 {
    try require(1, format)
    defer { offset += 1 }
    return bytes[offset]
  }

  mutating func u16(_ format: WireFormat) throws(WireError) -> UInt16 { UInt16(truncatingIfNeeded: try number(2, format)) }
  mutating func u32(_ format: WireFormat) throws(WireError) -> UInt32 { UInt32(truncatingIfNeeded: try number(4, format)) }
  mutating func u64(_ format: WireFormat) throws(WireError) -> UInt64 { try number(8, format) }

  /// The next `count` bytes.
  mutating func take(_ count: Int, _ format: WireFormat) throws(WireError) -> [UInt8] {
    try require(count, format)
    defer { offset += count }
    return Array(bytes[offset..<offset + count])
  }

  /// All bytes that are left.
  mutating func takeRest() -> [UInt8] {
    defer { offset = end }
    return Array(bytes[offset..<end])
  }

  /// A cursor over the next `count` bytes alone; this one moves behind them.
  mutating func part(_ count: Int, _ format: WireFormat) throws(WireError) -> ControlReader {
    try require(count, format)
    defer { offset += count }
    return ControlReader(bytes, from: offset, to: offset + count)
  }

  /// The next bytes up to a zero, without it; the cursor moves behind the zero.
  mutating func zeroTerminated(_ format: WireFormat) throws(WireError) -> [UInt8] {
    guard let zero = bytes[offset..<end].firstIndex(of: 0) else {
      throw .truncated(format, needed: remaining + 1, available: remaining)
    }
    defer { offset = zero + 1 }
    return Array(bytes[offset..<zero])
  }

  /// Throws when bytes are left.
  func requireEnd(_ format: WireFormat) throws(WireError) {
    guard remaining == 0 else { throw .trailing(format, byteCount: remaining) }
  }

  private func require(_ count: Int, _ format: WireFormat) throws(WireError) {
    guard count <= remaining else { throw .truncated(format, needed: count, available: remaining) }
  }

  private mutating func number(_ byteCount: Int, _ format: WireFormat) throws(WireError) -> UInt64 {
    try require(byteCount, format)
    var value: UInt64 = 0
    for i in offset..<offset + byteCount { value = value << 8 | UInt64(bytes[i]) }
    offset += byteCount
    return value
  }
}
