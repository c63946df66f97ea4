// SPDX-License-Identifier: Apache-2.0
//
// What the LISP headers of decapsulated packets say of locators: locator-status-bits (L) and nonces (N), RFC 9300 sections 10 and 10.1. Only
// noted where the settings ask for it. The engine notes it by who sent it; ten times a second the slow path takes what is new.
//
// A table in memory that never moves, 512 slots of a cache line in groups of four. A peer has one slot for each instance, in the group that a hash
// names:
//
//     ┌ sequence ┬ stamp ┬ RLOC: high, low ┬ hint ┬ inner source: high, low ┬ – ┐       words of 64 bits
//     └──────────┴───────┴─────────────────┴──────┴─────────────────────────┴───┘
//
//     stamp    epoch: bits 63…32 │ instance ID: 31…8 │ RLOC is IPv6: 1 │ inner source is IPv6: 0
//     hint     the LISP header's word, without what its flags, or the settings, say to ignore (rules D2, D3); the instance ID is in the stamp
//
// The slow path raises the epoch at each look (SequencedSlot). A slot that holds sender, epoch and hint is as it should be.
// So a hint that is another one is noted at once, and one that stays is noted again after each look: it is known whether it is still said.
// The inner source tells whose locators the bits are about (rule E11). It is that of the packet that was noted: of several EID-prefixes behind one
// RLOC, one after the other is heard of, those that send more sooner.
//
// Who is new takes the slot of somebody in the group who was not heard since the last look. A fifth who speaks between two looks displaces one of
// the four, who comes again with his next packet: how often each is heard then depends on how much he sends.

import PrefixTable
import Wire

/// What a peer's LISP header said. Thread: any.
public struct HeaderHint: Equatable, Sendable {
  /// The outer source.
  public var rloc: IPAddress
  public var instanceID: InstanceID
  /// The inner source of one of the packets.
  public var source: IPAddress
  /// Locator i is up where bit i is set; nil where L is not set, or nobody asked.
  public var statusBits: StatusBits?
  /// nil where N is not set, or nobody asked.
  public var nonce: LISPNonce?

  public struct StatusBits: Equatable, Sendable {
    public var bits: UInt32
    /// How many locators they tell of: 8 beside an instance ID, else 32.
    public var count: Int

    public init(bits: UInt32, count: Int) {
      self.bits = bits
      self.count = count
    }
  }

  public init(rloc: IPAddress, instanceID: InstanceID, source: IPAddress, statusBits: StatusBits? = nil, nonce: LISPNonce? = nil) {
    self.rloc = rloc
    self.instanceID = instanceID
    self.source = source
    self.statusBits = statusBits
    self.nonce = nonce
  }
}

/// The hints of one worker. Thread: `takeRecent` on the slow path; the engine's side is `notes`.
@safe public final class HintTable: @unchecked Sendable {
  /// A hundred sites seldom displace each other, and it is 32 KiB, touched only where hints are noted.
  static let slotCount = 512
  static let ways = 4
  /// The epoch has a line to itself.
  fileprivate static let slotsAt = 64

  private let memory: ReservedMemory
  /// The sequences that the last look found. The slow path's.
  private var seen = [UInt64](repeating: 0, count: slotCount)

  /// nil when the address space is refused.
  public init?() {
    guard let memory = ReservedMemory(byteCount: Self.slotsAt + Self.slotCount * HintSlot.byteCount) else { return nil }
    self.memory = memory
    notes.noteEpoch.raise()
  }

  /// The engine's side.
  var notes: HintNotes { HintNotes(memory) }

  /// What was noted since the last call, in no order. One look at every slot: some microseconds. Thread: slow path.
  public func takeRecent() -> [HeaderHint] {
    let notes = notes
    notes.noteEpoch.raise()
    var hints: [HeaderHint] = []
    for place in 0..<Self.slotCount {
      if let hint = notes.slot(place).read(unless: &seen[place]) { hints.append(hint) }
    }
    return hints
  }
}

