// SPDX-License-Identifier: Apache-2.0

import Testing
import Wire

@testable import ControlPlane

@Suite struct MessageAuthenticationTests {
  private static let eid = EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 1, 0, 0)), length: 24))
  private static let record = EIDRecord(eid, ttl: 1440, locators: [LocatorRecord(.ip(.v4(IPv4Address(192, 0, 2, 1))))])

  private func register(_ nonce: UInt64) -> MapRegister {
    MapRegister(nonce: nonce, flags: [.wantNotify], records: [Self.record], identity: XTRIdentity(xtrIDHigh: 1, xtrIDLow: 2, siteID: 3))
  }

  private func verifies(_ key: AuthenticationKey, _ bytes: [UInt8]) throws -> Bool {
    guard case .mapRegister(let message) = try ControlMessage(parsing: bytes) else { return false }
    return key.verifies(bytes, type: .mapRegister, nonce: message.nonce, fields: message.authentication)
  }

  @Test(arguments: AuthenticationAlgorithm.allCases)
  func `C8 a signed Map-Register verifies with its key and with no other`(_ algorithm: AuthenticationAlgorithm) throws {
    let key = AuthenticationKey(id: 7, algorithm: algorithm, secret: Array("a secret".utf8))
    let bytes = key.sign(register(42))
    #expect(try verifies(key, bytes))
    #expect(try !verifies(AuthenticationKey(id: 7, algorithm: algorithm, secret: Array("another".utf8)), bytes))
    #expect(try !verifies(AuthenticationKey(id: 8, algorithm: algorithm, secret: Array("a secret".utf8)), bytes))
    for i in bytes.indices {
      var changed = bytes
      changed[i] ^= 1
      #expect((try? verifies(key, changed)) != true, "byte \(i) is not covered")
    }
  }

  @Test func `data cut to the length of the algorithm's name verifies`() throws {
    for algorithm in AuthenticationAlgorithm.allCases {
      let key = AuthenticationKey(id: 1, algorithm: algorithm, secret: Array("a secret".utf8))
      var short = register(42)
      short.authentication = AuthenticationFields(
        keyID: 1, algorithmID: algorithm.rawValue, data: Array(repeating: 0, count: algorithm.truncatedByteCount))
      let blank = ControlMessage.mapRegister(short).bytes
      short.authentication.data = Array(key.code(of: blank, .mapRegister, nonce: 42).prefix(algorithm.truncatedByteCount))
      #expect(try verifies(key, ControlMessage.mapRegister(short).bytes))
      short.authentication.data[0] ^= 0x80
      #expect(try !verifies(key, ControlMessage.mapRegister(short).bytes))
      short.authentication.data = []
      #expect(try !verifies(key, ControlMessage.mapRegister(short).bytes))
    }
  }

  @Test func `a Map-Notify and a Map-Notify-Ack have keys of their own`() throws {
    let key = AuthenticationKey(id: 0, algorithm: .hmacSHA256WithHKDF, secret: [1, 2, 3])
    let notify = MapNotify(nonce: 9, records: [Self.record])
    let bytes = key.sign(notify: notify)
    guard case .mapNotify(let parsed) = try ControlMessage(parsing: bytes) else { return #expect(Bool(false)) }
    #expect(key.verifies(bytes, type: .mapNotify, nonce: 9, fields: parsed.authentication))
    #expect(!key.verifies(bytes, type: .mapNotifyAck, nonce: 9, fields: parsed.authentication))
    #expect(!key.verifies(bytes, type: .mapNotify, nonce: 8, fields: parsed.authentication))
    #expect(key.sign(notify: notify) != key.sign(acknowledgement: notify))
  }

  @Test func `the text of a key does not show its secret`() {
    #expect(!"\(AuthenticationKey(secret: Array("hunter2".utf8)))".contains("hunter2"))
  }
}
