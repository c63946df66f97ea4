// SPDX-License-Identifier: Apache-2.0
//
// The program as a user or a script meets it: exit codes, one line on standard error, tables and JSON on standard output. Runs the
// built binary; where a router is needed, the fake one of ControlServerTests answers.

import Foundation
import Testing
import Wire

@testable import ControlAPI
@testable import xtr

@Suite(.timeLimit(.minutes(2))) struct CommandTests {
  /// The binary beside the tests'.
  static let binary: String? = {
    let folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    // Some test runners keep their helper elsewhere; the build folder is then among the arguments.
    let folders = [folder] + CommandLine.arguments.map { URL(filePath: $0).deletingLastPathComponent() }
    return folders.map { $0.appending(path: "xtr").path }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  struct Outcome: Sendable {
    var code: Int32
    var output: String
    var errors: String

    /// Lines on standard error.
    var errorLines: [Substring] { errors.split(separator: "\n") }
  }

  private func xtr(_ arguments: String..., input: String = "") async throws -> Outcome {
    let binary = try #require(Self.binary)
    return try await blocking {
      let process = Process()
      process.executableURL = URL(filePath: binary)
      process.arguments = arguments
      let (output, errors, standardInput) = (Pipe(), Pipe(), Pipe())
      (process.standardOutput, process.standardError, process.standardInput) = (output, errors, standardInput)
      try process.run()
      try standardInput.fileHandleForWriting.write(contentsOf: Data(input.utf8))
      try standardInput.fileHandleForWriting.close()
      let text = output.fileHandleForReading.readDataToEndOfFile()
      let errorText = errors.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return Outcome(
        code: process.terminationStatus, output: String(decoding: text, as: UTF8.self), errors: String(decoding: errorText, as: UTF8.self))
    }
  }

  private func file(_ text: String) throws -> String {
    let path = NSTemporaryDirectory() + "xtr-\(getpid())-\(UInt32.random(in: 0...(.max))).toml"
    try Data(text.utf8).write(to: URL(filePath: path))
    return path
  }

  // MARK: Arguments and configuration

  @Test(arguments: [
    ["shw"], ["show"] + ["states"], ["show", "status", "--jsn"], ["run"], ["check"], ["map", "get"], ["map", "get", "10.2.0.1/24"],
    ["map", "add", "10.2.0.0/24"], ["map", "add", "10.2.0.0/24", "--rloc", "192.0.2.2,priority=256"],
    ["map", "add", "10.2.0.0/24", "--rloc", "224.0.0.1"], ["map", "add", "10.2.0.0/24", "--rloc", "192.0.2.2", "--action", "drop"],
    ["map", "add", "10.2.0.0/24", "--action", "reject"], ["map", "list", "--instance-id", "16777216"], ["map", "watch", "births"],
  ])
  func `unusable arguments: one line that says why, and exit code 2`(arguments: [String]) async throws {
    let binary = try #require(Self.binary)
    let outcome = try await blocking {
      let process = Process()
      process.executableURL = URL(filePath: binary)
      process.arguments = arguments
      let errors = Pipe()
      (process.standardOutput, process.standardError) = (FileHandle.nullDevice, errors)
      try process.run()
      let text = errors.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return Outcome(code: process.terminationStatus, output: "", errors: String(decoding: text, as: UTF8.self))
    }
    #expect(outcome.code == 2)
    #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
    #expect(outcome.errors.hasPrefix("xtr: ") && outcome.errors.contains("--help"), "\(outcome.errors)")
  }

  @Test func `help and version are no errors`() async throws {
    let version = try await xtr("--version")
    #expect(version.code == 0 && version.output == "xtr \(Version.text)\n" && version.errors.isEmpty)
    let help = try await xtr("show", "--help")
    #expect(help.code == 0 && help.output.contains("neighbours") && help.errors.isEmpty)
  }

  @Test func `run and check refuse a bad file with exit code 2 and every fault`() async throws {
    let path = try file("[router]\npin = 3\n[[interface]]\nname = \"core0\"\nrole = \"sit\"\n")
    defer { try? FileManager.default.removeItem(atPath: path) }
    for command in ["run", "check"] {
      let outcome = try await xtr(command, path)
      #expect(outcome.code == 2)
      #expect(
        outcome.errors == """
          xtr: \(path):2: router.pin: expected true or false, found 3
          \(path):5: interface[0].role: expected "site", "core" or "both", found "sit"

          """)
    }
    let json = try await xtr("check", path, "--json")
    #expect(json.code == 2)
    let report = try StatusCoding.decode(CheckCommand.Report.self, from: json.output.utf8)
    #expect(!report.valid && report.problems.map(\.line) == [2, 5] && report.problems.map(\.key) == ["router.pin", "interface[0].role"])
  }

  @Test func `check names an interface that is not there, and changes nothing`() async throws {
    let path = try file(ConfigurationTests.ports)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let outcome = try await xtr("check", path)
    #expect(outcome.code == 1 || outcome.code == 77)
    #expect(outcome.output.contains("\(path) is valid: 2 interfaces, 0 own EID-prefixes, 0 mappings"))
    #expect(outcome.output.contains("error: core0: no such interface"))
    #expect(outcome.errorLines.count == 1)
    let json = try await xtr("check", path, "--json")
    let report = try StatusCoding.decode(CheckCommand.Report.self, from: json.output.utf8)
    #expect(report.valid && report.findings.contains { $0.severity == .error && $0.subject == "site0" })
  }

  // MARK: A running router

  @Test func `without a router: exit code 1 and how to start one`() async throws {
    let outcome = try await xtr("show", "status", "--socket", "/tmp/xtr-nobody.sock")
    #expect(outcome.code == 1 && outcome.output.isEmpty)
    #expect(
      outcome.errors
        == "xtr: no router listens at /tmp/xtr-nobody.sock: start one with `xtr run CONFIG`, or name its socket with --socket\n")
  }

  @Test func `map add, get, list and delete through the binary`() async throws {
    let test = try await ServerUnderTest()
    let socket = test.path
    let added = try await xtr(
      "map", "add", "10.2.0.0/24", "--rloc", "192.0.2.2", "--rloc", "2001:db8::2,priority=2,weight=50", "-i", "7", "--socket", socket)
    #expect(added.code == 0 && added.output == "1 mapping is in\n", "\(added)")
    let got = try await xtr("map", "get", "10.2.0.0/24", "-i", "7", "--socket", socket)
    #expect(got.code == 0)
    let lines = got.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(lines.count == 4)
    #expect(lines[1].prefix(5) == ["7", "10.2.0.0/24", "192.0.2.2", "1/100", "up"])
    #expect(lines[2].prefix(3) == ["2001:db8::2", "2/50", "up"])

    let file =
      #"{"eid-prefix":"10.3.0.0/24","action":"drop"}"# + "\n\n" + #"{"eid-prefix":"10.4.0.0/24","rlocs":[{"address":"192.0.2.3"}]}"# + "\n"
    let bulk = try await xtr("map", "add", "--file", "-", "--socket", socket, input: file)
    #expect(bulk.code == 0 && bulk.output == "2 mappings are in\n", "\(bulk)")
    let list = try await xtr("map", "list", "--json", "--socket", socket)
    let objects = try #require(try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [[String: Any]])
    #expect(objects.compactMap { $0["eid-prefix"] as? String } == ["10.3.0.0/24", "10.4.0.0/24", "10.2.0.0/24"])

    #expect(try await xtr("map", "delete", "10.2.0.0/24", "-i", "7", "--socket", socket).output == "1 mapping is gone\n")
    let again = try await xtr("map", "delete", "10.2.0.0/24", "-i", "7", "--socket", socket)
    #expect(again.code == 1 && again.errors == "xtr: no mapping of [7]10.2.0.0/24\n")
    let bad = try await xtr("map", "add", "--file", "-", "--socket", socket, input: "\n{\"eid-prefix\":\"10.2.0.1/24\"}\n")
    #expect(bad.code == 2 && bad.errors.hasPrefix("xtr: -:2: eid-prefix: expected a prefix: 10.2.0.1/24 has bits set"))
    try await test.stop()
  }

  @Test func `show prints tables, and JSON that a program can read`() async throws {
    let test = try await ServerUnderTest()
    let socket = test.path
    let drops = try await xtr("show", "drops", "--socket", socket)
    #expect(drops.code == 0)
    #expect(
      drops.output == """
          PACKETS  REASON      DIRECTION      MEANING
        1,234,567  no-mapping  encapsulation  no way to the EID

        """)
    let json = try await xtr("show", "drops", "--json", "--socket", socket)
    let rows = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]])
    #expect(rows.first?["packets"] as? Int == 1_234_567)
    #expect(try await xtr("show", "interfaces", "--socket", socket).output.hasPrefix("no interfaces\n"))
    #expect(try await xtr("show", "mappings", "--socket", socket).output == "no mappings\n")
    #expect(try await xtr("show", "mappings", "--json", "--socket", socket).output == "[]\n")
    #expect(try await xtr("show", "neighbours", "--socket", socket).output.contains("192.0.2.254  –"))
    #expect(try await xtr("show", "database", "--socket", socket).output.contains("10.1.0.0/24"))
    #expect(
      try await xtr("show", "peers", "--socket", socket).output == """
        RLOC         SECONDS AGO
        192.0.2.2              3
        2001:db8::2           59

        """)
    let peers = try await xtr("show", "peers", "--json", "--socket", socket)
    #expect(try StatusCoding.decode([PeerStatus].self, from: peers.output.utf8).map(\.rloc) == ["192.0.2.2", "2001:db8::2"])
    #expect(peers.output.contains(#""seconds-ago""#))
    let status = try await xtr("show", "status", "--socket", socket)
    #expect(status.code == 1 && status.errors == "xtr: the router is starting\n")
    try await test.stop()
  }

  @Test func `the mapping system is shown in tables and JSON`() async throws {
    let test = try await ServerUnderTest()
    let socket = test.path
    let registrations = try await xtr("show", "registrations", "--socket", socket)
    #expect(
      registrations.output == """
        INSTANCE  EID-PREFIX   SITE    LOCATORS              ANSWERS         XTR                REFRESHED        EXPIRES
               7  10.1.0.0/16  berlin  192.0.2.1 1/100 down  the map-server  192.0.2.1, merges    3 s ago  in 2 min 57 s

        REFUSED OF SITE           LAST  FROM            TIMES  REASON        MEANING
        berlin           1 min 2 s ago  192.0.2.9:4342     10  wrong-key     the keys differ
        (none)                 1 s ago  192.0.2.9:4342      1  unknown-site  no site has it

        """)
    let rows = try await xtr("show", "registrations", "--json", "--socket", socket)
    #expect(try JSONSerialization.jsonObject(with: Data(rows.output.utf8)) is [[String: Any]], "registrations and nothing else")
    let cache = try await xtr("show", "map-cache", "--socket", socket)
    #expect(cache.output.hasPrefix("no mappings\n\nINSTANCE  ASKED FOR"))
    #expect(cache.output.contains("10.2.0.5/32  asking      2       1 s ago  192.0.2.100"))
    let json = try await xtr("show", "map-cache", "--json", "--socket", socket)
    let both = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: [[String: Any]]])
    #expect(both["mappings"]?.isEmpty == true && both["resolutions"]?.first?["tries"] as? Int == 2)
    let probes = try await xtr("show", "probes", "--socket", socket)
    #expect(probes.output.contains("192.0.2.2  up             1.23 ms     4 s ago     4 s ago  in 5 s  yes     It answers probes."))
    let control = try await xtr("show", "control", "--socket", socket)
    #expect(control.output.contains("12,345 control messages received, 7 sent"))
    #expect(control.output.contains("8 could not be sent") && control.output.contains("9 thrown away by the kernel"))
    #expect(control.output.contains("6  replies  Map-Replies sent") && control.output.contains("10  wrong-key     the keys differ"))
    #expect(control.output.contains("3  unknown-nonce  late, doubled or spoofed"))
    #expect(control.output.contains("4  timed-out  nobody answered"))
    #expect(try await xtr("locator", "192.0.2.1", "down", "--socket", socket).code == 0)
    #expect(try await xtr("locator", "192.0.2.1", "sideways", "--socket", socket).code == 2)
    #expect(try await xtr("locator", "nonsense", "down", "--socket", socket).code == 2)
    try await test.stop()
  }

  @Test func `lig says what is wrong with its arguments`() async throws {
    #expect(try await xtr("lig", "nonsense").code == 2)
    #expect(try await xtr("lig", "10.2.0.5", "-i", "16777215").code == 2)
    #expect(try await xtr("lig", "10.2.0.5", "--map-resolver", "nonsense").code == 2)
    let nobody = try await xtr("lig", "10.2.0.5", "--socket", "/nonexistent/xtr.sock")
    #expect(nobody.code == 1 && nobody.errors.contains("/nonexistent/xtr.sock"))
  }

  @Test func `check knows a map-server's file`() async throws {
    let path = NSTemporaryDirectory() + "xtr-check-\(UUID().uuidString).toml"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let text = "[[site]]\nname = \"a\"\nkey = \"k\"\n[[site.eid-prefix]]\neid-prefix = \"10.0.0.0/8\"\n"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    let right = try await xtr("check", path)
    #expect(right.code == 0 && right.output == "\(path) is valid for `xtr map-server`: 1 site, 1 EID-prefix\n")
    try (text + "nonsense = 1\n").write(toFile: path, atomically: true, encoding: .utf8)
    let wrong = try await xtr("check", path)
    #expect(wrong.code == 2 && wrong.errors.contains("nonsense: unknown key"))
    #expect(try await xtr("map-server", path).code == 2)
  }
}
