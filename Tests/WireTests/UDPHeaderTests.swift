// SPDX-License-Identifier: Apache-2.0
//
// UDP headers: round trips, truncations, lengths that lie.

import TestSupport
import Testing
import Wire

@Suite struct UDPHeaderTests {
  @Test func `random headers survive octets`() throws {
    var random = SplitMix64(seed: 30)
    for _ in 0..<500 {
      let payloadLength = Int(random.next() & 63)
      var header = UDPHeader(
        sourcePort: UInt16(truncatingIfNeeded: random.next()), destinationPort: UInt16(truncatingIfNeeded: random.next()),
        payloadLength: payloadLength)
      header.checksum = UInt16(truncatingIfNeeded: random.next())
      #expect(header.length == UInt16(8 + payloadLength))
      let octets = header.array
      #expect(octets == header.sourcePort.octets + header.destinationPort.octets + header.length.octets + header.checksum.octets)
      try reading(octets + random.octets(payloadLength)) { bytes in
        #expect(try UDPHeader(parsing: bytes) == header)
        let view = try #require(UDPView(bytes))
        #expect(view.sourcePort == header.sourcePort && view.destinationPort == header.destinationPort)
        #expect(view.length == Int(header.length) && view.checksum == header.checksum)
      }
    }
  }

  @Test func `every truncation is refused`() {
    let packet = UDPHeader(sourcePort: 1, destinationPort: 2, payloadLength: 5).array + [1, 2, 3, 4, 5]
    for length in 0..<packet.count {
      reading(Array(packet.prefix(length))) { bytes in
        #expect(UDPView(bytes) == nil)
        #expect(throws: WireError.self) { try UDPHeader(parsing: bytes) }
      }
    }
    #expect(reading(packet) { UDPView($0) != nil })
  }

  @Test func `a length under the header or over the bytes is refused, a shorter one taken`() {
    var packet = UDPHeader(sourcePort: 1, destinationPort: 2, payloadLength: 4).array + [1, 2, 3, 4]
    for length in UInt16(0)...40 {
      packet.replaceSubrange(4..<6, with: length.octets)
      #expect(reading(packet) { UDPView($0)?.length } == ((8...12).contains(length) ? Int(length) : nil))
    }
    packet.replaceSubrange(4..<6, with: [0, 7])
    reading(packet) { bytes in
      #expect(throws: WireError.invalid(.udp, field: "length", value: 7)) { try UDPHeader(parsing: bytes) }
    }
  }

  @Test func `a payload that does not fit is clamped`() {
    #expect(UDPHeader(sourcePort: 1, destinationPort: 2, payloadLength: 70000).length == 65535)
  }

  @Test func `LISP's ports are those of RFC 9300 and RFC 9301`() {
    #expect(LISPPort.data == 4341 && LISPPort.control == 4342)
  }
}
