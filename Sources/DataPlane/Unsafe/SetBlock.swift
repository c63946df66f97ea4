// SPDX-License-Identifier: Apache-2.0
//
// The compiled form of a LocatorSet. A set with one locator is one cache line; several locators add a table of 256 buckets.
//
//     0         1        2       4           8
//     ├─────────┼────────┼───────┼───────────┼──────────────────────
//     │ action  │ (free) │ mask  │ (free)    │ choices: mask + 1 of u32: ordinal << 24 | template handle
//     └─────────┴────────┴───────┴───────────┴──────────────────────
//
// Immutable once its pointer is in a HandleTable; freed after a grace period.

/// A pointer to a compiled set.
@safe struct SetBlock: @unchecked Sendable {
  let base: UnsafeMutableRawPointer

  @unsafe @inline(__always) init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  /// A choice that says "no template": for sets that do not encapsulate, and when nothing is usable.
  static let noTemplate: UInt32 = 0

  /// Compiles a set into new memory.
  init(_ set: LocatorSet) {
    let buckets = set.buckets()
    let count = max(buckets.count, 1)
    let base = UnsafeMutableRawPointer.allocate(byteCount: max(64, 8 + 4 * count), alignment: 64)
    unsafe base.storeBytes(of: set.action.rawValue, as: UInt8.self)
    unsafe base.storeBytes(of: UInt16(count - 1), toByteOffset: 2, as: UInt16.self)
    for i in 0..<count {
      let choice = buckets.isEmpty ? nil : set.choices[buckets[i]]
      let word = choice.map { UInt32($0.ordinal) << 24 | $0.template & 0xFF_FFFF } ?? Self.noTemplate
      unsafe base.storeBytes(of: word, toByteOffset: 8 + 4 * i, as: UInt32.self)
    }
    unsafe self.base = unsafe base
  }

  /// SAFETY: no reader may hold the block any more.
  @unsafe func deallocate() { unsafe base.deallocate() }

  @inline(__always)
  var actionCode: UInt8 {
    // SAFETY: the layout above.
    unsafe base.load(as: UInt8.self)
  }

  /// The choice for a flow: ordinal in the high octet, template handle in the rest.
  @inline(__always)
  func choice(_ hash: UInt32) -> UInt32 {
    // SAFETY: mask + 1 choices follow the header.
    let mask = unsafe base.load(fromByteOffset: 2, as: UInt16.self)
    return unsafe base.load(fromByteOffset: 8 &+ Int(UInt16(truncatingIfNeeded: hash >> 24) & mask) &* 4, as: UInt32.self)
  }
}
