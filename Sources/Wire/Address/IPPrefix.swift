// SPDX-License-Identifier: Apache-2.0
//
// An address prefix: an address whose host bits are zero, and a length. EID-prefixes and routes are these.

/// Why a prefix could not be made.
public enum PrefixError: Error, Equatable, CustomStringConvertible {
  case notAnAddress(String)
  case lengthOutOfRange(Int, AddressFamily)
  case hostBitsSet(IPAddress, Int)

  public var description: String {
    switch self {
    case .notAnAddress(let text): "\"\(text)\" is not an address or prefix such as 10.1.0.0/24 or 2001:db8::/32"
    case .lengthOutOfRange(let length, let family): "prefix length \(length) is not in 0…\(family.bitWidth)"
    case .hostBitsSet(let address, let length):
      "\(address)/\(length) has bits set beyond its length; \(IPPrefix(masking: address, length: length)) is the prefix"
    }
  }
}

/// An address prefix in canonical form. Invariant: `length` fits the family; all bits beyond it are zero.
public struct IPPrefix: Hashable, Sendable {
  public let address: IPAddress
  public let length: Int

  /// Throws when the length does not fit the family or host bits are set.
  public init(_ address: IPAddress, length: Int) throws(PrefixError) {
    guard (0...address.family.bitWidth).contains(length) else {
      throw .lengthOutOfRange(length, address.family)
    }
    self.init(masking: address, length: length)
    guard self.address == address else { throw .hostBitsSet(address, length) }
  }

  /// The prefix that covers `address`; a length beyond the family's is cut to it.
  public init(masking address: IPAddress, length: Int) {
    let length = min(max(length, 0), address.family.bitWidth)
    let bits = address.leftAligned
    self.address = IPAddress(
      family: address.family,
      leftAlignedHigh: bits.high & Self.mask(length),
      low: bits.low & Self.mask(length - 64))
    self.length = length
  }

  /// The host prefix, /32 or /128.
  public init(host address: IPAddress) { self.init(masking: address, length: address.family.bitWidth) }

  /// "10.1.0.0/24", "2001:db8::/32"; an address alone is its host prefix.
  public init(parsing text: String) throws(PrefixError) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, let address = IPAddress(first), parts.count <= 2 else { throw .notAnAddress(text) }
    guard parts.count == 2 else {
      self.init(host: address)
      return
    }
    guard let length = Int(parts[1]), parts[1].allSatisfy(\.isNumber) else { throw .notAnAddress(text) }
    try self.init(address, length: length)
  }

  public var family: AddressFamily { address.family }

  /// Three words, whatever the family: prefixes are the keys of tables with a million entries.
  public func hash(into hasher: inout Hasher) {
    let bits = address.leftAligned
    hasher.combine(bits.high)
    hasher.combine(bits.low)
    hasher.combine(length << 8 | Int(family.rawValue))
  }

  /// Whether `other` lies within this prefix (or is it).
  public func contains(_ other: IPPrefix) -> Bool {
    other.family == family && other.length >= length
      && IPPrefix(masking: other.address, length: length).address == address
  }

  public func contains(_ other: IPAddress) -> Bool { contains(IPPrefix(host: other)) }

  /// The top `length` bits of 64, clamped.
  package static func mask(_ length: Int) -> UInt64 {
    length <= 0 ? 0 : length >= 64 ? ~0 : ~0 << UInt64(64 - length)
  }
}

extension IPPrefix: CustomStringConvertible, Comparable {
  public var description: String { "\(address)/\(length)" }

  /// By family, then address, then length: a covering prefix comes before what it covers.
  public static func < (a: Self, b: Self) -> Bool {
    if a.address != b.address { return a.address < b.address }
    return a.length < b.length
  }
}

/// An EID-prefix: a prefix in an instance (RFC 9300 sections 3 and 8).
public struct EIDPrefix: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let instanceID: InstanceID
  public let prefix: IPPrefix

  public init(_ instanceID: InstanceID, _ prefix: IPPrefix) {
    self.instanceID = instanceID
    self.prefix = prefix
  }

  public func hash(into hasher: inout Hasher) {
    prefix.hash(into: &hasher)
    hasher.combine(instanceID.rawValue)
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.instanceID == b.instanceID ? a.prefix < b.prefix : a.instanceID < b.instanceID
  }

  public var description: String { "[\(instanceID)]\(prefix)" }
}
