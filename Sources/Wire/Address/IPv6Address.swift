// SPDX-License-Identifier: Apache-2.0
//
// An IPv6 address (RFC 4291), as two numbers in host byte order, and its text form (RFC 4291 2.2, RFC 5952).

/// An IPv6 address.
public struct IPv6Address: Hashable, Sendable, Comparable {
  /// The first 64 bits.
  public var high: UInt64
  /// The last 64 bits.
  public var low: UInt64

  @inlinable public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  @inlinable public static func < (a: Self, b: Self) -> Bool {
    a.high == b.high ? a.low < b.low : a.high < b.high
  }

  public static let any = IPv6Address(high: 0, low: 0)
  public static let loopback = IPv6Address(high: 0, low: 1)

  @inlinable public var isUnspecified: Bool { high | low == 0 }
  @inlinable public var isLoopback: Bool { high == 0 && low == 1 }
  /// ff00::/8
  @inlinable public var isMulticast: Bool { high >> 56 == 0xFF }
  /// fe80::/10
  @inlinable public var isLinkLocal: Bool { high >> 54 == 0x3FA }

  /// The sixteen octets, most significant first.
  public var octets: [UInt8] {
    (0..<16).map { i in
      UInt8(truncatingIfNeeded: (i < 8 ? high : low) >> UInt64(56 - 8 * (i & 7)))
    }
  }

  /// The eight 16-bit groups of the text form.
  var groups: [UInt16] {
    (0..<8).map { i in
      UInt16(truncatingIfNeeded: (i < 4 ? high : low) >> UInt64(48 - 16 * (i & 3)))
    }
  }

  init(groups: [UInt16]) {
    precondition(groups.count == 8)
    high = groups[..<4].reduce(0) { $0 << 16 | UInt64($1) }
    low = groups[4...].reduce(0) { $0 << 16 | UInt64($1) }
  }
}

extension IPv6Address: LosslessStringConvertible, CustomStringConvertible {
  /// RFC 4291 2.2, all three forms; no zone.
  public init?(_ text: some StringProtocol) {
    let text = String(text)
    guard let gap = text.range(of: "::") else {
      guard let groups = Self.parseGroups(text[...]), groups.count == 8 else { return nil }
      self.init(groups: groups)
      return
    }
    guard let head = Self.parseGroups(text[..<gap.lowerBound], mayBeEmpty: true, mayEndInIPv4: false),
      let tail = Self.parseGroups(text[gap.upperBound...], mayBeEmpty: true),
      head.count + tail.count <= 7
    else { return nil }
    self.init(groups: head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail)
  }

  public init?(_ description: String) { self.init(description[...]) }

  private static func parseGroups(
    _ text: Substring, mayBeEmpty: Bool = false, mayEndInIPv4: Bool = true
  ) -> [UInt16]? {
    if text.isEmpty { return mayBeEmpty ? [] : nil }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 8 else { return nil }
    var groups: [UInt16] = []
    for (i, part) in parts.enumerated() {
      if i == parts.count - 1, mayEndInIPv4, part.utf8.contains(UInt8(ascii: ".")) {
        guard let v4 = IPv4Address(part) else { return nil }
        groups += [UInt16(v4.rawValue >> 16), UInt16(truncatingIfNeeded: v4.rawValue)]
      } else {
        guard (1...4).contains(part.utf8.count), part.isUnsigned, let group = UInt16(part, radix: 16) else { return nil }
        groups.append(group)
      }
    }
    return groups
  }

  /// The recommended form of RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups as "::".
  public var description: String {
    let groups = self.groups
    var best = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start > max(best.count, 1) { best = start..<end }
      start = max(end, start + 1)
    }
    func hex(_ range: Range<Int>) -> String {
      groups[range].map { String($0, radix: 16) }.joined(separator: ":")
    }
    return best.isEmpty ? hex(0..<8) : hex(0..<best.lowerBound) + "::" + hex(best.upperBound..<8)
  }
}

extension StringProtocol {
  /// Whether a number's text has no sign: the standard library takes "+1", and "-0" for unsigned numbers, too.
  var isUnsigned: Bool { utf8.first != UInt8(ascii: "+") && utf8.first != UInt8(ascii: "-") }

  /// The first place of `needle`, without Foundation.
  fileprivate func range(of needle: String) -> Range<Index>? {
    var i = startIndex
    while i < endIndex {
      if self[i...].hasPrefix(needle) { return i..<index(i, offsetBy: needle.count) }
      i = index(after: i)
    }
    return nil
  }
}
