// SPDX-License-Identifier: Apache-2.0
//
// What no recording has: Map-Requests with every flag and part, Map-Replies, Map-Registers and Map-Referrals, their octets worked out by
// hand from the figures of RFC 9301, RFC 9437 and RFC 8111.

import TestSupport
import Testing

@testable import Wire

@Suite struct MapMessageTests {
  private static let nonce: UInt64 = 0x0123_4567_89AB_CDEF

  /// The message that `hexadecimal` stands for, which is written back to the same octets.
  private func read(_ hexadecimal: String) throws -> ControlMessage {
    let message = try ControlMessage(parsing: octets(hexadecimal))
    #expect(message.bytes == octets(hexadecimal))
    return message
  }

  private func prefix(_ text: String) throws -> EIDPrefix { EIDPrefix(.zero, try IPPrefix(parsing: text)) }

  @Test func `a Map-Request has its parts in the order of the figure`() throws {
    let text = """
      14 10 61 01  0123456789abcdef
      0001 c0000201
      0001 c6336401  0002 20010db8000000000000000000000001
      80 20 0001 cb007105
      000005a0 01 18 10 00 00 07 0001 0a010000  01 64 ff 00 0005 0001 c6336401
      000102030405060708090a0b0c0d0e0f  00000000000000ff
      """
    var request = MapRequest(
      nonce: Self.nonce, flags: [.localXTR, .dontMapReply], sourceEID: .ip(.v4(IPv4Address(192, 0, 2, 1))),
      itrRLOCs: [.ip(.v4(IPv4Address(198, 51, 100, 1))), .ip(.v6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 1)))],
      records: [MapRequest.Record(try prefix("203.0.113.5/32"), subscribes: true)])
    var record = EIDRecord(
      try prefix("10.1.0.0/24"), ttl: 1440, isAuthoritative: true,
      locators: [LocatorRecord(.ip(.v4(IPv4Address(198, 51, 100, 1))), flags: [.local, .reachable])])
    record.versionWord = 7
    request.mapReplyRecord = record
    request.identity = XTRIdentity(xtrIDHigh: 0x0001_0203_0405_0607, xtrIDLow: 0x0809_0A0B_0C0D_0E0F, siteID: 255)
    #expect(try read(text) == .mapRequest(request))
    #expect(record.mapVersion == 7 && request.records[0].subscribes && request.identity?.description == "000102030405060708090a0b0c0d0e0f")
  }

  @Test func `each flag of a Map-Request has the bit of the figure`() throws {
    let flags: [(MapRequest.Flags, String)] = [
      ([], "10000001"), (.authoritative, "18000001"), (.probe, "12000001"), (.solicit, "11000001"), (.proxyITR, "10800001"),
      (.invokedBySolicit, "10400001"), (.localXTR, "10004001"), (.dontMapReply, "10002001"),
    ]
    for (flag, word) in flags {
      let message = try read(word + "0123456789abcdef 0000 0001c0000201 00 18 0001 0a010000")
      guard case .mapRequest(let request) = message else {
        Issue.record("\(message)")
        continue
      }
      #expect(request.flags == flag && request.mapReplyRecord == nil && request.identity == nil)
      #expect(request.records.map(\.eidPrefix) == [try prefix("10.1.0.0/24")] && !request.records[0].subscribes)
    }
  }

  @Test func `C12 a Map-Request with the I bit and no identity is refused`() {
    let text = "10100001 0123456789abcdef 0000 0001c0000201 00 18 0001 0a010000"
    #expect(throws: WireError.truncated(.xtrIdentity, needed: 8, available: 0)) { try ControlMessage(parsing: octets(text)) }
  }

  @Test func `a Map-Reply that says no has an action and no locators`() throws {
    let text = "20000001 0123456789abcdef  0000000f 00 10 20 00 0000 0001 0a010000"
    let record = EIDRecord(try prefix("10.1.0.0/16"), ttl: 15, action: .nativelyForward)
    #expect(try read(text) == .mapReply(MapReply(nonce: Self.nonce, records: [record])))
    let actions: [(MapAction, String)] = [
      (.noAction, "00"), (.sendMapRequest, "40"), (.drop, "60"), (.policyDenied, "80"), (.authenticationFailure, "a0"),
    ]
    for (action, octet) in actions {
      let message = try read("20000001 0123456789abcdef 0000000f 00 10 \(octet) 00 0000 0001 0a010000")
      guard case .mapReply(let reply) = message else {
        Issue.record("\(message)")
        continue
      }
      #expect(reply.records.map(\.action) == [action] && reply.flags == [])
    }
  }

  @Test func `each flag of a Map-Reply and of a locator has the bit of the figure`() throws {
    let locators: [(LocatorRecord.Flags, String)] = [(.local, "0004"), (.probed, "0002"), (.reachable, "0001")]
    for (flag, word) in locators {
      let text = "2c000001 0123456789abcdef  000005a0 01 10 10 00 0000 0001 0a010000  01 64 02 32 \(word) 0001 c0000202"
      guard case .mapReply(let reply) = try read(text), let locator = reply.records.first?.locators.first else {
        Issue.record("no locator")
        continue
      }
      #expect(reply.flags == [.probe, .echoNonceCapable] && reply.records[0].isAuthoritative)
      #expect(locator.flags == flag && locator.priority == 1 && locator.weight == 100)
      #expect(locator.multicastPriority == 2 && locator.multicastWeight == 50)
    }
    #expect(throws: WireError.invalid(.mapReply, field: "S bit", value: 1)) {
      try ControlMessage(parsing: octets("22000000 0123456789abcdef"))
    }
  }

  @Test func `each flag of a Map-Register has the bit of the figure`() throws {
    let flags: [(MapRegister.Flags, String)] = [
      (.proxyReply, "38000000"), (.securityCapable, "34000000"), (.explicitPrefix, "30001000"), (.useTTL, "30000800"),
      (.merge, "30000400"), (.wantNotify, "30000100"),
    ]
    for (flag, word) in flags {
      let message = try read(word + "0123456789abcdef 07 02 0004 a5a5a5a5")
      let fields = AuthenticationFields(keyID: 7, algorithmID: 2, data: [0xA5, 0xA5, 0xA5, 0xA5])
      #expect(message == .mapRegister(MapRegister(nonce: Self.nonce, flags: flag, authentication: fields, records: [])))
    }
  }

  @Test func `a Map-Notify-Ack differs from a Map-Notify in its type`() throws {
    let rest = "000000 0123456789abcdef 00 01 0000"
    let notify = MapNotify(nonce: Self.nonce, authentication: AuthenticationFields(keyID: 0, algorithmID: 1), records: [])
    #expect(try read("40" + rest) == .mapNotify(notify))
    #expect(try read("50" + rest) == .mapNotifyAck(notify))
    #expect(throws: WireError.truncated(.mapNotifyAck, needed: 8, available: 1)) { try ControlMessage(parsing: octets("50000000 00")) }
  }

  @Test func `a Map-Referral has its action and the incomplete bit (RFC 8111 6.4)`() throws {
    let text = "60000001 0123456789abcdef  000005a0 01 08 38 00 0000 0001 0a000000  00 00 ff 00 0001 0001 c0000202"
    guard case .mapReferral(let referral) = try read(text), let record = referral.records.first else {
      Issue.record("no referral")
      return
    }
    #expect(referral.nonce == Self.nonce && record.referralAction == .mapServerReferral && record.isReferralIncomplete)
    #expect(try record.isAuthoritative && record.eidPrefix == prefix("10.0.0.0/8") && record.locators.count == 1)
    let signed = "60000001 0123456789abcdef  000005a0 00 08 00 00 1000 0001 0a000000"
    #expect(throws: WireError.invalid(.mapReferral, field: "signature count", value: 1)) { try ControlMessage(parsing: octets(signed)) }
  }

  @Test func `C10 a record count that is not that of the records is refused`() {
    let record = "0000000f 00 10 20 00 0000 0001 0a010000"
    #expect(throws: WireError.truncated(.eidRecord, needed: 4, available: 0)) {
      try ControlMessage(parsing: octets("20000002 0123456789abcdef" + record))
    }
    #expect(throws: WireError.trailing(.mapReply, byteCount: 16)) {
      try ControlMessage(parsing: octets("20000000 0123456789abcdef" + record))
    }
    #expect(throws: WireError.truncated(.locatorRecord, needed: 4, available: 0)) {
      try ControlMessage(parsing: octets("20000001 0123456789abcdef 0000000f ff 10 20 00 0000 0001 0a010000"))
    }
  }

  @Test func `a mask that does not fit the EID makes no prefix, bits behind a mask are cut`() throws {
    #expect(EIDPrefix(.ip(.v4(IPv4Address(10, 1, 2, 3))), maskLength: 33) == nil)
    #expect(try EIDPrefix(.ip(.v4(IPv4Address(10, 1, 2, 3))), maskLength: 16) == prefix("10.1.0.0/16"))
    #expect(EIDPrefix(.name([97]), maskLength: 0) == nil)
  }
}
