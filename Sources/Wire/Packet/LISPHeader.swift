// SPDX-License-Identifier: Apache-2.0
//
// The LISP header (RFC 9300 5.1), between the outer UDP header and the inner packet.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├─┼─┼─┼─┼─┼─┼─┴─┼───────────────────────────────────────────────┤ 0
//    │N│L│E│V│I│R│K K│             nonce or map-versions             │
//    ├─┴─┴─┴─┴─┴─┴───┴───────────────────────────────┼───────────────┤ 4
//    │        instance ID (I = 1), or the high 24    │   locator     │
//    │        of 32 locator-status-bits (I = 0)      │  status bits  │
//    └───────────────────────────────────────────────┴───────────────┘ 8

/// The flags, as bits of the header's eight octets.
public enum LISPFlag {
  @inlinable public static var nonce: UInt64 { 1 << 63 }
  @inlinable public static var locatorStatusBits: UInt64 { 1 << 62 }
  @inlinable public static var echoNonce: UInt64 { 1 << 61 }
  @inlinable public static var mapVersions: UInt64 { 1 << 60 }
  @inlinable public static var instanceID: UInt64 { 1 << 59 }
}

/// What the nonce field holds under N (RFC 9300 10.1).
public struct LISPNonce: Hashable, Sendable {
  /// 24 bits.
  public var value: UInt32
  /// E: the far side is asked to return it; else it is the far side's own, returned, or any number.
  public var isRequest: Bool

  public init(_ value: UInt32, isRequest: Bool) {
    self.value = value & 0xFF_FFFF
    self.isRequest = isRequest
  }

  /// The first four octets of the LISP header, with no other flag.
  public var word: UInt32 { UInt32((LISPFlag.nonce | (isRequest ? LISPFlag.echoNonce : 0)) >> 32) | value }
}

/// A view on a LISP header.
public struct LISPView: Sendable {
  public static let byteCount = 8

  @usableFromInline let word: UInt64

  /// nil when there are fewer than 8 bytes.
  @inlinable @inline(__always)
  public init?(_ bytes: PacketBytes) {
    guard bytes.count >= Self.byteCount else { return nil }
    word = bytes.u64(0)
  }

  @inlinable public var hasNonce: Bool { word & LISPFlag.nonce != 0 }
  @inlinable public var hasLocatorStatusBits: Bool { word & LISPFlag.locatorStatusBits != 0 }
  @inlinable public var requestsEchoNonce: Bool { word & LISPFlag.echoNonce != 0 }
  @inlinable public var hasMapVersions: Bool { word & LISPFlag.mapVersions != 0 }
  @inlinable @inline(__always) public var hasInstanceID: Bool { word & LISPFlag.instanceID != 0 }
  /// The two key bits; anything but 0 is an encrypted payload (RFC 8061).
  @inlinable @inline(__always) public var keyID: UInt8 { UInt8(truncatingIfNeeded: word >> 56) & 3 }
  /// 24 bits; 0 where the header names none.
  @inlinable @inline(__always)
  public var instanceID: UInt32 { hasInstanceID ? UInt32(truncatingIfNeeded: word >> 8) & 0xFF_FFFF : 0 }
}

/// A LISP header as a value that can only hold legal combinations (rule E9).
public struct LISPHeader: Equatable, Sendable {
  /// What the 24 bits after the flags hold; N and V exclude each other.
  public enum Field: Equatable, Sendable {
    case none
    /// 24 bits; `echo` asks the far side to return it (E).
    case nonce(UInt32, echo: Bool)
    /// 12 bits each (RFC 9302).
    case mapVersions(source: UInt16, destination: UInt16)
  }

  public var field: Field = .none
  public var instanceID: InstanceID = .zero
  /// Locator-status-bits: 8 with an instance ID, 32 without; nil sends none (L = 0).
  public var locatorStatusBits: UInt32?
  /// The key bits, 0…3.
  public var keyID: UInt8 = 0

  public init(instanceID: InstanceID = .zero) { self.instanceID = instanceID }

  /// Throws `.truncated`. N and V both set: the field is a nonce (rule D2). E without N is ignored (rule D3).
  public init(parsing bytes: PacketBytes) throws(WireError) {
    guard let view = LISPView(bytes) else { throw .truncated(.lisp, needed: 8, available: bytes.count) }
    let value = UInt32(truncatingIfNeeded: view.word >> 32) & 0xFF_FFFF
    if view.hasNonce {
      field = .nonce(value, echo: view.requestsEchoNonce)
    } else if view.hasMapVersions {
      field = .mapVersions(source: UInt16(value >> 12), destination: UInt16(value & 0xFFF))
    }
    instanceID = InstanceID(truncating: view.instanceID)
    if view.hasLocatorStatusBits {
      locatorStatusBits = UInt32(truncatingIfNeeded: view.word) & (view.hasInstanceID ? 0xFF : 0xFFFF_FFFF)
    }
    keyID = view.keyID
  }

  /// The header as a number, most significant octet first on the wire. An instance ID of 0 travels without I (rule E8).
  public var word: UInt64 {
    var word: UInt64 = UInt64(keyID & 3) << 56
    switch field {
    case .none: break
    case .nonce(let nonce, let echo): word |= UInt64(LISPNonce(nonce, isRequest: echo).word) << 32
    case .mapVersions(let source, let destination):
      word |= LISPFlag.mapVersions | UInt64(source & 0xFFF) << 44 | UInt64(destination & 0xFFF) << 32
    }
    if instanceID != .zero { word |= LISPFlag.instanceID | UInt64(instanceID.rawValue) << 8 }
    if let bits = locatorStatusBits { word |= LISPFlag.locatorStatusBits | UInt64(instanceID == .zero ? bits : bits & 0xFF) }
    return word
  }

  /// 8 octets.
  public var array: [UInt8] { word.octets }
}
