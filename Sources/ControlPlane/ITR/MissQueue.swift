// SPDX-License-Identifier: Apache-2.0
//
// Packets that wait until their destination's mapping is known, so that nothing is lost for being first. The router puts in what misses
// and takes out what an answer covers; the packets then go through the engine again, in the order in which they came.
//
// Every packet is in two lists at once: that of its EID, and that of all packets by age, whose front is the next to be too old.
//
//     EID → line      10.1.0.1 ──▶ p1 ──▶ p4           10.2.0.9 ──▶ p2 ──▶ p3
//     by age                       p1 ◀──▶ p2 ◀──▶ p3 ◀──▶ p4
//
// Both are links between the places of one array: to put a packet in or take it out touches its neighbours only. The EIDs are in a
// PrefixTrie, which finds those under a prefix.
//
// Bounded thrice: packets of one EID, packets, bytes. A packet that finds a bound reached is dropped; those that wait go on waiting. What
// goes in is taken out, dropped under a reason, or still there: `accepted = taken + Σ drops after acceptance + count` at any moment.

import MapCache
import Wire

/// Why a packet that missed was dropped; raw values are what people and JSON see.
public enum MissDrop: String, Sendable, CaseIterable, Hashable {
  /// As many packets for this EID wait as may.
  case queueFullPrefix = "queue-full-prefix"
  /// As many packets or bytes wait as may.
  case queueFullTotal = "queue-full-total"
  case timedOut = "timed-out"
  /// The mapping system does not answer, or has withdrawn the prefix.
  case unanswered
  /// The answer found no room in the map-cache or in the forwarding table.
  case noRoom = "no-room"
  case tooManyRequests = "too-many-requests"
  case noMapResolver = "no-map-resolver"
}

/// A packet that waits.
public struct WaitingPacket: Hashable, Sendable {
  public var instanceID: InstanceID
  public var destination: IPAddress
  /// The index of the port that it came in on.
  public var port: Int
  /// From its IP header on.
  public var bytes: [UInt8]

  public init(in instance: InstanceID, to destination: IPAddress, port: Int, bytes: [UInt8]) {
    instanceID = instance
    self.destination = destination
    self.port = port
    self.bytes = bytes
  }
}

/// The queue. Thread: slow path (a value type).
public struct MissQueue: Sendable {
  /// What we chose; the counts are those that the documentation promises.
  public struct Limits: Sendable {
    public var packetsPerEID = 64
    public var packets = 4096
    public var bytes = 4 << 20
    /// Longer than three tries of the resolver have to be answered in: nobody waits for a packet that long.
    public var age = Duration.seconds(5)
    public init() {}
  }

  private struct Place: Sendable {
    var packet: WaitingPacket
    var arrivedAt: Instant
    /// Grows with every packet.
    var number: UInt64
    var line: UInt32
    var nextInLine: UInt32?
    var older: UInt32?
    var younger: UInt32?
  }

  /// The packets of one EID.
  private struct Line: Sendable {
    var eid: EIDPrefix
    var first: UInt32
    var last: UInt32
    var count = 1
  }

  private let limits: Limits
  private var places = SlotArray<Place>()
  private var lines = SlotArray<Line>()
  private var index = PrefixTrie()
  private var oldest: UInt32?
  private var youngest: UInt32?
  private var nextNumber: UInt64 = 0

  /// Bytes of packets that wait.
  public private(set) var byteCount = 0
  public private(set) var accepted: UInt64 = 0
  public private(set) var taken: UInt64 = 0
  private var drops: [MissDrop: UInt64] = [:]

  public init(limits: Limits = .init()) { self.limits = limits }

  /// How many packets wait.
  public var count: Int { places.count }

  /// How many were dropped for this reason.
  public func dropped(_ reason: MissDrop) -> UInt64 { drops[reason] ?? 0 }

  /// Counts a packet that does not come in at all.
  public mutating func refuse(_ reason: MissDrop, count: Int = 1) { drops[reason, default: 0] += UInt64(count) }

