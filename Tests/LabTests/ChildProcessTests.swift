// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Lab

@Suite struct ChildProcessTests {
  @Test func `output of any size is kept, both streams apart`() throws {
    let process = try ChildProcess(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo oops >&2"])
    #expect(try process.wait() == .exited(0))
    #expect(process.standardOutput.utf8.count == 3_000_000)
    #expect(process.standardError == "oops\n")
  }

  @Test func `another status than 0 is an error with what was said`() {
    #expect { try ChildProcess.run(["sh", "-c", "echo broken >&2; exit 3"]) } throws: {
      "\($0)".contains("status 3") && "\($0)".contains("broken")
    }
  }

  @Test func `a program that is not there is an error`() {
    #expect(throws: LabError.self) { try ChildProcess(["/no/such/program"]) }
  }

  @Test func `one that takes too long is ended`() throws {
    let process = try ChildProcess(["sleep", "1000"])
    #expect(throws: LabError.self) { try process.wait(atMost: .milliseconds(50)) }
    #expect(process.exitStatus == .killed(signal: SIGTERM))
  }

  @Test func `one that ignores SIGTERM is killed after its grace`() throws {
    let process = try ChildProcess(["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"])
    Interruption.pause(.milliseconds(100))
    #expect(process.stop(grace: .milliseconds(100)) == .killed(signal: SIGKILL))
  }
}
