// SPDX-License-Identifier: Apache-2.0
//
// Addresses and prefixes ⇄ their text, straight from and to bytes. Wire's parsers say the same through String and are the oracle
// of the tests; these exist because a bulk load parses millions, and a String for each cost four fifths of the time.

import Wire

/// Parses the text of one address or prefix, in `bytes[range]`.
struct AddressText {
  private let bytes: [UInt8]
  private let end: Int
  private var position: Int

  init(_ bytes: [UInt8], _ range: Range<Int>) {
    self.bytes = bytes
    position = range.lowerBound
    end = range.upperBound
  }

  /// nil for anything but an address and nothing else.
  mutating func address() -> IPAddress? {
    guard let address = parseAddress(), position == end else { return nil }
    return address
  }

  /// "10.2.0.0/24", "2001:db8::/32"; an address alone is its host prefix. nil when anything is wrong, host bits too.
  mutating func prefix() -> IPPrefix? {
    guard let address = parseAddress() else { return nil }
    if position == end { return IPPrefix(host: address) }
    guard take(UInt8(ascii: "/")), position < end, end - position <= 3 else { return nil }
    var length = 0
    while position < end {
      let digit = bytes[position] &- UInt8(ascii: "0")
      guard digit <= 9 else { return nil }
      length = length * 10 + Int(digit)
      position += 1
    }
    guard length <= address.family.bitWidth, case let prefix = IPPrefix(masking: address, length: length), prefix.address == address
    else { return nil }
    return prefix
  }

  private mutating func parseAddress() -> IPAddress? {
    let start = position
    if let v4 = parseIPv4() { return .v4(v4) }
    position = start
    return parseIPv6().map { .v6($0) }
  }

  /// Four decimal octets without leading zeros.
  private mutating func parseIPv4() -> IPv4Address? {
    var value: UInt32 = 0
    for index in 0..<4 {
      if index > 0, !take(UInt8(ascii: ".")) { return nil }
      guard position < end, case let first = bytes[position] &- UInt8(ascii: "0"), first <= 9 else { return nil }
      var octet = UInt32(first)
      position += 1
      while position < end, case let digit = bytes[position] &- UInt8(ascii: "0"), digit <= 9 {
        guard octet != 0 else { return nil }
        octet = octet * 10 + UInt32(digit)
        guard octet <= 255 else { return nil }
        position += 1
      }
      value = value << 8 | octet
    }
    return IPv4Address(rawValue: value)
  }

  /// RFC 4291 section 2.2: groups of up to four hexadecimal digits, one "::" for one or more zero groups, the last two groups
  /// perhaps as an IPv4 address.
  private mutating func parseIPv6() -> IPv6Address? {
    var high: UInt64 = 0
    var low: UInt64 = 0
    var count = 0
    var gap: Int?
    func shifted(_ group: UInt16) -> (UInt64, UInt64) { (high << 16 | low >> 48, low << 16 | UInt64(group)) }

    if take(UInt8(ascii: ":")) {
      guard take(UInt8(ascii: ":")) else { return nil }
      gap = 0
    }
    while count < 8, position < end, bytes[position] != UInt8(ascii: "/") {
      let start = position
      guard let group = parseGroup() else { break }
      if position < end, bytes[position] == UInt8(ascii: ".") {
        position = start
        guard count <= 6, let v4 = parseIPv4() else { return nil }
        (high, low) = shifted(UInt16(v4.rawValue >> 16))
        (high, low) = shifted(UInt16(truncatingIfNeeded: v4.rawValue))
        count += 2
        break
      }
      (high, low) = shifted(group)
      count += 1
      guard take(UInt8(ascii: ":")) else { break }
      if take(UInt8(ascii: ":")) {
        guard gap == nil else { return nil }
        gap = count
      } else if position == end || bytes[position] == UInt8(ascii: "/") {
        return nil  // a colon at the end
      }
    }
    guard let gap else { return count == 8 ? IPv6Address(high: high, low: low) : nil }
    return Self.widen(high, low, count: count, gap: gap)
  }

  /// Puts the zero groups of a "::" in, that stood after `gap` of `count` groups.
  private static func widen(_ high: UInt64, _ low: UInt64, count: Int, gap: Int) -> IPv6Address? {
    guard count <= 7 else { return nil }
    var widened = (high: UInt64(0), low: UInt64(0))
    for index in 0..<8 {
      // The group's place among those that were written; the gap's are none of them.
      let place = index < gap ? index : index - (8 - count)
      let group: UInt64 = index >= gap && index < gap + 8 - count ? 0 : Self.group(high, low, count - 1 - place)
      widened = (widened.high << 16 | widened.low >> 48, widened.low << 16 | group)
    }
    return IPv6Address(high: widened.high, low: widened.low)
  }

  /// The group with `distance` groups behind it.
  private static func group(_ high: UInt64, _ low: UInt64, _ distance: Int) -> UInt64 {
    (distance < 4 ? low >> UInt64(16 * distance) : high >> UInt64(16 * (distance - 4))) & 0xFFFF
  }

  private mutating func parseGroup() -> UInt16? {
    var value: UInt16 = 0
    let start = position
    while position < end, position - start < 4 {
      let byte = bytes[position]
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: return position > start ? value : nil
      }
      value = value << 4 | UInt16(digit)
      position += 1
    }
    return position > start ? value : nil
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard position < end, bytes[position] == byte else { return false }
    position += 1
    return true
  }
}

extension JSONWriter {
  /// A prefix as a string: its canonical text (RFC 5952 for IPv6).
  mutating func prefix(_ prefix: IPPrefix) {
    quoted { bytes in
      Self.append(prefix.address, to: &bytes)
      bytes.append(UInt8(ascii: "/"))
      Self.append(UInt64(prefix.length), to: &bytes)
    }
  }

  mutating func address(_ address: IPAddress) {
    quoted { bytes in Self.append(address, to: &bytes) }
  }

  private static func append(_ address: IPAddress, to bytes: inout [UInt8]) {
    switch address {
    case .v4(let v4):
      for index in 0..<4 {
        if index > 0 { bytes.append(UInt8(ascii: ".")) }
        append(UInt64(v4.rawValue >> UInt32(24 - 8 * index) & 0xFF), to: &bytes)
      }
    case .v6(let v6): append(v6, to: &bytes)
    }
  }

  /// RFC 5952: no leading zeros, lower case, the first of the longest runs of two or more zero groups as "::".
  private static func append(_ address: IPv6Address, to bytes: inout [UInt8]) {
    func group(_ index: Int) -> UInt64 {
      (index < 4 ? address.high : address.low) >> UInt64(48 - 16 * (index & 3)) & 0xFFFF
    }
    var (gapStart, gapCount, run) = (8, 1, 0)
    for index in 0..<8 {
      run = group(index) == 0 ? run + 1 : 0
      if run > gapCount { (gapStart, gapCount) = (index + 1 - run, run) }
    }
    var index = 0
    while index < 8 {
      if index == gapStart {
        bytes.append(UInt8(ascii: ":"))
        bytes.append(UInt8(ascii: ":"))
        index += gapCount
        continue
      }
      if index > 0, index != gapStart + gapCount { bytes.append(UInt8(ascii: ":")) }
      let value = group(index)
      var shift: UInt64 = value > 0xFFF ? 12 : value > 0xFF ? 8 : value > 0xF ? 4 : 0
      while true {
        bytes.append(hexDigit(UInt8(truncatingIfNeeded: value >> shift & 0xF)))
        if shift == 0 { break }
        shift -= 4
      }
      index += 1
    }
  }
}
