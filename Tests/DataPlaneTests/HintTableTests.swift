// SPDX-License-Identifier: Apache-2.0
//
// Locator-status-bits and nonces in the data plane: what packets carry where the settings and templates say so, and what of the headers that come in
// the slow path gets to know. Against a model, and between threads; the race is meant for ThreadSanitizer, too.

import Foundation
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct HintTableTests {
  static let families = [(Rig.peer4, Rig.ownRLOC4), (Rig.peer6, Rig.ownRLOC6)]

  private static func rig(instance: UInt32 = 0, _ change: (inout EngineSettings) -> Void) throws -> Rig {
    let rig = try Rig.twoSites(instance: instance)
    if instance != 0 { rig.publisher.setPort(Port.site, PortState(role: .site, instance: InstanceID(truncating: instance))) }
    var settings = EngineSettings()
    change(&settings)
    rig.publisher.setSettings(settings)
    rig.publisher.publish()
    return rig
  }

  private static func listening(instance: UInt32 = 0) throws -> Rig {
    try rig(instance: instance) { ($0.notesStatusBits, $0.exchangesNonces) = (true, true) }
  }

  private static func frame(
    _ header: [UInt8], _ inner: IPPacket = .v4().reply, from peer: String = Rig.peer4, vlan: UInt16? = nil
  ) -> [UInt8] {
    var packet = LISPPacket(peer, peer.contains(":") ? Rig.ownRLOC6 : Rig.ownRLOC4, inner)
    packet.header = header
    return Frame.of(packet.octets, vlan: vlan)
  }

  /// The eight octets of the LISP header of an encapsulated packet.
  private static func header(_ outcome: Outcome) -> [UInt8] {
    let packet = outcome.packet
    return Array(packet.dropFirst(packet[0] >> 4 == 4 ? 28 : 48).prefix(8))
  }

  // MARK: - What packets carry

  @Test(arguments: [Rig.peer4, Rig.peer6], [IPPacket.v4(), .v6()])
  func `E11 packets carry the locator-status-bits of our mappings, 32, or 8 beside an instance ID`(peer: String, inner: IPPacket) throws {
    for (instance, bits, expected) in [
      (0, 0b101, [0x40, 0, 0, 0, 0, 0, 0, 5]), (0, 0xFFFF_FFFE, [0x40, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFE]),
      (0, 0, [0x40, 0, 0, 0, 0, 0, 0, 0]),
      (0xABCDE, 0b101, [0x48, 0, 0, 0, 0x0A, 0xBC, 0xDE, 5]), (0xABCDE, 0xFFFF_FF02, [0x48, 0, 0, 0, 0x0A, 0xBC, 0xDE, 2]),
    ] as [(UInt32, UInt32, [UInt8])] {
      let rig = try Rig()
      try rig.addSites(over: peer, instance: instance)
      rig.publisher.setPort(Port.site, PortState(role: .site, instance: InstanceID(truncating: instance)))
      var settings = EngineSettings()
      settings.statusBits = bits
      rig.publisher.setSettings(settings)
      rig.publisher.publish()
      let outcomes = rig.send([Frame.of(inner.octets), Frame.of(inner.octets)], port: Port.site)
      #expect(outcomes.allSatisfy { $0.verdict.isTransmit && Self.header($0) == expected })
      settings.statusBits = nil
      rig.publisher.setSettings(settings)
      rig.publisher.publish()
      #expect(Self.header(rig.send(Frame.of(inner.octets), port: Port.site))[0] & 0x40 == 0, "L = 0")
    }
  }

  @Test(arguments: [Rig.peer4, Rig.peer6])
  func `E9 a locator's nonce stands in every packet to it, with N, and E where it asks, and beside the status bits`(peer: String) throws {
    for (nonce, first) in [
      (LISPNonce(0xAB_CDEF, isRequest: true), [0xA0, 0xAB, 0xCD, 0xEF]), (.init(0, isRequest: false), [0x80, 0, 0, 0]),
      (.init(0xFFFF_FFFF, isRequest: false), [0x80, 0xFF, 0xFF, 0xFF]), (nil, [0, 0, 0, 0]),
    ] as [(LISPNonce?, [UInt8])] {
      let rig = try Rig()
      try rig.local("10.1.0.0/16", host: rig.delivery())
      for vlan in [nil, 9] as [UInt16?] {
        var template = try rig.tunnel(to: peer, vlan: vlan)
        template.nonce = nonce
        try rig.remote("10.2.0.0/16", over: [template])
        func header(statusBits: UInt32?, exchangesNonces: Bool) -> [UInt8] {
          var settings = EngineSettings()
          (settings.statusBits, settings.exchangesNonces) = (statusBits, exchangesNonces)
          rig.publisher.setSettings(settings)
          rig.publisher.publish()
          return Self.header(rig.send(Frame.of(IPPacket.v4().octets), port: Port.site))
        }
        #expect(header(statusBits: nil, exchangesNonces: true) == first + [0, 0, 0, 0])
        #expect(header(statusBits: 3, exchangesNonces: true) == [first[0] | 0x40] + first[1...] + [0, 0, 0, 3])
        #expect(header(statusBits: 3, exchangesNonces: false) == [0x40, 0, 0, 0, 0, 0, 0, 3])
        #expect(header(statusBits: nil, exchangesNonces: false) == [0, 0, 0, 0, 0, 0, 0, 0])
      }
    }
  }

  @Test func `E12 without settings that say otherwise no packet carries N, L, E or V, and no header is noted`() throws {
    let rig = try Rig.twoSites()
    var template = try rig.tunnel(to: Rig.peer4)
    template.nonce = LISPNonce(1, isRequest: true)
    try rig.remote("10.2.0.0/24", over: [template])
    rig.publisher.publish()
    #expect(Self.header(rig.send(Frame.of(IPPacket.v4().octets), port: Port.site)) == [0, 0, 0, 0, 0, 0, 0, 0])
    #expect(rig.send(Self.frame([0xE0, 1, 2, 3, 4, 5, 6, 7]), port: Port.core).verdict.isTransmit)
    #expect(rig.counters.hints.takeRecent() == [])
  }

  // MARK: - What is noted

  @Test(arguments: [nil, 7] as [UInt16?], [Port.core, Port.both])
  func `E11 the locator-status-bits of a decapsulated packet are noted with its outer and inner source`(vlan: UInt16?, port: Int) throws {
    for (instance, header, bits, count) in [
      (0, [0x40, 0, 0, 0, 0x80, 0, 0, 1], 0x8000_0001, 32), (0, [0x48, 0, 0, 0, 0, 0, 0, 2], 2, 8),
      (5, [0x48, 0, 0, 0, 0, 0, 5, 0xFE], 0xFE, 8),
    ] as [(UInt32, [UInt8], UInt32, Int)] {
      let rig = try Self.listening(instance: instance)
      for (peer, _) in Self.families {
        for inner in [IPPacket.v4().reply, .v6().reply] {
          #expect(rig.send(Self.frame(header, inner, from: peer, vlan: vlan), port: port).verdict.isTransmit)
          let expected = HeaderHint(
            rloc: try #require(IPAddress(peer)), instanceID: InstanceID(truncating: instance),
            source: try #require(IPAddress(inner.source)),
            statusBits: .init(bits: bits, count: count))
          #expect(rig.counters.hints.takeRecent() == [expected])
          #expect(rig.counters.hints.takeRecent() == [], "each look tells what came since the last")
        }
      }
    }
  }

  @Test func `N1 a nonce is noted, and whether it asks to be returned`() throws {
    let rig = try Self.listening()
    for (header, isRequest) in [([0xA0, 1, 2, 3, 0, 0, 0, 0], true), ([0x80, 1, 2, 3, 0, 0, 0, 0], false)] as [([UInt8], Bool)] {
      rig.send(Self.frame(header), port: Port.core)
      #expect(rig.counters.hints.takeRecent().map(\.nonce) == [LISPNonce(0x01_0203, isRequest: isRequest)])
    }
  }

  @Test func `D2 N and V both set: what is noted is a nonce`() throws {
    let rig = try Self.listening()
    rig.send(Self.frame([0x90, 1, 2, 3, 0, 0, 0, 0]), port: Port.core)
    #expect(rig.counters.hints.takeRecent().map(\.nonce) == [LISPNonce(0x01_0203, isRequest: false)])
  }

  @Test func `D3 fields without their flag, E without N and the reserved bit are noted in none of the 64 combinations`() throws {
    for flags in UInt8(0)..<64 {
      let rig = try Self.listening()
      rig.send(Self.frame([flags << 2, 1, 2, 3, 0, 0, 0, 0x7F]), port: Port.core)
      let (hasNonce, hasBits) = (flags & 0x20 != 0, flags & 0x10 != 0)
      let hints = rig.counters.hints.takeRecent()
      #expect(hints.count == (hasNonce || hasBits ? 1 : 0))
      #expect(hints.first?.nonce == (hasNonce ? .init(0x01_0203, isRequest: flags & 8 != 0) : nil))
      #expect(hints.first?.statusBits?.bits == (hasBits ? 0x7F : nil))
    }
  }

  @Test func `E12 of the two, what is not asked for is not noted`() throws {
    for (notesBits, exchangesNonces) in [(true, false), (false, true)] {
      let rig = try Self.rig { ($0.notesStatusBits, $0.exchangesNonces) = (notesBits, exchangesNonces) }
      rig.send(Self.frame([0xE0, 1, 2, 3, 4, 5, 6, 7]), port: Port.core)
      let hint = try #require(rig.counters.hints.takeRecent().first)
      #expect((hint.statusBits != nil) == notesBits && (hint.nonce != nil) == exchangesNonces)
      rig.send(Self.frame([notesBits ? 0x80 : 0x40, 1, 2, 3, 4, 5, 6, 7]), port: Port.core)
      #expect(rig.counters.hints.takeRecent() == [])
    }
  }

  @Test func `what a packet for nobody here says is not noted`() throws {
    let rig = try Self.listening()
    let header: [UInt8] = [0xE0, 1, 2, 3, 4, 5, 6, 7]
    let stranger = IPPacket(source: "10.2.0.7", destination: "10.9.0.1", payload: [])
    for (frame, verdict) in [
      (Self.frame(header, stranger), .drop(.destinationNotLocal)), (Self.frame(header, from: "127.0.0.1"), .drop(.outerSourceInvalid)),
      (Self.frame([0xE8, 1, 2, 3, 0xFF, 0xFF, 0xFF, 7]), .punt(.control)),
      (Self.frame([0xE8, 1, 2, 3, 0, 0, 9, 7]), .drop(.instanceUnknown)),
      (Self.frame([0xE1, 1, 2, 3, 0, 0, 0, 7]), .drop(.encryptedWithoutKey)),
    ] as [([UInt8], Verdict)] {
      #expect(rig.send(frame, port: Port.core).verdict == verdict)
      #expect(rig.counters.hints.takeRecent() == [])
    }
  }

  @Test func `another word of a peer is noted at once, the same again after each look`() throws {
    let rig = try Self.listening()
    func bits() -> [UInt32?] { rig.counters.hints.takeRecent().map { $0.statusBits?.bits } }
    let (three, one) = (Self.frame([0x40, 0, 0, 0, 0, 0, 0, 3]), Self.frame([0x40, 0, 0, 0, 0, 0, 0, 1]))
    rig.send([three, three, one], port: Port.core)
    #expect(bits() == [1])
    rig.send([one], port: Port.core)
    #expect(bits() == [1])
    #expect(bits() == [])
  }

  // MARK: - The table

  @Test func `the table finds what a model of it finds`() throws {
    var random = SplitMix64(seed: 0xE11)
    let rig = try Self.listening()
    let peers = (0..<300).map { i in i % 2 == 0 ? "198.51.\(100 + i / 250).\(i % 250 + 1)" : "2001:db8:\(String(i, radix: 16))::2" }
    var model: [Int: (hint: HeaderHint, round: Int)] = [:]
    for round in 0..<100 {
      for _ in 0..<Int.random(in: 0...200, using: &random) {
        let peer = peers[Int.random(in: 0..<peers.count, using: &random)]
        let bits = UInt32.random(in: 0...3, using: &random)
        rig.send(Self.frame([0x40, 0, 0, 0] + big(bits), from: peer), port: Port.core)
        let rloc = try #require(IPAddress(peer))
        let key: IPv6Address =
          switch rloc {
          case .v4(let address): IPv6Address(high: 0, low: UInt64(address.rawValue))
          case .v6(let address): address
          }
        let group = (0..<HintTable.ways).map { HintNotes.place(key, 0) ^ $0 }
        let slot = group.first { model[$0]?.hint.rloc == rloc } ?? group.first { model[$0]?.round != round } ?? group[0]
        let hint = HeaderHint(
          rloc: rloc, instanceID: .zero, source: try #require(IPAddress("10.2.0.7")), statusBits: .init(bits: bits, count: 32))
        model[slot] = (hint, round)
      }
      let found = rig.counters.hints.takeRecent()
      #expect(found.sorted { $0.rloc < $1.rloc } == model.values.filter { $0.round == round }.map(\.hint).sorted { $0.rloc < $1.rloc })
    }
  }

  @Test func `four peers of a group are all heard, whoever of them sends more`() throws {
    let rig = try Self.listening()
    func place(_ i: Int) -> Int { HintNotes.place(IPv6Address(high: 0, low: 0xC633_0000 + UInt64(i)), 0) / HintTable.ways }
    let peers = (256..<60_000).filter { $0 & 0xFF != 0 && $0 & 0xFF != 0xFF && place($0) == place(257) }.prefix(HintTable.ways)
    let names = peers.map { "198.51.\($0 >> 8).\($0 & 0xFF)" }
    for _ in 0..<3 {
      rig.send(Self.frame([0x40, 0, 0, 0, 0, 0, 0, 3], from: names[0]), port: Port.core)
      for name in names[1...] { for _ in 0..<50 { rig.send(Self.frame([0x40, 0, 0, 0, 0, 0, 0, 3], from: name), port: Port.core) } }
      #expect(rig.counters.hints.takeRecent().map { "\($0.rloc)" }.sorted() == names.sorted())
    }
  }

  @Test func `peers, and instances of a peer, seldom share a slot`() {
    let peers = Set((0..<128).map { HintNotes.place(IPv6Address(high: 0, low: 0xC633_6400 + $0), 0) })
    #expect(peers.count > 100 && peers.allSatisfy { (0..<HintTable.slotCount).contains($0) })
    let instances = Set((0..<128).map { HintNotes.place(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 1), $0) })
    #expect(instances.count > 90)
  }

  private final class Shared: Sendable {
    let hints: HintTable
    let stop = Atomic<Bool>(false)
    /// Atomic, as ThreadSanitizer does not see what a Mutex orders; that one is touched only when something is wrong.
    let found = Atomic<Int>(0)
    let wrong = Mutex<[HeaderHint]>([])
    init(_ hints: HintTable) { self.hints = hints }
  }

  @Test(.timeLimit(.minutes(1))) func `the reader never sees a note that was never made, while the worker writes`() throws {
    let rig = try Self.listening()
    let shared = Shared(rig.counters.hints)
    // The nonce, the status bits and both sources say the same number.
    func frame(_ i: Int) -> [UInt8] {
      let inner = IPPacket(source: "10.2.0.\(i)", destination: "10.1.0.5", payload: [1])
      return Self.frame([0xC0, 0, 0, UInt8(i), 0, 0, 0, UInt8(i)], inner, from: "2001:db8::\(String(i, radix: 16))")
    }
    // All of one group.
    func group(_ i: Int) -> Int { HintNotes.place(IPv6Address(high: 0x2001_0DB8 << 32, low: UInt64(i)), 0) / HintTable.ways }
    let frames = (1...250).filter { group($0) == group(1) }.map(frame)
    let several = frames.count > 1 ? frames : (1...250).map(frame)
    let finished = DispatchGroup()
    finished.enter()
    Thread {
      while !shared.stop.load(ordering: .relaxed) {
        for hint in shared.hints.takeRecent() {
          guard case .v6(let rloc) = hint.rloc, case .v4(let source) = hint.source else { continue }
          let i = UInt32(truncatingIfNeeded: rloc.low)
          let isWhole = source.rawValue & 0xFF == i && hint.nonce?.value == i && hint.statusBits?.bits == i
          if !isWhole { shared.wrong.withLock { $0.append(hint) } }
          shared.found.add(1, ordering: .relaxed)
        }
      }
      finished.leave()
    }.start()
    let end = ContinuousClock.now + .seconds(5)
    while shared.found.load(ordering: .relaxed) < 20_000, ContinuousClock.now < end { rig.send(several, port: Port.core) }
    shared.stop.store(true, ordering: .relaxed)
    finished.wait()
    shared.wrong.withLock { #expect($0 == []) }
    #expect(shared.found.load(ordering: .relaxed) > 100)
  }
}
