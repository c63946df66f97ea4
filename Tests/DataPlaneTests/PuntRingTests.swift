// SPDX-License-Identifier: Apache-2.0
//
// The punt ring: order, fullness, wrap-around, and producer and consumer on threads of their own.

import Foundation
import Synchronization
import Testing
import Wire

@testable import DataPlane

@Suite struct PuntRingTests {
  static func push(
    _ ring: PuntRing, as kind: PuntKind = .punt(.miss), _ packet: [UInt8], instance: UInt32 = 0, port: Int = 0, mtu: UInt16 = 0
  ) -> Bool {
    let buffer = PacketBuffer(packet)
    return ring.push(kind, port: port, instanceID: instance, mtu: mtu, buffer.bytes)
  }

  static func pop(_ ring: PuntRing, limit: Int = .max) -> [[UInt8]] {
    var packets: [[UInt8]] = []
    _ = ring.pop(limit: limit) { packets.append($0.packet.array) }
    return packets
  }

  @Test func `packets come out as they went in, in order, with all that was said of them`() throws {
    let ring = try #require(PuntRing())
    var items: [(kind: PuntKind, port: Int, instance: UInt32, mtu: Int, octets: [UInt8])] = []
    let kinds = PuntReason.allCases.map { PuntKind.punt($0) } + DropReason.allCases.map { .notice($0) }
    for (i, kind) in kinds.enumerated() {
      #expect(
        Self.push(ring, as: kind, Array(repeating: UInt8(i), count: i * 7), instance: UInt32(i) << 16, port: i % 16, mtu: UInt16(i * 100)))
    }
    let count = ring.pop(limit: 1000) { items.append(($0.kind, $0.port, $0.instanceID.rawValue, $0.mtu, $0.packet.array)) }
    #expect(count == kinds.count)
    for (i, item) in items.enumerated() {
      #expect(item.kind == kinds[i] && item.port == i % 16 && item.instance == UInt32(i) << 16 && item.mtu == i * 100)
      #expect(item.octets == Array(repeating: UInt8(i), count: i * 7))
    }
    #expect(ring.pop(limit: 1000) { _ in } == 0)
  }

  @Test func `a full ring refuses, and takes again when something came out`() throws {
    let ring = try #require(PuntRing())
    var next: UInt32 = 0
    var expected: UInt32 = 0
    for _ in 0..<5 {
      while Self.push(ring, big(next)) { next += 1 }
      #expect(next - expected == 512)
      #expect(ring.isHalfFull)
      for packet in Self.pop(ring, limit: 300) {
        #expect(packet == big(expected))
        expected += 1
      }
      #expect(!ring.isHalfFull)
    }
  }

  @Test func `the longest packet fits, a longer one is refused`() throws {
    let ring = try #require(PuntRing())
    let longest = (0..<PuntRing.maximumPacketByteCount).map { UInt8(truncatingIfNeeded: $0) }
    #expect(Self.push(ring, longest))
    #expect(!Self.push(ring, longest + [0]))
    #expect(Self.push(ring, []))
    #expect(Self.pop(ring) == [longest, []])
  }

  @Test(.timeLimit(.minutes(1)))
  func `nothing is lost, doubled or torn between two threads`() throws {
    let ring = try #require(PuntRing())
    let total: UInt32 = 20_000
    let finished = DispatchGroup()
    finished.enter()
    Thread {
      let buffer = PacketBuffer(capacity: 64)
      for number in 0..<total {
        let length = Int(number % 60) + 4
        for i in 4..<length { buffer.bytes.store(UInt8(truncatingIfNeeded: number), at: i) }
        buffer.bytes.store(number, at: 0)
        while !ring.push(.punt(.miss), port: 1, instanceID: number & 0xFF_FFFF, buffer.bytes.prefix(length)) { usleep(10) }
      }
      finished.leave()
    }.start()
    var next: UInt32 = 0
    var wrong = 0
    while next < total {
      let count = ring.pop(limit: 64) { item in
        let packet = item.packet
        let isWhole = (4..<packet.count).allSatisfy { packet.u8($0) == UInt8(truncatingIfNeeded: next) }
        if packet.count != Int(next % 60) + 4 || packet.u32(0) != next || item.instanceID.rawValue != next || !isWhole { wrong += 1 }
        next += 1
      }
      if count == 0 { usleep(10) }
    }
    finished.wait()
    #expect(wrong == 0)
    #expect(ring.pop(limit: 1) { _ in } == 0)
  }
}
