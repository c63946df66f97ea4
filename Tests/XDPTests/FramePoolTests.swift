// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import XDP

@Suite struct FramePoolTests {
  @Test func `a frame goes fill, received, transmit and is free again`() throws {
    var pool = FramePool(frames: 10..<14, chunkSize: 4096)
    let address = try pool.mustTakeForFill(port: 3)
    #expect(address == 10 * 4096)
    #expect(pool.counts == FrameCounts(free: 3, inFill: 1, received: 0, inTransmit: 0))
    let received = pool.received(address + 256, port: 3)
    #expect(received)
    #expect(pool.counts == FrameCounts(free: 3, inFill: 0, received: 1, inTransmit: 0))
    let transmitting = pool.transmitting(address + 220, port: 5)
    #expect(transmitting)
    #expect(pool.counts == FrameCounts(free: 3, inFill: 0, received: 0, inTransmit: 1))
    let completed = pool.completed(address + 220, port: 5)
    #expect(completed)
    #expect(pool.counts == FrameCounts(free: 4, inFill: 0, received: 0, inTransmit: 0))
    #expect(pool.violations == 0)
    #expect(pool.checkInvariants() == [])
  }

  @Test func `the frame freed last is taken first`() throws {
    var pool = FramePool(frames: 0..<8, chunkSize: 2048)
    let first = try pool.mustTakeReceived()
    let second = try pool.mustTakeReceived()
    #expect([first, second] == [0, 2048])
    pool.release(first)
    let again = pool.takeForFill(port: 0)
    #expect(again == first)
  }

  @Test func `an empty pool gives nothing and that is no violation`() {
    var pool = FramePool(frames: 0..<1, chunkSize: 4096)
    _ = pool.takeForFill(port: 1)
    let nothing = pool.takeForFill(port: 0)
    #expect(nothing == nil)
    #expect(pool.violations == 0)
  }

  @Test func `a frame completed twice is freed once`() throws {
    var pool = FramePool(frames: 0..<4, chunkSize: 4096)
    let address = try pool.mustTakeReceived()
    _ = pool.transmitting(address, port: 1)
    let first = pool.completed(address, port: 1)
    let second = pool.completed(address, port: 1)
    #expect(first && !second)
    #expect(pool.violations == 1)
    #expect(pool.counts.free == 4)
    #expect(pool.checkInvariants() == [])
  }

  @Test func `a frame of another port is refused at receive and at completion`() throws {
    var pool = FramePool(frames: 0..<4, chunkSize: 4096)
    let address = try pool.mustTakeForFill(port: 1)
    let elsewhere = pool.received(address, port: 2)
    #expect(!elsewhere)
    let here = pool.received(address, port: 1)
    #expect(here)
    _ = pool.transmitting(address, port: 2)
    let completedElsewhere = pool.completed(address, port: 1)
    #expect(!completedElsewhere)
    #expect(pool.violations == 2)
  }

  @Test(arguments: [0, 4096 * 2 - 1, 4096 * 6, 4096 * 7 + 5, UInt64.max, 1 << 63, 0xFFFF_FFFF_000] as [UInt64])
  func `an address outside the slice is refused at every step`(address: UInt64) {
    var pool = FramePool(frames: 2..<6, chunkSize: 4096)
    while pool.takeReceived() != nil {}
    let steps = [
      pool.received(address, port: 0), pool.transmitting(address, port: 0), pool.completed(address, port: 0), pool.release(address),
    ]
    #expect(steps == [false, false, false, false])
    #expect(pool.violations == 4)
    #expect(pool.counts == FrameCounts(free: 0, inFill: 0, received: 4, inTransmit: 0))
  }

  /// What a frame's owner must be, kept the slow way.
  enum Owner: Hashable { case free, fill(UInt8), received, transmit(UInt8) }

  @Test(arguments: [1, 2, 3, 4, 5] as [UInt64]) func `random steps, right and wrong, agree with a dictionary`(seed: UInt64) {
    let first = 100
    let frames = 64
    let chunk: UInt64 = 2048
    var pool = FramePool(frames: first..<first + frames, chunkSize: Int(chunk))
    var owners = [Owner](repeating: .free, count: frames)
    var violations: UInt64 = 0
    var wrong: [String] = []
    var random = SplitMix64(seed: seed)
    for step in 0..<20_000 {
      let port = UInt8.random(in: 0..<4, using: &random)
      let frame = Int.random(in: -2..<frames + 2, using: &random)
      let address = UInt64(first + frame) * chunk + UInt64.random(in: 0..<chunk, using: &random)
      let owner = owners.indices.contains(frame) ? owners[frame] : nil
      func agree(_ done: Bool, _ expected: Bool, _ next: Owner) {
        if done != expected { wrong.append("step \(step): frame \(frame) \(String(describing: owner)) → \(next) said \(done)") }
        if expected { owners[frame] = next } else { violations += 1 }
      }
      switch Int.random(in: 0..<6, using: &random) {
      case 0, 1:
        if let address = pool.takeForFill(port: port) {
          let frame = Int(address / chunk) - first
          if owners[frame] != .free || address % chunk != 0 { wrong.append("step \(step): took \(address) from \(owners[frame])") }
          owners[frame] = .fill(port)
        } else if owners.contains(.free) {
          wrong.append("step \(step): nothing free")
        }
      case 2: agree(pool.received(address, port: port), owner == .fill(port), .received)
      case 3: agree(pool.transmitting(address, port: port), owner == .received, .transmit(port))
      case 4: agree(pool.completed(address, port: port), owner == .transmit(port), .free)
      default: agree(pool.release(address), owner == .received, .free)
      }
      if step % 1000 == 0 { wrong += pool.checkInvariants() }
    }
    #expect(wrong == [])
    #expect(pool.violations == violations)
    #expect(pool.counts.free == owners.count { $0 == .free })
    #expect(pool.counts.received == owners.count { $0 == .received })
    #expect(pool.checkInvariants() == [])
  }

