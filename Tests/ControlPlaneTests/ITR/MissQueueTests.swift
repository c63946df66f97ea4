// SPDX-License-Identifier: Apache-2.0

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct MissQueueTests {
  private func packet(_ destination: String, _ number: UInt8 = 0, byteCount: Int = 20) -> WaitingPacket {
    WaitingPacket(in: .zero, to: address(destination), port: 1, bytes: Array(repeating: number, count: byteCount))
  }

  @Test func `packets leave in the order of their arrival, whatever their EIDs`() {
    var queue = MissQueue()
    let destinations = ["10.2.0.1", "10.2.0.2", "10.3.0.1", "10.2.0.1", "10.2.0.3", "10.2.0.2"]
    for (i, destination) in destinations.enumerated() { queue.append(packet(destination, UInt8(i)), now: start) }
    #expect(queue.count == 6)
    #expect(queue.take(coveredBy: eid("10.2.0.0/24")).map { $0.bytes[0] } == [0, 1, 3, 4, 5])
    #expect(queue.count == 1 && queue.byteCount == 20 && queue.taken == 5)
    #expect(queue.take(coveredBy: eid("10.2.0.0/24")) == [])
    #expect(queue.take(coveredBy: eid("10.3.0.1/32")).map { $0.bytes[0] } == [2])
    #expect(queue.count == 0 && queue.byteCount == 0 && queue.tick(now: at(60)) == 0)
  }

  @Test func `packets of another instance stay`() {
    var queue = MissQueue()
    queue.append(packet("10.2.0.1"), now: start)
    #expect(queue.take(coveredBy: eid("0.0.0.0/0", in: 1)) == [])
    #expect(queue.take(coveredBy: eid("0.0.0.0/0")).count == 1)
  }

  @Test func `64 packets of an EID wait, and the 65th is dropped and counted`() {
    var queue = MissQueue()
    for i in 0..<70 {
      let waits = queue.append(packet("10.2.0.1", UInt8(i)), now: start)
      #expect(waits == (i < 64))
    }
    queue.append(packet("10.2.0.2"), now: start)
    #expect(queue.count == 65)
    #expect(queue.dropped(.queueFullPrefix) == 6)
    #expect(queue.take(coveredBy: eid("10.2.0.1/32")).map { $0.bytes[0] } == Array(0..<64))
    queue.append(packet("10.2.0.1"), now: start)
    #expect(queue.count == 2)
  }

  @Test func `4096 packets wait, and the next is dropped and counted`() {
    var queue = MissQueue()
    for i in 0..<5000 {
      let packet = WaitingPacket(in: .zero, to: .v4(IPv4Address(rawValue: UInt32(i))), port: 0, bytes: [0])
      let waits = queue.append(packet, now: start)
      #expect(waits == (i < 4096))
    }
    #expect(queue.count == 4096 && queue.dropped(.queueFullTotal) == 904)
  }

  @Test func `4 MiB wait, and what would be more is dropped and counted`() {
    var queue = MissQueue()
    var waiting = 0
    for i in 0..<600 where queue.append(packet("10.2.\(i % 250).\(i / 250)", byteCount: 9000), now: start) { waiting += 1 }
    #expect(waiting == (4 << 20) / 9000 && queue.byteCount == waiting * 9000)
    #expect(queue.dropped(.queueFullTotal) == UInt64(600 - waiting))
  }

  @Test func `a packet waits five seconds and is then dropped and counted`() {
    var queue = MissQueue()
    queue.append(packet("10.2.0.1", 1), now: start)
    queue.append(packet("10.2.0.1", 2), now: at(1))
    queue.append(packet("10.2.0.2", 3), now: at(2))
    #expect(queue.tick(now: at(4.999)) == 0)
    #expect(queue.tick(now: at(5)) == 1)
    #expect(queue.tick(now: at(5.999)) == 0 && queue.dropped(.timedOut) == 1)
    #expect(queue.take(coveredBy: eid("10.2.0.0/24")).map { $0.bytes[0] } == [2, 3])
  }

  @Test func `what the resolver gives up is dropped under that reason`() {
    var queue = MissQueue()
    queue.append(packet("10.2.0.1", 1), now: start)
    queue.append(packet("10.3.0.1", 2), now: start)
    #expect(queue.drop(coveredBy: eid("10.2.0.1/32"), .unanswered).map { $0.bytes[0] } == [1])
    #expect(queue.dropped(.unanswered) == 1 && queue.count == 1)
  }

  @Test(arguments: 0..<8) func `it does what a plain list does`(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var limits = MissQueue.Limits()
    limits.packetsPerEID = 5
    limits.packets = 60
    limits.bytes = 4000
    var queue = MissQueue(limits: limits)
    var model: [(packet: WaitingPacket, at: Instant)] = []
    var expected: [MissDrop: UInt64] = [:]
    var now = start
    for step in 0..<4000 {
      now += .milliseconds(random.below(120))
      switch random.below(20) {
      case 0:
        let prefix = EIDPrefix(
          .zero, IPPrefix(masking: .v4(IPv4Address(10, 0, 0, UInt8(random.below(16)))), length: 28 + random.below(5)))
        let covered = model.filter { prefix.prefix.contains($0.packet.destination) }.map(\.packet)
        model.removeAll { prefix.prefix.contains($0.packet.destination) }
        if random.below(2) == 0 {
          #expect(queue.take(coveredBy: prefix) == covered)
        } else {
          #expect(queue.drop(coveredBy: prefix, .unanswered) == covered)
          expected[.unanswered, default: 0] += UInt64(covered.count)
        }
      case 1:
        let old = model.count { $0.at + limits.age <= now }
        model.removeFirst(old)
        expected[.timedOut, default: 0] += UInt64(old)
        #expect(queue.tick(now: now) == old)
      default:
        let packet = WaitingPacket(
          in: .zero, to: .v4(IPv4Address(10, 0, 0, UInt8(random.below(16)))), port: 0,
          bytes: Array(repeating: UInt8(truncatingIfNeeded: step), count: random.below(120)))
        let bytes = model.reduce(0) { $0 + $1.packet.bytes.count }
        if model.count(where: { $0.packet.destination == packet.destination }) >= 5 {
          expected[.queueFullPrefix, default: 0] += 1
        } else if model.count >= 60 || bytes + packet.bytes.count > 4000 {
          expected[.queueFullTotal, default: 0] += 1
        } else {
          model.append((packet, now))
        }
        queue.append(packet, now: now)
      }
      #expect(queue.count == model.count && queue.byteCount == model.reduce(0) { $0 + $1.packet.bytes.count })
      #expect(queue.accepted == queue.taken + queue.dropped(.timedOut) + queue.dropped(.unanswered) + UInt64(queue.count))
    }
    for reason in MissDrop.allCases { #expect(queue.dropped(reason) == expected[reason] ?? 0, "\(reason), seed \(seed)") }
    #expect(expected[.queueFullTotal] != nil && expected[.queueFullPrefix] != nil && expected[.timedOut] != nil)
  }
}
