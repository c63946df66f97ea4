// SPDX-License-Identifier: Apache-2.0
//
// The poll loop, turn by turn, with a kernel that the tests play: where each packet and each frame is afterwards.

import Foundation
import PrefixTable
import TestSupport
import Testing
import Wire
import XDP

@testable import DataPlane

@Suite struct WorkerTests {
  static let site = 0
  static let core = 1
  /// From our site to the other one; encapsulated, it leaves by the core.
  static let outgoing = Frame.of(IPPacket.v4().octets)
  /// From the other site, encapsulated for us; it leaves by the site.
  static let incoming = Frame.of(DecapsulateTests.lisp(.v4().reply, DecapsulateTests.families[0]).octets)
  /// To where no mapping leads.
  static let missing = IPPacket(source: "10.1.0.5", destination: "10.99.0.7", payload: [1, 2, 3])

  // MARK: The way of a packet and of its frame

  @Test(arguments: [0, UInt32.max - 100] as [UInt32])
  func `a received packet is transmitted on the port of its verdict, from the frame it came in`(index: UInt32) throws {
    let rig = try WorkerRig(.twoSites(), startingAt: index)
    rig.turn()
    for (from, to, frame, port) in [(Self.site, Self.core, Self.outgoing, Port.site), (Self.core, Self.site, Self.incoming, Port.core)] {
      let address = try #require(rig.kernels[from].deliver(frame))
      #expect(rig.turn() == 1)
      let sent = rig.kernels[to].take()
      try #require(sent.count == 1)
      #expect(sent[0].descriptor.address.frame == address.frame)
      #expect(sent[0].descriptor.options == 0)
      #expect(sent[0].octets == rig.state.send(frame, port: port).frame)
      #expect(rig.kernels[from].take().isEmpty)
      #expect(rig.count(port, .receivedBytes) == UInt64(frame.count))
      #expect(rig.count(Port.core + Port.site - port, .transmittedBytes) == UInt64(sent[0].octets.count))
    }
    #expect(rig.frames.inTransmit == 2)
    #expect(rig.count(.transmitted) == 2 && rig.count(.encapsulated) == 1 && rig.count(.decapsulated) == 1)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  @Test func `a frame returns by completion to the free list, and from there to the fill ring`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    let first = Set((0..<64).compactMap { _ in rig.kernels[Self.site].deliver(Self.outgoing)?.frame })
    #expect(rig.turn() == 64)
    let before = rig.frames
    #expect(before.inTransmit == 64)
    rig.kernels[Self.core].take()
    rig.turn()
    #expect(rig.frames == before, "not before it is completed")
    rig.kernels[Self.core].complete()
    rig.turn()
    #expect(rig.frames.inTransmit == 0)
    #expect(rig.frames.free == before.free + 64)
    // The frame freed last is used next: the next 64 given are these.
    for _ in 0..<64 { rig.kernels[Self.site].deliver(Self.outgoing) }
    rig.turn()
    rig.kernels[Self.site].takeFrames()
    #expect(Set(rig.kernels[Self.site].frames.suffix(64).map(\.frame)) == first)
    #expect(rig.violations == 0)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  @Test func `a punted packet is copied, its frame is free at once, and the slow path is told once`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    let free = rig.frames.free
    for _ in 0..<3 { rig.kernels[Self.site].deliver(Frame.of(Self.missing.octets) + [0xEE, 0xEE]) }
    #expect(rig.turn() == 3)
    #expect(rig.frames.free == free + 3 && rig.frames.inTransmit == 0)
    #expect(rig.count(.punted) == 3 && rig.count(.miss) == 3)
    #expect(rig.notifications == 1)
    // The copy is the slow path's: what becomes of the frame does not matter.
    for _ in 0..<3 { rig.kernels[Self.site].deliver(Self.outgoing) }
    rig.turn()
    let punts = rig.takePunts()
    #expect(punts.count == 3)
    for punt in punts {
      #expect(punt.kind == .punt(.miss) && punt.port == Port.site)
      #expect(punt.packet == Self.missing.octets)
    }
    #expect(rig.notifications == 0)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  @Test func `a punt that finds the ring full is a drop, and its frame is free`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    var sent: UInt64 = 0
    while rig.count(.puntRingFull) == 0, sent < 2000 {
      if rig.kernels[Self.site].deliver(Frame.of(Self.missing.octets)) == nil { rig.turn() } else { sent += 1 }
    }
    while rig.turn() != 0 {}
    #expect(rig.count(.punted) + rig.count(.puntRingFull) == sent)
    #expect(rig.count(.punted) == UInt64(rig.takePunts().count))
    #expect(rig.frames.inTransmit == 0)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  @Test func `a turn takes at most two batches of each queue, and every queue has its turn`() throws {
    let rig = try WorkerRig(.twoSites(), rings: RingSizes(receive: 256, transmit: 256, fill: 256, completion: 256))
    rig.turn()
    for _ in 0..<150 {
      rig.kernels[Self.site].deliver(Self.outgoing)
      rig.kernels[Self.core].deliver(Self.incoming)
    }
    #expect(rig.turn() == 256)
    #expect(rig.kernels.map(\.waitingPackets) == [128, 128])
    #expect(rig.turn() == 44)
    #expect(rig.turn() == 0)
    #expect(rig.kernels.map(\.waitingPackets) == [150, 150])
    #expect(rig.count(.batches) == 6)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  // MARK: What is not ours

  @Test func `a descriptor of a frame that the queue was not given is refused and counted, and its neighbours go on`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    let kernel = rig.kernels[Self.site]
    rig.kernels[Self.core].takeFrames(1)
    let first = UInt64(WorkerRig.foreignFrames)
    let address = try #require(kernel.deliver(Self.outgoing))
    let wrong: [FrameAddress] = [
      0, 256, first << 12 &- 1,  // another worker's
      (first + 512) << 12, UInt64(rig.memory.byteCount), 1 << 40, 1 << 63, .max, .max - 255, .max << 12,  // outside the memory
      (first + 511) << 12 | 256,  // on our free list: the highest is given last
      try #require(rig.kernels[Self.core].frames.first) + 256,  // given to another queue
      address, address + 1,  // a second time
    ]
    for address in wrong { kernel.announce(Descriptor(address: address, length: 1000)) }
    kernel.deliver(Self.outgoing)
    let untouched = rig.memory.bytes(at: 0, count: Int(first) << 12).map { Array($0) }
    #expect(rig.turn() == wrong.count + 2)
    #expect(rig.count(.frameRefused) == UInt64(wrong.count) && rig.count(.dropped) == UInt64(wrong.count))
    #expect(rig.violations == UInt64(wrong.count) && rig.count(.frameViolations) == UInt64(wrong.count))
    let sent = rig.kernels[Self.core].take()
    #expect(sent.map(\.octets) == Array(repeating: rig.state.send(Self.outgoing, port: Port.site).frame, count: 2))
    #expect(rig.memory.bytes(at: 0, count: Int(first) << 12).map { Array($0) } == untouched)
    #expect(rig.count(Port.site, .receivedBytes) == UInt64(2 * Self.outgoing.count))
    #expect(rig.brokenRules(frames: 512) == [])
  }

