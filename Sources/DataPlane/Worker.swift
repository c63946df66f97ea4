// SPDX-License-Identifier: Apache-2.0
//
// One worker: it owns queue i of every port, the frames in their rings, its counters. It runs to completion and shares
// nothing but the published state (read), the punt ring (written) and its counters (read by others).

import PrefixTable
import Wire
import XDP

/// How a worker behaves when nothing comes.
public enum PollPolicy: Sendable, Equatable {
  /// Spins for a while, then sleeps in poll(2) until a packet or a wake-up arrives.
  case adaptive
  /// Never sleeps.
  case busy
}

/// The poll loop and all it owns. Thread: made on the slow path, then its own.
public struct Worker: ~Copyable {
  static let noQueue: UInt8 = 0xFF
  /// Frames are given to the kernel in groups of this size at least.
  static let refillThreshold = 64
  /// Full batches that a queue may have in one turn: two fill what one call transmits in copy mode, and after a call the engine's code
  /// and data have to come back into the first cache.
  static let batchesPerTurn = 2
  /// Empty turns before an adaptive worker sleeps: some tens of microseconds.
  static let idleTurnsBeforeSleep = 256
  /// How often an interface that was down is tried again: some tens of microseconds, and after each sleep.
  static let turnsBetweenRetries: UInt32 = 256
  /// Longest sleep, so that a lost wake-up costs this much at worst; and while frames are being transmitted, whose return wakes nobody.
  static let sleepMilliseconds: (idle: Int32, transmitting: Int32) = (100, 1)

  var engine: Engine
  var batch = Batch()
  let queues: QueueList
  var frames: FramePool
  let counters: WorkerCounters
  let puntRing: PuntRing
  let control: WorkerControl
  var hasPunted = false
  var hasNoticed = false
  /// Port → the queue to send on.
  var transmitQueue = InlineArray<16, UInt8>(repeating: Worker.noQueue)

  /// How many frames a fill ring may hold: two thirds of a queue's share, so that no queue starves another or the transmit rings.
  let fillTarget: Int
  let memory: FrameMemory
  private let root: StateRoot
  private let reader: QuiescentState.Reader
  private let policy: PollPolicy
  private let descriptors = DescriptorBatch()
  private var idleTurns = 0
  private var turns: UInt32 = 0

  /// `frames` are this worker's slice of `memory`; `queues` its sockets, at most one worker per socket.
  public init(
    queues: consuming QueueList, frames: consuming FramePool, memory: FrameMemory, root: StateRoot, reader: QuiescentState.Reader,
    counters: WorkerCounters, puntRing: PuntRing, control: WorkerControl, policy: PollPolicy
  ) {
    fillTarget = min(queues.count == 0 ? 0 : queues[0].socket.fill.size, frames.counts.total / max(1, queues.count) * 2 / 3)
    self.queues = queues
    self.frames = frames
    self.memory = memory
    self.root = root
    self.reader = reader
    self.counters = counters
    self.puntRing = puntRing
    self.control = control
    self.policy = policy
    engine = Engine(counters: counters)
    for queue in 0..<self.queues.count where transmitQueue[self.queues[queue].port] == Self.noQueue {
      transmitQueue[self.queues[queue].port] = UInt8(truncatingIfNeeded: queue)
    }
  }

  /// Forwards until `control.stop()`. Then sends what is staged and returns.
  public mutating func run() {
    reader.online()
    while !control.isStopping {
      let received = turn()
      reader.quiescent()
      counters[.loops].addAsOnlyWriter(1)
      turns &+= 1
      if turns % Self.turnsBetweenRetries == 0 { retryDownedPorts() }
      if received != 0 {
        idleTurns = 0
      } else {
        idle()
      }
    }
    drain()
    reader.offline()
  }

  /// One turn over all queues; returns how many packets came in.
  mutating func turn() -> Int {
    var total = 0
    for queue in 0..<queues.count {
      collectCompletions(queue)
      refill(queue)
      wakeReceive(queue)
      total &+= forward(queue)
    }
    if total != 0 { prefetchNextTurn() }
    flushAll()
    if total != 0 { account() }
    return total
  }

