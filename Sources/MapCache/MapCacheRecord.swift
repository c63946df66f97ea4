// SPDX-License-Identifier: Apache-2.0
//
// What the map-cache keeps of one entry. MapCache gives it a slot; everything that entries have in common is elsewhere.

import Wire

/// 64 bytes.
struct MapCacheRecord: Sendable {
  static let none = UInt32.max

  /// The EID-prefix, packed.
  var key: PackedPrefix
  /// Nanoseconds after the cache's origin.
  var installedAt: Int64
  var ttlMinutes: UInt32
  /// Numbers of the target and of the source.
  var target: UInt32
  var source: UInt32
  /// The packets it had when the hand of the clock last passed, or when it came.
  var packets: UInt32 = 0
  /// Where it stands in the clock; none: it cannot be evicted.
  var clockPosition = none
  /// Neighbours in the list of the source's entries. Of a free slot `next` is the next free one.
  var next = none
  var previous = none
}

/// An EID-prefix in 24 bytes, and whether its entry expires, for which there would be no room elsewhere.
struct PackedPrefix: Sendable {
  private var high: UInt64
  private var low: UInt64
  /// Family and instance.
  private var space: UInt32
  private var length: UInt8
  var expires: Bool

  init(_ eid: EIDPrefix, expires: Bool) {
    (high, low) = eid.prefix.address.leftAligned
    space = eid.instanceID.rawValue << 1 | (eid.prefix.family == .ipv6 ? 1 : 0)
    length = UInt8(eid.prefix.length)
    self.expires = expires
  }

  var eid: EIDPrefix {
    let address = IPAddress(family: space & 1 == 0 ? .ipv4 : .ipv6, leftAlignedHigh: high, low: low)
    return EIDPrefix(InstanceID(truncating: space >> 1), IPPrefix(masking: address, length: Int(length)))
  }
}
