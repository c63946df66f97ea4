// SPDX-License-Identifier: Apache-2.0
//
// What a slot of the trie holds, in 32 bits, and a prefix as the trie sees it. PrefixTable.swift explains the structure.

import Wire

/// The root of one trie, or what a slot of a node leads to.
///
///      31 30                                      2 1 0
///     ┌──┬─────────────────────────────────────────┬───┐
///     │ 0│ 0                                       │ 00│  none
///     │ 1│ value, 1 … 2²⁹ − 1                      │ 00│  value
///     │ 0│ block: its address in units of 32 bytes │ 01│  node: runs of slots
///     │ 0│ block                                   │ 10│  record: one prefix, or a stretch without branches
///     │ 0│ block                                   │ 11│  page: a node with all its slots laid out
///     └──┴─────────────────────────────────────────┴───┘
///
/// So a value is negative, everything that must be followed is positive, a node is odd, and a block lies at 8 × entry − 8 × tag.
@frozen public struct Entry: Equatable, Sendable {
  @usableFromInline var raw: UInt32

  @inlinable @inline(__always) init(raw: UInt32) { self.raw = raw }

  /// Nothing: an empty trie.
  public static var none: Entry { @inlinable get { Entry(raw: 0) } }

  /// The root of no trie, not even of an empty one.
  public static var impossible: Entry { @inlinable get { Entry(raw: .max) } }

  /// The largest value that fits.
  public static let maximumValue: UInt32 = 1 << 29 - 1

  @inlinable static func value(_ value: UInt32) -> Entry { Entry(raw: 1 << 31 | value << 2) }
  @inlinable static func node(_ block: Block) -> Entry { Entry(raw: block << 2 | 1) }
  @inlinable static func record(_ block: Block) -> Entry { Entry(raw: block << 2 | 2) }
  @inlinable static func page(_ block: Block) -> Entry { Entry(raw: block << 2 | 3) }

  @inlinable @inline(__always) var isValue: Bool { Int32(bitPattern: raw) < 0 }
  /// A node, record or page: something deeper.
  @inlinable @inline(__always) var isLink: Bool { Int32(bitPattern: raw) > 0 }
  @inlinable @inline(__always) var isNode: Bool { raw & 3 == 1 }
  @inlinable @inline(__always) var isRecord: Bool { raw & 3 == 2 }
  @inlinable @inline(__always) var isPage: Bool { raw & 3 == 3 }

  /// The value; 0 when it is none. Only of those two.
  @inlinable @inline(__always) var value: UInt32 { (raw << 1) >> 3 }
  /// Where a link leads.
  @inlinable @inline(__always) var block: Block { raw >> 2 }
}

/// The address of a block: its distance from the arena's begin in units of 32 bytes. Block 0 is never used.
@usableFromInline typealias Block = UInt32

/// A prefix as the tries see it: its bits, left-aligned in 128, and how many of them count. The rest is zero.
struct BitPrefix: Equatable {
  var high: UInt64
  var low: UInt64
  var length: Int

  init(high: UInt64, low: UInt64, length: Int) {
    self.high = high
    self.low = low
    self.length = length
  }

  init(_ prefix: IPPrefix) {
    let bits = prefix.address.leftAligned
    self.init(high: bits.high, low: bits.low, length: prefix.length)
  }

  /// The key of the directory: 24 bits.
  init(_ instance: InstanceID) { self.init(high: UInt64(instance.rawValue) << 40, low: 0, length: 24) }

  /// The octet at `depth`, the first being 0.
  func octet(_ depth: Int) -> Int {
    Int(truncatingIfNeeded: (depth < 8 ? high : low) >> UInt64(56 - 8 * (depth & 7))) & 0xFF
  }

  /// The first `length` bits of it.
  func prefix(_ length: Int) -> BitPrefix {
    BitPrefix(high: high & IPPrefix.mask(length), low: low & IPPrefix.mask(length - 64), length: length)
  }

  /// How many leading bits it has in common with `other`, at most the length of either.
  func common(with other: BitPrefix) -> Int {
    let same = high == other.high ? 64 + (low ^ other.low).leadingZeroBitCount : (high ^ other.high).leadingZeroBitCount
    return min(same, length, other.length)
  }

  /// The octets before `depth`, then `octet`, of which `bitCount` bits count.
  func descendant(_ depth: Int, _ octet: Int, bitCount: Int) -> BitPrefix {
    var path = prefix(8 * depth)
    let bits = UInt64(octet) << UInt64(56 - 8 * (depth & 7))
    if depth < 8 { path.high |= bits } else { path.low |= bits }
    path.length = 8 * depth + bitCount
    return path
  }
}
