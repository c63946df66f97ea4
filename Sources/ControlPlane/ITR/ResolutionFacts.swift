// SPDX-License-Identifier: Apache-2.0
//
// What `xtr show map-cache` says of a prefix's resolution: who was asked when, who answered, when it is tried again. Of what is outstanding
// the resolver knows all of it; of what is over, the last so many.

import MapCache
import Wire

/// One resolution, outstanding or over.
public struct ResolutionFacts: Hashable, Sendable {
  public var eid: EIDPrefix
  public var firstRequestAt: Instant
  public var lastRequestAt: Instant
  public var tries: Int
  /// The Map-Resolver that was asked last; nil: there was none.
  public var lastResolver: IPAddress?
  public var lastReplyAt: Instant?
  public var answeredBy: Endpoint?
  /// nil when it is over, or after its last try.
  public var nextTryAt: Instant?
  public var outcome: Outcome

  /// How it went so far.
  public enum Outcome: String, Sendable { case outstanding, answered, unanswered }
}

/// The last resolutions that are over: a ring.
struct RecentResolutions: Sendable {
  private var ring: ContiguousArray<ResolutionFacts> = []
  private let capacity: Int
  /// Where the next one goes, once the ring is full.
  private var oldest = 0

  init(capacity: Int) { self.capacity = max(capacity, 1) }

  mutating func append(_ facts: ResolutionFacts) {
    guard ring.count == capacity else { return ring.append(facts) }
    ring[oldest] = facts
    oldest = (oldest + 1) % capacity
  }

  /// The newest first.
  var newestFirst: some Sequence<ResolutionFacts> { (ring[oldest...] + ring[..<oldest]).reversed() }
}

extension Resolver {
  func facts(_ request: Request, _ outcome: ResolutionFacts.Outcome, nextTryAt: Instant? = nil) -> ResolutionFacts {
    ResolutionFacts(
      eid: request.eid, firstRequestAt: request.firstRequestAt, lastRequestAt: request.lastRequestAt, tries: request.tries,
      lastResolver: request.lastResolver, nextTryAt: nextTryAt, outcome: outcome)
  }

  private func outstandingFacts(_ slot: UInt32) -> ResolutionFacts? {
    requests[slot].map { facts($0, .outstanding, nextTryAt: $0.tries < Self.maximumTries ? deadlines[slot] : nil) }
  }

  /// At most `limit` outstanding requests after `eid` in the order of their prefixes. O(limit · bits)
  public func outstanding(after eid: EIDPrefix? = nil, limit: Int) -> [ResolutionFacts] {
    var found: [ResolutionFacts] = []
    var last = eid
    while found.count < limit, let (prefix, slot) = asking.next(after: last) {
      last = prefix
      if let facts = outstandingFacts(slot) { found.append(facts) }
    }
    return found
  }

  /// Resolutions that are over, the newest first.
  public var history: [ResolutionFacts] { Array(past.newestFirst) }

  /// The last that is known of the resolution of a prefix. O(history)
  public func facts(_ eid: EIDPrefix) -> ResolutionFacts? {
    asking[eid].flatMap(outstandingFacts) ?? past.newestFirst.first { $0.eid == eid }
  }

  /// What is wrong with it, in words: nothing, as long as I1 and I2 hold. O(n log n); for tests.
  package func checkInvariants() -> [String] {
    var wrong = asking.count == requests.count && deadlines.count == requests.count ? [] : ["I1: counts differ"]
    if slots.count != requests.count { wrong.append("I2: counts differ") }
    for request in requests.elements {
      let slot = asking[request.eid]
      if slot.flatMap({ requests[$0]?.eid }) != request.eid || slot.flatMap({ deadlines[$0] }) == nil { wrong.append("I1: \(request.eid)") }
      if slots[request.nonce] != slot { wrong.append("I2: \(request.eid)") }
    }
    return wrong
  }
}
