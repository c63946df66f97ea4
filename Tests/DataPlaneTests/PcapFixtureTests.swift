// SPDX-License-Identifier: Apache-2.0
//
// Packet → verdict → packet → counters, with captures that another implementation made (Fixtures/make-fixtures.py): every octet, every
// counter, whatever the size of the batch and the order of the packets.

import Foundation
import TestSupport
import Testing
import Wire

@testable import DataPlane

@Suite struct PcapFixtureTests {
  static let groups = [
    "encapsulate", "encapsulate-refused", "encapsulate-computed-checksum", "encapsulate-compatibility", "decapsulate",
    "decapsulate-refused", "decapsulate-verified-checksum", "decapsulate-uniform",
  ]

  @Test func `the table names all groups, its captures hold what it refers to, and nothing else`() throws {
    let table = try FixtureTable.load()
    #expect(table.groups.map(\.name) == Self.groups)
    for group in table.groups {
      #expect(try FixtureTable.frames("\(group.name)-in").count == group.packets.count)
      let outputs = try FixtureTable.frames("\(group.name)-out")
      #expect(group.packets.compactMap(\.output) == Array(outputs.indices), "\(group.name)")
      let handed = try FixtureTable.frames("\(group.name)-slow-path", linkType: Pcap.rawIP)
      #expect(group.packets.compactMap(\.slowPath) == Array(handed.indices), "\(group.name)")
      #expect(Set(group.packets.map(\.name)).count == group.packets.count)
      #expect(group.packets.allSatisfy { !$0.verdict.hasPrefix("transmit") || $0.output != nil })
      #expect(group.packets.allSatisfy { !$0.verdict.hasPrefix("punt") || $0.slowPath != nil })
    }
    #expect(table.groups.map(\.packets.count).reduce(0, +) >= 600)
  }

  @Test(arguments: groups, [1, 2, 13, 64])
  func `every packet of the captures becomes what another implementation made of it`(group: String, batchSize: Int) throws {
    let run = try FixtureRun(group)
    try run.send(Array(run.group.packets.indices), batchSize: batchSize)
    try run.checkTotals()
  }

  @Test(arguments: groups, [1, 64])
  func `packets of the captures do not depend on what is before and behind them`(group: String, seed: UInt64) throws {
    let run = try FixtureRun(group)
    var random = SplitMix64(seed: seed)
    try run.send(run.group.packets.indices.map { ($0, random.next()) }.sorted { $0.1 < $1.1 }.map(\.0), batchSize: 64)
    try run.checkTotals()
  }
}

/// One group's packets on their way through a router of their own.
private final class FixtureRun {
  let group: FixtureTable.Group
  private let rig: Rig
  private let counters: [FixtureTable.CounterName: UInt32]
  private let frames: [[UInt8]]
  private let outputs: [[UInt8]]
  private let handed: [[UInt8]]
  /// What the router chose for each flow: source port and, over IPv6, flow label.
  private var ports: [String: UInt16] = [:]
  private var labels: [String: UInt32] = [:]

  init(_ name: String) throws {
    let table = try FixtureTable.load()
    group = try table.group(name)
    (rig, counters) = try table.router(group.settings)
    frames = try FixtureTable.frames("\(name)-in")
    outputs = try FixtureTable.frames("\(name)-out")
    handed = try FixtureTable.frames("\(name)-slow-path", linkType: Pcap.rawIP)
    try #require(frames.count == group.packets.count)
  }

  /// Sends packets in this order, port by port, and judges what becomes of them.
  func send(_ order: [Int], batchSize: Int) throws {
    for port in Set(order.map { group.packets[$0].port }).sorted() {
      let places = order.filter { group.packets[$0].port == port }
      for first in stride(from: 0, to: places.count, by: batchSize) {
        let batch = places[first..<min(first + batchSize, places.count)]
        for (place, outcome) in zip(batch, rig.send(batch.map { frames[$0] }, port: port)) { try judge(place, outcome) }
      }
    }
  }

