// SPDX-License-Identifier: Apache-2.0
//
// Authentication of Map-Registers, Map-Notifies and Map-Notify-Acks (RFC 9301 5.6): a MAC over the whole message, its own place zeroed. The
// registrar and the map-server sign and verify through this file and nothing else.
//
//     algorithm ID                  key of the MAC                                                     MAC
//     1 HMAC-SHA-1-96               the secret                                                         HMAC-SHA-1
//     2 HMAC-SHA-256-128            the secret                                                         HMAC-SHA-256
//     3 … + HKDF-SHA256             HKDF(nonce ‖ secret, salt = "Map-Register Authentication", …)      HMAC-SHA-256
//
// The names promise 96 and 128 bits; everything in the field sends the whole 160 and 256, and so do we. Received data may have either length.
//
// Section 5.6 lets the MAC end with the last RLOC-record; the implementations in the field have it cover the xTR-ID and site-ID as well, and so
// do we: what is not covered could be changed on the way.

import Crypto
import Wire

/// The algorithms (RFC 9301 12.5); raw values are algorithm IDs.
public enum AuthenticationAlgorithm: UInt8, Sendable, CaseIterable {
  case hmacSHA1 = 1
  case hmacSHA256 = 2
  case hmacSHA256WithHKDF = 3

  /// Of the data that we send.
  var byteCount: Int { self == .hmacSHA1 ? 20 : 32 }
  /// Of the data by its name.
  var truncatedByteCount: Int { self == .hmacSHA1 ? 12 : 16 }
}

/// A shared secret under its key ID. Its text does not show the secret.
public struct AuthenticationKey: Hashable, Sendable, CustomStringConvertible {
  public var id: UInt8
  public var algorithm: AuthenticationAlgorithm
  var secret: [UInt8]

  public init(id: UInt8 = 0, algorithm: AuthenticationAlgorithm = .hmacSHA256, secret: [UInt8]) {
    self.id = id
    self.algorithm = algorithm
    self.secret = secret
  }

  public var description: String { "key \(id), algorithm \(algorithm.rawValue)" }

  /// The fields of a message that is to be signed with this key.
  public var blankFields: AuthenticationFields {
    AuthenticationFields(keyID: id, algorithmID: algorithm.rawValue, data: Array(repeating: 0, count: algorithm.byteCount))
  }

  /// The bytes of `register` with its authentication fields set.
  public func sign(_ register: MapRegister) -> [UInt8] {
    var register = register
    register.authentication = blankFields
    return sealed(ControlMessage.mapRegister(register), nonce: register.nonce)
  }

  /// The bytes of a Map-Notify with its authentication fields set.
  public func sign(notify: MapNotify) -> [UInt8] {
    var notify = notify
    notify.authentication = blankFields
    return sealed(.mapNotify(notify), nonce: notify.nonce)
  }

  /// The bytes of a Map-Notify-Ack with its authentication fields set.
  public func sign(acknowledgement: MapNotify) -> [UInt8] {
    var acknowledgement = acknowledgement
    acknowledgement.authentication = blankFields
    return sealed(.mapNotifyAck(acknowledgement), nonce: acknowledgement.nonce)
  }

  /// Whether `bytes`, which were parsed to a message of `type` with these fields and this nonce, were signed with this key.
  public func verifies(_ bytes: [UInt8], type: ControlMessageType, nonce: UInt64, fields: AuthenticationFields) -> Bool {
    let count = fields.data.count
    guard fields.keyID == id, fields.algorithmID == algorithm.rawValue,
      count == algorithm.byteCount || count == algorithm.truncatedByteCount
    else { return false }
    var zeroed = bytes
    for i in AuthenticationFields.dataOffset..<AuthenticationFields.dataOffset + count { zeroed[i] = 0 }
    return Self.areEqual(code(of: zeroed, type, nonce: nonce).prefix(count), fields.data)
  }

  private func sealed(_ message: ControlMessage, nonce: UInt64) -> [UInt8] {
    var bytes = message.bytes
    let data = code(of: bytes, message.type, nonce: nonce)
    bytes.replaceSubrange(AuthenticationFields.dataOffset..<AuthenticationFields.dataOffset + data.count, with: data)
    return bytes
  }

  /// The whole authentication data of `bytes`, in which its place is zeroed.
  func code(of bytes: [UInt8], _ type: ControlMessageType, nonce: UInt64) -> [UInt8] {
    switch algorithm {
    case .hmacSHA1: Array(HMAC<Insecure.SHA1>.authenticationCode(for: bytes, using: SymmetricKey(data: secret)))
    case .hmacSHA256: Array(HMAC<SHA256>.authenticationCode(for: bytes, using: SymmetricKey(data: secret)))
    case .hmacSHA256WithHKDF: Array(HMAC<SHA256>.authenticationCode(for: bytes, using: messageKey(type, nonce)))
    }
  }

  private func messageKey(_ type: ControlMessageType, _ nonce: UInt64) -> SymmetricKey {
    let material = SymmetricKey(data: (0..<8).map { UInt8(truncatingIfNeeded: nonce >> UInt64(56 - 8 * $0)) } + secret)
    return HKDF<SHA256>.deriveKey(inputKeyMaterial: material, salt: Array(type.salt.utf8), outputByteCount: 32)
  }

  /// Compares in a time that does not depend on where they differ.
  private static func areEqual(_ a: ArraySlice<UInt8>, _ b: [UInt8]) -> Bool {
    a.count == b.count && zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
  }
}

extension ControlMessageType {
  /// What keeps the keys of the three kinds of messages apart.
  fileprivate var salt: String {
    switch self {
    case .mapRegister: "Map-Register Authentication"
    case .mapNotify: "Map-Notify Authentication"
    case .mapNotifyAck: "Map-Notify-Ack Authentication"
    case .mapRequest, .mapReply, .mapReferral, .encapsulatedControl: ""
    }
  }
}
