// SPDX-License-Identifier: Apache-2.0
//
// Which RLOCs sent one worker data that it decapsulated (rule D16). The engine notes the outer source of each such packet; every few
// seconds, or oftener where echo-nonces want it, the slow path takes what is new, and remembers it for a minute (ControlPlane's Peers) for
// SMRs (RFC 9301 6.1).
//
// Two direct-mapped tables, one per family, in memory that never moves. An address has one slot, which a hash of it names:
//
//     IPv4, 1024 words       ┌ epoch ───────────┬ address ─────────┐
//                            └ bits 63…32 ──────┴ bits 31…0 ───────┘
//     IPv6, 256 × 32 bytes   ┌ sequence ┬ epoch ┬ high ┬ low ┐       words of 64 bits
//                            └──────────┴───────┴──────┴─────┘
//
// The epoch is a number that the slow path raises at each look, so that the packet path needs no clock: a slot that holds the address
// with the epoch of now is as it should be, and nearly always that is all a packet costs, while its source is at hand anyway: a hash, a
// load, a comparison. Otherwise the packet is marked, and the slot written when it has been decapsulated: once per peer and
// look, for the first batch that has it. Who was in the slot before is forgotten. Two peers of one slot displace each other while both
// send, and either is found at about every other look: of the twelve looks of a minute some find it. Senders of made-up sources
// can displace whom they like, at worst so that a peer hears of a changed mapping no earlier than its TTL.
//
// The reader takes a slot when it is not as it was at the last look. A packet that its worker still judges by the epoch before, because
// the look came in the midst of its batch, may leave no trace: that look has found its peer.
//
// I1  The worker alone writes slots, the slow path alone the epoch. Zero pages are empty slots: no peer's address is 0 (rule D13).
// I2  An IPv4 slot is one word: its address and epoch are read as they were written, together.
// I3  An IPv6 slot has an odd sequence while it is written. The sequence is raised before high and low are stored with release, and
//     again, with release, after them. A reader that loaded high or low (acquire) of a later writing therefore finds a later sequence,
//     and one that finds the even sequence with which it began has read one address, whole. It takes no other.

import PrefixTable
import Wire

/// The peers of one worker. Thread: `takeRecent` on the slow path; the engine's side is `notes`.
@safe public final class PeerTable: @unchecked Sendable {
  /// A few hundred sites send to one worker without displacing each other much, and both tables together are 16 KiB.
  static let slotCount = (ipv4: 1024, ipv6: 256)
  /// The epoch has a line to itself.
  fileprivate static let ipv4At = 64
  fileprivate static let ipv6At = ipv4At + slotCount.ipv4 * 8
  private static let byteCount = ipv6At + slotCount.ipv6 * PeerSlot6.byteCount

  /// Epochs are counted in the upper half of a word, where IPv4 slots have them.
  private static let epochStep: UInt64 = 1 << 32

  private let memory: ReservedMemory
  // What the last look found: IPv4 slots, and the sequences of IPv6 slots. The slow path's.
  private var seen4 = [UInt64](repeating: 0, count: slotCount.ipv4)
  private var seen6 = [UInt64](repeating: 0, count: slotCount.ipv6)

  /// nil when the address space is refused.
  public init?() {
    guard let memory = ReservedMemory(byteCount: Self.byteCount) else { return nil }
    self.memory = memory
    notes.epochWord.storeRelaxed(Self.epochStep)
  }

  /// The engine's side.
  var notes: PeerNotes { PeerNotes(memory) }

  /// The peers that were noted since the last call, in no order. One look at every slot: some microseconds. Thread: slow path.
  public func takeRecent() -> [IPAddress] {
    let notes = notes
    notes.epochWord.storeRelaxed(notes.epoch &+ Self.epochStep)
    var peers: [IPAddress] = []
    for place in 0..<Self.slotCount.ipv4 {
      let word = notes.slot4(place).loadRelaxed()
      guard word != seen4[place] else { continue }
      seen4[place] = word
      peers.append(.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: word))))
    }
    for place in 0..<Self.slotCount.ipv6 {
      guard let (sequence, address) = notes.slot6(place).read(), sequence != seen6[place] else { continue }
      seen6[place] = sequence
      peers.append(.v6(address))
    }
    return peers
  }
}

