// SPDX-License-Identifier: Apache-2.0
//
// The program: its commands and how it ends. Everything begins here.

import ArgumentParser
import Glibc

@main
struct XTR: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "xtr",
    abstract: "A LISP tunnel router (RFC 9300) at the speed of the network card.",
    discussion: """
      Begin with `xtr demo`: two sites talk through two routers on this machine. Then `xtr check CONFIG` and `xtr run CONFIG`.

      Exit codes: 0 done; 1 failed; 2 unusable arguments or configuration; 77 not possible here (no privilege, kernel too old).
      """,
    version: "xtr \(Version.text)",
    subcommands: [
      RunCommand.self, MapServerCommand.self, LIGCommand.self, CheckCommand.self, DemoCommand.self, MapCommand.self, LocatorCommand.self,
      ShowCommand.self,
    ])

  /// Runs the command that the arguments name. Other than ArgumentParser's own, it knows our exit codes.
  static func main() async {
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch let failure as CommandFailure {
      StandardError.say("xtr: \(failure)")
      Glibc.exit(failure.exitCode)
    } catch {
      end(with: error)
    }
  }

  /// For help and version, which are no errors; for unusable arguments; and for commands that choose their own exit code.
  private static func end(with error: any Error) -> Never {
    let code = exitCode(for: error)
    if code == .success { exit(withError: error) }
    let line = oneLine(for: error)
    if !line.isEmpty { StandardError.say("xtr: \(line)") }
    Glibc.exit(code == .validationFailure ? CommandFailure.unusable : code.rawValue)
  }

  /// What is wrong, and where to read more; without the usage, which fills a screen.
  private static func oneLine(for error: any Error) -> String {
    let what = message(for: error).split(separator: "\n").joined(separator: " ")
    let help = fullMessage(for: error).split(separator: "\n").last { $0.contains("--help") }
    guard let help else { return what }
    return what + ": " + help.drop { $0 == " " }.replacing("See '", with: "see `").replacing("' for more information.", with: "`")
  }
}

extension StandardError {
  /// Writes a line, whole.
  static func say(_ line: String) {
    var standardError = StandardError()
    print(line, to: &standardError)
  }
}