  @Test func `no frame is lost or doubled in a loop against a kernel on another thread`() {
    let fillMemory = RingMemory<FrameAddress>(capacity: 32, startingAt: UInt32.max - 100, filledWith: .max)
    let receiveMemory = RingMemory<Descriptor>(capacity: 16, startingAt: UInt32.max - 50, filledWith: Descriptor(address: .max, length: 0))
    let transmitMemory = RingMemory<Descriptor>(capacity: 16, startingAt: UInt32.max - 60, filledWith: Descriptor(address: .max, length: 0))
    let completionMemory = RingMemory<FrameAddress>(capacity: 16, startingAt: UInt32.max - 70, filledWith: .max)
    let packets = 20_000
    let worker = LoopWorker(
      fill: FillRing(over: fillMemory), receive: ReceiveRing(over: receiveMemory), transmit: TransmitRing(over: transmitMemory),
      completion: CompletionRing(over: completionMemory))
    let stop = StopFlag()
    let kernel = TestThread {
      var kernel = LoopKernel(
        fill: CompletionRing(over: fillMemory), receive: TransmitRing(over: receiveMemory),
        transmit: ReceiveRing(over: transmitMemory), completion: FillRing(over: completionMemory))
      while !stop.isSet { kernel.turn() }
    }
    let outcome = worker.run(packets: packets)
    stop.isSet = true
    kernel.join()
    #expect(outcome.problems == [])
    #expect(outcome.received >= packets)
  }
}

extension FramePool {
  /// A frame that the worker holds, as if a packet had come in it.
  mutating func takeReceived() -> FrameAddress? {
    guard let address = takeForFill(port: 63), received(address, port: 63) else { return nil }
    return address
  }

  fileprivate mutating func mustTakeForFill(port: UInt8) throws -> FrameAddress {
    let taken = takeForFill(port: port)
    return try #require(taken)
  }

  fileprivate mutating func mustTakeReceived() throws -> FrameAddress {
    let taken = takeReceived()
    return try #require(taken)
  }
}

final class StopFlag: Sendable {
  private let flag = Atomic(false)
  var isSet: Bool {
    get { flag.load(ordering: .acquiring) }
    set { flag.store(newValue, ordering: .releasing) }
  }
}

/// The kernel's end of the four rings: every frame offered is received at once, everything sent completes, twice now and then.
private struct LoopKernel: ~Copyable {
  var fill: CompletionRing
  var receive: TransmitRing
  var transmit: ReceiveRing
  var completion: FillRing
  var random = SplitMix64(seed: 21)

  mutating func turn() {
    let room = min(receive.freeCount, Int.random(in: 0...9, using: &random))
    for _ in 0..<room {
      guard let address = fill.complete() else { break }
      _ = receive.transmit(Descriptor(address: address + 256, length: 64))
    }
    fill.release()
    receive.submit()
    let sendable = min(completion.freeCount / 2, Int.random(in: 0...9, using: &random))
    for _ in 0..<sendable {
      guard let descriptor = transmit.receive() else { break }
      _ = completion.fill(descriptor.address)
      if random.next() % 64 == 0 { _ = completion.fill(descriptor.address) }
    }
    transmit.release()
    completion.submit()
    sched_yield()
  }
}

/// A worker that sends back what it receives, and drops some.
private struct LoopWorker: ~Copyable {
  var fill: FillRing
  var receive: ReceiveRing
  var transmit: TransmitRing
  var completion: CompletionRing
  var pool = FramePool(frames: 0..<48, chunkSize: 2048)

  consuming func run(packets: Int) -> (received: Int, problems: [String]) {
    var random = SplitMix64(seed: 22)
    var received = 0
    var sent = 0
    var completed = 0
    var problems: [String] = []
    while received < packets || completed < sent {
      while let address = completion.complete() { if pool.completed(address, port: 0) { completed += 1 } }
      completion.release()
      while received < packets, fill.freeCount > 0, let address = pool.takeForFill(port: 0) { _ = fill.fill(address) }
      fill.submit()
      while let descriptor = receive.receive() {
        received += 1
        if !pool.received(descriptor.address, port: 0) { problems.append("received \(descriptor.address) out of turn") }
        if random.next() % 8 != 0, transmit.freeCount > 0 {
          if !pool.transmitting(descriptor.address - 36, port: 0) { problems.append("sent \(descriptor.address) out of turn") }
          _ = transmit.transmit(Descriptor(address: descriptor.address - 36, length: 100))
          sent += 1
        } else if !pool.release(descriptor.address) {
          problems.append("dropped \(descriptor.address) out of turn")
        }
      }
      receive.release()
      transmit.submit()
      sched_yield()
    }
    if pool.counts.total != 48 || pool.counts.inTransmit != 0 { problems.append("\(pool.counts)") }
    return (received, problems + pool.checkInvariants())
  }
}
