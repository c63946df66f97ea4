// SPDX-License-Identifier: Apache-2.0
//
// The way out: each packet of a finished batch goes to its port's transmit ring, to the slow path, or back to the free list;
// then the kernel is told once per ring.

import Wire
import XDP

extension Worker {
  /// Carries out every verdict of the batch.
  @inline(__always)
  mutating func dispatch(port: Int) {
    for i in 0..<batch.count {
      let verdict = batch[i].verdict
      let address = batch[i].address(in: memory)
      if verdict.isTransmit {
        transmit(address, byteCount: batch[i].byteCount, port: Int(verdict.detail))
      } else {
        if verdict.isPunt { punt(i, port: port) } else { drop(i, port: port) }
        frames.release(address)
      }
    }
  }

  /// Stages one packet on a port's transmit ring.
  @inline(__always)
  private mutating func transmit(_ address: FrameAddress, byteCount: UInt32, port: Int) {
    let queue = transmitQueue[port & 15]
    guard queue != Self.noQueue else { return discard(address, .portGone) }
    if queues[Int(queue)].socket.transmit.freeCount == 0 { makeRoom(Int(queue)) }
    guard queues[Int(queue)].socket.transmit.freeCount > 0 else { return discard(address, .transmitRingFull) }
    guard frames.transmitting(address, port: queue) else { return count(drop: .frameRefused) }
    if queues[Int(queue)].socket.mode == .copy { memory.prefetchRest(address, byteCount: byteCount) }
    _ = queues[Int(queue)].socket.transmit.transmit(Descriptor(address: address, length: byteCount))
    queues[Int(queue)].staged &+= 1
    queues[Int(queue)].stagedBytes &+= UInt64(byteCount)
  }

  @inline(never)
  private mutating func discard(_ address: FrameAddress, _ reason: DropReason) {
    count(drop: reason)
    frames.release(address)
  }

  /// A full ring: push what is staged and collect what is done, a few times over, before giving up on a packet.
  @inline(never)
  private mutating func makeRoom(_ queue: Int) {
    for _ in 0..<8 {
      flush(queue)
      collectCompletions(queue)
      if queues[queue].socket.transmit.freeCount > 0 || queues[queue].isDown { return }
    }
  }

  /// Tells the kernel what is staged on every ring.
  @inline(__always)
  mutating func flushAll() {
    for queue in 0..<queues.count where queues[queue].staged != 0 || queues[queue].isBacklogged { flush(queue) }
  }

  /// Submits and kicks. In copy mode one call sends some packets: it goes on until the ring is empty or the kernel wants a rest.
  @inline(never)
  mutating func flush(_ queue: Int) {
    let port = queues[queue].port
    let staged = queues[queue].staged
    counters[.transmitted].addAsOnlyWriter(staged)
    counters[port, .transmittedPackets].addAsOnlyWriter(staged)
    counters[port, .transmittedBytes].addAsOnlyWriter(queues[queue].stagedBytes)
    queues[queue].staged = 0
    queues[queue].stagedBytes = 0
    queues[queue].socket.transmit.submit()
    var tries = 0
    var result = WakeResult.again
    while result == .again, queues[queue].socket.transmit.needsWakeup, tries < 64 {
      counters[.kicks].addAsOnlyWriter(1)
      tries &+= 1
      result = XDPSocket.wakeTransmit(queues[queue].socket.fileDescriptor)
    }
    queues[queue].isDown = result == .interfaceDown
    queues[queue].isBacklogged = !queues[queue].isDown && queues[queue].socket.transmit.pendingCount != 0
  }

  /// An interface that was down may be up: what waits for it leaves then.
  @inline(never)
  mutating func retryDownedPorts() { for queue in 0..<queues.count where queues[queue].isDown { flush(queue) } }

  /// How many packets wait for an interface to come up.
  var downedBacklog: Int {
    var waiting = 0
    for queue in 0..<queues.count where queues[queue].isDown { waiting &+= queues[queue].socket.transmit.pendingCount }
    return waiting
  }

  /// Frames whose packets are sent become free.
  @inline(__always)
  mutating func collectCompletions(_ queue: Int) {
    var any = false
    while let address = queues[queue].socket.completion.complete() {
      frames.completed(address, port: UInt8(truncatingIfNeeded: queue))
      any = true
    }
    if any { queues[queue].socket.completion.release() }
  }

  /// Free frames go back to the kernel, to receive into.
  @inline(__always)
  mutating func refill(_ queue: Int) {
    var room = queues[queue].socket.fill.freeCount &- queues[queue].socket.fill.size &+ fillTarget
    guard room >= Self.refillThreshold else { return }
    var any = false
    while room > 0, let address = frames.takeForFill(port: UInt8(truncatingIfNeeded: queue)) {
      guard queues[queue].socket.fill.fill(address) else {
        giveBack(address, queue)
        break
      }
      room &-= 1
      any = true
    }
    if any { queues[queue].socket.fill.submit() }
  }

  /// Lets the driver run: when it sleeps for want of frames, and at every turn when we poll for it.
  @inline(__always)
  mutating func wakeReceive(_ queue: Int) {
    if queues[queue].busyPolls || queues[queue].socket.fill.needsWakeup { driveReceive(queue) }
  }

  @inline(never)
  private mutating func driveReceive(_ queue: Int) { _ = XDPSocket.wakeReceive(queues[queue].socket.fileDescriptor) }

  /// The fill ring had less room than it said: it can for a moment.
  @inline(never)
  private mutating func giveBack(_ address: FrameAddress, _ queue: Int) {
    if frames.received(address, port: UInt8(truncatingIfNeeded: queue)) { frames.release(address) }
  }
}