  @Test func `a completion of a frame that is not being sent there is refused, and no frame is free twice`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    let address = try #require(rig.kernels[Self.site].deliver(Self.outgoing))
    rig.turn()
    let sent = try #require(rig.kernels[Self.core].take().first).descriptor.address
    #expect(sent != address && sent.frame == address.frame)
    rig.kernels[Self.site].takeFrames(1)
    let inFill = try #require(rig.kernels[Self.site].frames.first)
    for wrong in [0, .max, 1 << 63, inFill] as [FrameAddress] { rig.kernels[Self.core].complete(address: wrong) }
    rig.kernels[Self.site].complete(address: sent)
    rig.turn()
    #expect(rig.violations == 5 && rig.frames.inTransmit == 1)
    rig.kernels[Self.core].complete()
    rig.kernels[Self.core].complete(address: sent)
    rig.turn()
    #expect(rig.violations == 6 && rig.frames.inTransmit == 0)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  // MARK: The end, and the time between

  @Test func `a stopped worker still forwards what has been received, and all that is staged is submitted`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    for _ in 0..<100 {
      rig.kernels[Self.site].deliver(Self.outgoing)
      rig.kernels[Self.core].deliver(Self.incoming)
    }
    rig.stop()
    #expect(rig.kernels.map(\.waitingPackets) == [100, 100])
    #expect(rig.count(.transmitted) == 200 && rig.count(.framesInTransmit) == 200)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  @Test func `a stopped worker takes back the frames whose packets are sent`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    for _ in 0..<10 { rig.kernels[Self.site].deliver(Self.outgoing) }
    rig.turn()
    rig.kernels[Self.core].take()
    rig.kernels[Self.core].complete()
    rig.stop()
    #expect(rig.count(.framesInTransmit) == 0 && rig.frames.inTransmit == 0)
  }

  @Test(arguments: [PollPolicy.adaptive, .busy])
  func `an adaptive worker sleeps when nothing comes, a busy one never, and a stop ends either`(policy: PollPolicy) throws {
    let rig = try WorkerRig(.twoSites(), policy: policy)
    let control = rig.control
    Thread {
      usleep(50_000)
      control.stop()
    }.start()
    rig.worker.run()
    #expect(policy == .adaptive ? rig.count(.sleeps) > 0 : rig.count(.sleeps) == 0)
    #expect(rig.count(.loops) > 0 && rig.count(.idleLoops) == rig.count(.loops))
    #expect(rig.count(.framesTotal) == 512)
  }

  // MARK: At random

  /// Good frames of both directions and every kind of outcome, and what HostileTests makes of them.
  private static func frame(_ good: [[UInt8]], _ random: inout SplitMix64) -> [UInt8] {
    let frame = good[random.below(good.count)]
    return random.below(3) == 0 ? HostileTests.mutate(frame, &random) : frame
  }

  /// Two queues on each of two ports, frames that are soon scarce, rings that are soon full, and kernels that do things when they like.
  @Test(arguments: [(120, 96), (121, 256), (122, 700), (123, 2000)] as [(UInt64, Int)])
  func `thousands of random turns with hostile frames: each packet has one outcome, each frame one owner`(seed: UInt64, frames: Int) throws
  {
    let rig = try WorkerRig(
      HostileTests.rig(), ports: [Port.site, Port.core, Port.site, Port.core], frames: 4 * frames,
      startingAt: UInt32.max - 5000)
    let sources = [
      EncapsulateTests.inners.map { Frame.of($0.octets) }
        + [Frame.of(Self.missing.octets), Frame.of(IPPacket(source: "10.1.0.5", destination: "10.3.0.7", payload: [1]).octets)],
      HostileTests.encapsulated.map { Frame.of($0.octets) },
    ]
    var random = SplitMix64(seed: seed)
    for round in 0..<4000 * HostileTests.effort {
      for (number, kernel) in rig.kernels.enumerated() {
        if random.below(8) == 0 { kernel.takeFrames(random.below(300)) }
        for _ in 0..<random.below(40) { kernel.deliver(Self.frame(sources[number % 2], &random)) }
        if random.below(30) == 0 { kernel.announce(Descriptor(address: random.next() >> UInt64(random.below(64)), length: 64)) }
        if random.below(30) == 0 { kernel.complete(address: random.next() >> UInt64(random.below(64))) }
        kernel.wantsTransmitWakeups = random.below(2) == 0
        kernel.wantsReceiveWakeups = random.below(2) == 0
        for (descriptor, _) in kernel.take(random.below(60))
        where descriptor.address.frame != (descriptor.address + UInt64(descriptor.length) - 1).frame {
          Issue.record("seed \(seed), round \(round): a packet leaves its frame: \(descriptor)")
        }
        kernel.complete(random.below(60))
        _ = kernel.transmitWakeups()
      }
      if random.below(50) == 0 { _ = rig.takePunts() }
      rig.turn()
      let broken = rig.brokenRules(frames: 4 * frames)
      guard broken.isEmpty else {
        Issue.record("seed \(seed), round \(round): \(broken)")
        return
      }
    }
    Self.settle(rig)
    #expect(rig.brokenRules(frames: 4 * frames) == [])
    #expect(rig.frames.inTransmit == 0, "seed \(seed)")
    let occurred = DropReason.allCases.filter { rig.count($0) > 0 }
    #expect(occurred.count > 8 && occurred.contains(.frameRefused) && occurred.contains(.puntRingFull), "seed \(seed): \(occurred)")
    #expect(rig.count(.transmitted) > 1000 && rig.count(.punted) > 1000)
  }

  /// No more packets come; everything is sent and completed.
  private static func settle(_ rig: WorkerRig) {
    for _ in 0..<100 {
      rig.turn()
      for kernel in rig.kernels {
        kernel.take()
        kernel.complete()
      }
      _ = rig.takePunts()
    }
  }
}
