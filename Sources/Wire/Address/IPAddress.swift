// SPDX-License-Identifier: Apache-2.0
//
// An address of either family: what EIDs, RLOCs and next hops are.

public enum AddressFamily: UInt8, Sendable, CaseIterable {
  case ipv4 = 4
  case ipv6 = 6

  /// The number of bits in an address.
  @inlinable public var bitWidth: Int { self == .ipv4 ? 32 : 128 }
  /// The number of octets in an address.
  @inlinable public var byteCount: Int { self == .ipv4 ? 4 : 16 }
}

/// An IPv4 or IPv6 address.
public enum IPAddress: Hashable, Sendable, Comparable {
  case v4(IPv4Address)
  case v6(IPv6Address)

  @inlinable public var family: AddressFamily {
    switch self {
    case .v4: .ipv4
    case .v6: .ipv6
    }
  }

  public var isUnspecified: Bool {
    switch self {
    case .v4(let a): a.isUnspecified
    case .v6(let a): a.isUnspecified
    }
  }
  public var isLoopback: Bool {
    switch self {
    case .v4(let a): a.isLoopback
    case .v6(let a): a.isLoopback
    }
  }
  public var isMulticast: Bool {
    switch self {
    case .v4(let a): a.isMulticast
    case .v6(let a): a.isMulticast
    }
  }
  public var isLinkLocal: Bool {
    switch self {
    case .v4(let a): a.isLinkLocal
    case .v6(let a): a.isLinkLocal
    }
  }
  /// Broadcast exists in IPv4 only.
  public var isBroadcast: Bool {
    switch self {
    case .v4(let a): a.isBroadcast
    case .v6: false
    }
  }

  /// Why packets cannot be tunnelled to this address, in words; nil: they can (rule C9, and what means nothing beyond a link).
  public var locatorFault: String? {
    if isUnspecified { return "the unspecified address" }
    if isMulticast { return "a multicast address" }
    if isBroadcast { return "the broadcast address" }
    if isLoopback { return "a loopback address" }
    if isLinkLocal { return "a link-local address" }
    return nil
  }

  /// 4 or 16 octets, most significant first.
  public var octets: [UInt8] {
    switch self {
    case .v4(let a): a.octets
    case .v6(let a): a.octets
    }
  }

  /// From 4 or 16 octets; nil for any other count.
  public init?(octets: some Collection<UInt8>) {
    switch octets.count {
    case 4: self = .v4(IPv4Address(rawValue: octets.reduce(0) { $0 << 8 | UInt32($1) }))
    case 16:
      self = .v6(
        IPv6Address(
          high: octets.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
          low: octets.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }))
    default: return nil
    }
  }

  /// The address's bits, left-aligned in 128: an IPv4 address fills the top 32 bits of `high`. The prefix table's key.
  @inlinable public var leftAligned: (high: UInt64, low: UInt64) {
    switch self {
    case .v4(let a): (UInt64(a.rawValue) << 32, 0)
    case .v6(let a): (a.high, a.low)
    }
  }

  /// The inverse of `leftAligned`.
  @inlinable public init(family: AddressFamily, leftAlignedHigh high: UInt64, low: UInt64) {
    switch family {
    case .ipv4: self = .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: high >> 32)))
    case .ipv6: self = .v6(IPv6Address(high: high, low: low))
    }
  }
}

extension IPAddress: LosslessStringConvertible, CustomStringConvertible {
  public init?(_ text: some StringProtocol) {
    if let a = IPv4Address(text) {
      self = .v4(a)
    } else if let a = IPv6Address(text) {
      self = .v6(a)
    } else {
      return nil
    }
  }

  public init?(_ description: String) { self.init(description[...]) }

  public var description: String {
    switch self {
    case .v4(let a): a.description
    case .v6(let a): a.description
    }
  }
}
