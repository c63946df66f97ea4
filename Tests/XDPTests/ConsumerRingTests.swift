// SPDX-License-Identifier: Apache-2.0
import Synchronization
import Testing

@testable import XDP

/// The reading side, against a ProducerRing over the same memory as the kernel.
@Suite struct ConsumerRingTests {
  @Test func `an empty ring gives nothing`() {
    var ring = ConsumerRing(over: RingMemory<UInt64>(capacity: 4, startingAt: 77, filledWith: 0xA5A5))
    let entry = ring.pop()
    #expect(entry == nil)
    #expect(ring.pendingCount == 0)
  }

  @Test func `the other side's index is read only when the known entries are used up`() {
    let memory = RingMemory<UInt64>(capacity: 8, startingAt: UInt32.max, filledWith: 0xA5A5)
    var ring = ConsumerRing(over: memory)
    var kernel = ProducerRing(over: memory)
    for number in 0..<3 as Range<UInt64> { _ = kernel.push(number) }
    kernel.submit()
    let first = ring.pop()
    #expect(first == 0)
    #expect(ring.end == 2)  // three after UInt32.max
    _ = kernel.push(3)
    kernel.submit()
    _ = ring.pop()
    #expect(ring.end == 2)
    _ = ring.pop()
    let last = ring.pop()
    #expect(last == 3)
    #expect(ring.end == 3)
  }

  @Test(arguments: ProducerRingTests.starts, [0, 1, 3, 5, 8, 9])
  func `a batch holds no more than asked for, than fits and than there is`(start: UInt32, room: Int) {
    let memory = RingMemory<UInt64>(capacity: 8, startingAt: start, filledWith: 0xA5A5)
    var ring = ConsumerRing(over: memory)
    var kernel = ProducerRing(over: memory)
    for number in 0..<5 as Range<UInt64> { _ = kernel.push(number) }
    kernel.submit()
    let buffer = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: room + 1)
    defer { buffer.deallocate() }
    buffer.initialize(repeating: 0xA5A5)
    let taken = ring.pop(into: UnsafeMutableBufferPointer(rebasing: buffer[0..<room]), upTo: 4)
    #expect(taken == min(4, room))
    #expect(Array(buffer[0..<taken]) == (0..<UInt64(taken)).map { $0 })
    #expect(buffer[room] == 0xA5A5)
    #expect(ring.pendingCount == 5 - taken)
    let free = kernel.freeCount
    #expect(free == 3 + taken)  // released at once
  }

  @Test func `an index that runs ahead of the ring is followed and reads nothing outside it`() {
    let memory = RingMemory<UInt64>(capacity: 4, filledWith: 0xA5A5)
    var ring = ConsumerRing(over: memory)
    memory.producer.pointee.store(1000, ordering: .releasing)
    var strange = 0
    for _ in 0..<1000 where ring.pop() != 0xA5A5 { strange += 1 }
    #expect(strange == 0)
    let after = ring.pop()
    #expect(after == nil)
  }
}
