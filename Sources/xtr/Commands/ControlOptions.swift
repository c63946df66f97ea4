// SPDX-License-Identifier: Apache-2.0
//
// The options that all commands share which talk to a running router, and the connection they make of them.

import ArgumentParser
import ControlAPI
import Wire

/// `--socket PATH`.
struct SocketOption: ParsableArguments {
  @Option(name: .customLong("socket"), help: ArgumentHelp("The router's control socket.", valueName: "path"))
  var path = ControlProtocol.defaultPath

  /// Connects and shakes hands.
  func connect() throws(CommandFailure) -> ControlClient {
    do throws(ControlClientError) { return try ControlClient(path: path) } catch { throw CommandFailure(error) }
  }
}

/// `--json`.
struct FormatOption: ParsableArguments {
  @Flag(help: "Print JSON instead of a table.")
  var json = false
}

/// An EID-prefix as an argument: `10.2.0.0/24`, or an address for a host's.
struct PrefixArgument: ExpressibleByArgument {
  let prefix: IPPrefix

  init?(argument: String) {
    guard let prefix = try? IPPrefix(parsing: argument) else { return nil }
    self.prefix = prefix
  }
}

extension MappingAction: ExpressibleByArgument {}

extension ControlClient {
  /// Asks; a refusal or a broken connection becomes the command's failure.
  mutating func ask(_ operation: ControlRequest.Operation) throws(CommandFailure) -> ControlAnswer {
    do throws(ControlClientError) { return try request(operation) } catch { throw CommandFailure(error) }
  }

  /// The failure for an answer to another question.
  func strange() -> CommandFailure {
    CommandFailure(.notUnderstood(path: path, reason: "not the answer to the request"))
  }
}
