// SPDX-License-Identifier: Apache-2.0

import Testing
import Wire

@testable import Lab

@Suite struct FrameTests {
  private static let (a4, b4) = (IPAddress("192.0.2.2"), IPAddress("198.51.100.2"))
  private static let (a6, b6) = (IPAddress("2001:db8:a::2"), IPAddress("2001:db8:b::2"))

  @Test func `a UDP packet by hand is the one from the books`() throws {
    let packet = FrameBuilder.udp(from: try #require(Self.a4), 1024, to: try #require(Self.b4), 53, .init(), Array("hi".utf8))
    // Sums over header and over pseudo-header plus datagram are zero when the checksums are right.
    #expect(FrameBuilder.checksum(Array(packet.prefix(20))) == 0)
    #expect(FrameBuilder.checksum(Array(packet[12..<20]) + [0, 17, 0, 10] + packet[20...]) == 0)
    #expect(packet.count == 30 && packet[20..<26] == [4, 0, 0, 53, 0, 10])
  }

  @Test(arguments: [true, false]) func `LISP by hand is decoded again`(isIPv6: Bool) throws {
    let (a, b) = (try #require(isIPv6 ? Self.a6 : Self.a4), try #require(isIPv6 ? Self.b6 : Self.b4))
    var fields = FrameBuilder.IPFields()
    fields.timeToLive = 9
    fields.trafficClass = 0xB9
    let inner = FrameBuilder.udp(from: a, 1, to: b, 2, fields, [1, 2, 3])
    let header = FrameBuilder.lisp(flags: 0x88, nonce: 0xABCDEF, instance: 0x010203, statusBits: 5)
    let outer = FrameBuilder.udp(from: a, 50000, to: b, 4341, fields, isChecksummed: false, header + inner)
    let frame = FrameBuilder.frame(to: MACAddress(rawValue: 0x02_0000_0000_01), from: MACAddress(rawValue: 2), vlans: [5, 6], ip: outer)
    let decoded = try #require(DecodedFrame(frame + [0xA5, 0xA5]))
    let lisp = try #require(decoded.lisp)
    #expect(decoded.vlans == [5, 6] && decoded.destination.rawValue == 0x02_0000_0000_01)
    #expect(lisp.flags == 0x88 && lisp.nonce == 0xABCDEF && lisp.instance == 0x010203 && lisp.statusBits == 5)
    #expect(lisp.outer.timeToLive == 9 && lisp.outer.trafficClass == 0xB9 && lisp.outer.udpChecksum == 0 && lisp.outer.isChecksumRight)
    #expect(lisp.inner.bytes == inner && lisp.inner.udpPayload == [1, 2, 3] && lisp.inner.source == a)
  }

  @Test func `no truncation of a frame makes the decoder read past it`() throws {
    let (a, b) = (try #require(Self.a4), try #require(Self.b4))
    let packet = FrameBuilder.udp(
      from: a, 1, to: b, 4341, .init(), FrameBuilder.lisp(instance: 1) + FrameBuilder.udp(from: a, 1, to: b, 2, .init(), []))
    let frame = FrameBuilder.frame(to: MACAddress(rawValue: 1), from: MACAddress(rawValue: 2), vlans: [1], ip: packet)
    for count in 0..<frame.count { #expect(DecodedFrame(Array(frame.prefix(count)))?.lisp == nil) }
    #expect(DecodedFrame(frame)?.lisp != nil)
  }
}
