// SPDX-License-Identifier: Apache-2.0
//
// Numbered UDP packets at a rate from host to host; the receiver counts what was lost, doubled, reordered or damaged. `run` for a
// fixed time, or `start` … `finish` around something that must not lose a packet.
//
//     0        4        8                16                         n−8       n
//     | flow   | mark   | sequence       | the pattern, always the same | sequence |        (host byte order: both ends are here)
//
// The mark is of one run: packets of an earlier one that were held up somewhere are not this one's.

import CLinux
import Glibc
import Synchronization
import Wire

public struct UDPFlow: Sendable {
  public var sender: Namespace
  public var receiver: Namespace
  /// The receiver's address.
  public var destination: IPAddress
  public var port: UInt16 = 5002
  public var packetsPerSecond = 10_000
  public var duration = Duration.seconds(1)
  /// Stop after so many, whatever the duration.
  public var packetLimit = Int.max
  /// Outgoing TTL or hop limit, and TOS or traffic class; nil: the kernel's.
  public var timeToLive: Int32?
  public var trafficClass: Int32?
  /// At least 24.
  public var payloadByteCount = 512
  /// Different source ports, used in turn: what spreads over queues.
  public var flows = 1

  public init(from sender: Namespace, to receiver: Namespace, destination: IPAddress) {
    self.sender = sender
    self.receiver = receiver
    self.destination = destination
  }

  public struct Result: Sendable {
    public var sent = 0
    /// Different packets that came; `lost` is the rest.
    public var received = 0
    public var duplicated = 0
    /// Packets that came after one of their flow that was sent later.
    public var reordered = 0
    public var damaged = 0
    /// The longest time between two arrivals.
    public var longestGap = Duration.zero
    /// From first to last arrival.
    public var duration = Duration.zero
    public var lost: Int { sent - received }
    /// Everything arrived whole and once, in whatever order.
    public var isComplete: Bool { sent > 0 && lost == 0 && duplicated == 0 && damaged == 0 }
    /// And in order.
    public var isClean: Bool { isComplete && reordered == 0 }
    public var packetsPerSecond: Double { duration > .zero ? Double(received) / (duration / .seconds(1)) : 0 }
  }

  /// Exactly `count` packets in a short time, as a run of its own.
  public func run(packets count: Int) throws -> Result {
    var flow = self
    flow.packetLimit = count
    flow.duration = .seconds(10)
    return try flow.run()
  }

  /// Send for `duration` and wait until everything has arrived or nothing more comes.
  public func run() throws -> Result {
    let running = try start()
    return try running.join()
  }

  /// Begin; `finish()` of what is returned stops it, else it ends after `duration`.
  public func start() throws -> Running {
    let address = SocketAddress(destination, port: port)
    let descriptor = try receiver.run { try UDPReceiver.open(on: address) }
    let progress = Progress()
    let flow = self
    let receiving = NamespaceThread { try UDPReceiver(flow, progress).run(on: Socket(owning: descriptor)) }
    let sending = sender.start {
      defer { progress.isSenderDone.store(true, ordering: .releasing) }
      try UDPSender(flow, progress).run(to: address)
    }
    return Running(progress: progress, sending: sending, receiving: receiving)
  }

  /// What the two threads tell each other. Each atomic has one writer: the sender (`sent`, `isSenderDone`), the owner (`isStopped`,
  /// `patienceMilliseconds`, written before it).
  final class Progress: Sendable {
    /// What all packets of the run carry.
    let mark = UInt32.random(in: .min ... .max)
    let sent = Atomic<Int>(0)
    let received = Atomic<Int>(0)
    let isSenderDone = Atomic<Bool>(false)
    let isStopped = Atomic<Bool>(false)
    /// After the sender ended, so long without a packet means that the rest is lost.
    let patienceMilliseconds = Atomic<Int>(400)
  }

  public struct Running: Sendable {
    let progress: Progress
    let sending: NamespaceThread<Void>
    let receiving: NamespaceThread<Result>

    public var sent: Int { progress.sent.load(ordering: .relaxed) }
    public var received: Int { progress.received.load(ordering: .relaxed) }

    /// Wait for its end by itself.
    public func join() throws -> Result {
      defer { progress.isSenderDone.store(true, ordering: .releasing) }
      try sending.join()
      return try receiving.join()
    }

    /// Stop sending, wait for what is under way: until all is there, or nothing came for `patience`.
    public func finish(patience: Duration = .milliseconds(400)) throws -> Result {
      progress.patienceMilliseconds.store(Int(patience / .milliseconds(1)), ordering: .relaxed)
      progress.isStopped.store(true, ordering: .relaxed)
      return try join()
    }
  }

  /// The bytes between the two sequence numbers.
  var pattern: [UInt8] {
    var generator = SplitMix64(seed: 0x5EED)
    return generator.bytes(max(0, payloadByteCount - 24))
  }
}
