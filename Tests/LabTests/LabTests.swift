// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import Lab

@Suite(.serialized, .enabled(if: isRoot, "network namespaces need root")) struct LabTests {
  private static func namespaces() throws -> [Substring] { try ChildProcess.run(["ip", "netns", "list"]).split(separator: "\n") }

  @Test func `nothing stays after a tear-down, processes inside neither`() throws {
    let lab = try Lab()
    let inside = try lab.namespace("inside")
    let sleeper = try ChildProcess(["sleep", "1000"], in: inside)
    // One that is deaf to SIGTERM.
    let deaf = try ChildProcess(["sh", "-c", "trap '' TERM; while true; do sleep 1; done"], in: inside)
    try Interruption.wait(for: "both to be inside", atMost: .seconds(2)) { inside.processes().count >= 2 }
    #expect(try Self.namespaces().contains { $0.hasPrefix(inside.identifier) })
    lab.tearDown()
    #expect(!sleeper.isRunning && !deaf.isRunning)
    #expect(try !Self.namespaces().contains { $0.hasPrefix(lab.prefix) })
    #expect(access(lab.directory, F_OK) != 0)
  }

  @Test func `a namespace that a signal left half made goes with the lab`() throws {
    let lab = try Lab()
    // There already, so that making it fails as it does when it is interrupted behind the first step.
    try ChildProcess.run(["ip", "netns", "add", "\(lab.prefix)-half"])
    #expect(throws: LabError.self) { try lab.namespace("half") }
    lab.tearDown()
    #expect(lab.remainders() == [])
  }

  @Test func `what a killed lab left goes at the next start, what a living one has stays`() throws {
    let living = try Lab()
    defer { living.tearDown() }
    let kept = try living.namespace("kept")
    // A process that is gone for sure: one that we have seen end.
    let gone = try ChildProcess(["true"])
    try gone.wait()
    let stale = "xtrlab-\(gone.identifier)-abc-0"
    try ChildProcess.run(["ip", "netns", "add", "\(stale)-hostA1"])
    try ChildProcess.run(["mkdir", "/tmp/\(stale)"])
    try ChildProcess.run(["touch", "/tmp/\(stale)/xtrA.toml"])
    let orphan = try ChildProcess(["sleep", "1000"], in: Namespace(name: "hostA1", identifier: "\(stale)-hostA1"))
    try Interruption.wait(for: "the orphan", atMost: .seconds(2)) {
      !Namespace(name: "hostA1", identifier: "\(stale)-hostA1").processes().isEmpty
    }
    // The same process identifier with another start time is another process: also stale.
    let reborn = "xtrlab-\(getpid())-1-0-hostA1"
    try ChildProcess.run(["ip", "netns", "add", reborn])

    let next = try Lab()
    defer { next.tearDown() }
    let left = try Self.namespaces()
    #expect(!left.contains { $0.hasPrefix(stale) || $0.hasPrefix(reborn) })
    #expect(left.contains { $0.hasPrefix(kept.identifier) })
    #expect(!orphan.isRunning)
    #expect(access("/tmp/\(stale)", F_OK) != 0)
  }

  @Test func `a missing program is told with its package`() {
    #expect { try Lab(needing: ["no-such-program"]) } throws: {
      if case LabError.impossibleHere(let why) = $0 { why.contains("no-such-program") && why.contains("apt-get install") } else { false }
    }
  }
}
