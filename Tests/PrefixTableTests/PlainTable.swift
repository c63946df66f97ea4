// SPDX-License-Identifier: Apache-2.0
//
// The oracle of the prefix table's tests: a list of prefixes, searched from end to end. And prefixes that are hard on a trie.

import TestSupport
import Wire

@testable import PrefixTable

/// A longest-prefix match that cannot be wrong: one list per instance and family.
struct PlainTable {
  private struct Space: Hashable {
    var instance: InstanceID
    var family: AddressFamily
  }

  private struct Entry {
    var prefix: IPPrefix
    var high, low, highMask, lowMask: UInt64
    var value: UInt32
  }

  private var lists: [Space: [Entry]] = [:]
  private(set) var count = 0

  var prefixes: [EIDPrefix] { lists.flatMap { space, list in list.map { EIDPrefix(space.instance, $0.prefix) } } }

  subscript(prefix: EIDPrefix) -> UInt32? {
    get { list(prefix).first { $0.prefix == prefix.prefix }?.value }
    set {
      var list = list(prefix)
      list.removeAll { $0.prefix == prefix.prefix }
      if let newValue {
        let (bits, length) = (prefix.prefix.address.leftAligned, prefix.prefix.length)
        list.append(
          Entry(
            prefix: prefix.prefix, high: bits.high, low: bits.low, highMask: Self.mask(length), lowMask: Self.mask(length - 64),
            value: newValue))
      }
      count += list.count - self.list(prefix).count
      lists[Space(instance: prefix.instanceID, family: prefix.prefix.family)] = list
    }
  }

  private func list(_ prefix: EIDPrefix) -> [Entry] {
    lists[Space(instance: prefix.instanceID, family: prefix.prefix.family)] ?? []
  }

  func lookup(_ address: IPAddress, _ instance: InstanceID) -> UInt32 { match(address, instance)?.value ?? 0 }

  func match(_ address: IPAddress, _ instance: InstanceID) -> (value: UInt32, length: Int)? {
    let bits = address.leftAligned
    let covering = lists[Space(instance: instance, family: address.family)]?.filter {
      bits.high & $0.highMask == $0.high && bits.low & $0.lowMask == $0.low
    }
    return covering?.max { $0.prefix.length < $1.prefix.length }.map { ($0.value, $0.prefix.length) }
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
      high: first.high | (span >= 64 ? 0 : .max >> UInt64(span)),
      low: first.low | (span <= 64 ? .max : span >= 128 ? 0 : .max >> UInt64(span - 64))
    )
    let unit: (high: UInt64, low: UInt64) = prefix.family == .ipv4 ? (1 << 32, 0) : (0, 1)
    let (low, carry) = last.low.addingReportingOverflow(unit.low)
    let behind = (high: last.high &+ unit.high &+ (carry ? 1 : 0), low: low)
    let (before, borrow) = first.low.subtractingReportingOverflow(unit.low)
    let ahead = (high: first.high &- unit.high &- (borrow ? 1 : 0), low: before)
    return [first, last, behind, ahead].map { IPAddress(family: prefix.family, leftAlignedHigh: $0.high, low: $0.low) }
  }
}

extension PrefixTable {
  /// Everything in the open transaction.
  var allEntries: [EIDPrefix: UInt32] {
    var entries: [EIDPrefix: UInt32] = [:]
    var iterator = TableIterator(openView)
    while let next = iterator.next() { entries[next.prefix] = next.value }
    return entries
  }
}

extension TableView {
  /// A lookup as the engine would do it, for one address.
  func lookup(_ address: IPAddress, _ instance: InstanceID) -> UInt32 {
    let roots = self.instance(instance.rawValue)
    let bits = address.leftAligned
    return lookup(roots.root(address.family), high: bits.high, low: bits.low)
  }

  /// The same with the prefix's length.
  func match(_ address: IPAddress, _ instance: InstanceID) -> PrefixMatch? {
    let bits = address.leftAligned
    return match(self.instance(instance.rawValue).root(address.family), high: bits.high, low: bits.low)
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
