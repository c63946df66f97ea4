// SPDX-License-Identifier: Apache-2.0
//
// The counters of one worker: 64-bit words that the worker alone writes (plain loads and stores) and anyone may read. One block
// for the worker, and one pair {packets, bytes} per locator of every mapping. What the worker notes of its peers is kept beside them (PeerTable, HintTable).

import CLinux
import PrefixTable

/// Positions of the worker's own words.
public enum WorkerCounter: Int, CaseIterable, Sendable {
  case received
  case transmitted
  case dropped
  case punted
  case encapsulated
  case decapsulated
  case loops
  case idleLoops
  case sleeps
  case batches
  case kicks
  /// Frames by owner, as of the last batch.
  case framesFree, framesInFill, framesReceived, framesInTransmit, framesTotal, frameViolations
}

/// Per port, per worker.
public enum PortCounter: Int, CaseIterable, Sendable {
  case receivedPackets, receivedBytes, transmittedPackets, transmittedBytes
}

/// Thread: `add` by the worker, reading by any.
@safe public final class WorkerCounters: @unchecked Sendable {
  private static let wordCount = 512
  private static let dropsAt = 64
  private static let puntsAt = 128
  private static let portsAt = 192
  public static let maximumLocatorCounters = 1 << 24

  private let words: ReservedMemory
  private let locators: ReservedMemory
  /// Whose packets the worker decapsulates.
  public let peers: PeerTable
  /// What is said in the LISP headers of these packets.
  public let hints: HintTable

  /// nil when the address space is refused.
  public init?() {
    guard let words = ReservedMemory(byteCount: Self.wordCount * 8),
      let locators = ReservedMemory(byteCount: Self.maximumLocatorCounters * 16, hugePages: true), let peers = PeerTable(),
      let hints = HintTable()
    else { return nil }
    self.words = words
    self.locators = locators
    self.peers = peers
    self.hints = hints
  }

  // SAFETY (all of these): positions lie in the reserved memory; zero pages are valid words; unmapped with the object, which
  // the worker's thread holds until it ends.
  @inline(__always) private func word(_ position: Int) -> AtomicWord { unsafe AtomicWord(at: words.base + position &* 8) }

  @inline(__always) public subscript(counter: WorkerCounter) -> AtomicWord { word(counter.rawValue) }
  @inline(__always) public subscript(reason: DropReason) -> AtomicWord { word(Self.dropsAt &+ Int(reason.rawValue)) }
  @inline(__always) public subscript(reason: PuntReason) -> AtomicWord { word(Self.puntsAt &+ Int(reason.rawValue)) }
  @inline(__always) public subscript(port: Int, counter: PortCounter) -> AtomicWord {
    word(Self.portsAt &+ (port & 15) &* 4 &+ counter.rawValue)
  }

  /// The engine's side of the locator counters.
  var locatorCounters: LocatorCounters { LocatorCounters(locators) }

  /// Packets and bytes of one locator counter.
  public func locator(_ index: UInt32) -> (packets: UInt64, bytes: UInt64) {
    (locatorCounters.packets(index).loadRelaxed(), locatorCounters.bytes(index).loadRelaxed())
  }

  /// Back to zero, when the counter gets a new owner and no worker uses it.
  public func resetLocator(_ index: UInt32) {
    locatorCounters.packets(index).storeRelaxed(0)
    locatorCounters.bytes(index).storeRelaxed(0)
  }
}

/// Trivial access to the locator counters of one worker.
@safe struct LocatorCounters: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer

  fileprivate init(_ memory: ReservedMemory) { unsafe base = unsafe memory.base }

  // SAFETY: `index` comes from a mapping record, below maximumLocatorCounters.
  @inline(__always) func packets(_ index: UInt32) -> AtomicWord { unsafe AtomicWord(at: base + Int(index) &* 16) }
  @inline(__always) func bytes(_ index: UInt32) -> AtomicWord { unsafe AtomicWord(at: base + (Int(index) &* 16 &+ 8)) }

  @inline(__always) func prefetch(_ index: UInt32) { unsafe clinux_prefetch_write(base + Int(index) &* 16) }

  @inline(__always)
  func count(_ index: UInt32, bytes byteCount: Int) {
    packets(index).addAsOnlyWriter(1)
    bytes(index).addAsOnlyWriter(UInt64(truncatingIfNeeded: byteCount))
  }
}
