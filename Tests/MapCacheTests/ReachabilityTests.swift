// SPDX-License-Identifier: Apache-2.0
//
// The order in which evidence about a locator counts: what stands higher decides, whatever is said below it.

import MapCache
import Testing

private let now = ContinuousClock.now
private func ago(_ seconds: Int) -> ContinuousClock.Instant { now - .seconds(seconds) }

/// What is known about a locator, all of it.
private struct Case {
  var locator = LocatorEvidence()
  var site = SiteEvidence()

  func verdict(isProbed: Bool) -> Reachability { Reachability(locator, site, isProbed: isProbed, now: now) }
}

/// One thing that may be known, and the verdict when nothing above it decides; nil: it says nothing.
private struct Row: Sendable {
  var name: String
  /// The rows of which one applies; those of a lower number go before.
  var level: Int
  var verdict: Reachability?
  var isProbed: Bool?
  var write: @Sendable (inout Case) -> Void
}

/// Of each level all that can be, silence included.
private let rows = [
  Row(name: "operator silent", level: 1, verdict: nil) { _ in },
  Row(name: "operator up", level: 1, verdict: .operatorUp) { $0.locator.operatorWord = .up },
  Row(name: "operator down", level: 1, verdict: .operatorDown) { $0.locator.operatorWord = .down },

  // Probes are answered, or given up, 30 and 40 seconds ago below.
  Row(name: "no ICMP", level: 2, verdict: nil) { _ in },
  Row(name: "ICMP now", level: 2, verdict: .unreachable) { $0.locator.unreachableAt = now },
  Row(name: "ICMP 20 s ago", level: 2, verdict: .unreachable) { $0.locator.unreachableAt = ago(20) },
  Row(name: "ICMP before every answer", level: 2, verdict: nil, isProbed: false) { $0.locator.unreachableAt = ago(60) },
  Row(name: "ICMP long ago", level: 2, verdict: nil, isProbed: false) { $0.locator.unreachableAt = ago(3600) },

  Row(name: "no probe", level: 3, verdict: nil) { _ in },
  Row(name: "answered", level: 3, verdict: .probeAnswered) { $0.locator.probeAnsweredAt = ago(30) },
  Row(name: "given up", level: 3, verdict: .probeUnanswered) { $0.locator.probeFailedAt = ago(30) },
  Row(name: "answered, then given up", level: 3, verdict: .probeUnanswered) {
    ($0.locator.probeAnsweredAt, $0.locator.probeFailedAt) = (ago(40), ago(30))
  },
  Row(name: "given up, then answered", level: 3, verdict: .probeAnswered) {
    ($0.locator.probeAnsweredAt, $0.locator.probeFailedAt) = (ago(30), ago(40))
  },

  Row(name: "no echo-nonce", level: 4, verdict: nil) { _ in },
  Row(name: "echoed", level: 4, verdict: nil) { $0.locator.echoNonce = .echoed },
  Row(name: "not echoed", level: 4, verdict: .echoMissing) { $0.locator.echoNonce = .missing },

  Row(name: "no status bit", level: 5, verdict: nil) { _ in },
  Row(name: "status bit set", level: 5, verdict: nil) { $0.site.statusBit = true },
  Row(name: "status bit clear", level: 5, verdict: .statusBitClear) { $0.site.statusBit = false },

  Row(name: "R set", level: 6, verdict: nil) { $0.site.isReachable = true },
  Row(name: "R clear", level: 6, verdict: .reachableBitClear) { $0.site.isReachable = false },
]

@Suite struct ReachabilityTests {
  @Test func `the first that has something to say decides, whatever comes after it`() {
    var combinations: [[Row]] = [[]]
    for level in 1...6 { combinations = combinations.flatMap { chosen in rows.filter { $0.level == level }.map { chosen + [$0] } } }
    #expect(combinations.count == 3 * 5 * 5 * 3 * 3 * 2)
    var seen = Set<Reachability>()
    for chosen in combinations {
      var known = Case()
      for row in chosen { row.write(&known) }
      for isProbed in [false, true] where chosen.allSatisfy({ $0.isProbed ?? isProbed == isProbed }) {
        let expected = chosen.compactMap(\.verdict).first ?? .assumed
        #expect(known.verdict(isProbed: isProbed) == expected, "\(chosen.map(\.name)), probed: \(isProbed)")
        seen.insert(expected)
      }
    }
    #expect(seen.count == Reachability.allCases.count)
  }

