// SPDX-License-Identifier: Apache-2.0
//
// The engine on plain memory: state, counters, engine and batch in one place. Frames go in, outcomes come out; what lies around
// a frame is guarded.

import Foundation
import Testing
import Wire

@testable import DataPlane

/// What became of one frame.
struct Outcome: Equatable {
  var verdict: Verdict
  var frame: [UInt8]
  var instanceID: UInt32
  /// What the slow path would get, and the largest packet it would name: for punts, and for drops that earn an ICMP error.
  var forSlowPath: [UInt8] = []
  var innerMTU: UInt16 = 0

  /// What follows the Ethernet header.
  var packet: [UInt8] { Array(frame.dropFirst(frame[12] == 0x81 && frame[13] == 0 ? 18 : 14)) }
}

/// Numbers of things in the usual set-up.
enum Port {
  static let site = 0
  static let core = 1
  static let both = 2
  /// Site, with tags only.
  static let tagged = 3
  static let unused = 9
}

final class Rig {
  static let siteMAC = MACAddress(rawValue: 0x0200_0000_5117)
  static let coreMAC = MACAddress(rawValue: 0x0200_0000_C07E)
  static let hostMAC = MACAddress(rawValue: 0x0200_0000_0051)
  static let nextHopMAC = MACAddress(rawValue: 0x0200_0000_0C09)
  static let ownRLOC4 = "192.0.2.1"
  static let ownRLOC6 = "2001:db8:1::1"
  static let peer4 = "198.51.100.2"
  static let peer6 = "2001:db8:2::2"

  let publisher: ForwardingPublisher
  let counters: WorkerCounters
  private var engine: Engine
  private var batch = Batch()
  private var nextCounter: UInt32 = 0
  /// Frames that went in, and verdicts that came out.
  private(set) var sent = 0
  private(set) var verdicts: [UInt16: Int] = [:]

