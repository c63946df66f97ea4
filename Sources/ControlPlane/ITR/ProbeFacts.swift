// SPDX-License-Identifier: Apache-2.0
//
// What `xtr show probes` says of a locator, and the check of the prober's invariants for tests.

import Wire

/// What probes know of a locator.
public struct ProbeFacts: Hashable, Sendable {
  public var rloc: IPAddress
  /// The EID-prefix in the probes.
  public var eid: EIDPrefix
  public var state: Prober.State
  public var lastSentAt: Instant?
  public var lastAnswerAt: Instant?
  /// Of the last answer.
  public var roundTrip: Duration?
  public var nextProbeAt: Instant?
}

extension Prober {
  /// What is known of one RLOC; nil: it is not probed. O(1)
  public func facts(_ rloc: IPAddress) -> ProbeFacts? { slotOf[rloc].flatMap(facts) }

  /// What is known of all RLOCs, ascending. O(n log n)
  public var facts: [ProbeFacts] { slotOf.values.compactMap(facts).sorted { $0.rloc < $1.rloc } }

  private func facts(_ slot: UInt32) -> ProbeFacts? {
    targets[slot].map { target in
      ProbeFacts(
        rloc: target.rloc, eid: target.eid, state: target.state, lastSentAt: target.lastSentAt, lastAnswerAt: target.lastAnswerAt,
        roundTrip: target.roundTrip, nextProbeAt: deadlines[slot])
    }
  }

  /// What is wrong with it, in words: nothing, as long as I1 and I2 hold. O(n); for tests.
  package func checkInvariants() -> [String] {
    var wrong = targets.count == slotOf.count && targets.count == deadlines.count ? [] : ["I1: counts differ"]
    for (rloc, slot) in slotOf where targets[slot]?.rloc != rloc || deadlines[slot] == nil { wrong.append("I1: \(rloc)") }
    for target in targets.elements {
      for probe in target.sent where nonces[probe.nonce] != slotOf[target.rloc] { wrong.append("I2: \(target.rloc)") }
    }
    if nonces.count != targets.elements.reduce(0, { $0 + $1.sent.count }) { wrong.append("I2: a nonce without a probe") }
    return wrong
  }
}
