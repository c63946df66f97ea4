// SPDX-License-Identifier: Apache-2.0
//
// `xtr demo`: two sites and two routers in network namespaces, real traffic between them, and the truth about it. The work is in Demo/.

import ArgumentParser
import ControlAPI
import Glibc
import Lab

struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Show two LISP sites talking through two xtr routers on this machine.",
    discussion: """
      Builds two sites with two tenants each in network namespaces, starts two routers, and sends pings, a TCP transfer and UDP at a \
      rate for IPv4 and IPv6 EIDs over IPv4 and IPv6 RLOCs. Needs root. Nothing of it stays, after Ctrl-C neither.
      """)

  @Flag(help: "Print the result as JSON.")
  var json = false

  @Flag(help: "Leave the lab up after the checks, until Ctrl-C, and say how to enter it.")
  var keep = false

  @Flag(help: "Smaller transfers: a few seconds in all.")
  var quick = false

  func run() async throws {
    Interruption.install()
    let progress = DemoProgress(isQuiet: json)
    do {
      try Lab.checkPossible(needing: DemoLab.programs)
      let demo = Demo(binary: try Self.ownPath(), size: quick ? .quick : .full, progress: progress)
      if !json { print("\nxtr demo: two LISP sites, in each two tenants that use the same addresses\n\n\(TwoSites.picture)\n") }
      fflush(nil)
      let report = try demo.run { lab, report in
        progress.clear()
        if json { print(String(decoding: StatusCoding.encode(report, pretty: true), as: UTF8.self)) } else { print(report.text) }
        if keep { Self.stay(in: lab) }
      }
      if !json { print(report.verdict) }
      throw report.failedChecks == 0 ? ExitCode.success : ExitCode.failure
    } catch let error as LabError {
      progress.clear()
      throw Self.explain(error)
    }
  }

  /// The program that runs now, also when its file has been replaced since.
  private static func ownPath() throws(LabError) -> String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    guard count > 0 else { throw .system("readlink /proc/self/exe", errno: errno) }
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func stay(in lab: DemoLab) {
    print(lab.invitation)
    fflush(nil)  // into a pipe or file print writes late
    while Interruption.signalNumber == nil { try? Interruption.sleep(.seconds(3600)) }
  }

  /// One line, and the exit code that goes with it.
  private static func explain(_ error: LabError) -> ExitCode {
    var standardError = StandardError()
    switch error {
    case .impossibleHere(let why):
      print("xtr demo: not possible here: \(why)", to: &standardError)
      return ExitCode(77)
    case .interrupted(let signal):
      print("xtr demo: interrupted; everything is removed", to: &standardError)
      return ExitCode(128 + signal)
    case .system, .command, .timedOut, .wrongData:
      print("xtr demo: \(error)", to: &standardError)
      return ExitCode(1)
    }
  }
}

/// write(2) to descriptor 2: `stderr` is a mutable global that Swift 6 refuses.
struct StandardError: TextOutputStream {
  mutating func write(_ text: String) {
    var rest = text.utf8[...]
    while !rest.isEmpty {
      let count = Array(rest).withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}
