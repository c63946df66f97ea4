// SPDX-License-Identifier: Apache-2.0
//
// A map-server that ends, well and badly, and comes back; one that is away; one behind a network that loses; and clocks that are set.

import ControlAPI
import Glibc
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct MapServerLifeTests {
    private static let state = "map-server.sqlite"

    private static func options(startsRouters: Bool = true, keeps: Bool = true) -> MappingSystemLab.Options {
      MappingSystemLab.Options(
        startsRouters: startsRouters,
        configureServer: { file, directory in if keeps { file.lines.append("state = \"\(directory)/\(state)\"") } })
    }

    /// What does not change while time passes.
    private func registered(_ bed: MappingSystemLab) throws -> [String] {
      try bed.server.registered().map { "[\($0.instanceID)]\($0.eidPrefix) of \($0.site) at \($0.locators)" }.sorted()
    }

    private static let readsFiles = ConditionTrait.enabled(
      if: MappingSystemLab.has("sqlite3"), "`sqlite3` is missing: apt-get install sqlite3")
    private static let losesPackets = ConditionTrait.enabled(if: MappingSystemLab.has("nft"), "`nft` is missing: apt-get install nftables")

    @Test(readsFiles, arguments: [SIGTERM, SIGKILL])
    func `C11 a map-server that comes back has its registrations at once, and known EIDs never notice`(
      signal: Int32
    ) throws {
      try MappingSystemLab.run(Self.options()) { bed in
        let before = try registered(bed)
        #expect(before.count == 8)
        try bed.eventually("the rows") { try bed.sql(Self.state, "SELECT count(*) FROM registrations") == ["8"] }
        #expect(try bed.ping(.ipv4).isComplete)
        let traffic = try bed.traffic()
        try bed.restartServer(by: signal)
        #expect(try registered(bed) == before)
        #expect(try bed.ping(.ipv6).isComplete, "an EID that was not known before")
        let result = try bed.finish(traffic)
        #expect(result.isClean, "\(result)")
      }
    }

    /// The file is in a small file system of its own.
    @Test(readsFiles) func `C11 while the disk of its file is full a map-server serves, also after a restart, and then writes what it has`()
      throws
    {
      let options = MappingSystemLab.Options(configureServer: { file, directory in
        let disk = "\(directory)/disk"
        _ = try? ChildProcess.run(["sh", "-c", "mkdir \(disk) && mount -t tmpfs -o size=128k tmpfs \(disk)"])
        file.lines.append("state = \"\(disk)/\(Self.state)\"")
        file.sites[1].prefixes.append((1, "10.3.0.0/24"))
      })
      try MappingSystemLab.run(options) { bed in
        let disk = "\(bed.lab.directory)/disk"
        defer { _ = try? ChildProcess.run(["sh", "-c", "umount -l \(disk) && rmdir \(disk)"]) }
        func rows() throws -> [String] { try bed.sql("disk/\(Self.state)", "SELECT count(*) FROM registrations") }
        try bed.eventually("the rows") { try rows() == ["8"] }
        let before = try registered(bed)
        _ = try? ChildProcess.run(["dd", "if=/dev/zero", "of=\(disk)/ballast", "bs=1k"])
        try bed.apply("B") { $0.router.database.append((1, "10.3.0.0/24")) }
        try bed.eventually("a write that fails") { bed.server.log.contains("full: registrations would not survive a restart") }
        #expect(try bed.server.registered().count == 9)
        #expect(try bed.ping(.ipv4).isComplete)

        try bed.restartServer(by: SIGKILL)
        #expect(try registered(bed) == before, "what was on the disk")
        #expect(try bed.ping(.ipv6).isComplete)
        try bed.apply("B")
        try bed.eventually("the withdrawal") { try bed.b.registrations().count == 4 }
        try bed.apply("B") { $0.router.database.append((1, "10.3.0.0/24")) }
        try bed.eventually("the registration") { try bed.server.registered().count == 9 }
        try bed.eventually("another write that fails") { bed.server.log.contains("full: registrations would not survive a restart") }
        try ChildProcess.run(["rm", "\(disk)/ballast"])
        try bed.eventually("the rows that were not written") { try rows() == ["9"] }
        #expect(bed.server.log.contains("state: written again"))
      }
    }

    @Test func `C8 C11 a map-server that has forgotten everything knows the sites again when they register`() throws {
      try MappingSystemLab.run(Self.options(keeps: false)) { bed in
        let before = try registered(bed)
        #expect(try bed.ping(.ipv4).isComplete)
        let traffic = try bed.traffic()
        try bed.restartServer(by: SIGTERM)
        #expect(try registered(bed) == [])
        // What they do once a minute, they also do when what they ask of the server changes.
        for letter in ["A", "B"] { try bed.apply(letter) { $0.serverLines = ["proxy-reply = false"] } }
        try bed.eventually("the registrations") { try registered(bed) == before }
        #expect(try bed.ping(.ipv6).isComplete)
        let mapping = try bed.requireMapping("\(bed.sites.siteB.eidPrefix(.ipv6))")
        #expect(mapping.owner == "\(bed.sites.siteB.rloc(.ipv4))", "without proxy-reply the site itself answers: \(mapping)")
        let result = try bed.finish(traffic)
        #expect(result.isClean, "\(result)")
      }
    }

    @Test func `C1 while no map-server answers, known EIDs are served and packets to others are counted, and it ends with its return`()
      throws
    {
      try MappingSystemLab.run(Self.options()) { bed in
        #expect(try bed.ping(.ipv4).isComplete)
        let traffic = try bed.traffic()
        bed.server.stop()
        #expect(try bed.ping(.ipv6, count: 3).received == 0)
        #expect(try bed.a.resolutions().contains { $0.state == "asking" && $0.nextTryInSeconds != nil })
        try bed.eventually("the packets to be given up") { try bed.a.control().unresolved.count(of: "timed-out") == 3 }
        #expect(try bed.a.control().waiting == 0)

        try bed.server.start()
        try bed.server.waitUntilForwarding()
        let start = ContinuousClock.now
        try bed.eventually("an answer", within: .seconds(30)) { try bed.ping(.ipv6, count: 1).isComplete }
        print("map-server back: a new EID is reached after \(ContinuousClock.now - start)")
        let result = try bed.finish(traffic)
        #expect(result.isClean, "\(result)")
      }
    }

    /// Every third message to the map-server and every third of its own is lost: no row of lucky or unlucky throws.
    @Test(losesPackets) func `C8 C1 registrations and answers come through a network that loses a third of the messages each way`() throws {
      try MappingSystemLab.run(Self.options(startsRouters: false, keeps: false)) { bed in
        try bed.sites.core.execute(
          "nft",
          "add table inet lab; add chain inet lab in { type filter hook input priority 0; }; "
            + "add chain inet lab out { type filter hook output priority 0; }; "
            + "add rule inet lab in udp dport 4342 numgen inc mod 3 0 counter drop; "
            + "add rule inet lab out udp sport 4342 numgen inc mod 3 0 counter drop")
        try bed.startRouters()
        let start = ContinuousClock.now
        for letter in ["A", "B"] { try bed.waitUntilRegistered(letter, within: .seconds(30)) }
        #expect(try registered(bed).count == 8)
        print("a third of the messages lost each way: registered after \(ContinuousClock.now - start)")
        let asked = ContinuousClock.now
        _ = try bed.ping(.ipv4, count: 1)
        try bed.eventually("the mapping", within: .seconds(30)) { try bed.mapping("10.2.0.0/24")?.rlocs.isEmpty == false }
        print("a third of the messages lost each way: a mapping is there after \(ContinuousClock.now - asked)")
        let counters = try bed.sites.core.execute("nft", "list", "table", "inet", "lab").split(separator: "\n").filter {
          $0.contains("counter")
        }
        #expect(counters.count == 2 && !counters.contains { $0.contains("packets 0") }, "\(counters)")
      }
    }

    /// While the link is down the kernel has no way to anybody, and says so at every message.
    @Test func `C8 a router whose core link was down registers and resolves when it is back`() throws {
      try MappingSystemLab.run { bed in
        let router = bed.sites.siteA.router
        try router.ip("link set core down")
        try bed.apply("A") { $0.serverLines = ["proxy-reply = false"] }
        try bed.eventually("messages that cannot leave") { try bed.a.registrations().allSatisfy { $0.state != "registered" } }
        try router.ip("link set core up")
        try router.ip("addr replace \(bed.sites.siteA.rloc(.ipv6))/64 nodad dev core")
        for family in AddressFamily.allCases { try router.ip("route replace default via \(bed.sites.siteA.coreGateway(family))") }
        try bed.waitUntilRegistered("A")
        try bed.eventually("an answer") { try bed.ping(.ipv4).isComplete }
      }
    }

    private static let day: UInt64 = 86_400 << 32

    /// The nonces that the map-server remembers of a site become those of a router whose clock was a day ahead.
    private func advanceNonces(of site: String, _ bed: MappingSystemLab) throws {
      let rows = try bed.sql(Self.state, "SELECT nonces FROM xtrs WHERE site = '\(site)'")
      let row = try #require(rows.count == 1 ? rows.first : nil, "\(rows)")
      let nonces = row.split(separator: " ").map { nonce in
        var parts = nonce.split(separator: ":").compactMap { UInt64($0) }
        if parts.count == 4 { parts[2] += Self.day }
        return parts.map(String.init).joined(separator: ":")
      }
      try bed.sql(Self.state, "UPDATE xtrs SET nonces = '\(nonces.joined(separator: " "))' WHERE site = '\(site)'")
    }

    /// The machine's clock stays as it is; the files of both become what a clock that was a day ahead would have left.
    @Test(readsFiles) func `C8 a router whose clock was set back registers if it keeps its nonces, and is refused if it does not`() throws {
      let options = Self.options(startsRouters: false)
      let state = "router.sqlite"
      try MappingSystemLab.run(options) { bed in
        func start(keeps: Bool) throws {
          try bed.apply("A") { $0.lines = keeps ? ["state = \"\(bed.lab.directory)/\(state)\""] : [] }
          try bed.a.start()
          try bed.a.waitUntilForwarding()
        }
        try start(keeps: true)
        try bed.waitUntilRegistered("A")
        bed.a.stop()
        #expect(try registered(bed) == [], "a router that ends withdraws")
        bed.server.stop()
        try bed.sql(state, "UPDATE nonces SET bound = bound + \(Self.day)")
        try advanceNonces(of: "site-A", bed)
        try bed.server.start()
        try bed.server.waitUntilForwarding()

        try start(keeps: true)
        try bed.waitUntilRegistered("A")
        #expect(try bed.server.control().refused.count(of: "replayed") == 0)
        bed.a.stop()
        try start(keeps: false)
        try bed.eventually("a refusal") { try bed.server.control().refused.count(of: "replayed") > 0 }
        #expect(try registered(bed) == [])
      }
    }
  }
}
