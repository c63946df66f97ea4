// SPDX-License-Identifier: Apache-2.0
//
// The cursor that all control formats read through, and its counterpart that writes.

import TestSupport
import Testing

@testable import Wire

@Suite struct ControlReaderTests {
  @Test func `numbers are read and written most significant octet first`() throws {
    let bytes = octets("01 0203 04050607 08090a0b0c0d0e0f")
    var reader = ControlReader(bytes)
    #expect(try reader.u8(.control) == 0x01)
    #expect(try reader.u16(.control) == 0x0203)
    #expect(try reader.u32(.control) == 0x0405_0607)
    #expect(try reader.u64(.control) == 0x0809_0A0B_0C0D_0E0F)
    #expect(reader.remaining == 0)
    var writer = ControlWriter()
    writer.u8(0x01)
    writer.u16(0x0203)
    writer.u32(0x0405_0607)
    writer.u64(0x0809_0A0B_0C0D_0E0F)
    #expect(writer.bytes == bytes)
    writer.setU16(0xABCD, at: 1)
    #expect(writer.bytes.prefix(4) == [0x01, 0xAB, 0xCD, 0x04])
  }

  @Test func `C10 a read beyond the end says who wanted how much, and takes nothing`() throws {
    var reader = ControlReader([1, 2, 3])
    #expect(throws: WireError.truncated(.lcaf, needed: 4, available: 3)) { try reader.u32(.lcaf) }
    #expect(throws: WireError.truncated(.udp, needed: 8, available: 3)) { try reader.u64(.udp) }
    #expect(throws: WireError.truncated(.ipv4, needed: 4, available: 3)) { try reader.take(4, .ipv4) }
    #expect(throws: WireError.truncated(.ipv6, needed: 4, available: 3)) { try reader.part(4, .ipv6) }
    #expect(throws: WireError.trailing(.mapReply, byteCount: 3)) { try reader.requireEnd(.mapReply) }
    #expect(reader.remaining == 3)
    #expect(reader.takeRest() == [1, 2, 3])
    #expect(throws: WireError.truncated(.control, needed: 1, available: 0)) { try reader.u8(.control) }
    try reader.requireEnd(.control)
  }

  @Test func `C10 a part ends where it ends, also for names`() throws {
    var reader = ControlReader([65, 66, 67, 0, 1])
    var part = try reader.part(3, .address)
    #expect(reader.remaining == 2 && part.remaining == 3)
    // The zero lies behind the part.
    #expect(throws: WireError.truncated(.address, needed: 4, available: 3)) { try part.zeroTerminated(.address) }
    #expect(part.takeRest() == [65, 66, 67])
    #expect(try reader.zeroTerminated(.address) == [])
    #expect(try reader.take(1, .address) == [1])
  }
}