  private func judge(_ place: Int, _ outcome: Outcome) throws {
    let row = group.packets[place]
    let comment = Comment(rawValue: "\(group.name): \(row.name)")
    #expect(outcome.verdict.description == row.verdict, comment)
    guard outcome.verdict.description == row.verdict else { return }
    if let output = row.output {
      expect(outcome.frame, outputs[output], header: outcome.frame.count - outcome.packet.count, flow: row.flow, comment)
    }
    if let slowPath = row.slowPath {
      expect(outcome.forSlowPath, handed[slowPath], header: 0, flow: row.flow, comment)
    }
    if outcome.verdict.dropReason != nil { #expect(outcome.frame == frames[place], "a dropped frame is as it came") }
    if let instance = row.instance { #expect(outcome.instanceID == instance, comment) }
    if let mtu = row.mtu { #expect(outcome.innerMTU == mtu, comment) }
  }

  /// Compares to the last bit. In an encapsulated packet source port and flow label are what the router chose, within its limits: the
  /// same for all packets of a flow. No other octet depends on them but a UDP checksum, whose sum with the port is as expected; the
  /// IPv4 header checksum covers neither.
  private func expect(_ got: [UInt8], _ expected: [UInt8], header: Int, flow: String?, _ comment: Comment) {
    var expected = expected
    if let flow, got.count == expected.count, got.count >= header + 56 {
      let isIPv6 = expected[header] >> 4 == 6
      let udp = header + (isIPv6 ? 40 : 20)
      let port = u16(got, udp)
      #expect(port >= 49152, comment)
      #expect(ports[flow] ?? port == port, comment)
      ports[flow] = port
      if isIPv6 {
        let label = UInt32(got[header + 1] & 0x0F) << 16 | UInt32(u16(got, header + 2))
        #expect(labels[flow] ?? label == label, comment)
        labels[flow] = label
        expected[header + 1] |= got[header + 1] & 0x0F
        expected.replaceSubrange(header + 2..<header + 4, with: got[header + 2..<header + 4])
      }
      if u16(expected, udp + 6) != 0 {
        #expect(u16(got, udp + 6) != 0, comment)
        #expect((Int(port) + Int(u16(got, udp + 6))) % 0xFFFF == (Int(u16(expected, udp)) + Int(u16(expected, udp + 6))) % 0xFFFF, comment)
        expected.replaceSubrange(udp + 6..<udp + 8, with: got[udp + 6..<udp + 8])
      }
      expected.replaceSubrange(udp..<udp + 2, with: got[udp..<udp + 2])
    }
    #expect(got == expected, comment)
  }

  private func u16(_ octets: [UInt8], _ at: Int) -> UInt16 { UInt16(octets[at]) << 8 | UInt16(octets[at + 1]) }

  /// The sums of verdicts, of what was rewritten, and of every counter of the router, those that must be 0 included.
  func checkTotals() throws {
    let totals = group.totals
    #expect(rig.tally == (totals.encapsulated, totals.decapsulated))
    #expect(rig.isConserved)
    let verdicts = rig.verdicts.map { (Verdict(rawValue: $0.key).description, $0.value) }
    #expect(Dictionary(uniqueKeysWithValues: verdicts) == totals.verdicts)
    var sums: [FixtureTable.CounterName: (packets: UInt64, bytes: UInt64)] = [:]
    for sum in totals.counters {
      let name = FixtureTable.CounterName(instance: sum.instance, prefix: sum.prefix, locator: sum.locator)
      try #require(counters[name] != nil)
      sums[name] = (sum.packets, sum.bytes)
    }
    for (name, counter) in counters { #expect(rig.counters.locator(counter) == sums[name] ?? (0, 0), "\(name)") }
    // Different flows take different ports, but for chance.
    if ports.count > 10 { #expect(Set(ports.values).count * 10 > ports.count * 9) }
    if labels.count > 10 { #expect(Set(labels.values).count * 10 > labels.count * 9) }
  }
}
