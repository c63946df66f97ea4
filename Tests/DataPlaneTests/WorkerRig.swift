// SPDX-License-Identifier: Apache-2.0
//
// A whole worker without a kernel: the forwarding state of Rig, frames, punt ring, counters, and a PlainKernel behind each queue.
// Nothing runs by itself: a test calls `turn()` and lets the kernels act between.

import CLinux
import Glibc
import PrefixTable
import Testing
import XDP

@testable import DataPlane

final class WorkerRig {
  /// Its engine is the oracle for what the worker's does.
  let state: Rig
  let memory: FrameMemory
  let kernels: [PlainKernel]
  let counters: WorkerCounters
  let puntRing: PuntRing
  let control: WorkerControl
  private let puntDescriptor: CInt
  private let reader: QuiescentState.Reader
  var worker: Worker

  /// Small enough to be full in a test.
  static let rings = RingSizes(receive: 128, transmit: 128, fill: 256, completion: 128)
  /// Frames before the worker's slice that belong to somebody else.
  static let foreignFrames = 16

  /// - Parameters:
  ///   - ports: the port of each queue
  ///   - frames: in all, for the queues to share
  init(
    _ state: Rig, ports: [Int] = [Port.site, Port.core], frames: Int = 512, rings: RingSizes = WorkerRig.rings,
    startingAt index: UInt32 = 0,
    busyPolls: Bool = false, policy: PollPolicy = .adaptive
  ) throws {
    self.state = state
    let memory = try FrameMemory(frameCount: Self.foreignFrames + frames)
    memset(memory.base, 0xA5, memory.byteCount)
    self.memory = memory
    kernels = try ports.map { _ in try PlainKernel(memory: memory, rings: rings, startingAt: index) }
    counters = try #require(WorkerCounters())
    puntRing = try #require(PuntRing())
    puntDescriptor = eventfd(0, CInt(EFD_NONBLOCK))
    control = try #require(WorkerControl(puntDescriptor: puntDescriptor))
    reader = try #require(state.publisher.quiescentState.register())
    var queues = QueueList()
    for (kernel, port) in zip(kernels, ports) { queues.append(PortQueue(socket: kernel.makeSocket(), port: port, busyPolls: busyPolls)) }
    worker = Worker(
      queues: queues, frames: FramePool(memory: memory, frames: Self.foreignFrames..<Self.foreignFrames + frames), memory: memory,
      root: state.publisher.root, reader: reader, counters: counters, puntRing: puntRing, control: control, policy: policy)
    reader.online()
  }

  deinit {
    reader.offline()
    close(puntDescriptor)
  }

  @discardableResult func turn() -> Int { worker.turn() }

  /// Lets the worker run until it has nothing more to do.
  func stop() {
    control.stop()
    worker.run()
    reader.online()
  }

  var frames: FrameCounts { worker.frames.counts }
  var violations: UInt64 { worker.frames.violations }

  func count(_ counter: WorkerCounter) -> UInt64 { counters[counter].loadRelaxed() }
  func count(_ reason: DropReason) -> UInt64 { counters[reason].loadRelaxed() }
  func count(_ reason: PuntReason) -> UInt64 { counters[reason].loadRelaxed() }
  func count(_ port: Int, _ counter: PortCounter) -> UInt64 { counters[port, counter].loadRelaxed() }

  /// How often the worker has told the slow path of punts since the last question.
  var notifications: UInt64 {
    var value: eventfd_t = 0
    return eventfd_read(puntDescriptor, &value) == 0 ? value : 0
  }

  /// Everything that waits in the punt ring.
  func takePunts() -> [(kind: PuntKind, port: Int, packet: [UInt8])] {
    var punts: [(PuntKind, Int, [UInt8])] = []
    while puntRing.pop(limit: 64, { punts.append(($0.kind, $0.port, $0.packet.withBuffer { Array($0) })) }) != 0 {}
    return punts
  }

  /// What must hold after every turn: the worker holds no frame, each packet has one outcome, and the sums over reasons and ports are
  /// the totals. Empty when it does.
  func brokenRules(frames total: Int) -> [String] {
    var broken = worker.frames.checkInvariants()
    if frames.total != total || frames.received != 0 { broken.append("frames of \(total): \(frames)") }
    func check(_ name: String, _ one: UInt64, _ other: UInt64) { if one != other { broken.append("\(name): \(one), \(other)") } }
    check(
      "received, transmitted + dropped + punted", count(.received), count(.transmitted) + count(.dropped) + count(.punted))
    check("dropped, by reason", count(.dropped), DropReason.allCases.reduce(0) { $0 + count($1) })
    check("punted, by reason", count(.punted), PuntReason.allCases.reduce(0) { $0 + count($1) })
    check("received, by port", count(.received), (0..<16).reduce(0) { $0 + count($1, .receivedPackets) })
    check("transmitted, by port", count(.transmitted), (0..<16).reduce(0) { $0 + count($1, .transmittedPackets) })
    return broken
  }
}

extension FrameAddress {
  /// The number of the frame around it.
  var frame: UInt64 { self >> 12 }
}
