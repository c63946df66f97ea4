// SPDX-License-Identifier: Apache-2.0
//
// IPv6 headers, and chains of extension headers: honest, cut off, endless, fragmented.

import TestSupport
import Testing
@testable import Wire

@Suite struct IPv6HeaderTests {
  static func header(_ random: inout SplitMix64, payloadLength: Int) -> IPv6Header {
    var header = IPv6Header(
      nextHeader: IPProtocol(rawValue: UInt8(truncatingIfNeeded: random.next())),
      source: IPv6Address(high: random.next(), low: random.next()),
      destination: IPv6Address(high: random.next(), low: random.next()), payloadLength: payloadLength)
    header.trafficClass = UInt8(truncatingIfNeeded: random.next())
    header.flowLabel = UInt32(truncatingIfNeeded: random.next()) & 0xF_FFFF
    header.hopLimit = UInt8(truncatingIfNeeded: random.next())
    return header
  }

  /// A packet of the given next header whose payload is `payload`.
  static func packet(_ nextHeader: IPProtocol, _ payload: [UInt8]) -> [UInt8] {
    IPv6Header(nextHeader: nextHeader, source: .loopback, destination: .loopback, payloadLength: payload.count).array + payload
  }

  /// An extension header of `units` × 8 bytes.
  static func extensionHeader(next: IPProtocol, units: Int = 1) -> [UInt8] {
    [next.rawValue, UInt8(units - 1)] + Array(repeating: 0, count: 8 * units - 2)
  }

  static func fragmentHeader(next: IPProtocol, offset: UInt16, more: Bool) -> [UInt8] {
    [next.rawValue, 0] + (offset << 3 | (more ? 1 : 0)).octets + [0, 0, 0, 1]
  }

  @Test func `random headers survive octets`() throws {
    var random = SplitMix64(seed: 20)
    for _ in 0..<1000 {
      let header = Self.header(&random, payloadLength: Int(random.next() & 63))
      #expect(header.array.count == 40)
      try reading(header.array + random.octets(Int(header.payloadLength))) { bytes in
        #expect(try IPv6Header(parsing: bytes) == header)
        let view = try #require(IPv6View(bytes))
        #expect(view.payload.count == Int(header.payloadLength) && view.totalLength == 40 + Int(header.payloadLength))
        #expect(view.trafficClass == header.trafficClass && view.flowLabel == header.flowLabel)
        #expect(view.source == header.source && view.destination == header.destination)
      }
    }
  }

  @Test func `the octets are those of RFC 8200's figure`() {
    var header = IPv6Header(
      nextHeader: .udp, source: IPv6Address(high: 1, low: 2), destination: IPv6Address(high: 3, low: 4), payloadLength: 0x1234)
    header.trafficClass = 0xB9
    header.flowLabel = 0xABCDE
    header.hopLimit = 9
    #expect(header.array[..<8] == [0x6B, 0x9A, 0xBC, 0xDE, 0x12, 0x34, 17, 9])
    #expect(header.array[15] == 1 && header.array[23] == 2 && header.array[31] == 3 && header.array[39] == 4)
  }

  @Test func `every truncation is refused with what is missing`() {
    var random = SplitMix64(seed: 21)
    let packet = Self.header(&random, payloadLength: 9).array + random.octets(9)
    for length in 0..<packet.count {
      reading(Array(packet.prefix(length))) { bytes in
        #expect(IPv6View(bytes) == nil)
        #expect(throws: WireError.truncated(.ipv6, needed: length < 40 ? 40 : 49, available: length)) { try IPv6Header(parsing: bytes) }
      }
    }
    #expect(reading(packet) { IPv6View($0) != nil })
  }

  @Test func `every version but 6 is refused by name`() {
    var random = SplitMix64(seed: 22)
    var packet = Self.header(&random, payloadLength: 0).array
    for version in 0...15 where version != 6 {
      packet[0] = UInt8(version) << 4
      reading(packet) { bytes in
        #expect(IPv6View(bytes) == nil)
        #expect(throws: WireError.invalid(.ipv6, field: "version", value: UInt64(version))) { try IPv6Header(parsing: bytes) }
      }
    }
  }

  @Test func `setting hop limit and traffic class leaves all else as it is`() throws {
    var random = SplitMix64(seed: 23)
    for _ in 0..<500 {
      var header = Self.header(&random, payloadLength: 0)
      let (hopLimit, trafficClass) = (UInt8(truncatingIfNeeded: random.next()), UInt8(truncatingIfNeeded: random.next()))
      let (_, octets) = try onPacket(header.array) { bytes in
        let view = try #require(IPv6View(bytes))
        view.setHopLimit(hopLimit)
        view.setTrafficClass(trafficClass)
      }
      header.hopLimit = hopLimit
      header.trafficClass = trafficClass
      #expect(octets == header.array)
    }
  }

  // MARK: - Extension headers

  @Test func `a packet without extensions ends its chain at once`() throws {
    for number in UInt8.min...UInt8.max where ![0, 43, 44, 60].contains(number) {
      let packet = Self.packet(IPProtocol(rawValue: number), [])
      let upper = reading(packet) { IPv6View($0)?.upperLayer() }
      #expect(upper == IPv6View.UpperLayer(protocolNumber: number, offset: 40, isFragment: false, isLaterFragment: false))
    }
  }

