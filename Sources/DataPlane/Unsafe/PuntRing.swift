// SPDX-License-Identifier: Apache-2.0
//
// From a worker to the slow path: a ring of packet copies, one producer, one consumer. Punted packets are copied, so that a
// frame never leaves its worker: whatever the slow path does, frames stay conserved.
//
//     head (consumer)        tail (producer)
//        │                      │
//     ───┴──────────────────────┴──────▶   slot = number mod slotCount, 4 KiB each:
//                                          { byteCount u32, instance u32, kind u8, port u8, mtu u16 } in 16 bytes, then the packet
//
// I1  The producer writes slots in [tail, head + slotCount) only, the consumer reads [head, tail) only.
// I2  tail is stored with release after the slot is written; head after it was read.

import PrefixTable
import Wire

/// Why a packet is in the punt ring: handed over for good, or a copy of a dropped one whose source is to be told.
public enum PuntKind: Equatable, Sendable {
  case punt(PuntReason)
  case notice(DropReason)

  @inline(__always) init?(code: UInt8) {
    if code & 0x80 == 0 {
      guard let reason = PuntReason(rawValue: code) else { return nil }
      self = .punt(reason)
    } else {
      guard let reason = DropReason(rawValue: code & 0x7F) else { return nil }
      self = .notice(reason)
    }
  }

  @inline(__always) var code: UInt8 {
    switch self {
    case .punt(let reason): reason.rawValue
    case .notice(let reason): 0x80 | reason.rawValue
    }
  }
}

/// Thread: `push` by one worker, `pop` by the slow path.
@safe public final class PuntRing: @unchecked Sendable {
  /// What the consumer gets to see; the bytes are valid during the call only.
  public struct Item: Sendable {
    public var kind: PuntKind
    public var port: Int
    public var instanceID: InstanceID
    /// For notices of packets that were too big: the largest that would have gone through. Else 0.
    public var mtu: Int
    /// From an IP header on.
    public var packet: PacketBytes

    public init(kind: PuntKind, port: Int, instanceID: InstanceID, mtu: Int = 0, packet: PacketBytes) {
      self.kind = kind
      self.port = port
      self.instanceID = instanceID
      self.mtu = mtu
      self.packet = packet
    }
  }

  static let slotCount: UInt64 = 512
  static let slotByteCount = 4096
  /// The longest packet that fits.
  public static let maximumPacketByteCount = slotByteCount - headerByteCount
  private static let headerByteCount = 16
  /// The indices live before the slots, each on a line of its own.
  private static let slotsAt = 4096

  private let memory: ReservedMemory

  /// nil when the address space is refused. 2 MiB, used as it fills.
  public init?() {
    guard let memory = ReservedMemory(byteCount: Self.slotsAt + Int(Self.slotCount) * Self.slotByteCount) else { return nil }
    self.memory = memory
  }

  // SAFETY: inside the reserved memory; zero pages are valid words.
  private var head: AtomicWord { unsafe AtomicWord(at: memory.base) }
  private var tail: AtomicWord { unsafe AtomicWord(at: memory.base + 128) }

  private func slot(_ number: UInt64) -> UnsafeMutableRawPointer {
    unsafe memory.base + (Self.slotsAt + Int(number % Self.slotCount) * Self.slotByteCount)
  }

  /// Copies a packet into the ring; false when it is full or the packet too long.
  @inline(never)
  public func push(_ kind: PuntKind, port: Int, instanceID: UInt32, mtu: UInt16 = 0, _ packet: PacketBytes) -> Bool {
    let at = tail.loadRelaxed()
    guard at &- head.load() < Self.slotCount, packet.count <= Self.maximumPacketByteCount else { return false }
    // SAFETY: I1; header and packet fit the slot.
    let slot = unsafe slot(at)
    unsafe slot.storeBytes(of: UInt32(packet.count), as: UInt32.self)
    unsafe slot.storeBytes(of: instanceID, toByteOffset: 4, as: UInt32.self)
    unsafe slot.storeBytes(of: kind.code, toByteOffset: 8, as: UInt8.self)
    unsafe slot.storeBytes(of: UInt8(truncatingIfNeeded: port), toByteOffset: 9, as: UInt8.self)
    unsafe slot.storeBytes(of: mtu, toByteOffset: 10, as: UInt16.self)
    unsafe (slot + Self.headerByteCount).copyMemory(from: packet.base, byteCount: packet.count)
    tail.store(at &+ 1)
    return true
  }

  /// Whether more than half the slots are taken: notices then stay away.
  public var isHalfFull: Bool { tail.loadRelaxed() &- head.loadRelaxed() > Self.slotCount / 2 }

  /// Hands at most `limit` packets to `body`, oldest first; returns how many.
  public func pop(limit: Int, _ body: (Item) -> Void) -> Int {
    var at = head.loadRelaxed()
    let end = min(tail.load(), at &+ UInt64(limit))
    var count = 0
    while at != end {
      // SAFETY: I1.
      let slot = unsafe slot(at)
      let byteCount = unsafe Int(slot.load(as: UInt32.self))
      if let kind = unsafe PuntKind(code: slot.load(fromByteOffset: 8, as: UInt8.self)) {
        body(
          Item(
            kind: kind, port: Int(unsafe slot.load(fromByteOffset: 9, as: UInt8.self)),
            instanceID: InstanceID(truncating: unsafe slot.load(fromByteOffset: 4, as: UInt32.self)),
            mtu: Int(unsafe slot.load(fromByteOffset: 10, as: UInt16.self)),
            packet: unsafe PacketBytes(base: slot + Self.headerByteCount, count: byteCount)))
      }
      at &+= 1
      count += 1
      head.store(at)
    }
    return count
  }
}
