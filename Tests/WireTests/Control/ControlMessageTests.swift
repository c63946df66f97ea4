// SPDX-License-Identifier: Apache-2.0
//
// What holds for control messages of all types: every bit of theirs is kept or refused, and no bytes are too bad to be read.

import TestSupport
import Testing

@testable import Wire

@Suite struct ControlMessageTests {
  private static func recordings() throws -> [[UInt8]] {
    Array(Set(try RecordedMessage.all().filter { $0.refusedBy.isEmpty }.map(\.payload)))
  }

  @Test func `C10 every truncation of every recorded message is refused`() throws {
    for payload in try Self.recordings() {
      for length in 0..<payload.count {
        let prefix = Array(payload.prefix(length))
        guard let message = try? ControlMessage(parsing: prefix) else { continue }
        // An identity that no flag announces may be there or not: without it, all of it, the message is one again.
        #expect(length == payload.count - XTRIdentity.byteCount && message.bytes == prefix)
        #expect(message.type == .mapNotify || message.type == .mapNotifyAck)
        #expect(payload[0] & 0x08 == 0)
      }
    }
  }

  @Test func `C10 a byte too many is refused`() throws {
    for payload in try Self.recordings() {
      let message = try ControlMessage(parsing: payload)
      let error = #expect(throws: WireError.self) { try ControlMessage(parsing: payload + [0]) }
      guard case .trailing(let format, let byteCount) = error else {
        Issue.record("\(String(describing: error))")
        continue
      }
      // An unannounced identity is known by its length, so it and the byte are what is too many.
      #expect(byteCount == 1 || byteCount == 1 + XTRIdentity.byteCount && (message.type == .mapNotify || message.type == .mapNotifyAck))
      #expect(format != .control)
    }
  }

  @Test func `C10 every flipped bit of every recorded message is kept or refused`() throws {
    var (kept, refused) = (0, 0)
    for var payload in try Self.recordings() {
      for bit in 0..<payload.count * 8 {
        payload[bit / 8] ^= 0x80 >> UInt8(bit % 8)
        if let message = try? ControlMessage(parsing: payload) {
          if message.bytes != payload { Issue.record("bit \(bit) of \(payload)") }
          kept += 1
        } else {
          refused += 1
        }
        payload[bit / 8] ^= 0x80 >> UInt8(bit % 8)
      }
    }
    #expect(kept > refused && refused > 1000)
  }

  @Test(arguments: ControlMessageType.allCases)
  func `random messages survive octets`(_ type: ControlMessageType) throws {
    var random = SplitMix64(seed: 90 + UInt64(type.rawValue))
    for _ in 0..<150 {
      let message = random.controlMessage(type)
      let bytes = message.bytes
      #expect(try ControlMessage(parsing: bytes) == message)
      #expect(message.type == type && bytes[0] >> 4 == type.rawValue)
      guard bytes.count < 400 else { continue }
      for length in 0..<bytes.count {
        guard let shorter = try? ControlMessage(parsing: Array(bytes.prefix(length))) else { continue }
        #expect(shorter.bytes == Array(bytes.prefix(length)) && length == bytes.count - XTRIdentity.byteCount)
      }
    }
  }

  @Test func `C10 random bytes are read or refused`() {
    var random = SplitMix64(seed: 99)
    var read = 0
    for _ in 0..<200_000 {
      var bytes = random.octets(random.below(64))
      // Few of 256 first octets begin a message: most of the bytes shall get beyond them.
      if !bytes.isEmpty, random.below(8) > 0 { bytes[0] = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x80][random.below(7)] }
      if bytes.count > 3, random.below(2) > 0 { bytes[3] = UInt8(random.below(2)) }
      guard let message = try? ControlMessage(parsing: bytes) else { continue }
      read += 1
      if message.bytes != bytes { Issue.record("\(bytes)") }
    }
    #expect(read > 100)
  }

  @Test func `C10 unknown types are refused`() {
    for type: UInt8 in 0...15 where ControlMessageType(rawValue: type) == nil {
      #expect(throws: WireError.invalid(.control, field: "type", value: UInt64(type))) {
        try ControlMessage(parsing: [type << 4, 0, 0, 0])
      }
    }
    #expect(throws: WireError.truncated(.control, needed: 4, available: 0)) { try ControlMessage(parsing: []) }
    for type in ControlMessageType.allCases {
      #expect(throws: WireError.self) { try ControlMessage(parsing: [type.rawValue << 4]) }
    }
  }

  @Test func `an error says which format, which field and what is wrong`() {
    #expect("\(WireError.invalid(.address, field: "AFI", value: 7680))" == "AFI-encoded address: AFI cannot be 7680")
    #expect("\(WireError.truncated(.mapNotify, needed: 16, available: 3))" == "Map-Notify: 16 bytes needed, 3 there")
    #expect("\(WireError.trailing(.mapReply, byteCount: 2))" == "Map-Reply: 2 bytes too many")
  }

  @Test func `more records than the count can say are left out`() throws {
    let record = EIDRecord(EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 0, 0, 0)), length: 8)), ttl: 1)
    let reply = ControlMessage.mapReply(MapReply(nonce: 1, records: Array(repeating: record, count: 256)))
    guard case .mapReply(let parsed) = try ControlMessage(parsing: reply.bytes) else {
      Issue.record("another type")
      return
    }
    #expect(parsed.records.count == 255)
  }
}
