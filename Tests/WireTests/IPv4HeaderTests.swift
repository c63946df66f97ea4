// SPDX-License-Identifier: Apache-2.0
//
// IPv4 headers: round trips, truncations and lies, and the changes a router makes in place.

import TestSupport
import Testing
import Wire

@Suite struct IPv4HeaderTests {
  static func header(_ random: inout SplitMix64, payloadLength: Int) -> IPv4Header {
    var header = IPv4Header(
      protocolNumber: IPProtocol(rawValue: UInt8(truncatingIfNeeded: random.next())),
      source: IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next())),
      destination: IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next())), payloadLength: payloadLength)
    header.trafficClass = UInt8(truncatingIfNeeded: random.next())
    header.identification = UInt16(truncatingIfNeeded: random.next())
    header.dontFragment = random.next() & 1 == 1
    header.moreFragments = random.next() & 1 == 1
    header.fragmentOffset = UInt16(truncatingIfNeeded: random.next()) & 0x1FFF
    header.timeToLive = UInt8(truncatingIfNeeded: random.next())
    return header
  }

  @Test func `random headers survive octets, with a right checksum`() throws {
    var random = SplitMix64(seed: 10)
    for _ in 0..<1000 {
      let header = Self.header(&random, payloadLength: Int(random.next() & 63))
      let octets = header.array
      #expect(octets.count == 20 && plainChecksum(octets) == 0)
      try reading(octets + Array(repeating: 0xA5, count: Int(header.totalLength) - 20)) { bytes in
        #expect(try IPv4Header(parsing: bytes) == header)
        let view = try #require(IPv4View(bytes))
        #expect(view.hasValidChecksum)
        #expect(view.payload.count == Int(header.totalLength) - 20)
        #expect(view.isLaterFragment == (header.fragmentOffset != 0))
        #expect(view.isFragment == (header.fragmentOffset != 0 || header.moreFragments))
        #expect(view.dontFragment == header.dontFragment && view.identification == header.identification)
        #expect(view.source == header.source.rawValue && view.destination == header.destination.rawValue)
      }
    }
  }

  @Test func `the octets are those of RFC 791's figure`() {
    var header = IPv4Header(
      protocolNumber: .udp, source: IPv4Address(192, 0, 2, 1), destination: IPv4Address(198, 51, 100, 2), payloadLength: 0x1234 - 20)
    header.trafficClass = 0xB9
    header.identification = 0xBEEF
    header.timeToLive = 7
    #expect(header.array[..<10] == [0x45, 0xB9, 0x12, 0x34, 0xBE, 0xEF, 0x40, 0, 7, 17])
    #expect(header.array[12...] == [192, 0, 2, 1, 198, 51, 100, 2])
    header.dontFragment = false
    header.moreFragments = true
    header.fragmentOffset = 0x1FFF
    #expect(header.array[6..<8] == [0x3F, 0xFF])
  }

  @Test func `every truncation is refused`() {
    var random = SplitMix64(seed: 11)
    let packet = Self.header(&random, payloadLength: 12).array + random.octets(12)
    for length in 0..<packet.count {
      reading(Array(packet.prefix(length))) { bytes in
        #expect(IPv4View(bytes) == nil)
        #expect(throws: WireError.self) { try IPv4Header(parsing: bytes) }
      }
    }
    #expect(reading(packet) { IPv4View($0) != nil })
  }

  @Test func `a header length under five words or past the packet is refused`() {
    var random = SplitMix64(seed: 12)
    var packet = Self.header(&random, payloadLength: 20).array + random.octets(20)
    for words in 0...15 {
      packet[0] = 0x40 | UInt8(words)
      #expect(reading(packet) { IPv4View($0) != nil } == (words >= 5 && words <= 10), "\(words) words")
    }
    packet[0] = 0x46
    #expect(reading(packet) { IPv4View($0)?.headerByteCount } == 24)
    #expect(reading(packet) { IPv4View($0)?.payload.count } == 16)
  }

  @Test func `every version but 4 is refused by name`() {
    var random = SplitMix64(seed: 13)
    var packet = Self.header(&random, payloadLength: 0).array
    for version in 0...15 where version != 4 {
      packet[0] = UInt8(version) << 4 | 5
      reading(packet) { bytes in
        #expect(IPv4View(bytes) == nil)
        #expect(throws: WireError.invalid(.ipv4, field: "version", value: UInt64(version))) { try IPv4Header(parsing: bytes) }
      }
    }
  }

  @Test func `a total length under the header or over the bytes is refused`() {
    var random = SplitMix64(seed: 14)
    var packet = Self.header(&random, payloadLength: 10).array + random.octets(10)
    for length in [0, 1, 19, 31, 255, 65535] as [UInt16] {
      packet.replaceSubrange(2..<4, with: length.octets)
      #expect(reading(packet) { IPv4View($0) == nil }, "\(length)")
    }
    for length in [20, 21, 30] as [UInt16] {
      packet.replaceSubrange(2..<4, with: length.octets)
      #expect(reading(packet) { IPv4View($0)?.totalLength } == Int(length))
    }
  }

  @Test func `decrement equals full recomputation for every TTL under many sums`() {
    var random = SplitMix64(seed: 15)
    let buffer = PacketBuffer(capacity: 20)
    var wrong = 0
    for filler in 0..<48 {
      var header = Self.header(&random, payloadLength: 0)
      // Half of the sums are random, half walk over the wrap-around.
      header.identification = filler < 24 ? UInt16(truncatingIfNeeded: random.next()) : UInt16(truncatingIfNeeded: filler &* 2731)
      for timeToLive in UInt8(1)...255 {
        header.timeToLive = timeToLive
        buffer.bytes.store(header.array, at: 0)
        IPv4View.decrement(buffer.bytes)
        header.timeToLive = timeToLive - 1
        if buffer.bytes.array != header.array { wrong += 1 }
      }
    }
    #expect(wrong == 0)
  }

  /// Every one of the 65,536 checksums, as the incremental update sees them: TTL 64 → 63 under all sums.
  @Test func `decrement equals full recomputation for every checksum`() {
    let buffer = PacketBuffer(capacity: 20)
    var header = IPv4Header(protocolNumber: .tcp, source: IPv4Address(10, 0, 0, 1), destination: IPv4Address(10, 0, 0, 2))
    buffer.bytes.store(header.array, at: 0)
    header.timeToLive = 63
    let rest = header.array
    var wrong: [UInt16] = []
    var sumOfRest = InternetChecksum()
    for i in stride(from: 0, to: 20, by: 2) where i != 4 && i != 10 { sumOfRest.add(UInt16(rest[i]) << 8 | UInt16(rest[i + 1])) }
    for identification in UInt16.min...UInt16.max {
      var before = sumOfRest
      before.add(identification)
      before.add(0x0100 as UInt16)
      var after = sumOfRest
      after.add(identification)
      buffer.bytes.store(identification, at: 4)
      buffer.bytes.store(64 as UInt8, at: 8)
      buffer.bytes.store(before.checksum, at: 10)
      IPv4View.decrement(buffer.bytes)
      if buffer.bytes.u8(8) != 63 || buffer.bytes.u16(10) != after.checksum { wrong.append(identification) }
    }
    #expect(wrong.isEmpty)
  }

  @Test func `setting TTL and traffic class keeps the checksum right and all else as it is`() throws {
    var random = SplitMix64(seed: 16)
    for _ in 0..<2000 {
      var header = Self.header(&random, payloadLength: 0)
      let (timeToLive, trafficClass) = (UInt8(truncatingIfNeeded: random.next()), UInt8(truncatingIfNeeded: random.next()))
      let (_, octets) = try onPacket(header.array) { bytes in
        let view = try #require(IPv4View(bytes))
        view.setTimeToLive(timeToLive)
        view.setTrafficClass(trafficClass)
      }
      header.timeToLive = timeToLive
      header.trafficClass = trafficClass
      #expect(octets == header.array)
    }
  }

  @Test func `a wrong checksum stays wrong through a change`() throws {
    var random = SplitMix64(seed: 17)
    var octets = Self.header(&random, payloadLength: 0).array
    octets[10] ^= 0x10
    try reading(octets) { bytes in
      let view = try #require(IPv4View(bytes))
      #expect(!view.hasValidChecksum)
      view.setTimeToLive(3)
      view.setTrafficClass(0x22)
      #expect(!view.hasValidChecksum)
    }
  }

  @Test func `the checksum covers options`() throws {
    var random = SplitMix64(seed: 18)
    var octets = Self.header(&random, payloadLength: 4).array + [1, 1, 1, 0]
    octets[0] = 0x46
    octets.replaceSubrange(10..<12, with: [0, 0])
    octets.replaceSubrange(10..<12, with: plainChecksum(octets).octets)
    #expect(reading(octets) { IPv4View($0)?.hasValidChecksum } == true)
    octets[21] = 0
    #expect(reading(octets) { IPv4View($0)?.hasValidChecksum } == false)
  }

  @Test(arguments: [[], [1, 1, 1, 0], Array(repeating: 1 as UInt8, count: 40)])
  func `every single wrong bit of a header is noticed`(options: [UInt8]) {
    var random = SplitMix64(seed: 19)
    for _ in 0..<64 {
      var octets = Self.header(&random, payloadLength: 40).array + options
      octets[0] = 0x45 + UInt8(options.count / 4)
      octets.replaceSubrange(10..<12, with: [0, 0])
      octets.replaceSubrange(10..<12, with: plainChecksum(octets).octets)
      let packet = octets + Array(repeating: 0xA5, count: 40)
      #expect(reading(packet) { IPv4View($0)?.hasValidChecksum } == true)
      // Version, header length and total length are proven before: a view of those flipped may not exist.
      for bit in 32..<octets.count * 8 {
        var wrong = packet
        wrong[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(reading(wrong) { IPv4View($0)?.hasValidChecksum } == false, "bit \(bit), \(random)")
      }
    }
  }

  @Test func `a payload that does not fit is clamped`() {
    #expect(IPv4Header(protocolNumber: .udp, source: .any, destination: .any, payloadLength: 70000).totalLength == 65535)
  }
}