  @Test(arguments: [false, true])
  func `an answered probe lifts an earlier ICMP unreachable, and no earlier one`(isProbed: Bool) {
    var known = Case()
    known.locator.unreachableAt = ago(10)
    known.locator.probeAnsweredAt = ago(11)
    #expect(known.verdict(isProbed: isProbed) == .unreachable)
    known.locator.probeAnsweredAt = ago(10)
    #expect(known.verdict(isProbed: isProbed) == .probeAnswered)
    known.locator.unreachableAt = ago(9)
    #expect(known.verdict(isProbed: isProbed) == .unreachable)
  }

  @Test func `without probes an ICMP unreachable lapses after a minute, with them it waits for the answer`() {
    var known = Case()
    known.locator.unreachableAt = now - LocatorEvidence.unreachableLapse + .nanoseconds(1)
    #expect(known.verdict(isProbed: false) == .unreachable)
    #expect(known.locator.lapse(isProbed: false) == now + .nanoseconds(1))
    known.locator.unreachableAt = now - LocatorEvidence.unreachableLapse
    #expect(known.verdict(isProbed: false) == .assumed)
    #expect(known.verdict(isProbed: true) == .unreachable)
    #expect(known.locator.lapse(isProbed: true) == nil)
    known.locator.probeAnsweredAt = now
    #expect(known.verdict(isProbed: true) == .probeAnswered)
    #expect(known.locator.lapse(isProbed: false) == nil)
  }

  @Test func `after a probe has refuted an ICMP unreachable, no other counts for a minute`() {
    var known = Case()
    known.locator.noteUnreachable(at: ago(70))
    known.locator.noteAnswer(at: ago(69), sentAt: ago(70))
    known.locator.noteUnreachable(at: ago(10))
    #expect(known.verdict(isProbed: true) == .probeAnswered, "the probe of 69 s ago")
    known.locator.probeFailedAt = ago(8)
    #expect(known.verdict(isProbed: true) == .probeUnanswered, "the one that it was a reason for has the word")
    known.locator.noteUnreachable(at: ago(9) + .nanoseconds(1))
    #expect(known.verdict(isProbed: true) == .unreachable, "the minute is over")
  }

  @Test func `an ICMP unreachable is refuted by no probe that was sent before it, and by none after a failed one`() {
    var early = Case()
    early.locator.noteUnreachable(at: ago(10))
    early.locator.noteAnswer(at: ago(9), sentAt: ago(11))
    early.locator.noteUnreachable(at: ago(8))
    #expect(early.verdict(isProbed: true) == .unreachable)
    var confirmed = Case()
    confirmed.locator.noteUnreachable(at: ago(10))
    confirmed.locator.probeFailedAt = ago(9)
    confirmed.locator.noteAnswer(at: ago(3), sentAt: ago(4))
    confirmed.locator.noteUnreachable(at: ago(2))
    #expect(confirmed.verdict(isProbed: true) == .unreachable)
    var late = Case()
    late.locator.probeFailedAt = ago(12)
    late.locator.noteUnreachable(at: ago(10))
    late.locator.noteAnswer(at: ago(3), sentAt: ago(4))
    late.locator.noteUnreachable(at: ago(2))
    #expect(late.verdict(isProbed: true) == .unreachable, "probes had said so before ICMP")
  }

  @Test func `it is up where nothing speaks against it, and each verdict is one sentence`() {
    #expect(Case().verdict(isProbed: false) == .assumed)
    #expect(Reachability.allCases.filter(\.isUp) == [.operatorUp, .probeAnswered, .assumed])
    #expect(Set(Reachability.allCases.map(\.description)).count == Reachability.allCases.count)
    for verdict in Reachability.allCases { #expect(verdict.description.hasSuffix(".")) }
  }
}