  /// What one queue has, up to the limit of a turn; returns how many packets came in.
  @inline(__always)
  private mutating func forward(_ queue: Int) -> Int {
    let port = queues[queue].port
    var total = 0
    for _ in 0..<Self.batchesPerTurn {
      let received = receive(queue)
      guard received != 0 else { break }
      engine.process(&batch, port: port, root: root)
      dispatch(port: port)
      total &+= received
      if received < Batch.capacity { break }
    }
    return total
  }

  /// While the kernel transmits, what the next turn begins with comes closer: another core has written it.
  @inline(__always)
  private mutating func prefetchNextTurn() {
    for queue in 0..<queues.count {
      for i in 0..<queues[queue].socket.receive.upcoming(Batch.capacity) {
        memory.prefetchPacket(queues[queue].socket.receive.peek(i).address)
      }
    }
  }

  /// Up to 64 packets of one queue into the batch.
  @inline(__always)
  private mutating func receive(_ queue: Int) -> Int {
    let received = descriptors.receive(from: &queues[queue].socket.receive)
    guard received != 0 else { return 0 }
    for i in 0..<received { memory.prefetchPacket(descriptors[i].address) }
    batch.clear()
    var bytes: UInt64 = 0
    for i in 0..<received {
      let descriptor = descriptors[i]
      guard frames.received(descriptor.address, port: UInt8(truncatingIfNeeded: queue)) else {
        count(drop: .frameRefused)
        continue
      }
      bytes &+= UInt64(descriptor.length)
      // SAFETY: the pool has just said that the address lies in a frame of ours that the kernel gave back; the kernel leaves
      // XDP_PACKET_HEADROOM (256 bytes) before a packet.
      unsafe batch.append(memory.base + Int(descriptor.address), byteCount: descriptor.length)
    }
    counters[.received].addAsOnlyWriter(UInt64(received))
    counters[.batches].addAsOnlyWriter(1)
    counters[queues[queue].port, .receivedPackets].addAsOnlyWriter(UInt64(received))
    counters[queues[queue].port, .receivedBytes].addAsOnlyWriter(bytes)
    return received
  }

  /// After a turn with packets: counters that are kept elsewhere meanwhile, and the slow path's wake-up.
  @inline(__always)
  private mutating func account() {
    counters[.encapsulated].addAsOnlyWriter(engine.tally.encapsulated)
    counters[.decapsulated].addAsOnlyWriter(engine.tally.decapsulated)
    engine.tally = Engine.Tally()
    accountFrames()
    if hasPunted { wakeSlowPath() }
  }

  @inline(never)
  private mutating func accountFrames() {
    let counts = frames.counts
    counters[.framesFree].storeRelaxed(UInt64(counts.free))
    counters[.framesInFill].storeRelaxed(UInt64(counts.inFill))
    counters[.framesReceived].storeRelaxed(UInt64(counts.received))
    counters[.framesInTransmit].storeRelaxed(UInt64(counts.inTransmit))
    counters[.framesTotal].storeRelaxed(UInt64(counts.total))
    counters[.frameViolations].storeRelaxed(frames.violations)
  }

  @inline(never)
  private mutating func wakeSlowPath() {
    hasPunted = false
    hasNoticed = false
    control.notifySlowPath()
  }

  /// Nothing came: spin a little, then sleep, out of the way of the writer's grace periods.
  private mutating func idle() {
    counters[.idleLoops].addAsOnlyWriter(1)
    idleTurns &+= 1
    control.pause()
    guard idleTurns >= Self.idleTurnsBeforeSleep else { return }
    idleTurns = 0
    accountFrames()
    guard policy == .adaptive else { return }
    counters[.sleeps].addAsOnlyWriter(1)
    reader.offline()
    let isTransmitting = frames.counts.inTransmit > downedBacklog
    control.sleep(queues, milliseconds: isTransmitting ? Self.sleepMilliseconds.transmitting : Self.sleepMilliseconds.idle)
    reader.online()
  }

  /// What is still in the receive rings goes on, and what is in the transmit rings gets up to a tenth of a second.
  private mutating func drain() {
    for _ in 0..<100 {
      let received = turn()
      reader.quiescent()
      if received == 0, frames.counts.inTransmit == 0 { break }
      if received == 0 { control.nap() }
    }
    accountFrames()
  }
}