  /// Puts a packet behind the others of its destination. False: it was dropped and counted. O(bits)
  @discardableResult
  public mutating func append(_ packet: WaitingPacket, now: Instant) -> Bool {
    let eid = EIDPrefix(packet.instanceID, IPPrefix(host: packet.destination))
    let line = index[eid]
    if let line, let count = lines[line]?.count, count >= limits.packetsPerEID {
      refuse(.queueFullPrefix)
      return false
    }
    guard places.count < limits.packets, byteCount + packet.bytes.count <= limits.bytes else {
      refuse(.queueFullTotal)
      return false
    }
    accepted += 1
    byteCount += packet.bytes.count
    nextNumber += 1
    let place = places.insert(
      Place(packet: packet, arrivedAt: now, number: nextNumber, line: 0, nextInLine: nil, older: youngest, younger: nil))
    if let youngest { places[youngest]?.younger = place } else { oldest = place }
    youngest = place
    let standing = stand(place, in: line, eid)
    places[place]?.line = standing
    return true
  }

  /// Puts a place at the end of its line, or begins one; returns the line.
  private mutating func stand(_ place: UInt32, in line: UInt32?, _ eid: EIDPrefix) -> UInt32 {
    guard let line, let last = lines[line]?.last else {
      let line = lines.insert(Line(eid: eid, first: place, last: place))
      index.insert(eid, line)
      return line
    }
    places[last]?.nextInLine = place
    lines[line]?.last = place
    lines[line]?.count += 1
    return line
  }

  /// The packets whose destinations lie in `prefix`, in the order of their arrival; they wait no longer. O(n log n) in their number
  public mutating func take(coveredBy prefix: EIDPrefix) -> [WaitingPacket] {
    let packets = remove(coveredBy: prefix)
    taken += UInt64(packets.count)
    return packets
  }

  /// Drops the packets whose destinations lie in `prefix`; returns them, in the order of their arrival.
  @discardableResult
  public mutating func drop(coveredBy prefix: EIDPrefix, _ reason: MissDrop) -> [WaitingPacket] {
    let packets = remove(coveredBy: prefix)
    if !packets.isEmpty { refuse(reason, count: packets.count) }
    return packets
  }

  /// Drops what has waited too long; returns how many.
  @discardableResult
  public mutating func tick(now: Instant) -> Int {
    var count = 0
    while let place = oldest, let arrivedAt = places[place]?.arrivedAt, arrivedAt + limits.age <= now {
      leaveFrontOfLine(place)
      leave(place)
      count += 1
    }
    if count > 0 { refuse(.timedOut, count: count) }
    return count
  }

  // MARK: - Ways out

  private mutating func remove(coveredBy prefix: EIDPrefix) -> [WaitingPacket] {
    let found = (index[prefix].map { [$0] } ?? []) + index.descendants(of: prefix, limit: .max).map(\.value)
    var packets: [(number: UInt64, packet: WaitingPacket)] = []
    for slot in found {
      guard let line = lines.remove(slot) else { continue }
      index.remove(line.eid)
      var next: UInt32? = line.first
      while let place = next, let left = leave(place) {
        packets.append((left.number, left.packet))
        next = left.nextInLine
      }
    }
    if found.count > 1 { packets.sort { $0.number < $1.number } }
    return packets.map(\.packet)
  }

  /// The oldest packet of all is the first in its line.
  private mutating func leaveFrontOfLine(_ place: UInt32) {
    guard let slot = places[place]?.line, let line = lines[slot] else { return }
    guard let next = places[place]?.nextInLine else {
      lines.remove(slot)
      index.remove(line.eid)
      return
    }
    lines[slot]?.first = next
    lines[slot]?.count -= 1
  }

  /// Takes a packet out of the list by age.
  @discardableResult
  private mutating func leave(_ place: UInt32) -> Place? {
    guard let left = places.remove(place) else { return nil }
    byteCount -= left.packet.bytes.count
    if let older = left.older { places[older]?.younger = left.younger } else { oldest = left.younger }
    if let younger = left.younger { places[younger]?.older = left.older } else { youngest = left.older }
    return left
  }
}
