// SPDX-License-Identifier: Apache-2.0

import Glibc
import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct ResolutionTests {
  static let isRelease: Bool = {
    var release = true
    assert(
      {
        release = false; return true
      }())
    return release
  }()

  @Test(arguments: 0..<4) func `C1 in a bad network no prefix is asked for too often, and every packet has an outcome`(_ seed: UInt64) {
    var simulation = ResolutionSimulation(seed: seed)
    simulation.run(until: at(400))
    checkRates(simulation, seed)
    let queue = simulation.queue
    let dropped = MissDrop.allCases.reduce(0) { $0 + queue.dropped($1) }
    #expect(UInt64(simulation.offered) == UInt64(simulation.forwarded) + dropped + UInt64(queue.count), "seed \(seed)")
    #expect(queue.dropped(.timedOut) + queue.dropped(.unanswered) > 0 && simulation.resolver.counters.gaveUp > 0, "seed \(seed)")
    #expect(simulation.forwarded > simulation.offered / 2 && simulation.installs > 100, "seed \(seed)")
    #expect(simulation.refusedReplies > 10, "late and doubled replies came, seed \(seed)")
    #expect(simulation.mostWaiting <= 4096 && simulation.resolver.checkInvariants() == [], "seed \(seed)")
  }

  /// Rule C1 on what was really sent.
  private func checkRates(_ simulation: ResolutionSimulation, _ seed: UInt64) {
    #expect(simulation.sends.values.allSatisfy { $0.times.count <= 10 })
    var byPrefix: [EIDPrefix: [ResolutionSimulation.Sends]] = [:]
    for sends in simulation.sends.values { byPrefix[sends.eid, default: []].append(sends) }
    var wentOn = 0
    for (eid, rounds) in byPrefix {
      let rounds = rounds.sorted { $0.times[0] < $1.times[0] }
      let times = rounds.flatMap(\.times)
      for (a, b) in zip(times, times.dropFirst()) { #expect(a.duration(to: b) >= .seconds(1), "\(eid), seed \(seed)") }
      for (a, b) in zip(rounds, rounds.dropFirst()) where a.times.count == 10 {
        wentOn += 1
        #expect(a.times[9].duration(to: b.times[0]) >= .seconds(30), "\(eid), seed \(seed)")
      }
    }
    #expect(wentOn > 0, "nothing was asked for again after ten tries, seed \(seed)")
  }

  /// Seconds that this thread has had a processor for: others may be using the machine.
  private static var processorTime: Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  @Test(.enabled(if: ResolutionTests.isRelease, "only a release build is measured"))
  func `misses are resolved at 200 k per second and more`() throws {
    var resolver = Sample.resolver()
    var queue = MissQueue()
    let count = 1_000_000
    // The fastest that the limits allow: two seconds' worth of answered requests is remembered.
    let step = Duration.seconds(1) / 30_000
    let packet = [UInt8](repeating: 0xA5, count: 100)
    var delivered = 0
    // The nonces, by the same generator that the resolver has.
    var nonces = NonceSource(seed: 1)
    let began = Self.processorTime
    for i in 0..<count {
      let now = start + step * i
      let destination = IPAddress.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: i &* 2_654_435_761)))
      guard case .wait(.some) = resolver.miss(eid: destination, in: .zero, source: Sample.host, now: now) else { continue }
      queue.append(WaitingPacket(in: .zero, to: destination, port: 0, bytes: packet), now: now)
      let nonce = nonces.next()
      _ = nonces.jittered(.seconds(1))
      let record = EIDRecord(
        EIDPrefix(.zero, IPPrefix(host: destination)), ttl: 60, locators: [LocatorRecord(.ip(Sample.remote))])
      for action in resolver.receive(MapReply(nonce: nonce, records: [record]), Sample.arrival, now: now) {
        guard case .install(let mappings) = action else { continue }
        for mapping in mappings { delivered += queue.take(coveredBy: mapping.eid).count }
      }
      if i % 64 == 0 { _ = resolver.tick(now: now) }
    }
    let perSecond = Double(count) / (Self.processorTime - began)
    print("resolver: \(Int(perSecond)) misses asked for, answered and delivered per second of processor time")
    #expect(delivered == count && resolver.outstandingCount == 0 && perSecond > 200_000)
  }
}
