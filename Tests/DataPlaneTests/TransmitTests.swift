// SPDX-License-Identifier: Apache-2.0
//
// The way out and the frames' way back: full rings, ports without a queue, how many frames the kernel gets, and when it is woken.

import TestSupport
import Testing
import Wire

@testable import DataPlane
@testable import XDP

@Suite struct TransmitTests {
  static let site = 0
  static let core = 1

  /// `count` packets through the site's queue, turn by turn.
  private static func send(_ count: Int, through rig: WorkerRig) {
    for _ in 0..<count {
      while rig.kernels[site].deliver(WorkerTests.outgoing) == nil { rig.turn() }
    }
    while rig.turn() != 0 {}
  }

  // MARK: No way out

  @Test func `what finds the transmit ring full is dropped under that reason, its frame is free, and the next packet with room goes`()
    throws
  {
    let rig = try WorkerRig(.twoSites())
    Self.send(128, through: rig)
    #expect(rig.frames.inTransmit == 128 && rig.count(.dropped) == 0)
    Self.send(50, through: rig)
    #expect(rig.count(.transmitRingFull) == 50 && rig.count(.dropped) == 50 && rig.count(.transmitted) == 128)
    #expect(rig.frames.inTransmit == 128)
    #expect(rig.brokenRules(frames: 512) == [])
    // Taken is not enough to free a frame, but it makes room in the ring.
    #expect(rig.kernels[Self.core].take(10).count == 10)
    Self.send(11, through: rig)
    #expect(rig.count(.transmitRingFull) == 51 && rig.count(.transmitted) == 138 && rig.frames.inTransmit == 138)
    #expect(rig.violations == 0)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  @Test func `a full transmit ring on one port leaves the other port's packets alone`() throws {
    let rig = try WorkerRig(.twoSites())
    Self.send(150, through: rig)
    for _ in 0..<100 { rig.kernels[Self.core].deliver(WorkerTests.incoming) }
    while rig.turn() != 0 {}
    #expect(rig.kernels[Self.site].waitingPackets == 100)
    #expect(rig.count(.dropped) == 22)
  }

  @Test func `a port without a queue drops under port-gone, and the frame is free`() throws {
    let rig = try WorkerRig(.twoSites(), ports: [Port.site])
    rig.turn()
    let free = rig.frames.free
    for _ in 0..<5 { rig.kernels[Self.site].deliver(WorkerTests.outgoing) }
    rig.turn()
    #expect(rig.count(.portGone) == 5 && rig.count(.transmitted) == 0)
    #expect(rig.frames.free == free + 5 && rig.frames.inTransmit == 0)
    #expect(rig.brokenRules(frames: 512) == [])
  }

  @Test func `of a port with more than one queue the worker sends on the first`() throws {
    let rig = try WorkerRig(.twoSites(), ports: [Port.site, Port.core, Port.core, Port.site])
    rig.turn()
    for kernel in [rig.kernels[0], rig.kernels[3]] { for _ in 0..<10 { kernel.deliver(WorkerTests.outgoing) } }
    rig.turn()
    #expect(rig.kernels.map(\.waitingPackets) == [0, 20, 0, 0])
    rig.kernels[1].take()
    rig.kernels[1].complete()
    rig.turn()
    #expect(rig.frames.inTransmit == 0 && rig.violations == 0)
  }

  // MARK: Frames to receive into

  @Test(arguments: [(1, 300, 200), (2, 300, 200), (2, 256, 170), (3, 100, 66), (2, 3000, 256)])
  func `a fill ring gets two thirds of its queue's share, and no more than it holds`(queues: Int, share: Int, target: Int) throws {
    let ports = Array([Port.site, Port.core, Port.both].prefix(queues))
    let rig = try WorkerRig(.twoSites(), ports: ports, frames: queues * share)
    for _ in 0..<3 {
      rig.turn()
      #expect(rig.kernels.map(\.waitingFrames) == Array(repeating: target, count: queues))
    }
    #expect(rig.frames == FrameCounts(free: queues * (share - target), inFill: queues * target, received: 0, inTransmit: 0))
  }

