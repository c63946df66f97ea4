// SPDX-License-Identifier: Apache-2.0
//
// The engine: frames in, verdicts out, on plain memory. No socket, no clock, no allocation. Each stage is a loop over the whole
// batch, so that the memory one packet waits for is fetched while the others are worked on:
//
//     Classify      headers → key, flow hash, inner packet       (prefetch: first node of each lookup)
//     look up       all keys, level by level                     (prefetch: next nodes)
//     resolve       mapping → set → locator → template           (prefetch: mapping, template, counter)
//     rewrite       header, lengths, TTL, checksum
//
// Encapsulate.swift and Decapsulate.swift hold the stages of the two directions.

import PrefixTable
import Wire

/// One worker's engine. Thread: that worker.
public struct Engine: ~Copyable {
  var lookups = LookupBatch(capacity: 2 * Batch.capacity)
  let counters: LocatorCounters
  let peers: PeerNotes
  let hints: HintNotes
  var tally = Tally()

  /// Packets by what was done to them, since the worker last took them over into its counters.
  struct Tally {
    var encapsulated: UInt64 = 0
    var decapsulated: UInt64 = 0
  }

  public init(counters: WorkerCounters) {
    self.counters = counters.locatorCounters
    peers = counters.peers.notes
    hints = counters.hints.notes
  }

  /// Decides about every packet of the batch, and rewrites those that go on. All came in on `port`.
  public mutating func process(_ batch: inout Batch, port: Int, root: StateRoot) {
    process(&batch, port: port, state: root.current)
  }

  mutating func process(_ batch: inout Batch, port: Int, state: ForwardingStateReader) {
    let role = state.role(port)
    lookups.clear(reserving: batch.count)
    if role == .site {
      encapsulate(&batch, .all, port: port, state: state)
    } else if role == .core {
      decapsulate(&batch, .all, state: state)
    } else {
      processMixed(&batch, port: port, role: role, state: state)
    }
  }

  /// A port with both roles: what is for UDP 4341 of one of our RLOCs is decapsulated, all else encapsulated.
  @inline(never)
  private mutating func processMixed(_ batch: inout Batch, port: Int, role: PortRole, state: ForwardingStateReader) {
    guard role != [] else {
      for i in 0..<batch.count { batch[i].verdict = .drop(.portGone) }
      return
    }
    // One pass per direction; a packet takes part in the pass that is its own.
    var forUs = PacketSet.none
    for i in 0..<batch.count where Engine.isForUs(batch[i], state: state) { forUs.insert(i) }
    decapsulate(&batch, forUs, state: state)
    lookups.clear(reserving: batch.count)
    encapsulate(&batch, forUs.complement, port: port, state: state)
  }
}

/// Some packets of a batch, by their places.
struct PacketSet {
  private var bits: UInt64

  static var all: PacketSet { PacketSet(bits: ~0) }
  static var none: PacketSet { PacketSet(bits: 0) }
  var complement: PacketSet { PacketSet(bits: ~bits) }

  @inline(__always) func contains(_ i: Int) -> Bool { bits &>> UInt64(truncatingIfNeeded: i) & 1 != 0 }
  mutating func insert(_ i: Int) { bits |= 1 &<< UInt64(truncatingIfNeeded: i) }
}
