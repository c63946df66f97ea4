// SPDX-License-Identifier: Apache-2.0
//
// Tables and numbers for people.

import ControlAPI
import Testing
import Wire

@testable import xtr

@Suite struct TextTableTests {
  @Test func `columns are aligned and empty cells are dashes`() {
    var table = TextTable(("NAME", .left), ("PACKETS", .right), ("STATE", .left))
    #expect(table.text(empty: "nothing") == "nothing")
    table.add("core0", "12", "up")
    table.add("a-longer-name", "1,234,567,890", "")
    #expect(
      table.text(empty: "") == """
        NAME                 PACKETS  STATE
        core0                     12  up
        a-longer-name  1,234,567,890  –
        """)
  }

  @Test func `numbers are grouped by thousands`() {
    #expect([0, 7, 999, 1000, 1_234_567, -1000, -999].map { grouped($0) } == ["0", "7", "999", "1,000", "1,234,567", "-1,000", "-999"])
    #expect(grouped(UInt64.max) == "18,446,744,073,709,551,615")
  }

  @Test func `durations name their units`() {
    #expect([0, 59, 61, 3_660, 90_000].map { duration(seconds: $0) } == ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"])
    #expect([-.infinity, .infinity, .nan, -5].map { duration(seconds: $0) } == ["0 s", "0 s", "0 s", "0 s"])
  }

  @Test func `status is told in full`() {
    let status = RouterStatus(
      version: "0.1.0", pid: 42, state: .draining, uptimeSeconds: 61, configuration: "site.toml", generation: 7, mappings: 1000,
      databasePrefixes: 2, locators: 3,
      workers: [
        WorkerStatus(
          index: 0, core: nil, queue: 0, loops: 1_000_000, busyPercent: 12.345, sleeps: 5, received: 10, transmitted: 8, dropped: 1,
          punted: 1,
          frames: FrameStatus(free: 4000, fill: 2048, received: 0, transmit: 96, total: 6144, violations: 0))
      ],
      totals: TrafficTotals(
        received: PacketCount(packets: 10, bytes: 640), transmitted: PacketCount(packets: 8, bytes: 800), encapsulated: 5, decapsulated: 3,
        dropped: 1, punted: 1, drops: [ReasonCount(reason: "no-mapping", packets: 1)], punts: []),
      exception: ExceptionStatus(injected: 1, failed: 0, overflowed: 0))
    let text = StatusPrinter.text(status)
    for part in [
      "xtr 0.1.0, process 42: draining for 1 min 1 s, configuration site.toml", "1,000 mappings over 3 locators, 2 own EID-prefixes",
      "any", "12.3", "6,144", "(5 encapsulated, 3 decapsulated)", "dropped      1 packets: no-mapping 1",
      "to kernel    1 packets, 0 refused",
    ] { #expect(text.contains(part), "\(part) in\n\(text)") }
    #expect(text.split(separator: "\n").allSatisfy { $0.last != " " })
  }

  @Test func `events are one line each`() {
    let miss = ControlEvent.miss(instanceID: .zero, eid: .v4(IPv4Address(10, 2, 0, 1)), source: .v4(IPv4Address(10, 1, 0, 5)))
    #expect(MapWatchCommand.text(miss) == "miss       [0]10.2.0.1 from 10.1.0.5")
    #expect(MapWatchCommand.text(.lost(3)) == "lost       3 events: they came faster than they were read")
  }
}
