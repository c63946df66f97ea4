// SPDX-License-Identifier: Apache-2.0
//
// The recorded messages of four implementations: what we read in them is what an independent decoder reads, and we write the same bytes.

import TestSupport
import Testing

@testable import Wire

@Suite struct ControlRecordingTests {
  /// What both decoders could make sense of: all messages but four.
  private static func accepted() throws -> [RecordedMessage] { try RecordedMessage.all().filter { $0.refusedBy.isEmpty } }

  @Test func `C10 every recorded message is read as the independent decoder reads it`() throws {
    let recordings = try Self.accepted()
    #expect(recordings.count == 210)
    for recording in recordings {
      let message = try ControlMessage(parsing: recording.payload)
      expect(message, recording.decoded, "\(recording)")
    }
  }

  @Test func `every recorded message is written as it was read`() throws {
    for recording in try Self.accepted() {
      #expect(try ControlMessage(parsing: recording.payload).bytes == recording.payload, "\(recording)")
    }
  }

  @Test func `C10 what decoders refuse is refused for its reason`() throws {
    let expected: [String: WireError] = [
      // 8 bytes of a Map-Register.
      "tcpdump-invalid-length frame 1": .truncated(.mapRegister, needed: 8, available: 4),
      // An EID of family 7680: one of the decoders takes the records for bytes after the end, and does not object.
      "tcpdump-invalid frame 1": .invalid(.address, field: "AFI", value: 7680),
      // Authentication data that would be longer than the message.
      "tcpdump-invalid frame 2": .truncated(.mapNotify, needed: 35117, available: 25),
      // The flag that an xTR-ID follows, and none does.
      "tcpdump-notify frame 3": .truncated(.xtrIdentity, needed: 8, available: 0),
    ]
    let refused = try RecordedMessage.all().filter { !$0.refusedBy.isEmpty }
    #expect(refused.count == expected.count)
    for recording in refused {
      #expect(throws: try #require(expected["\(recording)"]), "\(recording)") { try ControlMessage(parsing: recording.payload) }
    }
  }

  // MARK: - A message and what is said of it

  private func expect(_ message: ControlMessage, _ decoded: RecordedMessage.Decoded, _ name: String) {
    #expect(message.type.rawValue == decoded.type, "\(name)")
    switch message {
    case .mapRequest(let request): expect(request, decoded, name)
    case .mapReply(let reply):
      #expect(reply.flags.rawValue == bits(decoded, ["P": 27, "E": 26, "S": 25], reservedShift: 8), "\(name)")
      #expect(reply.nonce == number(decoded.nonce), "\(name)")
      expect(reply.records, decoded, name)
    case .mapRegister(let register):
      let word = bits(decoded, ["P": 27, "S": 26, "I": 25, "M": 8], reservedShift: 9)
      #expect(register.flags.rawValue == word & ~(1 << 25) && (register.identity != nil) == (word >> 25 & 1 == 1), "\(name)")
      expectSigned(register.nonce, register.authentication, register.records, register.identity, decoded, name)
    case .mapNotify(let notify), .mapNotifyAck(let notify):
      #expect(notify.flags == bits(decoded, ["I": 27, "R": 26], reservedShift: 8), "\(name)")
      expectSigned(notify.nonce, notify.authentication, notify.records, notify.identity, decoded, name)
    case .encapsulated(let encapsulated): expect(encapsulated, decoded, name)
    case .mapReferral: Issue.record("\(name): nobody has recorded a Map-Referral")
    }
  }

  private func expect(_ request: MapRequest, _ decoded: RecordedMessage.Decoded, _ name: String) {
    let word = bits(decoded, ["A": 27, "M": 26, "P": 25, "S": 24, "p": 23, "s": 22], reservedShift: 13)
    #expect(request.flags.rawValue == word & ~(1 << 26 | 1 << 20), "\(name)")
    #expect((request.mapReplyRecord != nil) == (word >> 26 & 1 == 1) && (request.identity != nil) == (word >> 20 & 1 == 1), "\(name)")
    #expect(request.nonce == number(decoded.nonce), "\(name)")
    expect(request.sourceEID, decoded.sourceEID, name)
    #expect(request.itrRLOCs.count - 1 == decoded.itrRLOCCount && request.itrRLOCs.count == decoded.itrRLOCs?.count, "\(name)")
    for (ours, theirs) in zip(request.itrRLOCs, decoded.itrRLOCs ?? []) { expect(ours, theirs, name) }
    #expect(request.records.count == decoded.recordCount && request.records.count == decoded.records?.count, "\(name)")
    for (ours, theirs) in zip(request.records, decoded.records ?? []) {
      #expect(ours.maskLength == theirs.maskLength && ours.flags == 0, "\(name)")
      expect(ours.eid, theirs.eid, name)
    }
  }

