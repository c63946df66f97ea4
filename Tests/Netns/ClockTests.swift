// SPDX-License-Identifier: Apache-2.0
//
// The wall clock of running routers and of a running map-server is set, an hour forward and a day back. Time passes as before: nothing ends
// early, nothing lives on, no message is taken for an old one.

import ControlAPI
import Glibc
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite(
    .enabled(if: SteppedClock.library != nil, "libfaketime is missing: apt-get install libfaketime"),
    .enabled(if: MappingSystemLab.has("sqlite3"), "`sqlite3` is missing: apt-get install sqlite3"))
  struct ClockTests {
    private static let hour = 3600
    private static let day = 86_400

    private static var options: MappingSystemLab.Options {
      MappingSystemLab.Options(
        hasSteppedClock: true,
        configureServer: { file, directory in
          file.lines.append("state = \"\(directory)/map-server.sqlite\"")
          file.sites[1].moreSpecifics = true
        },
        configure: { $0.lines = ["state = \"\($0.router.controlSocket).sqlite\""] })
    }

    /// When site B has registered: before, the answer would be no.
    private func subscribe(_ bed: MappingSystemLab) throws {
      try bed.apply("A") { $0.subscriptions = [(1, "10.2.0.0/24")] }
      try waitUntilSubscribed(bed)
    }

    private func waitUntilSubscribed(_ bed: MappingSystemLab) throws {
      try bed.eventually("the subscription") { bed.a.log.contains("subscription to [1]10.2.0.0/24: subscribed") }
    }

    /// The prefixes of `parts` are what site B has registered beside the usual ones. Site A, which has subscribed, is told of each.
    private func registerParts(_ parts: [Int], _ bed: MappingSystemLab) throws {
      let change = ContinuousClock.now
      try bed.apply("B") { $0.router.database += parts.map { (1, "10.2.0.\($0)/32") } }
      try bed.eventually("site A to be told of \(parts)") {
        let known = try bed.a.mappings().map { "\($0.eid.prefix)" }
        return parts.allSatisfy { known.contains("10.2.0.\($0)/32") }
      }
      try bed.eventually("site B's Map-Notify") {
        let rows = try bed.b.registrations()
        return rows.count == 4 + parts.count
          && rows.allSatisfy { $0.state == "registered" && .seconds($0.notifiedSecondsAgo ?? .infinity) < ContinuousClock.now - change }
      }
    }

    /// Everything is there, and for as long as it would be with a clock that nobody sets.
    private func expectRightLifetimes(_ bed: MappingSystemLab, parts: Int, location: SourceLocation = #_sourceLocation) throws {
      let rows = try bed.server.registered()
      #expect(rows.count == 8 + parts, sourceLocation: location)
      for row in rows {
        let left = row.xtrs.map(\.expiresInSeconds)
        // A refresh a minute: two minutes are left at least.
        #expect(left.count == 1 && left.allSatisfy { (100...180).contains($0) }, "\(row)", sourceLocation: location)
        #expect(row.xtrs.allSatisfy { (0...120).contains($0.ageSeconds) }, "\(row)", sourceLocation: location)
      }
      let mapping = try bed.requireMapping("10.2.0.0/24", location)
      #expect((86_300...86_400).contains(mapping.expiresInSeconds ?? 0), "\(mapping)", sourceLocation: location)
      #expect(try bed.server.control().refused.isEmpty, sourceLocation: location)
    }

    /// The programs have noticed: what they write from now on is dated so.
    private func expectOffset(_ offset: Int, _ bed: MappingSystemLab) throws {
      for process in bed.processes {
        process.signal(SIGHUP)
        try bed.eventually("the clock of \(process.name) to be set") {
          SteppedClock.offset(inLastLineOf: process.log).map { abs($0 - offset) < 30 } ?? false
        }
      }
    }

    @Test func `C8 C11 C12 a clock that is set while all run changes nothing for registrations, mappings and subscriptions`() throws {
      try MappingSystemLab.run(Self.options) { bed in
        let clock = try #require(bed.clock)
        try subscribe(bed)
        try bed.warmUp()
        try expectOffset(0, bed)
        let traffic = try bed.traffic()
        var parts: [Int] = []
        for offset in [Self.hour, Self.hour - Self.day] {
          try clock.set(by: offset)
          try expectOffset(offset, bed)
          try expectRightLifetimes(bed, parts: parts.count)
          parts.append(100 + parts.count)
          try registerParts(parts, bed)
          // An EID that nobody has asked for yet.
          #expect(try bed.ping(#require(IPAddress("10.9.\(parts.count).1")), count: 1).received == 0)
          try expectRightLifetimes(bed, parts: parts.count)
        }
        let result = try bed.finish(traffic)
        #expect(result.isClean, "\(result)")
      }
    }

    /// Killed, so that what it knows of the time is what it had written before the step.
    @Test(arguments: [hour, -day])
    func `C8 C11 C12 a map-server and a router that start anew after the clock was set go on where they were`(step: Int) throws {
      try MappingSystemLab.run(Self.options) { bed in
        let clock = try #require(bed.clock)
        try subscribe(bed)
        try registerParts([100], bed)
        try bed.eventually("the rows") { try bed.sql("map-server.sqlite", "SELECT count(*) FROM registrations") == ["9"] }
        let traffic = try bed.traffic()
        try clock.set(by: step)
        try bed.restartServer(by: SIGKILL)
        try expectRightLifetimes(bed, parts: 1)
        let result = try bed.finish(traffic)
        #expect(result.isClean, "\(result)")

        bed.a.stop()
        try bed.a.start()
        try bed.a.waitUntilForwarding()
        try bed.waitUntilRegistered("A")
        try waitUntilSubscribed(bed)
        try registerParts([100, 101], bed)
        try expectOffset(step, bed)
        try expectRightLifetimes(bed, parts: 2)
      }
    }
  }
}
