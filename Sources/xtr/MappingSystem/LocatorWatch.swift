// SPDX-License-Identifier: Apache-2.0
//
// What is known of each locator in use besides the way to it: probes, ICMP, the operator's word, combined by MapCache/Reachability. The router
// writes what it hears; ForwardingCompiler asks for the verdict when it chooses among locators.

import MapCache
import Wire

/// Thread: slow path.
final class LocatorWatch {
  private(set) var evidence: [IPAddress: LocatorEvidence] = [:]
  /// The verdict that was last acted upon, of those with evidence.
  private var told: [IPAddress: Reachability] = [:]
  /// Whether somebody sends probes to a locator.
  var isProbed: (IPAddress) -> Bool = { _ in false }
  /// Called when the verdict on a locator is another one.
  var turned: (IPAddress, Reachability) -> Void = { _, _ in }

  /// `site`: what is known of it as one site's. The R bit need not be in it: a locator that it takes away is not offered in the first place.
  func verdict(_ rloc: IPAddress, _ site: SiteEvidence = SiteEvidence(), now: ContinuousClock.Instant = .now) -> Reachability {
    guard evidence[rloc] != nil || site != SiteEvidence() else { return .assumed }
    return Reachability(evidence[rloc] ?? LocatorEvidence(), site, isProbed: isProbed(rloc), now: now)
  }

  /// Writes something down about a locator.
  func note(_ rloc: IPAddress, now: ContinuousClock.Instant = .now, _ change: (inout LocatorEvidence) -> Void) {
    var known = evidence[rloc] ?? LocatorEvidence()
    change(&known)
    evidence[rloc] = known == LocatorEvidence() ? nil : known
    judge(rloc, now)
  }

  /// A locator that no mapping names any more; the operator's word stays.
  func forget(_ rloc: IPAddress) {
    guard let word = evidence[rloc]?.operatorWord else {
      evidence[rloc] = nil
      told[rloc] = nil
      return
    }
    evidence[rloc] = LocatorEvidence()
    evidence[rloc]?.operatorWord = word
  }

  /// Once a second: marks that lapse.
  func tick(now: ContinuousClock.Instant) {
    for (rloc, known) in evidence {
      if let lapse = known.lapse(isProbed: isProbed(rloc)), lapse <= now { judge(rloc, now) }
    }
  }

  private func judge(_ rloc: IPAddress, _ now: ContinuousClock.Instant) {
    let new = verdict(rloc, now: now)
    let old = told[rloc] ?? .assumed
    told[rloc] = new == .assumed ? nil : new
    if new != old { turned(rloc, new) }
  }
}
