// SPDX-License-Identifier: Apache-2.0
//
// Why something in the lab did not work. Thrown by everything in this module; `xtr demo` prints the description.

import Glibc

public enum LabError: Error, CustomStringConvertible {
  /// No privilege, or a tool or kernel feature is missing: exit code 77, with the cure.
  case impossibleHere(String)
  /// A system call failed.
  case system(String, errno: Int32)
  /// A command ended with another status than 0; `output` is what it said.
  case command(String, status: String, output: String)
  /// Something did not happen in time.
  case timedOut(String)
  /// What came back is not what was sent.
  case wrongData(String)
  /// SIGINT or SIGTERM came: the lab is being cleared away.
  case interrupted(signal: Int32)

  public var description: String {
    switch self {
    case .impossibleHere(let why): why
    case .system(let call, let code): "\(call): \(String(cString: strerror(code)))"
    case .command(let command, let status, let output):
      "`\(command)` \(status)\(output.isEmpty ? "" : ": " + output.split(separator: "\n").suffix(4).joined(separator: " | "))"
    case .timedOut(let what): "\(what): not in time"
    case .wrongData(let what): what
    case .interrupted(let signal): "interrupted by signal \(signal)"
    }
  }

  /// The error of the system call that just failed.
  static func lastCall(_ name: String) -> LabError { .system(name, errno: errno) }
}
