// SPDX-License-Identifier: Apache-2.0
//
// The router's ports, its neighbours and its own EID-prefixes, as `interfaces`, `neighbours` and `database` tell them.

/// One row of the answer to `interfaces`.
public struct InterfaceStatus: Codable, Sendable, Equatable {
  public var name: String
  public var index: UInt32
  /// "site", "core" or "both".
  public var role: String
  public var up: Bool
  public var driver: String
  /// How the steering program is attached: "native" or "generic".
  public var attachMode: String
  public var queues: [QueueStatus]
  public var mtu: Int
  public var mac: String
  /// The RLOCs on it (core).
  public var rlocs: [String]
  /// What our sockets received and sent here, over all queues.
  public var received: PacketCount
  public var transmitted: PacketCount
  /// Offload settings that were changed for as long as the router runs ("rx-vlan-offload: on → off").
  public var changedOffloads: [String]

  public init(
    name: String, index: UInt32, role: String, up: Bool, driver: String, attachMode: String, queues: [QueueStatus], mtu: Int,
    mac: String, rlocs: [String], received: PacketCount, transmitted: PacketCount, changedOffloads: [String]
  ) {
    self.name = name
    self.index = index
    self.role = role
    self.up = up
    self.driver = driver
    self.attachMode = attachMode
    self.queues = queues
    self.mtu = mtu
    self.mac = mac
    self.rlocs = rlocs
    self.received = received
    self.transmitted = transmitted
    self.changedOffloads = changedOffloads
  }
}

/// One AF_XDP socket: a queue of an interface.
public struct QueueStatus: Codable, Sendable, Equatable {
  public var queue: Int
  public var worker: Int
  /// As read back from XDP_OPTIONS: "zero-copy" or "copy".
  public var socketMode: String
  /// The kernel's XDP_STATISTICS.
  public var kernel: KernelQueueStatistics

  public init(queue: Int, worker: Int, socketMode: String, kernel: KernelQueueStatistics) {
    self.queue = queue
    self.worker = worker
    self.socketMode = socketMode
    self.kernel = kernel
  }
}

/// `struct xdp_statistics`: packets and descriptors the kernel could not handle.
public struct KernelQueueStatistics: Codable, Sendable, Equatable {
  /// Dropped for other reasons than a full ring (too large for a frame, …).
  public var rxDropped: UInt64
  public var rxInvalidDescriptors: UInt64
  public var txInvalidDescriptors: UInt64
  /// Dropped because the receive ring was full: the worker is too slow.
  public var rxRingFull: UInt64
  /// Dropped because the fill ring was empty: too few frames.
  public var rxFillRingEmpty: UInt64
  /// Times the kernel found nothing to send.
  public var txRingEmpty: UInt64

  public init(
    rxDropped: UInt64, rxInvalidDescriptors: UInt64, txInvalidDescriptors: UInt64, rxRingFull: UInt64, rxFillRingEmpty: UInt64,
    txRingEmpty: UInt64
  ) {
    self.rxDropped = rxDropped
    self.rxInvalidDescriptors = rxInvalidDescriptors
    self.txInvalidDescriptors = txInvalidDescriptors
    self.rxRingFull = rxRingFull
    self.rxFillRingEmpty = rxFillRingEmpty
    self.txRingEmpty = txRingEmpty
  }
}

/// One row of the answer to `neighbours`: a next hop that the forwarding state uses or asked for.
public struct NeighbourStatus: Codable, Sendable, Equatable {
  public var interface: String
  public var address: String
  /// nil: not resolved.
  public var mac: String?
  /// The kernel's word: "reachable", "stale", "delay", "probe", "incomplete", "failed", "permanent", "noarp"; "gone" when deleted.
  public var state: String
  /// What needs it: the RLOCs and local EIDs behind it.
  public var usedBy: [String]

  public init(interface: String, address: String, mac: String?, state: String, usedBy: [String]) {
    self.interface = interface
    self.address = address
    self.mac = mac
    self.state = state
    self.usedBy = usedBy
  }
}

/// One row of the answer to `database`: an EID-prefix of our own sites.
public struct DatabaseEntry: Codable, Sendable, Equatable {
  public var instanceID: UInt32
  public var eidPrefix: String
  /// The kernel routing table that its hosts are looked up in; nil: the main one.
  public var table: UInt32?

  public init(instanceID: UInt32, eidPrefix: String, table: UInt32?) {
    self.instanceID = instanceID
    self.eidPrefix = eidPrefix
    self.table = table
  }
}
