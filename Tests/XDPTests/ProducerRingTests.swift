// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import XDP

/// The writing side, against a ConsumerRing over the same memory as the kernel.
@Suite struct ProducerRingTests {
  /// Where the indices begin: nothing special, and so that they wrap around within a few entries.
  static let starts: [UInt32] = [0, 1, UInt32.max - 2, UInt32.max, 1 << 31]

  @Test(arguments: starts) func `takes as many entries as it has and no more`(start: UInt32) {
    let memory = RingMemory<UInt64>(capacity: 8, startingAt: start, filledWith: 0xA5A5)
    var ring = ProducerRing(over: memory)
    for number in 0..<8 as Range<UInt64> {
      let taken = ring.push(number)
      #expect(taken)
    }
    let ninth = ring.push(99)
    #expect(!ninth)
    ring.submit()
    let afterSubmit = ring.push(99)
    #expect(!afterSubmit)
    #expect(ring.pendingCount == 8)
  }

  @Test(arguments: starts) func `a staged entry is unseen until it is submitted`(start: UInt32) {
    let memory = RingMemory<UInt64>(capacity: 4, startingAt: start, filledWith: 0xA5A5)
    var ring = ProducerRing(over: memory)
    var kernel = ConsumerRing(over: memory)
    _ = ring.push(7)
    let early = kernel.pop()
    #expect(early == nil)
    #expect(kernel.pendingCount == 0)
    #expect(ring.pendingCount == 1)
    ring.submit()
    let seen = kernel.pop()
    #expect(seen == 7)
  }

  @Test(arguments: starts) func `a place is free again when the other side has released it, not when it has read it`(start: UInt32) {
    let memory = RingMemory<UInt64>(capacity: 2, startingAt: start, filledWith: 0xA5A5)
    var ring = ProducerRing(over: memory)
    var kernel = ConsumerRing(over: memory)
    _ = ring.push(1)
    _ = ring.push(2)
    ring.submit()
    _ = kernel.pop()
    let before = ring.push(3)
    #expect(!before)
    let noneFree = ring.freeCount
    #expect(noneFree == 0)
    kernel.release()
    let oneFree = ring.freeCount
    #expect(oneFree == 1)
    let after = ring.push(3)
    #expect(after)
    let noneAgain = ring.freeCount
    #expect(noneAgain == 0)
  }

  @Test func `the other side's index is read only when the known room is used up`() {
    let memory = RingMemory<UInt64>(capacity: 4, filledWith: 0xA5A5)
    var ring = ProducerRing(over: memory)
    _ = ring.push(1)
    memory.consumer.pointee.store(1, ordering: .relaxed)
    #expect(ring.limit == 4)
    for number in 2...4 as ClosedRange<UInt64> { _ = ring.push(number) }
    #expect(ring.limit == 4)
    _ = ring.push(5)
    #expect(ring.limit == 5)
  }

  @Test(arguments: starts) func `entries pass in order through many turns of the ring`(start: UInt32) {
    let memory = RingMemory<UInt64>(capacity: 16, startingAt: start, filledWith: 0xA5A5)
    var ring = ProducerRing(over: memory)
    var kernel = ConsumerRing(over: memory)
    var random = SplitMix64(seed: UInt64(start) &+ 1)
    var given: UInt64 = 0
    var taken: UInt64 = 0
    var wrong = 0
    while taken < 2000 {
      for _ in 0..<Int.random(in: 0...20, using: &random) where ring.push(given) { given += 1 }
      if Bool.random(using: &random) { ring.submit() }
      for _ in 0..<Int.random(in: 0...20, using: &random) {
        guard let entry = kernel.pop() else { break }
        if entry != taken { wrong += 1 }
        taken += 1
      }
      if Bool.random(using: &random) { kernel.release() }
      if given - taken > 16 { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  @Test func `a wish to be woken is the flag's lowest bit`() {
    let memory = RingMemory<UInt64>(capacity: 4, filledWith: 0)
    let ring = ProducerRing(over: memory)
    var answers = [ring.needsWakeup]
    memory.needsWakeup = true
    answers.append(ring.needsWakeup)
    memory.flags.pointee.store(0xFFFF_FFFE, ordering: .relaxed)
    answers.append(ring.needsWakeup)
    #expect(answers == [false, true, false])
  }

  @Test func `two threads pass a hundred thousand descriptors in order`() {
    let count: UInt64 = 100_000
    let memory = RingMemory<Descriptor>(
      capacity: 64, startingAt: UInt32.max - 1000, filledWith: Descriptor(address: .max, length: 0xA5))
    let producer = TestThread {
      var ring = TransmitRing(over: memory)
      var random = SplitMix64(seed: 11)
      var number: UInt64 = 0
      while number < count {
        for _ in 0..<Int.random(in: 1...70, using: &random) where number < count {
          guard ring.transmit(Descriptor(address: number, length: UInt32(truncatingIfNeeded: number &* 3))) else { break }
          number += 1
        }
        ring.submit()
        if ring.freeCount == 0 { sched_yield() }
      }
    }
    var ring = ReceiveRing(over: memory)
    var expected: UInt64 = 0
    var wrong = 0
    withUnsafeTemporaryAllocation(of: Descriptor.self, capacity: 48) { batch in
      while expected < count {
        let received = ring.receive(into: batch, upTo: 48)
        for index in 0..<received {
          if batch[index] != Descriptor(address: expected, length: UInt32(truncatingIfNeeded: expected &* 3)) { wrong += 1 }
          expected += 1
        }
        if received == 0 { sched_yield() }
      }
    }
    producer.join()
    #expect(wrong == 0)
    #expect(ring.pendingCount == 0)
  }
}