  init(mappingCapacity: UInt32 = 1 << 16, handleCapacity: UInt32 = 1 << 12) throws {
    publisher = try ForwardingPublisher(mappingCapacity: mappingCapacity, handleCapacity: handleCapacity)
    counters = try #require(WorkerCounters())
    engine = Engine(counters: counters)
    publisher.setPort(Port.site, PortState(role: .site, instance: .zero))
    publisher.setPort(Port.core, PortState(role: .core))
    publisher.setPort(Port.both, PortState(role: [.site, .core], instance: .zero))
    try publisher.setOwnRLOCs([Self.ownRLOC4, Self.ownRLOC6].map { try #require(IPAddress($0)) })
  }

  /// The usual two sites: 10.1/16 and 2001:db8:a::/48 are ours, delivered to one host; 10.2/16 and 2001:db8:b::/48 lie behind
  /// `peer`.
  static func twoSites(over peer: String = peer4, instance: UInt32 = 0) throws -> Rig {
    let rig = try Rig()
    try rig.addSites(over: peer, instance: instance)
    rig.publisher.publish()
    return rig
  }

  func addSites(over peer: String, instance: UInt32) throws {
    for eid in ["10.1.0.0/16", "2001:db8:a::/48"] { try local(eid, instance: instance, host: delivery()) }
    for eid in ["10.2.0.0/16", "2001:db8:b::/48"] { try remote(eid, instance: instance, over: [tunnel(to: peer)]) }
  }

  // MARK: - State

  static func eid(_ text: String, _ instance: UInt32 = 0) throws -> EIDPrefix {
    EIDPrefix(InstanceID(truncating: instance), try IPPrefix(parsing: text))
  }

  /// A template for a locator; from our RLOC of its family.
  func tunnel(to peer: String, port: UInt16 = 4341, vlan: UInt16? = nil, isResolved: Bool = true, mtu: Int = 1500) throws -> HeaderTemplate
  {
    let destination = try #require(IPAddress(peer))
    let source = try #require(IPAddress(destination.family == .ipv4 ? Self.ownRLOC4 : Self.ownRLOC6))
    return HeaderTemplate(
      tunnel: HeaderTemplate.Tunnel(source: source, destination: destination, destinationPort: port), port: UInt8(Port.core),
      vlan: vlan.flatMap { VLANID(rawValue: $0) }, sourceMAC: Self.coreMAC, destinationMAC: isResolved ? Self.nextHopMAC : nil, mtu: mtu)
  }

  /// A template for a host of our site.
  func delivery(vlan: UInt16? = nil, isResolved: Bool = true, mtu: Int = 1500) -> HeaderTemplate {
    HeaderTemplate(
      tunnel: nil, port: UInt8(Port.site), vlan: vlan.flatMap { VLANID(rawValue: $0) }, sourceMAC: Self.siteMAC,
      destinationMAC: isResolved ? Self.hostMAC : nil, mtu: mtu)
  }

  /// One of our EID-prefixes; returns its counter.
  @discardableResult
  func local(_ text: String, instance: UInt32 = 0, host: HeaderTemplate? = nil) throws -> UInt32 {
    let choices = try host.map { [LocatorChoice(ordinal: 0, template: try publisher.addTemplate($0), weight: 1)] } ?? []
    return try map(text, instance: instance, to: LocatorSet(.local, choices), locators: 1).counters
  }

  /// A mapping; locators in canonical order, all usable, of equal weight. Returns its first counter and its set.
  @discardableResult
  func remote(_ text: String, instance: UInt32 = 0, over locators: [HeaderTemplate]) throws -> (counters: UInt32, set: SetHandle) {
    let choices = try locators.enumerated().map { i, template in
      LocatorChoice(ordinal: UInt8(i), template: try publisher.addTemplate(template), weight: 1)
    }
    return try map(text, instance: instance, to: LocatorSet(.encapsulate, choices), locators: max(1, choices.count))
  }

  @discardableResult
  func map(_ text: String, instance: UInt32 = 0, to set: LocatorSet, locators: Int = 1) throws -> (counters: UInt32, set: SetHandle) {
    let handle = try publisher.addSet(set)
    let counters = nextCounter
    nextCounter += UInt32(locators)
    try publisher.setMapping(Self.eid(text, instance), set: handle, counters: counters)
    return (counters, handle)
  }

  // MARK: - Traffic

  private static let guardByteCount = 64
  private static let front = guardByteCount + Packet.minimumHeadroom
  private static let untouched = Array(repeating: UInt8(0xA5), count: 4096)

  /// Sends frames in on `port`, in batches of up to 64; returns what became of each.
  @discardableResult
  func send(_ frames: [[UInt8]], port: Int) -> [Outcome] {
    var outcomes: [Outcome] = []
    var rest = frames[...]
    while !rest.isEmpty {
      outcomes += sendBatch(Array(rest.prefix(Batch.capacity)), port: port)
      rest = rest.dropFirst(Batch.capacity)
    }
    return outcomes
  }

  @discardableResult
  func send(_ frame: [UInt8], port: Int) -> Outcome { send([frame], port: port)[0] }

  private func sendBatch(_ frames: [[UInt8]], port: Int) -> [Outcome] {
    let longest = frames.map(\.count).max() ?? 0
    let stride = Self.front + longest + Self.guardByteCount
    let memory = PacketBuffer(capacity: stride * frames.count)
    batch.clear()
    for (i, frame) in frames.enumerated() {
      let place = memory.bytes.base + i * stride + Self.front
      frame.withUnsafeBytes { if let base = $0.baseAddress { place.copyMemory(from: base, byteCount: $0.count) } }
      batch.append(place, byteCount: UInt32(frame.count))
    }
    let before = (engine.tally.encapsulated, engine.tally.decapsulated)
    engine.process(&batch, port: port, root: publisher.root)
    let outcomes = (0..<frames.count).map { i in
      let outcome = batch.outcome(i)
      let start = memory.bytes.base + i * stride
      checkGuards(start, frame: frames[i], room: stride)
      let offset = outcome.frame.base - start
      if offset < Self.guardByteCount || offset + outcome.frame.count > Self.front + frames[i].count {
        Issue.record(
          "\(outcome.verdict): the frame now lies outside its room: \(offset)+\(outcome.frame.count), was \(Self.front)+\(frames[i].count)")
      }
      var result = Outcome(verdict: outcome.verdict, frame: outcome.frame.withBuffer { Array($0) }, instanceID: outcome.instanceID)
      if outcome.verdict.isPunt || outcome.verdict.dropReason?.earnsICMP == true {
        result.forSlowPath = batch[i].forSlowPath.withBuffer { Array($0) }
        result.innerMTU = batch[i].innerMTU
      }
      return result
    }
    account(outcomes, before)
    return outcomes
  }

  /// Nothing may be written before the headroom or behind the frame.
  private func checkGuards(_ start: UnsafeMutableRawPointer, frame: [UInt8], room: Int) {
    let behind = Self.front + frame.count
    let isUntouched = Self.untouched.withUnsafeBytes { untouched in
      guard let untouched = untouched.baseAddress, room - behind <= Self.untouched.count else { return false }
      return memcmp(start, untouched, Self.guardByteCount) == 0 && memcmp(start + behind, untouched, room - behind) == 0
    }
    if isUntouched { return }
    let all = UnsafeRawBufferPointer(start: start, count: room)
    for i in [0..<Self.guardByteCount, behind..<room].joined() where all[i] != 0xA5 {
      Issue.record("written at \(i - Self.front) of a frame of \(frame.count) bytes: \(frame)")
      return
    }
  }

  /// One verdict for every packet, none of them pending; the engine's own tally agrees with the verdicts.
  private func account(_ outcomes: [Outcome], _ before: (UInt64, UInt64)) {
    sent += outcomes.count
    for outcome in outcomes {
      verdicts[outcome.verdict.rawValue, default: 0] += 1
      let kinds = [outcome.verdict.port != nil, outcome.verdict.dropReason != nil, outcome.verdict.puntReason != nil]
      if kinds.filter({ $0 }).count != 1 { Issue.record("not one verdict: \(outcome.verdict)") }
    }
    let forwarded = outcomes.filter {
      $0.verdict.isTransmit || $0.verdict.puntReason == .outerNeighbour || $0.verdict.puntReason == .innerNeighbour
    }
    let counted = engine.tally.encapsulated - before.0 + engine.tally.decapsulated - before.1
    let expired = UInt64(outcomes.filter { $0.verdict.puntReason == .timeExceeded }.count)
    if counted < forwarded.count || counted > UInt64(forwarded.count) + expired {
      Issue.record("\(forwarded.count) packets were rewritten, \(counted) counted")
    }
  }

  /// Packets the engine says it encapsulated and decapsulated.
  var tally: (encapsulated: UInt64, decapsulated: UInt64) { (engine.tally.encapsulated, engine.tally.decapsulated) }

  /// Whether every frame has one verdict in the sums.
  var isConserved: Bool { verdicts.values.reduce(0, +) == sent && verdicts[0] == nil }
}

/// Inner packets of the usual two sites.
extension IPPacket {
  /// From our site to the other one, IPv4.
  static func v4(_ payload: [UInt8] = UDPDatagram(sourcePort: 5001, destinationPort: 53, payload: [1, 2, 3, 4, 5]).octets) -> IPPacket {
    IPPacket(source: "10.1.0.5", destination: "10.2.0.7", payload: payload)
  }

  /// From our site to the other one, IPv6.
  static func v6(_ payload: [UInt8] = UDPDatagram(sourcePort: 5001, destinationPort: 53, payload: [1, 2, 3, 4, 5]).octets) -> IPPacket {
    IPPacket(source: "2001:db8:a::5", destination: "2001:db8:b::7", payload: payload)
  }

  /// From the other site to ours.
  var reply: IPPacket {
    var packet = self
    (packet.source, packet.destination) = (destination, source)
    return packet
  }
}
