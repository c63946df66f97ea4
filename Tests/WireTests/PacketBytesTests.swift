// SPDX-License-Identifier: Apache-2.0
//
// Loads and stores in network byte order, and windows within windows.

import Testing
import Wire

@Suite struct PacketBytesTests {
  @Test func `loads are most significant octet first, at any alignment`() {
    let octets = (0..<24).map { UInt8($0) }
    reading(octets) { bytes in
      for offset in 0..<16 {
        let o = UInt64(offset)
        #expect(bytes.u8(offset) == UInt8(offset))
        #expect(bytes.u16(offset) == UInt16(o << 8 | o + 1))
        #expect(bytes.u32(offset) == UInt32(o << 24 | (o + 1) << 16 | (o + 2) << 8 | o + 3))
        #expect(bytes.u64(offset).octets == Array(octets[offset..<offset + 8]))
      }
    }
  }

  @Test func `stores write their octets and no others`() {
    for offset in 0..<9 {
      let (_, octets) = onPacket(Array(repeating: 0xA5, count: 17)) { $0.store(0x0102_0304_0506_0708 as UInt64, at: offset) }
      #expect(octets == Array(repeating: 0xA5, count: offset) + [1, 2, 3, 4, 5, 6, 7, 8] + Array(repeating: 0xA5, count: 9 - offset))
      #expect(onPacket(Array(repeating: 0xA5, count: 10)) { $0.store(0x0102 as UInt16, at: 3) }.octets[2..<6] == [0xA5, 1, 2, 0xA5])
      #expect(
        onPacket(Array(repeating: 0xA5, count: 10)) { $0.store(0x0102_0304 as UInt32, at: 3) }.octets[2..<8] == [0xA5, 1, 2, 3, 4, 0xA5])
      #expect(onPacket(Array(repeating: 0xA5, count: 10)) { $0.store(7 as UInt8, at: 3) }.octets[2..<5] == [0xA5, 7, 0xA5])
    }
  }

  @Test func `windows share memory with what they were cut from`() {
    let (_, octets) = onPacket([0, 1, 2, 3, 4, 5, 6, 7]) { bytes in
      let window = bytes.dropFirst(2).prefix(3)
      #expect(window.count == 3 && window.array == [2, 3, 4])
      window.store(9 as UInt8, at: 0)
      #expect(window.dropFirst(3).count == 0)
      #expect(window.withBuffer { Array($0) } == [9, 3, 4])
    }
    #expect(octets == [0, 1, 9, 3, 4, 5, 6, 7])
  }

  @Test func `new memory is filled with 0xA5, around a packet too`() {
    let buffer = PacketBuffer([1, 2, 3], headroom: 4, tailroom: 2)
    #expect(buffer.bytes.array == [0xA5, 0xA5, 0xA5, 0xA5, 1, 2, 3, 0xA5, 0xA5])
    #expect(PacketBuffer(capacity: 0).bytes.count == 0)
  }

  @Test func `errors say format, field and count in one line`() {
    #expect(WireError.truncated(.lisp, needed: 8, available: 3).description == "LISP header: 8 bytes needed, 3 there")
    #expect(WireError.invalid(.ipv4, field: "version", value: 6).description == "IPv4 header: version cannot be 6")
  }
}
