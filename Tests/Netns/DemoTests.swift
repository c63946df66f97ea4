// SPDX-License-Identifier: Apache-2.0
//
// `xtr demo` as its user meets it: what it says, how it ends, and that nothing of it stays.

import Glibc
import Lab
import Testing

extension MappingSystemNetns {
  @Suite struct DemoTests {
    /// Namespaces, directories and routers of the demo process `owner`.
    private static func remains(of owner: pid_t) throws -> [Substring] {
      let mark = "xtrlab-\(owner)-"
      let namespaces = try ChildProcess.run(["ip", "netns", "list"]).split(separator: "\n")
      let files = try ChildProcess.run(["ls", "/tmp"]).split(separator: "\n")
      let processes = try ChildProcess.run(["ps", "-eo", "args"]).split(separator: "\n").filter { $0.contains(" run /tmp/") }
      return (namespaces + files + processes).filter { $0.contains(mark) }
    }

    @Test func `all checks pass, the last line says so, and nothing stays`() throws {
      let demo = try ChildProcess([binaryUnderTest, "demo", "--quick"])
      let status = try demo.wait(atMost: .seconds(120))
      #expect(status == .exited(0), "\(demo.standardOutput)\(demo.standardError)")
      #expect(demo.standardOutput.split(separator: "\n").last == "demo: all checks passed")
      #expect(!demo.standardError.contains("\u{1B}"), "no terminal, no drawing")
      #expect(try Self.remains(of: demo.identifier) == [])
    }

    @Test func `JSON is JSON and nothing else`() throws {
      let demo = try ChildProcess([binaryUnderTest, "demo", "--quick", "--json"])
      #expect(try demo.wait(atMost: .seconds(120)) == .exited(0))
      #expect(demo.standardOutput.hasPrefix("{") && demo.standardOutput.contains("\"failed-checks\" : 0"))
      #expect(demo.standardError == "")
    }

    @Test(arguments: zip([100, 400, 900, 2000, 3500], [SIGINT, SIGTERM, SIGINT, SIGTERM, SIGINT]))
    func `a signal at any time leaves nothing`(
      milliseconds: Int, signal: Int32
    ) throws {
      let demo = try ChildProcess([binaryUnderTest, "demo"])
      try Interruption.sleep(.milliseconds(milliseconds))
      demo.signal(signal)
      #expect(try demo.wait(atMost: .seconds(15)) == .exited(128 + signal))
      #expect(demo.standardError.hasSuffix("interrupted; everything is removed\n"), "\(demo.standardError)")
      #expect(try Self.remains(of: demo.identifier) == [])
    }

    @Test func `what a SIGKILL leaves is removed by the next start, routers too`() throws {
      let demo = try ChildProcess([binaryUnderTest, "demo"])
      try Interruption.wait(for: "routers", atMost: .seconds(10)) { () throws(LabError) in
        demo.standardError.contains("[4/")
      }
      demo.signal(SIGKILL)
      try demo.wait()
      #expect(try Self.remains(of: demo.identifier) != [])
      let lab = try Lab()
      defer { lab.tearDown() }
      #expect(try Self.remains(of: demo.identifier) == [])
    }

    @Test func `without root it is one line and status 77`() throws {
      // A copy where everyone may read it: the build directory need not be.
      let lab = try Lab()
      defer { lab.tearDown() }
      let copy = "\(lab.directory)/xtr"
      try ChildProcess.run(["cp", binaryUnderTest, copy])
      try ChildProcess.run(["chmod", "755", lab.directory, copy])
      let demo = try ChildProcess(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "demo"])
      #expect(try demo.wait() == .exited(77))
      #expect(demo.standardError.split(separator: "\n").count == 1 && demo.standardError.contains("root"), "\(demo.standardError)")
    }

    @Test func `a kept lab says how to enter it, and goes with Ctrl-C`() throws {
      let demo = try ChildProcess([binaryUnderTest, "demo", "--quick", "--keep"])
      try Interruption.wait(for: "the invitation", atMost: .seconds(120)) { () throws(LabError) in
        demo.standardOutput.contains("ip netns exec") || !demo.isRunning
      }
      let command = try #require(demo.standardOutput.split(separator: "\n").first { $0.contains("ping 10.2.0.10") })
      try ChildProcess.run(["sh", "-c", "\(command) -c 2"])
      let show = try #require(demo.standardOutput.split(separator: "\n").first { $0.contains("xtr show status") })
      let words = show.split(separator: " ").dropFirst().map(String.init)
      #expect(try ChildProcess.run([binaryUnderTest] + words).contains("forwarding"))
      demo.signal(SIGINT)
      #expect(try demo.wait(atMost: .seconds(15)) == .exited(0))
      #expect(try Self.remains(of: demo.identifier) == [])
    }
  }
}
