// SPDX-License-Identifier: Apache-2.0
//
// Authentication beside others': what routers in the field have signed, and what an independent HMAC makes of messages of ours.

import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct RecordedAuthenticationTests {
  private func signed(_ bytes: [UInt8]) throws -> (ControlMessageType, UInt64, AuthenticationFields)? {
    let message = try ControlMessage(parsing: bytes)
    switch message {
    case .mapRegister(let register): return (message.type, register.nonce, register.authentication)
    case .mapNotify(let notify), .mapNotifyAck(let notify): return (message.type, notify.nonce, notify.authentication)
    case .mapRequest, .mapReply, .mapReferral, .encapsulated: return nil
    }
  }

  /// OpenOverlayRouter's and Cisco's. The key of the lispers.net recordings is not known, and no key fits tcpdump's crafted messages:
  /// both are left out, for their `key` is null.
  @Test func `C8 the recorded registrations and notifications verify with their keys`() throws {
    let recordings = try RecordedMessage.all().filter { $0.key != nil }
    #expect(Set(recordings.compactMap(\.key)) == ["secret", "R2", "R3"])
    #expect(Set(recordings.map(\.file)) == ["oor-v4", "oor-v6", "ndpi-registration"])
    #expect(Set(recordings.map { $0.payload[0] >> 4 }) == [3, 4])
    for recording in recordings {
      let (type, nonce, fields) = try #require(try signed(recording.payload))
      let algorithm = try #require(AuthenticationAlgorithm(rawValue: fields.algorithmID))
      for secret in ["secret", "R2", "R3", "", "Secret"] {
        let key = AuthenticationKey(id: fields.keyID, algorithm: algorithm, secret: Array(secret.utf8))
        #expect(key.verifies(recording.payload, type: type, nonce: nonce, fields: fields) == (secret == recording.key), "\(recording)")
      }
    }
  }

  @Test func `C8 a recorded message with a bit changed does not verify`() throws {
    let recording = try #require(try RecordedMessage.all().first { $0.key == "R2" })
    let key = AuthenticationKey(algorithm: .hmacSHA1, secret: Array("R2".utf8))
    for bit in 0..<recording.payload.count * 8 {
      var bytes = recording.payload
      bytes[bit / 8] ^= 0x80 >> UInt8(bit % 8)
      guard let (type, nonce, fields) = try? signed(bytes) else { continue }
      #expect(!key.verifies(bytes, type: type, nonce: nonce, fields: fields), "bit \(bit)")
    }
  }

  /// Made by Fixtures/Control/signatures.py of WireTests, which knows nothing but Python's hmac and RFC 9301 5.6.
  private static let signatures: [(ControlMessageType, AuthenticationAlgorithm, String)] = [
    (.mapRegister, .hmacSHA1, "f821d4ab12854c3eee1430535e036229926902bc"),
    (.mapRegister, .hmacSHA256, "5b32e26002bd46be7e502dbb12bbea76c0d38ff2166953468084e4461133469e"),
    (.mapRegister, .hmacSHA256WithHKDF, "9213a0847bea9797464a6efa3b285ac0e55c17d1aaf4a83b8dfcb6589d54a64b"),
    (.mapNotify, .hmacSHA1, "901f888d830cfbd391f255dc764aef695557d837"),
    (.mapNotify, .hmacSHA256, "9885b7deb27c2a9970e8f0697fbb16f3f99ace82401be89f14a7d1d63a1a3519"),
    (.mapNotify, .hmacSHA256WithHKDF, "825c138e74b1ad18fdeb7f0fce4b1ed48d49f94604bb087208e93618b6e54e9d"),
    (.mapNotifyAck, .hmacSHA1, "6475775d2c148b2b1b2e9ae4b98bd488dfef85e4"),
    (.mapNotifyAck, .hmacSHA256, "fd2175806f818f38a8b55477a08c65fe3aeae1a55606947915118dae8ab920f0"),
    (.mapNotifyAck, .hmacSHA256WithHKDF, "58b6f0ce4772ff0c63bc33087ffa35977046b5972c9521a66f18cc608e1b44dc"),
  ]

  @Test func `C8 what we sign is what an independent HMAC signs`() throws {
    var record = EIDRecord(
      EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 1, 0, 0)), length: 24)), ttl: 1440,
      locators: [LocatorRecord(.ip(.v4(IPv4Address(192, 0, 2, 1))), flags: [.local, .reachable])])
    record.isAuthoritative = true
    let identity = XTRIdentity(xtrIDHigh: 0x0001_0203_0405_0607, xtrIDLow: 0x0809_0A0B_0C0D_0E0F, siteID: 255)
    let nonce: UInt64 = 0x0123_4567_89AB_CDEF
    let register = MapRegister(nonce: nonce, flags: [.proxyReply, .wantNotify], records: [record], identity: identity)
    for (type, algorithm, expected) in Self.signatures {
      let key = AuthenticationKey(id: 7, algorithm: algorithm, secret: Array("a secret".utf8))
      let bytes =
        switch type {
        case .mapRegister: key.sign(register)
        case .mapNotify: key.sign(notify: MapNotify(nonce: nonce, records: [record], identity: identity))
        case .mapNotifyAck, .mapRequest, .mapReply, .mapReferral, .encapsulatedControl:
          key.sign(acknowledgement: MapNotify(nonce: nonce, records: [record]))
        }
      let (parsedType, _, fields) = try #require(try signed(bytes))
      #expect(parsedType == type && fields.data == octets(expected), "\(type), \(algorithm)")
      #expect(key.verifies(bytes, type: type, nonce: nonce, fields: fields))
    }
  }
}