/// The engine's side of a hint table. Trivial; valid as long as the table. Thread: its worker.
@safe struct HintNotes: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer

  fileprivate init(_ memory: ReservedMemory) { unsafe base = unsafe memory.base }

  // SAFETY (both): places are below the slot count, so the words lie in the reserved memory.
  @inline(__always) fileprivate var noteEpoch: NoteEpoch { unsafe NoteEpoch(at: base) }
  @inline(__always) fileprivate func slot(_ place: Int) -> HintSlot {
    unsafe HintSlot(slot: SequencedSlot(base: base + (HintTable.slotsAt &+ place &* HintSlot.byteCount)))
  }

  /// The epoch of now: to be loaded once per batch.
  @inline(__always) var epoch: UInt64 { noteEpoch.now }

  /// The flags that make a header worth a note; 0 where none does.
  @inline(__always)
  static func flags(_ settings: EngineSettings) -> UInt64 {
    (settings.notesStatusBits ? LISPFlag.locatorStatusBits : 0) | (settings.exchangesNonces ? LISPFlag.nonce : 0)
  }

  /// Of a LISP header what these flags are about, without the instance ID. With N the field is a nonce, whatever V says (rule D2); a field whose flag
  /// is not set does not count (rule D3).
  @inline(__always)
  static func hint(_ word: UInt64, _ flags: UInt64) -> UInt64 {
    let bits: UInt64 = word & LISPFlag.instanceID != 0 ? 0xFF : 0xFFFF_FFFF
    let statusBits = LISPFlag.locatorStatusBits | LISPFlag.instanceID | bits
    let nonce = LISPFlag.nonce | LISPFlag.echoNonce | 0xFF_FFFF << 32
    return word & ((word & flags & LISPFlag.locatorStatusBits != 0 ? statusBits : 0) | (word & flags & LISPFlag.nonce != 0 ? nonce : 0))
  }

  /// Where a peer's hints of an instance are noted: the upper bits of a product with an odd number (Knuth's multiplicative hash).
  @inline(__always)
  static func place(_ rloc: IPv6Address, _ instanceID: UInt32) -> Int {
    let mixed = rloc.high ^ (rloc.low << 32 | rloc.low >> 32) ^ UInt64(instanceID) << 16
    return Int(truncatingIfNeeded: (mixed &* 0x9E37_79B9_7F4A_7C15) >> 55)
  }

  /// Notes the hint of a packet whose headers are as they came, unless it is.
  @inline(__always)
  func note(_ packet: borrowing Packet, _ hint: UInt64, _ epoch: UInt64) {
    guard let ethernet = EthernetView(packet.frame) else { return }
    let outer = packet.frame.dropFirst(ethernet.payloadOffset)
    let stamp = epoch | UInt64(packet.instanceID) << 8
    if outer.u8(0) >> 4 == 4 {
      note(IPv6Address(high: 0, low: UInt64(IPv4View(proven: outer).source)), stamp, hint, packet.inner)
    } else {
      note(IPv6View(proven: outer).source, stamp | HintSlot.rlocIsIPv6, hint, packet.inner)
    }
  }

  @inline(__always)
  private func note(_ rloc: IPv6Address, _ stamp: UInt64, _ hint: UInt64, _ inner: PacketBytes) {
    let place = Self.place(rloc, UInt32(truncatingIfNeeded: stamp) >> 8)
    for way in 0..<HintTable.ways where slot(place ^ way).holds(rloc, stamp, hint) { return }
    write(place, rloc, stamp, hint, inner)
  }

  /// Into the peer's slot, else that of somebody not heard of lately, else the first.
  @inline(never)
  private func write(_ place: Int, _ rloc: IPv6Address, _ stamp: UInt64, _ hint: UInt64, _ inner: PacketBytes) {
    let ways = 0..<HintTable.ways
    let way = ways.first { slot(place ^ $0).isOf(rloc, stamp) } ?? ways.first { !slot(place ^ $0).isOfEpoch(stamp) } ?? 0
    slot(place ^ way).write(rloc, stamp, hint, inner)
  }
}

/// One slot. Trivial, as long as its table.
@safe private struct HintSlot {
  static let byteCount = 64
  static let rlocIsIPv6: UInt64 = 2
  static let sourceIsIPv6: UInt64 = 1