  private func expect(_ message: EncapsulatedControlMessage, _ decoded: RecordedMessage.Decoded, _ name: String) {
    #expect(message.flags.rawValue == bits(decoded, ["S": 27, "D": 26, "E": 25, "M": 24], reservedShift: 0), "\(name)")
    guard let inner = decoded.inner else {
      Issue.record("\(name): nothing inside")
      return
    }
    #expect(message.source.description == inner.source && message.destination.description == inner.destination, "\(name)")
    #expect(message.sourcePort == inner.sourcePort && message.destinationPort == inner.destinationPort, "\(name)")
    #expect(message.message == octets(inner.payload), "\(name)")
    do { expect(try ControlMessage(parsing: message.message), inner.message, "inside \(name)") } catch { Issue.record(error, "\(name)") }
  }

  private func expectSigned(
    _ nonce: UInt64, _ authentication: AuthenticationFields, _ records: [EIDRecord], _ identity: XTRIdentity?,
    _ decoded: RecordedMessage.Decoded, _ name: String
  ) {
    #expect(nonce == number(decoded.nonce), "\(name)")
    #expect(UInt16(authentication.keyID) << 8 | UInt16(authentication.algorithmID) == decoded.keyID, "\(name)")
    #expect(authentication.data == octets(decoded.authentication ?? ""), "\(name)")
    #expect(authentication.data.count == decoded.authenticationLength, "\(name)")
    expect(records, decoded, name)
    // The decoder takes the two for bytes after the end where no flag announces them.
    let identityDigits = decoded.xTRID.map { $0 + (decoded.siteID ?? "") } ?? decoded.trailing
    var writer = ControlWriter()
    identity?.emit(into: &writer)
    #expect(writer.bytes == octets(identityDigits ?? ""), "\(name)")
  }

  private func expect(_ records: [EIDRecord], _ decoded: RecordedMessage.Decoded, _ name: String) {
    #expect(records.count == decoded.recordCount && records.count == (decoded.records ?? []).count, "\(name)")
    for (ours, theirs) in zip(records, decoded.records ?? []) {
      #expect(ours.ttl == theirs.ttl && ours.maskLength == theirs.maskLength && ours.action.rawValue == theirs.action, "\(name)")
      #expect(ours.isAuthoritative == theirs.authoritative && ours.mapVersion == theirs.mapVersion, "\(name)")
      expect(ours.eid, theirs.eid, name)
      #expect(ours.locators.count == theirs.locatorCount && ours.locators.count == (theirs.locators ?? []).count, "\(name)")
      for (ours, theirs) in zip(ours.locators, theirs.locators ?? []) { expect(ours, theirs, name) }
    }
  }

  private func expect(_ ours: LocatorRecord, _ theirs: RecordedMessage.Locator, _ name: String) {
    #expect(ours.priority == theirs.priority && ours.weight == theirs.weight, "\(name)")
    #expect(ours.multicastPriority == theirs.multicastPriority && ours.multicastWeight == theirs.multicastWeight, "\(name)")
    #expect(ours.flags.rawValue == theirs.flags, "\(name)")
    expect(ours.address, theirs.locator, name)
  }

  private func expect(_ ours: AFIAddress, _ theirs: RecordedMessage.Address?, _ name: String) {
    guard let theirs else {
      Issue.record("\(name): no address")
      return
    }
    switch ours {
    case .none: #expect(theirs.afi == 0, "\(name)")
    case .ip(let address): #expect(theirs.afi == (address.family == .ipv4 ? 1 : 2) && address.description == theirs.text, "\(name)")
    case .name(let octets): #expect(theirs.afi == 17 && String(decoding: octets, as: UTF8.self) == theirs.text, "\(name)")
    case .mac: Issue.record("\(name): nobody has recorded an Ethernet address")
    case .lcaf(let lcaf):
      #expect(theirs.afi == 16387 && lcaf.content.type == theirs.lcaf && lcaf.flags == theirs.flags, "\(name)")
      #expect(lcaf.reserved1 == theirs.reserved1 ?? 0 && lcaf.reserved2 == theirs.reserved2 ?? 0, "\(name)")
      expect(lcaf.content, theirs, name)
    }
  }

  private func expect(_ content: LCAF.Content, _ theirs: RecordedMessage.Address, _ name: String) {
    var writer = ControlWriter()
    content.emit(into: &writer)
    #expect(writer.bytes.count == theirs.length, "\(name)")
    switch content {
    case .list(let addresses):
      #expect(addresses.count == theirs.inner?.count, "\(name)")
      for (ours, theirs) in zip(addresses, theirs.inner ?? []) { expect(ours, theirs, name) }
    case .instanceID(let number, let address):
      #expect(number == theirs.instanceID, "\(name)")
      expect(address, theirs.inner?.first, name)
    case .nat, .explicitPath, .sourceDestination, .replicationList, .json, .unknown:
      Issue.record("\(name): nobody has recorded an LCAF of type \(content.type)")
    }
  }

  /// The bits that the decoder's letters and its `reserved` stand for, in the first word.
  private func bits(_ decoded: RecordedMessage.Decoded, _ places: [Character: UInt32], reservedShift: UInt32) -> UInt32 {
    decoded.flags.reduce((decoded.reserved ?? 0) << reservedShift) { $0 | (places[$1].map { 1 << $0 } ?? 0) }
  }

  private func number(_ digits: String?) -> UInt64? { digits.flatMap { UInt64($0, radix: 16) } }
}
