// SPDX-License-Identifier: Apache-2.0
//
// Rule D16, the workers' half: whose packets were decapsulated is noted, and found by the slow path; against a model, and between
// threads. The race is meant for ThreadSanitizer, too.

import Foundation
import Synchronization
import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct PeerTableTests {
  private static func lisp(_ inner: IPPacket, from peer: String, to own: String? = nil) -> [UInt8] {
    LISPPacket(peer, own ?? (peer.contains(":") ? Rig.ownRLOC6 : Rig.ownRLOC4), inner).octets
  }

  private static func taken(_ rig: Rig) -> Set<String> { Set(rig.counters.peers.takeRecent().map(\.description)) }

  // MARK: - Through the engine

  @Test(arguments: [nil, 7] as [UInt16?], [Port.core, Port.both])
  func `D16 the outer source of a decapsulated packet is remembered, IPv4 and IPv6`(vlan: UInt16?, port: Int) throws {
    let rig = try Rig.twoSites()
    let peers = ["198.51.100.2", "203.0.113.77", "2001:db8:2::2", "2001:db8:2::3"]
    for inner in [IPPacket.v4().reply, .v6().reply] {
      let outcomes = rig.send(peers.map { Frame.of(Self.lisp(inner, from: $0), vlan: vlan) }, port: port)
      #expect(outcomes.allSatisfy { $0.verdict.isTransmit })
      #expect(Self.taken(rig) == Set(peers))
      #expect(Self.taken(rig) == [], "each look tells what came since the last")
    }
    rig.send(Frame.of(Self.lisp(.v4().reply, from: peers[2]), vlan: vlan), port: port)
    #expect(Self.taken(rig) == [peers[2]])
  }

  @Test func `D16 the source stands where the outer header is, whatever options it has`() throws {
    let rig = try Rig.twoSites()
    var packet = LISPPacket(Rig.peer4, Rig.ownRLOC4, .v4().reply)
    packet.outer.options = [1, 1, 1, 0]
    #expect(rig.send(Frame.of(packet.octets), port: Port.core).verdict.isTransmit)
    #expect(Self.taken(rig) == [Rig.peer4])
  }

  @Test func `D16 a packet that goes on by way of the kernel was decapsulated, too`() throws {
    let rig = try Rig()
    try rig.local("10.1.0.0/16", host: rig.delivery(isResolved: false))
    try rig.local("10.3.0.0/16", host: nil)
    rig.publisher.publish()
    for (destination, timeToLive, reason) in [
      ("10.1.0.5", 64, PuntReason.innerNeighbour), ("10.3.0.5", 64, .innerNeighbour), ("10.1.0.5", 1, .timeExceeded),
    ] as [(String, UInt8, PuntReason)] {
      let inner = IPPacket(source: "10.2.0.7", destination: destination, timeToLive: timeToLive, payload: [1])
      #expect(rig.send(Frame.of(Self.lisp(inner, from: Rig.peer4)), port: Port.core).verdict == .punt(reason))
      #expect(Self.taken(rig) == [Rig.peer4])
    }
  }

  @Test(arguments: [Rig.peer4, Rig.peer6]) func `D16 the source of a dropped packet, or of a control message, is not remembered`(
    peer: String
  )
    throws
  {
    let rig = try Rig.twoSites()
    try rig.local("10.4.0.0/16", host: rig.delivery(mtu: 40))
    rig.publisher.publish()
    let own = peer == Rig.peer4 ? Rig.ownRLOC4 : Rig.ownRLOC6
    func frame(_ inner: IPPacket, _ change: (inout LISPPacket) -> Void = { _ in }) -> [UInt8] {
      var packet = LISPPacket(peer, own, inner)
      change(&packet)
      return Frame.of(packet.octets)
    }
    let cases: [([UInt8], Verdict)] = [
      (frame(IPPacket(source: "10.2.0.7", destination: "10.9.0.1", payload: [])), .drop(.destinationNotLocal)),
      (frame(IPPacket(source: "10.2.0.7", destination: "10.4.0.1", payload: [UInt8](repeating: 0, count: 100))), .drop(.deliveryTooBig)),
      (frame(.v4().reply) { $0.outer.trafficClass = 3 }, .drop(.congestionMarkLost)),
      (frame(.v4().reply) { $0.inner[0] = 0x55 }, .drop(.innerVersionUnknown)),
      (Frame.of(LISPPacket(peer, own, instance: 9, .v4().reply).octets), .drop(.instanceUnknown)),
      (Frame.of(LISPPacket(peer, own, instance: 0xFF_FFFF, .v4().reply).octets), .punt(.control)),
    ]
    for (frame, verdict) in cases {
      #expect(rig.send(frame, port: Port.core).verdict == verdict)
      #expect(Self.taken(rig) == [], "\(verdict)")
    }
    rig.send(Frame.of(IPPacket.v4().octets), port: Port.site)
    #expect(Self.taken(rig) == [], "an encapsulated packet has no peer")
  }

  // MARK: - The table

  /// Two addresses of one slot, of each family.
  private static func colliding() throws -> [(IPAddress, IPAddress)] {
    let first4: UInt32 = 0xC000_0201
    let second4 = try #require((first4 + 1..<first4 + 100_000).first { PeerNotes.place($0) == PeerNotes.place(first4) })
    let first6 = IPv6Address(high: 0x2001_0DB8 << 32, low: 1)
    let second6 = try #require(
      (2..<100_000).lazy.map { IPv6Address(high: first6.high, low: $0) }.first { PeerNotes.place($0) == PeerNotes.place(first6) })
    return [(.v4(IPv4Address(rawValue: first4)), .v4(IPv4Address(rawValue: second4))), (.v6(first6), .v6(second6))]
  }

  private static func note(_ address: IPAddress, _ notes: PeerNotes) {
    switch address {
    case .v4(let address): notes.note(address.rawValue)
    case .v6(let address): notes.note(address)
    }
  }

  @Test func `D16 of two peers of one slot only the one that came first is lost, and only until it sends again`() throws {
    for (first, second) in try Self.colliding() {
      let table = try #require(PeerTable())
      let notes = table.notes
      Self.note(first, notes)
      Self.note(second, notes)
      #expect(table.takeRecent() == [second])
      Self.note(second, notes)
      Self.note(first, notes)
      #expect(table.takeRecent() == [first])
      #expect(table.takeRecent() == [])
    }
  }

  private static func holds(_ address: IPAddress, _ epoch: UInt64, _ notes: PeerNotes) -> Bool {
    switch address {
    case .v4(let address): notes.holds(address.rawValue, epoch)
    case .v6(let address): notes.holds(address, epoch)
    }
  }

  @Test func `D16 after each look a peer is noted anew, but not by the batch that the look came in the midst of`() throws {
    for (peer, other) in try Self.colliding() {
      let table = try #require(PeerTable())
      let notes = table.notes
      let epoch = notes.epoch
      #expect(!Self.holds(peer, epoch, notes))
      Self.note(peer, notes)
      #expect(Self.holds(peer, epoch, notes) && !Self.holds(other, epoch, notes))
      #expect(table.takeRecent() == [peer])
      #expect(Self.holds(peer, epoch, notes), "this look has found it")
      #expect(!Self.holds(peer, notes.epoch, notes))
      Self.note(peer, notes)
      #expect(table.takeRecent() == [peer])
    }
  }

  @Test func `D16 the table finds what a model of it finds`() throws {
    var random = SplitMix64(seed: 0xD16)
    let table = try #require(PeerTable())
    let notes = table.notes
    let addresses: [IPAddress] = (0..<600).map { i in
      i % 2 == 0
        ? .v4(IPv4Address(rawValue: UInt32.random(in: 1...(.max), using: &random)))
        : .v6(IPv6Address(high: random.next() >> 8, low: random.next()))
    }
    // Slot → who noted itself last since the last look.
    var model: [String: IPAddress] = [:]
    for _ in 0..<200 {
      for _ in 0..<Int.random(in: 0...300, using: &random) {
        let address = addresses[Int.random(in: 0..<addresses.count, using: &random)]
        Self.note(address, notes)
        switch address {
        case .v4(let v4): model["4 \(PeerNotes.place(v4.rawValue))"] = address
        case .v6(let v6): model["6 \(PeerNotes.place(v6))"] = address
        }
      }
      #expect(table.takeRecent().sorted() == model.values.sorted())
      model = [:]
    }
  }

  @Test func `D16 addresses of a few sites seldom share a slot`() {
    let slots4 = Set((0..<256).map { PeerNotes.place(0xC633_6400 + UInt32($0)) })
    #expect(slots4.count > 200 && slots4.allSatisfy { (0..<PeerTable.slotCount.ipv4).contains($0) })
    let slots6 = Set((0..<128).map { PeerNotes.place(IPv6Address(high: 0x2001_0DB8_0000_0000 + UInt64($0), low: 1)) })
    #expect(slots6.count > 80 && slots6.allSatisfy { (0..<PeerTable.slotCount.ipv6).contains($0) })
  }

  // MARK: - Two threads

  private final class Shared: Sendable {
    let table: PeerTable
    let stop = Atomic<Bool>(false)
    let rounds = Atomic<Int>(0)

    init(_ table: PeerTable) { self.table = table }
  }

  /// Every address says by its second half what its first half is, so that one put together from two shows; all share a slot.
  private static func addresses() -> [IPv6Address] {
    let all = (1...20_000 as ClosedRange<UInt64>).lazy.map { IPv6Address(high: $0, low: ~$0 &* 0x9E37_79B9_7F4A_7C15) }
    return Array(all.filter { PeerNotes.place($0) == 7 }.prefix(32))
  }

  @Test(.timeLimit(.minutes(1)))
  func `D16 the reader never sees an address that was never noted, while the worker writes`() throws {
    let shared = Shared(try #require(PeerTable()))
    let addresses = Self.addresses()
    #expect(addresses.count == 32)
    let finished = DispatchGroup()
    finished.enter()
    Thread {
      let notes = shared.table.notes
      while !shared.stop.load(ordering: .relaxed) {
        for address in addresses {
          notes.note(address)
          notes.note(0xC000_0200 | UInt32(truncatingIfNeeded: address.high & 0xFF))
        }
        shared.rounds.add(1, ordering: .relaxed)
      }
      finished.leave()
    }.start()
    let known = Set(addresses)
    var (found, wrong) = (0, [IPAddress]())
    let end = ContinuousClock.now + .seconds(20)
    while found < 20_000, wrong.isEmpty, ContinuousClock.now < end {
      for peer in shared.table.takeRecent() {
        switch peer {
        case .v4(let address): if address.rawValue >> 8 != 0xC0_0002 { wrong.append(peer) }
        case .v6(let address):
          found += 1
          if !known.contains(address) { wrong.append(peer) }
        }
      }
    }
    shared.stop.store(true, ordering: .relaxed)
    finished.wait()
    #expect(wrong == [])
    #expect(found > 100 && shared.rounds.load(ordering: .relaxed) > 0, "the reader saw \(found) addresses")
  }
}