  let slot: SequencedSlot

  @inline(__always) private var stamp: AtomicWord { slot.word(1) }
  @inline(__always) private var rlocHigh: AtomicWord { slot.word(2) }
  @inline(__always) private var rlocLow: AtomicWord { slot.word(3) }
  @inline(__always) private var hint: AtomicWord { slot.word(4) }
  @inline(__always) private var sourceHigh: AtomicWord { slot.word(5) }
  @inline(__always) private var sourceLow: AtomicWord { slot.word(6) }

  /// For the worker, which reads what it wrote itself.
  @inline(__always)
  func holds(_ rloc: IPv6Address, _ stamp: UInt64, _ hint: UInt64) -> Bool {
    let sender = (rlocLow.loadRelaxed() ^ rloc.low) | (rlocHigh.loadRelaxed() ^ rloc.high)
    return sender | (self.stamp.loadRelaxed() ^ stamp) & ~Self.sourceIsIPv6 | (self.hint.loadRelaxed() ^ hint) == 0
  }

  /// Whether it is the sender's, of whatever epoch and inner source.
  func isOf(_ rloc: IPv6Address, _ stamp: UInt64) -> Bool {
    let differs = UInt32(truncatingIfNeeded: self.stamp.loadRelaxed() ^ stamp) & ~UInt32(Self.sourceIsIPv6)
    return !slot.isEmpty && differs == 0 && rlocLow.loadRelaxed() == rloc.low && rlocHigh.loadRelaxed() == rloc.high
  }

  func isOfEpoch(_ stamp: UInt64) -> Bool { self.stamp.loadRelaxed() >> 32 == stamp >> 32 }

  /// `inner`: the packet's inner header, which the caller has proven.
  func write(_ rloc: IPv6Address, _ stamp: UInt64, _ hint: UInt64, _ inner: PacketBytes) {
    let isIPv4 = inner.u8(0) >> 4 == 4
    let source = isIPv4 ? IPv6Address(high: 0, low: UInt64(IPv4View(proven: inner).source)) : IPv6View(proven: inner).source
    slot.write {
      self.stamp.store(stamp | (isIPv4 ? 0 : Self.sourceIsIPv6))
      rlocHigh.store(rloc.high)
      rlocLow.store(rloc.low)
      self.hint.store(hint)
      sourceHigh.store(source.high)
      sourceLow.store(source.low)
    }
  }

  func read(unless seen: inout UInt64) -> HeaderHint? {
    let words = slot.read(unless: &seen) {
      (
        stamp: stamp.load(), rloc: IPv6Address(high: rlocHigh.load(), low: rlocLow.load()), hint: hint.load(),
        source: IPv6Address(high: sourceHigh.load(), low: sourceLow.load())
      )
    }
    return words.map { stamp, rloc, hint, source in
      HeaderHint(
        rloc: Self.address(rloc, isIPv6: stamp & Self.rlocIsIPv6 != 0),
        instanceID: InstanceID(truncating: UInt32(truncatingIfNeeded: stamp) >> 8),
        source: Self.address(source, isIPv6: stamp & Self.sourceIsIPv6 != 0), word: hint)
    }
  }

  private static func address(_ address: IPv6Address, isIPv6: Bool) -> IPAddress {
    isIPv6 ? .v6(address) : .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: address.low)))
  }
}

extension HeaderHint {
  /// `word`: as `HintNotes.hint` leaves it.
  fileprivate init(rloc: IPAddress, instanceID: InstanceID, source: IPAddress, word: UInt64) {
    self.init(rloc: rloc, instanceID: instanceID, source: source)
    if word & LISPFlag.locatorStatusBits != 0 {
      statusBits = StatusBits(bits: UInt32(truncatingIfNeeded: word), count: word & LISPFlag.instanceID != 0 ? 8 : 32)
    }
    if word & LISPFlag.nonce != 0 {
      nonce = LISPNonce(UInt32(truncatingIfNeeded: word >> 32), isRequest: word & LISPFlag.echoNonce != 0)
    }
  }
}