  @Test func `extension headers of any length are walked over`() throws {
    let payload =
      Self.extensionHeader(next: .routing, units: 2) + Self.extensionHeader(next: .destinationOptions, units: 32)
      + Self.extensionHeader(next: .udp) + [1, 2, 3, 4, 5, 6, 7, 8]
    let upper = reading(Self.packet(.hopByHop, payload)) { IPv6View($0)?.upperLayer() }
    #expect(upper == IPv6View.UpperLayer(protocolNumber: 17, offset: 40 + 16 + 256 + 8, isFragment: false, isLaterFragment: false))
  }

  @Test func `every truncation of a chain ends the walk without a protocol`() {
    let chain = Self.extensionHeader(next: .fragment) + Self.fragmentHeader(next: .hopByHop, offset: 0, more: true)
    for length in 0..<chain.count + 16 {
      let payload = Array((chain + Self.extensionHeader(next: .udp, units: 2)).prefix(length))
      #expect(reading(Self.packet(.destinationOptions, payload)) { IPv6View($0)?.upperLayer() } == nil, "\(length) bytes")
    }
  }

  @Test func `a length that runs past the packet ends the walk`() {
    for units in 2...256 {
      var payload = Self.extensionHeader(next: .udp)
      payload[1] = UInt8(units - 1)
      #expect(reading(Self.packet(.hopByHop, payload)) { IPv6View($0)?.upperLayer() } == nil)
    }
  }

  @Test func `bytes behind the packet's own length are not read as headers`() {
    var packet = Self.packet(.hopByHop, Self.extensionHeader(next: .udp))
    packet.replaceSubrange(4..<6, with: [0, 0])  // payload length 0: the header lies behind the packet
    #expect(reading(packet) { IPv6View($0)?.upperLayer() } == nil)
  }

  @Test func `eight extension headers are walked, nine are not, and endless chains end`() {
    for count in 0...200 {
      let payload = (0..<count).flatMap { _ in Self.extensionHeader(next: .destinationOptions) } + Self.extensionHeader(next: .udp)
      let upper = reading(Self.packet(.destinationOptions, payload)) { IPv6View($0)?.upperLayer() }
      if count + 1 <= 8 {
        #expect(upper?.protocolNumber == 17 && upper?.offset == 40 + 8 * (count + 1))
      } else {
        #expect(upper == nil, "\(count + 1) headers")
      }
    }
  }

  @Test func `the upper layer may begin at the very end of the packet`() {
    let upper = reading(Self.packet(.hopByHop, Self.extensionHeader(next: .noNext))) { IPv6View($0)?.upperLayer() }
    #expect(upper == IPv6View.UpperLayer(protocolNumber: 59, offset: 48, isFragment: false, isLaterFragment: false))
  }

  @Test func `first, later, last and atomic fragments are told apart`() {
    func upper(_ offset: UInt16, _ more: Bool) -> IPv6View.UpperLayer? {
      reading(Self.packet(.fragment, Self.fragmentHeader(next: .udp, offset: offset, more: more) + [1, 2, 3, 4])) {
        IPv6View($0)?.upperLayer()
      }
    }
    #expect(upper(0, true) == IPv6View.UpperLayer(protocolNumber: 17, offset: 48, isFragment: true, isLaterFragment: false))
    #expect(upper(1, true) == IPv6View.UpperLayer(protocolNumber: 17, offset: 48, isFragment: true, isLaterFragment: true))
    #expect(upper(0x1FFF, false) == IPv6View.UpperLayer(protocolNumber: 17, offset: 48, isFragment: true, isLaterFragment: true))
    // RFC 6946: an atomic fragment is a whole packet.
    #expect(upper(0, false) == IPv6View.UpperLayer(protocolNumber: 17, offset: 48, isFragment: false, isLaterFragment: false))
  }

  @Test func `behind a later fragment's header nothing is walked`() {
    let payload = Self.fragmentHeader(next: .destinationOptions, offset: 3, more: false) + [17, 255, 0, 0, 0, 0, 0, 0]
    let upper = reading(Self.packet(.fragment, payload)) { IPv6View($0)?.upperLayer() }
    #expect(upper == IPv6View.UpperLayer(protocolNumber: 60, offset: 48, isFragment: true, isLaterFragment: true))
  }

  @Test func `a second fragment header does not make a fragment whole again`() {
    let payload =
      Self.fragmentHeader(next: .fragment, offset: 0, more: true) + Self.fragmentHeader(next: .udp, offset: 0, more: false) + [1, 2, 3, 4]
    let upper = reading(Self.packet(.fragment, payload)) { IPv6View($0)?.upperLayer() }
    #expect(upper?.isFragment == true)
  }

  @Test func `random bytes as a chain never trap and never lead out of the packet`() {
    var random = SplitMix64(seed: 24)
    for _ in 0..<20_000 {
      var payload = random.octets(Int(random.next() & 63))
      for i in stride(from: 0, to: payload.count, by: 8) { payload[i] = [0, 43, 44, 60][Int(random.next() & 3)] }
      for i in stride(from: 1, to: payload.count, by: 8) where random.next() & 3 != 0 { payload[i] = UInt8(random.next() & 1) }
      let packet = Self.packet([.hopByHop, .routing, .fragment, .destinationOptions][Int(random.next() & 3)], payload)
      if let upper = reading(packet, { IPv6View($0)?.upperLayer() }) {
        #expect(upper.offset >= 40 && upper.offset <= packet.count)
        #expect(upper.isFragment || !upper.isLaterFragment)
      }
    }
  }
}
