// SPDX-License-Identifier: Apache-2.0
//
// A version of the table that stays, to be listed at leisure while changes go on: what the version reaches is not freed as long as
// the snapshot is kept. And the order of entries: instances, IPv4 before IPv6, addresses, shorter prefixes first.

import Synchronization
import Wire

/// Which epochs snapshots ask for. Thread: any.
final class SnapshotHolds: Sendable {
  private let epochs = Mutex<[UInt64: Int]>([:])

  /// What was tagged with a later epoch must stay.
  var oldest: UInt64? { epochs.withLock { $0.keys.min() } }

  func add(_ epoch: UInt64, _ memory: ReservedMemory) -> SnapshotHold {
    epochs.withLock { $0[epoch, default: 0] += 1 }
    return SnapshotHold(self, epoch, memory)
  }

  fileprivate func remove(_ epoch: UInt64) {
    epochs.withLock { epochs in
      let left = (epochs[epoch] ?? 1) - 1
      epochs[epoch] = left == 0 ? nil : left
    }
  }
}

/// As long as it lives, what its epoch could reach is neither freed nor unmapped.
final class SnapshotHold: Sendable {
  private let holds: SnapshotHolds
  private let epoch: UInt64
  private let memory: ReservedMemory

  fileprivate init(_ holds: SnapshotHolds, _ epoch: UInt64, _ memory: ReservedMemory) {
    self.holds = holds
    self.epoch = epoch
    self.memory = memory
  }

  deinit { holds.remove(epoch) }
}

/// One version of the table, with all its entries in order. Thread: any.
public struct TableSnapshot: Sequence, Sendable {
  public let view: TableView
  /// How many entries it has.
  public let count: Int
  private let hold: SnapshotHold

  init(view: TableView, count: Int, hold: SnapshotHold) {
    self.view = view
    self.count = count
    self.hold = hold
  }

  public typealias Element = (prefix: EIDPrefix, value: UInt32)

  public func makeIterator() -> TableIterator { TableIterator(view, hold) }
  public var underestimatedCount: Int { count }
}
