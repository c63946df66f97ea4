// SPDX-License-Identifier: Apache-2.0
//
// Deadlines against a plain dictionary.

import TestSupport
import Testing

@testable import MapCache

private let start = ContinuousClock.now

@Suite struct DeadlineQueueTests {
  @Test(arguments: [1, 2, 3] as [UInt64])
  func `what is due first is the earliest of all, whatever was moved or taken back`(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var queue = DeadlineQueue()
    var plain: [UInt32: ContinuousClock.Instant] = [:]
    for step in 0..<5000 {
      let key = UInt32(random.below(200))
      // Few moments, so that many are due at once.
      let deadline = start + .seconds(random.below(100) - 50)
      switch random.below(step / 1000 & 1 == 0 ? 3 : 6) {
      case 0, 1:
        queue.schedule(key, at: deadline)
        plain[key] = deadline
      case 2:
        queue.cancel(key)
        plain[key] = nil
      default:
        guard let first = queue.first else { break }
        queue.cancel(first.key)
        plain[first.key] = nil
      }
      #expect(queue.count == plain.count)
      #expect(queue.first?.deadline == plain.values.min(), "seed \(seed) step \(step)")
      #expect(queue.first.flatMap { plain[$0.key] } == queue.first.map(\.deadline))
      #expect(queue[key] == plain[key])
      if step % 16 == 0 { #expect(queue.checkInvariants() == [], "seed \(seed) step \(step)") }
    }
  }

  @Test func `taken first to last, deadlines ascend`() {
    var random = SplitMix64(seed: 4)
    var queue = DeadlineQueue()
    for key in 0..<1000 { queue.schedule(UInt32(key), at: start + .nanoseconds(random.below(1 << 40))) }
    var taken: [ContinuousClock.Instant] = []
    while let first = queue.first {
      taken.append(first.deadline)
      queue.cancel(first.key)
    }
    #expect(taken.count == 1000)
    #expect(taken == taken.sorted())
    #expect(queue[7] == nil)
    #expect(queue[1_000_000] == nil)
  }

  @Test func `a deadline that is moved a thousand times takes no more memory than one`() {
    var queue = DeadlineQueue()
    queue.schedule(3, at: start)
    let bytes = queue.byteCount
    for i in 0..<1000 { queue.schedule(3, at: start + .seconds(i)) }
    #expect(queue.count == 1)
    #expect(queue.byteCount == bytes)
    #expect(queue.first?.deadline == start + .seconds(999))
  }
}
