// SPDX-License-Identifier: Apache-2.0
//
// Keys that change and keys that are wrong; `xtr lig`; and a mapping system that is reached by IPv6 alone.

import ControlAPI
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct MappingSystemKeyTests {
    private static let newKey = "another secret of site A"

    /// The map-server takes these keys from site A.
    private func accept(_ keys: [String], _ bed: MappingSystemLab) throws {
      let applied = Self.count("applied", in: bed.server.log)
      try bed.configureServer { file in
        file.sites[0].key = keys[0]
        file.sites[0].otherKeys = Array(keys.dropFirst())
      }
      try bed.eventually("the map-server to take its file") { Self.count("applied", in: bed.server.log) > applied }
    }

    private static func count(_ word: String, in log: String) -> Int { log.split(separator: "\n").count { $0.contains(word) } }

    private func notifiedSecondsAgo(_ bed: MappingSystemLab) throws -> Double {
      try bed.a.registrations().compactMap(\.notifiedSecondsAgo).max() ?? .infinity
    }

    @Test func `C8 C11 a key is changed without a moment unregistered, and a wrong one is told of by both ends`() throws {
      try MappingSystemLab.run { bed in
        try accept([MapServerFile.key(of: "A"), Self.newKey], bed)
        #expect(try bed.server.registered().count == 8, "what was registered under the old key stays")
        let change = ContinuousClock.now
        try bed.apply("A") { $0.key = Self.newKey }
        try bed.eventually("a Map-Notify under the new key") {
          .seconds(try notifiedSecondsAgo(bed)) < ContinuousClock.now - change
        }
        #expect(try bed.a.registrations().allSatisfy { $0.state == "registered" })
        try accept([Self.newKey], bed)
        #expect(try bed.server.registered().count == 8)
        #expect(try bed.server.control().refused.isEmpty)

        try bed.apply("A") { $0.key = "nobody's" }
        try bed.eventually("the router's word") { try bed.a.registrations().allSatisfy { $0.state == "unanswered" } }
        let row = try #require(try bed.a.registrations().first)
        #expect(row.why.isEmpty == false && bed.a.log.contains("wrong key, unknown site or no path"), "\(row)")
        #expect(try bed.server.control().refused.count(of: "wrong-key") >= 3)
        let refusals = try bed.server.control().siteRefusals
        #expect(refusals.map(\.site) == ["site-A"] && refusals.map(\.reason) == ["wrong-key"], "\(refusals)")
        #expect(refusals.first?.from == "\(bed.sites.siteA.rloc(.ipv4)):4342" && (refusals.first?.count ?? 0) >= 3, "\(refusals)")
        #expect(Self.count("of site site-A", in: bed.server.log) == 1, "a line a minute: \(bed.server.log)")
        #expect(try bed.server.registered().count == 8, "the old registration lasts its time")
      }
    }

    private func lig(_ words: String..., bed: MappingSystemLab) throws -> (code: Int32?, output: String, error: String) {
      let process = try ChildProcess([binaryUnderTest, "lig"] + words, in: bed.sites.siteA.router)
      let code: Int32? = if case .exited(let code) = try process.wait() { code } else { nil }
      return (code, process.standardOutput, process.standardError)
    }

    @Test(arguments: AddressFamily.allCases) func `C13 lig shows what the map-server says of an EID, or that it is nobody's`(
      family: AddressFamily
    ) throws {
      try MappingSystemLab.run(.init(serverFamily: family)) { bed in
        let server = bed.sites.siteA.coreGateway(family)
        // The router is at work: the tool has a port of its own, and knows the resolver from it.
        let found = try lig("10.2.0.10", "-i", "1", "--socket", bed.a.controlSocket, bed: bed)
        #expect(found.code == 0, "\(found)")
        for words in ["\(server) answered in ", "[1]10.2.0.0/24, 1440 min", "\(bed.sites.siteB.rloc(.ipv4))"] {
          #expect(found.output.contains(words), "\(found.output)")
        }
        let absent = try lig("10.9.0.10", "-i", "1", "--map-resolver", server, "--json", bed: bed)
        #expect(absent.code == 0, "\(absent)")
        for words in ["\"answered\" : true", "\"eid-prefix\" : \"10.8.0.0/13\"", "\"action\" : \"native-forward\"", "\"tries\" : 1"] {
          #expect(absent.output.contains(words), "\(absent.output)")
        }
      }
    }

    @Test func `C11 a map-server answers in a family whose address came after its start`() throws {
      try MappingSystemLab.run(.init(startsRouters: false)) { bed in
        let sites = [bed.sites.siteA, bed.sites.siteB]
        for site in sites { try bed.sites.core.ip("addr del \(site.coreGateway(.ipv6))/64 dev \(site.coreSideInterface)") }
        bed.server.stop()
        try bed.server.start()
        try bed.server.waitUntilForwarding()
        #expect(try bed.server.control().addresses == sites.map { $0.coreGateway(.ipv4) }.sorted())
        for site in sites { try bed.sites.core.ip("addr add \(site.coreGateway(.ipv6))/64 nodad dev \(site.coreSideInterface)") }
        try bed.eventually("the new addresses") { try bed.server.control().addresses.count == 4 }
        let answer = try lig("10.9.0.10", "-i", "1", "--map-resolver", bed.sites.siteA.coreGateway(.ipv6), "--json", bed: bed)
        #expect(answer.code == 0 && answer.output.contains("\"answered\" : true"), "\(answer)")
        #expect(try bed.server.control().refused.isEmpty)
      }
    }

    @Test func `C13 lig fails where nobody answers`() throws {
      try MappingSystemLab.run(.init(startsRouters: false)) { bed in
        bed.server.stop()
        let silent = try lig("10.2.0.10", "--map-resolver", bed.sites.siteA.coreGateway(.ipv4), "--json", bed: bed)
        #expect(silent.code == 1 && silent.output.contains("\"answered\" : false"), "\(silent)")
        #expect(silent.error.contains("did not answer"), "\(silent)")
      }
    }

    @Test func `C2 C8 a mapping system by IPv6 alone registers, resolves and answers`() throws {
      var options = MappingSystemLab.Options(rlocFamily: .ipv6, serverFamily: .ipv6)
      options.configure = { settings in
        let rloc = settings.rlocs[.ipv6].map { "\"\($0)\"" } ?? ""
        settings.router.interfaces[0].lines = ["rlocs = [\(rloc)]"]
      }
      try MappingSystemLab.run(options) { bed in
        try bed.warmUp()
        let (own, server) = ("\(bed.sites.siteA.rloc(.ipv6))", bed.sites.siteA.coreGateway(.ipv6))
        #expect(try bed.a.control().addresses == [own] && bed.a.control().mapResolvers == [server])
        #expect(try bed.a.registrations().allSatisfy { $0.mapServer == server })
        for family in AddressFamily.allCases {
          let mapping = try bed.requireMapping("\(bed.sites.siteB.eidPrefix(family))")
          #expect(mapping.owner == server && mapping.rlocs == ["\(bed.sites.siteB.rloc(.ipv6))"], "\(mapping)")
        }
      }
    }
  }
}