/// The engine's side of a peer table. Trivial; valid as long as the table. Thread: its worker.
@safe struct PeerNotes: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer

  fileprivate init(_ memory: ReservedMemory) { unsafe base = unsafe memory.base }

  // SAFETY (all of these): places are below the slot counts, so the words lie in the reserved memory; I1 for zero pages.
  fileprivate var epochWord: AtomicWord { unsafe AtomicWord(at: base) }
  @inline(__always) fileprivate func slot4(_ place: Int) -> AtomicWord { unsafe AtomicWord(at: base + (PeerTable.ipv4At &+ place &* 8)) }
  @inline(__always) fileprivate func slot6(_ place: Int) -> PeerSlot6 {
    unsafe PeerSlot6(base: base + (PeerTable.ipv6At &+ place &* PeerSlot6.byteCount))
  }

  /// Where an address is noted: the upper bits of its product with an odd number (Knuth's multiplicative hash). Of an
  /// IPv6 address the halves are laid over each other so that what tells sites apart in one does not meet what tells hosts apart.
  @inline(__always) static func place(_ address: UInt32) -> Int {
    Int(truncatingIfNeeded: (address &* 0x9E37_79B1) >> 22)
  }
  @inline(__always) static func place(_ address: IPv6Address) -> Int {
    Int(truncatingIfNeeded: ((address.high ^ (address.low << 32 | address.low >> 32)) &* 0x9E37_79B9_7F4A_7C15) >> 56)
  }

  /// The epoch of now: to be loaded once per batch.
  @inline(__always) var epoch: UInt64 { epochWord.loadRelaxed() }

  /// Whether the address is noted already, with this epoch.
  @inline(__always)
  func holds(_ address: UInt32, _ epoch: UInt64) -> Bool {
    slot4(Self.place(address)).loadRelaxed() == epoch | UInt64(address)
  }
  @inline(__always)
  func holds(_ address: IPv6Address, _ epoch: UInt64) -> Bool { slot6(Self.place(address)).holds(address, epoch) }

  /// Notes the source of the IP header, which the caller has proven, at the begin of `outer`.
  @inline(never)
  func note(_ outer: PacketBytes) {
    if outer.u8(0) >> 4 == 4 {
      note(IPv4View(proven: outer).source)
    } else {
      note(IPv6View(proven: outer).source)
    }
  }

  /// Notes an address, unless it is: the packets of a batch are all marked before the first of them is here.
  func note(_ address: UInt32) {
    let epoch = epoch
    if !holds(address, epoch) { slot4(Self.place(address)).storeRelaxed(epoch | UInt64(address)) }
  }
  func note(_ address: IPv6Address) {
    let epoch = epoch
    if !holds(address, epoch) { slot6(Self.place(address)).write(address, epoch) }
  }
}

/// One IPv6 slot. Trivial, as long as its table.
@safe private struct PeerSlot6 {
  static let byteCount = 32

  private let base: UnsafeMutableRawPointer

  @unsafe @inline(__always) init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  // SAFETY: `base` is that of a slot, 32 bytes of which these are the first to the last.
  @inline(__always) private var sequence: AtomicWord { unsafe AtomicWord(at: base) }
  @inline(__always) private var epoch: AtomicWord { unsafe AtomicWord(at: base + 8) }
  @inline(__always) private var high: AtomicWord { unsafe AtomicWord(at: base + 16) }
  @inline(__always) private var low: AtomicWord { unsafe AtomicWord(at: base + 24) }

  /// For the worker, which reads what it wrote itself.
  @inline(__always)
  func holds(_ address: IPv6Address, _ epoch: UInt64) -> Bool {
    (low.loadRelaxed() ^ address.low) | (high.loadRelaxed() ^ address.high) | (self.epoch.loadRelaxed() ^ epoch) == 0
  }

  /// I3, the worker's part.
  func write(_ address: IPv6Address, _ epoch: UInt64) {
    let before = sequence.loadRelaxed()
    sequence.storeRelaxed(before &+ 1)
    high.store(address.high)
    low.store(address.low)
    self.epoch.storeRelaxed(epoch)
    sequence.store(before &+ 2)
  }

  /// I3, the reader's part: nil while the slot is written or when it never was.
  func read() -> (sequence: UInt64, address: IPv6Address)? {
    let before = sequence.load()
    guard before != 0, before & 1 == 0 else { return nil }
    let address = IPv6Address(high: high.load(), low: low.load())
    guard sequence.loadRelaxed() == before else { return nil }
    return (before, address)
  }
}
