// SPDX-License-Identifier: Apache-2.0
//
// The router as a whole, as `status` and `stats` tell it. The router's slow path fills these in; `xtr show` prints them.
// In JSON a name is written in words with hyphens: `uptimeSeconds` is "uptime-seconds" (StatusCoding.swift).

/// What the router is doing.
public enum RouterState: String, Sendable, Hashable, CaseIterable, Codable {
  case starting, forwarding, draining
}

/// The answer to `status`.
public struct RouterStatus: Codable, Sendable, Equatable {
  public var version: String
  public var pid: Int32
  public var state: RouterState
  public var uptimeSeconds: Double
  /// The configuration file in force.
  public var configuration: String
  /// Counts the published forwarding states.
  public var generation: UInt64
  /// Entries of the mapping table, positive and negative.
  public var mappings: Int
  /// Our own EID-prefixes.
  public var databasePrefixes: Int
  /// Distinct locators over all mappings.
  public var locators: Int
  public var workers: [WorkerStatus]
  public var totals: TrafficTotals
  public var exception: ExceptionStatus

  public init(
    version: String, pid: Int32, state: RouterState, uptimeSeconds: Double, configuration: String, generation: UInt64,
    mappings: Int, databasePrefixes: Int, locators: Int, workers: [WorkerStatus], totals: TrafficTotals,
    exception: ExceptionStatus
  ) {
    self.version = version
    self.pid = pid
    self.state = state
    self.uptimeSeconds = uptimeSeconds
    self.configuration = configuration
    self.generation = generation
    self.mappings = mappings
    self.databasePrefixes = databasePrefixes
    self.locators = locators
    self.workers = workers
    self.totals = totals
    self.exception = exception
  }
}

/// One worker thread.
public struct WorkerStatus: Codable, Sendable, Equatable {
  public var index: Int
  /// The core it is pinned to; nil: not pinned.
  public var core: Int?
  /// The queue it owns on every port.
  public var queue: Int
  /// Turns of its loop.
  public var loops: UInt64
  /// The share of turns that found packets, 0…100, over the last second or so.
  public var busyPercent: Double
  /// Times it went to sleep because nothing came.
  public var sleeps: UInt64
  public var received: UInt64
  public var transmitted: UInt64
  public var dropped: UInt64
  public var punted: UInt64
  public var frames: FrameStatus

  public init(
    index: Int, core: Int?, queue: Int, loops: UInt64, busyPercent: Double, sleeps: UInt64, received: UInt64,
    transmitted: UInt64, dropped: UInt64, punted: UInt64, frames: FrameStatus
  ) {
    self.index = index
    self.core = core
    self.queue = queue
    self.loops = loops
    self.busyPercent = busyPercent
    self.sleeps = sleeps
    self.received = received
    self.transmitted = transmitted
    self.dropped = dropped
    self.punted = punted
    self.frames = frames
  }
}

/// Where a worker's frames are. free + fill + received + transmit = total at any quiet moment.
public struct FrameStatus: Codable, Sendable, Equatable {
  public var free: Int
  public var fill: Int
  public var received: Int
  public var transmit: Int
  public var total: Int
  /// Refused changes of owner: 0 unless a driver or we are wrong.
  public var violations: UInt64

  public init(free: Int, fill: Int, received: Int, transmit: Int, total: Int, violations: UInt64) {
    self.free = free
    self.fill = fill
    self.received = received
    self.transmit = transmit
    self.total = total
    self.violations = violations
  }
}

/// The answer to `stats`: sums over all workers. received = transmitted + dropped + punted + in flight.
public struct TrafficTotals: Codable, Sendable, Equatable {
  public var received: PacketCount
  public var transmitted: PacketCount
  public var encapsulated: UInt64
  public var decapsulated: UInt64
  public var dropped: UInt64
  public var punted: UInt64
  /// Reasons that occurred, most frequent first.
  public var drops: [ReasonCount]
  public var punts: [ReasonCount]

  public init(
    received: PacketCount, transmitted: PacketCount, encapsulated: UInt64, decapsulated: UInt64, dropped: UInt64,
    punted: UInt64, drops: [ReasonCount], punts: [ReasonCount]
  ) {
    self.received = received
    self.transmitted = transmitted
    self.encapsulated = encapsulated
    self.decapsulated = decapsulated
    self.dropped = dropped
    self.punted = punted
    self.drops = drops
    self.punts = punts
  }
}

/// A named reason and how many packets met it.
public struct ReasonCount: Codable, Sendable, Equatable {
  public var reason: String
  public var packets: UInt64

  public init(reason: String, packets: UInt64) {
    self.reason = reason
    self.packets = packets
  }
}

/// Packets that the kernel finished for us.
public struct ExceptionStatus: Codable, Sendable, Equatable {
  /// Handed to the kernel: by the exception device (inner packets) or a raw socket (outer ones).
  public var injected: UInt64
  /// Which the kernel refused, or which no mapping lets out.
  public var failed: UInt64
  /// Which waited in the punt ring in vain: it was full.
  public var overflowed: UInt64

  public init(injected: UInt64, failed: UInt64, overflowed: UInt64) {
    self.injected = injected
    self.failed = failed
    self.overflowed = overflowed
  }
}

/// Which way a packet was going.
public enum TrafficDirection: String, Sendable, Hashable, CaseIterable, Codable {
  case encapsulation, decapsulation
}

/// One row of the answer to `drops`.
public struct DropStatus: Codable, Sendable, Equatable {
  public var reason: String
  /// nil: before the direction was known.
  public var direction: TrafficDirection?
  public var packets: UInt64
  /// One sentence for the operator.
  public var meaning: String

  public init(reason: String, direction: TrafficDirection?, packets: UInt64, meaning: String) {
    self.reason = reason
    self.direction = direction
    self.packets = packets
    self.meaning = meaning
  }
}