  @Test func `a fill ring is topped up when 64 places or more are free, not for less`() throws {
    let rig = try WorkerRig(.twoSites(), frames: 600)
    rig.turn()
    let kernel = rig.kernels[Self.site]
    #expect(kernel.waitingFrames == 200)
    for _ in 0..<63 { kernel.deliver(WorkerTests.outgoing) }
    rig.turn()
    #expect(kernel.waitingFrames == 137)
    kernel.deliver(WorkerTests.outgoing)
    rig.turn()
    #expect(kernel.waitingFrames == 200)
  }

  @Test func `while everything is in transmission a fill ring stays as it is, and is filled when frames come back`() throws {
    // One site queue feeds the core's transmit ring: 2 × 96 frames, 64 of each in the fill ring at first.
    let rig = try WorkerRig(.twoSites(), frames: 192)
    rig.turn()
    #expect(rig.kernels.map(\.waitingFrames) == [64, 64])
    while rig.frames.free > 0 || rig.kernels[Self.site].deliver(WorkerTests.outgoing) != nil {
      rig.kernels[Self.site].deliver(WorkerTests.outgoing)
      rig.turn()
      try #require(rig.count(.received) < 1000)
    }
    rig.turn()
    #expect(rig.frames == FrameCounts(free: 0, inFill: 64, received: 0, inTransmit: 128))
    #expect(rig.kernels[Self.site].deliver(WorkerTests.outgoing) == nil, "the kernel has nothing to receive into")
    rig.kernels[Self.core].take()
    rig.kernels[Self.core].complete()
    rig.turn()
    rig.turn()
    #expect(rig.kernels.map(\.waitingFrames) == [64, 64])
    #expect(rig.brokenRules(frames: 192) == [])
  }

  // MARK: Wake-ups

  @Test func `the kernel is woken to send once a turn when it asks for it, and not at all when it does not`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    let kernel = rig.kernels[Self.core]
    for wantsIt in [false, true, false] {
      kernel.wantsTransmitWakeups = wantsIt
      let before = rig.count(.kicks)
      for _ in 0..<20 { rig.kernels[Self.site].deliver(WorkerTests.outgoing) }
      rig.turn()
      #expect(kernel.take().count == 20)
      #expect(kernel.transmitWakeups() == (wantsIt ? 1 : 0))
      #expect(rig.count(.kicks) - before == (wantsIt ? 1 : 0))
      rig.turn()  // sees that all was taken
      _ = kernel.transmitWakeups()
      rig.turn()
      #expect(kernel.transmitWakeups() == 0, "nothing is staged, nothing waits")
    }
    #expect(rig.kernels[Self.site].transmitWakeups() == 0)
  }

  @Test func `a ring that the kernel did not empty is kicked again, every turn until it has`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    let kernel = rig.kernels[Self.core]
    kernel.wantsTransmitWakeups = true
    for _ in 0..<40 { rig.kernels[Self.site].deliver(WorkerTests.outgoing) }
    rig.turn()
    var turns = 0
    while kernel.waitingPackets > 0 {
      #expect(kernel.transmitWakeups() == 1)
      kernel.take(16)
      rig.turn()
      turns += 1
    }
    #expect(turns == 3 && kernel.transmitWakeups() == 1, "the last turn saw that the ring was not empty before it")
    rig.turn()
    #expect(kernel.transmitWakeups() == 0)
    #expect(rig.count(.transmitted) == 40)
  }

  @Test func `a kernel that says "again" is asked again, but not without end`() throws {
    let rig = try WorkerRig(.twoSites())
    rig.turn()
    let kernel = rig.kernels[Self.core]
    kernel.wantsTransmitWakeups = true
    kernel.refuseWakeups()
    rig.kernels[Self.site].deliver(WorkerTests.outgoing)
    rig.turn()
    #expect(rig.count(.kicks) == 64)
    #expect(rig.count(.transmitted) == 1 && kernel.take().count == 1)
  }

  @Test(arguments: [(false, false, 0), (true, false, 5), (false, true, 5)])
  func `the driver is woken to receive when it asks, or every turn when we poll for it`(busyPolls: Bool, wantsIt: Bool, wakeups: Int) throws
  {
    let rig = try WorkerRig(.twoSites(), busyPolls: busyPolls)
    for kernel in rig.kernels {
      kernel.wantsReceiveWakeups = wantsIt
      try kernel.answerReceiveWakeups(8)
    }
    for _ in 0..<5 { rig.turn() }
    #expect(rig.kernels.map { $0.receiveWakeups(of: 8) } == [wakeups, wakeups])
  }
}
