// SPDX-License-Identifier: Apache-2.0
//
// Frames made to break a router: every truncation, lengths that lie, chains without end, random changes. Always one verdict, never
// a trap, nothing written outside the frame and its headroom, and the sums are right.

import Foundation
import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct HostileTests {
  /// XTR_TEST_EFFORT multiplies the random changes, for a long run in release mode.
  static let effort = ProcessInfo.processInfo.environment["XTR_TEST_EFFORT"].flatMap { Int($0) } ?? 1

  /// v4/v4, v6/v4, v4/v6, v6/v6: encapsulated for us, with a checksum.
  static let encapsulated: [LISPPacket] = [IPPacket.v4().reply, IPPacket.v6().reply].flatMap { inner in
    DecapsulateTests.families.map { DecapsulateTests.lisp(inner, $0).summed }
  }

  static func rig() throws -> Rig {
    let rig = try Rig.twoSites()
    try rig.map("10.3.0.0/16", to: LocatorSet(.drop))
    try rig.addSites(over: Rig.peer6, instance: 7)
    rig.publisher.setPort(
      Port.tagged, PortState(role: .site, vlanInstances: try [#require(VLANID(rawValue: 7)): InstanceID(truncating: 7)]))
    var settings = EngineSettings()
    settings.computesUDPChecksum = true
    rig.publisher.setSettings(settings)
    rig.publisher.publish()
    return rig
  }

  @Test(arguments: encapsulated, [nil, 44] as [UInt16?])
  func `every truncation of an encapsulated packet is dropped`(packet: LISPPacket, vlan: UInt16?) throws {
    let rig = try Self.rig()
    let frame = Frame.of(packet.octets, vlan: vlan)
    for port in [Port.core, Port.both] {
      #expect(rig.send(frame, port: port).verdict == .transmit(UInt8(Port.site)))
      let outcomes = rig.send((0..<frame.count).map { Array(frame.prefix($0)) }, port: port)
      for (length, outcome) in outcomes.enumerated() {
        #expect(outcome.verdict.dropReason != nil, "\(length) bytes: \(outcome.verdict)")
        #expect(outcome.frame == Array(frame.prefix(length)))
      }
    }
    #expect(rig.isConserved && rig.tally == (0, 2))
  }

  /// The frame is cut, but every length in it is put right again, so that the cut is met one layer deeper each time.
  @Test(arguments: encapsulated)
  func `every honest truncation is dropped too, down to the inner header`(packet: LISPPacket) throws {
    let rig = try Self.rig()
    let header = packet.outer.isIPv6 ? 40 : 20
    let total = packet.octets.count
    for length in header..<total {
      var outer = packet.outer
      outer.payload = Array(packet.datagram.octets.prefix(length - header))
      if outer.payload.count >= 8 { outer.payload.replaceSubrange(4..<8, with: big(UInt16(outer.payload.count)) + [0, 0]) }
      let reason: DropReason = length < header + 8 ? .udpMalformed : length < header + 16 ? .lispTruncated : .innerTruncated
      #expect(rig.send(Frame.of(outer.octets), port: Port.core).verdict == .drop(reason), "\(length) bytes")
    }
    #expect(rig.tally == (0, 0))
  }

  @Test func `the flags that once reloaded routers are harmless in all 256 combinations`() throws {
    let rig = try Self.rig()
    for packet in Self.encapsulated {
      for flags in UInt8.min...UInt8.max {
        for field in [[0, 0, 0, 0, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 0, 0, 7, 0]] as [[UInt8]] {
          var packet = packet
          packet.header = [flags] + field
          let instance = flags & 0x08 == 0 ? 0 : UInt32(field[3]) << 16 | UInt32(field[4]) << 8 | UInt32(field[5])
          let expected: Verdict =
            flags & 3 != 0 ? .drop(.encryptedWithoutKey) : instance == 0xFF_FFFF ? .punt(.control) : .transmit(UInt8(Port.site))
          let outcome = rig.send(Frame.of(packet.octets), port: Port.core)
          if outcome.verdict != expected { Issue.record("flags \(flags), field \(field): \(outcome.verdict), expected \(expected)") }
        }
      }
    }
    #expect(rig.isConserved)
  }

  @Test func `outer IPv6 extension chains without end, past the end, or of length 0 are dropped`() throws {
    let rig = try Self.rig()
    let base = DecapsulateTests.lisp(.v4().reply, DecapsulateTests.families[1])
    for kind in [0, 43, 60] as [UInt8] {
      for count in 1...160 {
        var packet = base
        packet.outer.protocolNumber = kind
        packet.outer.payload = (1...count).flatMap {
          [$0 == count ? 17 : kind, 0] + (kind == 43 ? [0, 0] : [1, 4]) + [0, 0, 0, 0] as [UInt8]
        }
        let verdict = rig.send(Frame.of(packet.octets), port: Port.core).verdict
        // Hop-by-hop options come once, and first.
        let taken: Verdict = kind == 0 && count > 1 ? .drop(.outerOptionRefused) : .transmit(UInt8(Port.site))
        #expect(verdict == (count <= 8 ? taken : .drop(.notLISP)), "\(count) headers of \(kind)")
      }
      for length in [5, 20, 100, 255] as [UInt8] {
        var packet = base
        packet.outer.protocolNumber = kind
        packet.outer.payload = [17, length, 1, 4, 0, 0, 0, 0]
        let verdict = rig.send(Frame.of(packet.octets), port: Port.core).verdict
        #expect(verdict.dropReason != nil, "\(length): \(verdict)")
      }
    }
    for number in UInt8.min...UInt8.max where ![0, 17, 43, 44, 60].contains(number) {
      var packet = base
      packet.outer.protocolNumber = number
      #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.notLISP))
    }
  }

  @Test func `a packet within itself, to the depth of the frame, is decapsulated once and no more`() throws {
    let rig = try Self.rig()
    // Each layer is LISP to our RLOC again; the RLOC is no EID, so the first inner packet has nowhere to go.
    var packet = DecapsulateTests.lisp(.v4().reply, DecapsulateTests.families[0])
    for _ in 0..<20 {
      let whole = packet
      packet = DecapsulateTests.lisp(.v4(), DecapsulateTests.families[0])
      packet.inner = whole.octets
    }
    #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict == .drop(.destinationNotLocal))
    // And where an EID is addressed, one layer comes off.
    let nested = DecapsulateTests.lisp(.v6().reply, ("10.2.0.7", "10.1.0.5"))
    var outer = DecapsulateTests.lisp(.v4(), DecapsulateTests.families[0])
    outer.inner = nested.octets
    var expected = nested
    expected.outer.timeToLive -= 1
    #expect(rig.send(Frame.of(outer.octets), port: Port.core).packet == expected.octets)
  }

  // MARK: - Random changes

  /// One to eight changes: bits, octets, runs, cuts, growth, splices.
  static func mutate(_ frame: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var frame = frame
    for _ in 0...random.below(8) {
      guard !frame.isEmpty else { return frame }
      // Headers are more fragile than payload.
      let at = random.next() & 3 == 0 ? random.below(frame.count) : random.below(min(frame.count, 90))
      switch random.below(10) {
      case 0, 1, 2: frame[at] ^= 1 << UInt8(random.below(8))
      case 3, 4: frame[at] = UInt8(truncatingIfNeeded: random.next())
      case 5: frame[at] = [0x00, 0xFF, 0x7F, 0x80, 0x45, 0x60, 17, 44][random.below(8)]
      case 6:
        frame.replaceSubrange(
          at..<min(at + 2, frame.count), with: big([0, 1, 7, 8, 4341, 0xFFFF, 0x0800, 0x86DD, 0x8100][random.below(9)] as UInt16))
      case 7: frame.removeLast(random.below(min(frame.count, 40)))
      case 8: frame += random.octets(random.below(20))
      default: frame.removeSubrange(at..<min(at + random.below(9), frame.count))
      }
    }
    return frame
  }

  @Test(arguments: [Port.core, Port.site, Port.both, Port.tagged])
  func `100,000 random changes of good frames: one verdict each, memory untouched, sums right`(port: Int) throws {
    let rig = try Self.rig()
    let seed = UInt64(80 + port)
    var random = SplitMix64(seed: seed)
    var good = Self.encapsulated.map { Frame.of($0.octets) } + EncapsulateTests.inners.prefix(2).map { Frame.of($0.octets) }
    good += Self.encapsulated.map { Frame.of($0.octets, vlan: 7) } + EncapsulateTests.inners.suffix(4).map { Frame.of($0.octets, vlan: 7) }
    var extended = DecapsulateTests.lisp(.v6().reply, DecapsulateTests.families[1])
    extended.outer.protocolNumber = 0
    extended.outer.payload = [60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 1]
    good.append(Frame.of(extended.octets))
    for round in 0..<1563 * Self.effort {
      let frames = (0..<64).map { _ in Self.mutate(good[random.below(good.count)], &random) }
      rig.send(frames, port: port)  // Rig checks guards, room, verdicts and the engine's tally
      guard rig.isConserved else {
        Issue.record("seed \(seed), round \(round)")
        return
      }
    }
    #expect(rig.sent == 64 * 1563 * Self.effort)
    #expect(rig.verdicts.count > 5, "\(rig.verdicts)")
  }

  @Test func `random octets of every length: one verdict each, memory untouched`() throws {
    let rig = try Self.rig()
    var random = SplitMix64(seed: 90)
    for port in [Port.core, Port.site, Port.both, Port.tagged] {
      for length in 0..<300 {
        var frame = random.octets(length)
        if length > 14, random.next() & 1 == 0 { frame.replaceSubrange(12..<14, with: [0x08, 0x00]) }
        rig.send(frame, port: port)
      }
    }
    #expect(rig.isConserved && rig.sent == 1200)
  }
}
