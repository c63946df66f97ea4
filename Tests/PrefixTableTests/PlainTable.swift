// SPDX-License-Identifier: Apache-2.0
//
// The oracle of the prefix table's tests: a list of prefixes, searched from end to end. And prefixes that are hard on a trie.

import PrefixTable
import Wire

/// A longest-prefix match that cannot be wrong.
struct PlainTable {
  private struct Entry {
    var instance: UInt32
    var family: AddressFamily
    var high, low, highMask, lowMask: UInt64
    var length: Int
    var value: UInt32
  }

  private var entries: [Entry] = []
  private var places: [EIDPrefix: Int] = [:]

  var count: Int { entries.count }
  var prefixes: [EIDPrefix] { Array(places.keys) }

  subscript(prefix: EIDPrefix) -> UInt32? {
    get { places[prefix].map { entries[$0].value } }
    set {
      switch (places[prefix], newValue) {
      case (let place?, let value?): entries[place].value = value
      case (nil, let value?):
        places[prefix] = entries.count
        let bits = prefix.prefix.address.leftAligned
        let length = prefix.prefix.length
        entries.append(
          Entry(
            instance: prefix.instanceID.rawValue, family: prefix.prefix.family, high: bits.high, low: bits.low,
            highMask: Self.mask(length), lowMask: Self.mask(length - 64), length: length, value: value))
      case (let place?, nil):
        places[prefix] = nil
        let last = entries.removeLast()
        guard place < entries.count else { return }
        entries[place] = last
        let moved = IPAddress(family: last.family, leftAlignedHigh: last.high, low: last.low)
        places[EIDPrefix(InstanceID(truncating: last.instance), IPPrefix(masking: moved, length: last.length))] = place
      case (nil, nil): break
      }
    }
  }

  func lookup(_ address: IPAddress, _ instance: InstanceID) -> UInt32 {
    let (bits, family, instance) = (address.leftAligned, address.family, instance.rawValue)
    var best = -1
    var value: UInt32 = 0
    for i in entries.indices
    where entries[i].length > best && entries[i].family == family && entries[i].instance == instance
      && bits.high & entries[i].highMask == entries[i].high && bits.low & entries[i].lowMask == entries[i].low {
      best = entries[i].length
      value = entries[i].value
    }
    return value
  }

  private static func mask(_ length: Int) -> UInt64 { length <= 0 ? 0 : length >= 64 ? .max : ~(.max >> UInt64(length)) }
}

/// Prefixes in few trunks, so that they nest, touch and repeat; lengths at the borders of bits, octets and halves.
struct HardPrefixes {
  static let instances = [0, 1, 0xFF, 0x100, 0xFF_FFFE].map { InstanceID(truncating: $0) }
  static let lengths: [AddressFamily: [Int]] = [
    .ipv4: [0, 1, 7, 8, 9, 15, 16, 17, 24, 25, 31, 32], .ipv6: [0, 1, 8, 9, 16, 31, 32, 48, 63, 64, 65, 72, 73, 127, 128],
  ]

  var random: SplitMix64
  private let trunks: [(high: UInt64, low: UInt64)]

  init(seed: UInt64) {
    random = SplitMix64(seed: seed)
    trunks = [(0, 0), (.max, .max), (0x0A01_0200_0000_0000, 1), (0x2001_0DB8_0000_0001, 0x8000_0000_0000_0000)]
  }

  /// An address on a trunk, or one bit beside it.
  mutating func address(_ family: AddressFamily? = nil) -> IPAddress {
    let family = family ?? (random.next() & 1 == 0 ? .ipv4 : .ipv6)
    var (high, low) = trunks[Int(random.next() % UInt64(trunks.count))]
    for _ in 0..<Int(random.next() % 3) {
      let bit = random.next() % UInt64(family.bitWidth)
      if bit < 64 { high ^= 1 << (63 - bit) } else { low ^= 1 << (127 - bit) }
    }
    return IPAddress(family: family, leftAlignedHigh: high, low: low)
  }

  mutating func instance() -> InstanceID { Self.instances[Int(random.next() % UInt64(Self.instances.count))] }

  mutating func prefix() -> EIDPrefix {
    let address = address()
    let lengths = Self.lengths[address.family] ?? [0]
    return EIDPrefix(instance(), IPPrefix(masking: address, length: lengths[Int(random.next() % UInt64(lengths.count))]))
  }

  /// The first and last address of a prefix, and those before and behind it.
  static func borders(_ prefix: IPPrefix) -> [IPAddress] {
    let first = prefix.address.leftAligned
    let span = prefix.length
    let last = (
      high: first.high | (span >= 64 ? 0 : .max >> UInt64(span)), low: first.low | (span <= 64 ? .max : span >= 128 ? 0 : .max >> UInt64(span - 64))
    )
    let unit: (high: UInt64, low: UInt64) = prefix.family == .ipv4 ? (1 << 32, 0) : (0, 1)
    let (low, carry) = last.low.addingReportingOverflow(unit.low)
    let behind = (high: last.high &+ unit.high &+ (carry ? 1 : 0), low: low)
    let (before, borrow) = first.low.subtractingReportingOverflow(unit.low)
    let ahead = (high: first.high &- unit.high &- (borrow ? 1 : 0), low: before)
    return [first, last, behind, ahead].map { IPAddress(family: prefix.family, leftAlignedHigh: $0.high, low: $0.low) }
  }
}

extension TableView {
  /// A lookup as the engine would do it, for one address.
  func lookup(_ address: IPAddress, _ instance: InstanceID) -> UInt32 {
    let roots = self.instance(instance.rawValue)
    let bits = address.leftAligned
    return lookup(address.family == .ipv4 ? roots.ipv4 : roots.ipv6, high: bits.high, low: bits.low)
  }

  /// Many lookups in one batch.
  func lookup(_ questions: [(address: IPAddress, instance: InstanceID)], with batch: inout LookupBatch) -> [UInt32] {
    batch.clear()
    for question in questions {
      let roots = instance(question.instance.rawValue)
      let bits = question.address.leftAligned
      batch.add(question.address.family == .ipv4 ? roots.ipv4 : roots.ipv6, high: bits.high, low: bits.low, in: self)
    }
    batch.run(self)
    return questions.indices.map { batch[$0] }
  }
}
