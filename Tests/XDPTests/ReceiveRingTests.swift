// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import XDP

@Suite struct ReceiveRingTests {
  @Test func `a span is filled from its beginning and no further than the packets reach`() {
    let memory = RingMemory<Descriptor>(
      capacity: 8, startingAt: UInt32.max - 1, filledWith: Descriptor(address: 0xA5, length: 0xA5))
    var ring = ReceiveRing(over: memory)
    var kernel = TransmitRing(over: memory)
    for number in 0..<5 as Range<UInt64> { _ = kernel.transmit(Descriptor(address: number, length: 64, options: 1)) }
    kernel.submit()
    #expect(ring.pendingCount == 5)

    var batch = [Descriptor](repeating: Descriptor(address: 0xA5, length: 0xA5), count: 3)
    var counts: [Int] = []
    var addresses: [[FrameAddress]] = []
    for _ in 0..<3 {
      var span = batch.mutableSpan
      counts.append(ring.receive(into: &span))
      addresses.append(batch.map(\.address))
    }
    #expect(counts == [3, 2, 0])
    #expect(addresses == [[0, 1, 2], [3, 4, 2], [3, 4, 2]])
    let free = kernel.freeCount
    #expect(free == 8)
  }

  @Test func `packets that wait can be looked at without being taken, across the end of the ring`() {
    let memory = RingMemory<Descriptor>(
      capacity: 8, startingAt: UInt32.max - 2, filledWith: Descriptor(address: 0xA5, length: 0xA5))
    var ring = ReceiveRing(over: memory)
    var kernel = TransmitRing(over: memory)
    let none = ring.upcoming(8)
    #expect(none == 0)
    for number in 0..<6 as Range<UInt64> { _ = kernel.transmit(Descriptor(address: number, length: 64)) }
    kernel.submit()
    let (all, limited) = (ring.upcoming(8), ring.upcoming(4))
    #expect(all == 6 && limited == 4)
    #expect((0..<6).map { ring.peek($0).address } == [0, 1, 2, 3, 4, 5])
    let first = ring.receive()
    #expect(first?.address == 0 && ring.peek(0).address == 1)
    let free = kernel.freeCount
    #expect(free == 2, "what was looked at keeps its place")
  }

  @Test func `looking ahead does not hide what comes after the look`() {
    let memory = RingMemory<Descriptor>(capacity: 8, filledWith: Descriptor(address: 0xA5, length: 0xA5))
    var ring = ReceiveRing(over: memory)
    var kernel = TransmitRing(over: memory)
    func send(_ numbers: Range<UInt64>) {
      for number in numbers { _ = kernel.transmit(Descriptor(address: number, length: 64)) }
      kernel.submit()
    }
    send(0..<3)
    let seen = ring.upcoming(8)
    send(3..<6)
    var batch = [Descriptor](repeating: Descriptor(address: 0, length: 0), count: 8)
    let taken = batch.withUnsafeMutableBufferPointer { ring.receive(into: $0, upTo: 8) }
    #expect(seen == 3 && taken == 6)
  }

  @Test func `packets taken one by one hold their places until the release`() {
    let memory = RingMemory<Descriptor>(capacity: 4, filledWith: Descriptor(address: 0xA5, length: 0xA5))
    var ring = ReceiveRing(over: memory)
    var kernel = TransmitRing(over: memory)
    for number in 0..<4 as Range<UInt64> { _ = kernel.transmit(Descriptor(address: number, length: 64)) }
    kernel.submit()
    var addresses: [FrameAddress] = []
    while let descriptor = ring.receive() { addresses.append(descriptor.address) }
    #expect(addresses == [0, 1, 2, 3])
    let held = kernel.freeCount
    #expect(held == 0)
    ring.release()
    let free = kernel.freeCount
    #expect(free == 4)
  }
}
