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
// The slow path raises the epoch at each look (SequencedSlot). A slot that holds the address with the epoch of now is as it should be, and
// nearly always that is all a packet costs, while its source is at hand anyway: a hash, a load, a comparison. Otherwise the
// packet is marked, and the slot written when it has been decapsulated: once per peer and look, for the first batch that has it.
// Who was in the slot before is forgotten. Two peers of one slot displace each other while both
// send, and either is found at about every other look: of the twelve looks of a minute some find it. Senders of made-up sources
// can displace whom they like, at worst so that a peer hears of a changed mapping no earlier than its TTL.
//
// The reader takes a slot when it is not as it was at the last look. A packet that its worker still judges by the epoch before, because
// the look came in the midst of its batch, may leave no trace: that look has found its peer.
//
// An IPv4 slot is one word: its address and epoch are read as they were written, together. An IPv6 slot is a SequencedSlot. No peer's address
// is 0 (rule D13).

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

  private let memory: ReservedMemory
  // What the last look found: IPv4 slots, and the sequences of IPv6 slots. The slow path's.
  private var seen4 = [UInt64](repeating: 0, count: slotCount.ipv4)
  private var seen6 = [UInt64](repeating: 0, count: slotCount.ipv6)

  /// nil when the address space is refused.
  public init?() {
    guard let memory = ReservedMemory(byteCount: Self.byteCount) else { return nil }
    self.memory = memory
    notes.noteEpoch.raise()
  }

  /// The engine's side.
  var notes: PeerNotes { PeerNotes(memory) }

  /// The peers that were noted since the last call, in no order. One look at every slot: some microseconds. Thread: slow path.
  public func takeRecent() -> [IPAddress] {
    let notes = notes
    notes.noteEpoch.raise()
    var peers: [IPAddress] = []
    for place in 0..<Self.slotCount.ipv4 {
      let word = notes.slot4(place).loadRelaxed()
      guard word != seen4[place] else { continue }
      seen4[place] = word
      peers.append(.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: word))))
    }
    for place in 0..<Self.slotCount.ipv6 {
      if let address = notes.slot6(place).read(unless: &seen6[place]) { peers.append(.v6(address)) }
    }
    return peers
  }
}

/// The engine's side of a peer table. Trivial; valid as long as the table. Thread: its worker.
@safe struct PeerNotes: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer

  fileprivate init(_ memory: ReservedMemory) { unsafe base = unsafe memory.base }

  // SAFETY (all of these): places are below the slot counts, so the words lie in the reserved memory.
  @inline(__always) fileprivate var noteEpoch: NoteEpoch { unsafe NoteEpoch(at: base) }
  @inline(__always) fileprivate func slot4(_ place: Int) -> AtomicWord { unsafe AtomicWord(at: base + (PeerTable.ipv4At &+ place &* 8)) }
  @inline(__always) fileprivate func slot6(_ place: Int) -> PeerSlot6 {
    unsafe PeerSlot6(slot: SequencedSlot(base: base + (PeerTable.ipv6At &+ place &* PeerSlot6.byteCount)))
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
  @inline(__always) var epoch: UInt64 { noteEpoch.now }

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

  let slot: SequencedSlot

  @inline(__always) private var epoch: AtomicWord { slot.word(1) }
  @inline(__always) private var high: AtomicWord { slot.word(2) }
  @inline(__always) private var low: AtomicWord { slot.word(3) }

  /// For the worker, which reads what it wrote itself.
  @inline(__always)
  func holds(_ address: IPv6Address, _ epoch: UInt64) -> Bool {
    (low.loadRelaxed() ^ address.low) | (high.loadRelaxed() ^ address.high) | (self.epoch.loadRelaxed() ^ epoch) == 0
  }

  func write(_ address: IPv6Address, _ epoch: UInt64) {
    slot.write {
      high.store(address.high)
      low.store(address.low)
      self.epoch.storeRelaxed(epoch)
    }
  }

  func read(unless seen: inout UInt64) -> IPv6Address? {
    slot.read(unless: &seen) { IPv6Address(high: high.load(), low: low.load()) }
  }
}
