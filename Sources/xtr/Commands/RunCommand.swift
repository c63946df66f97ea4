// SPDX-License-Identifier: Apache-2.0
//
// `xtr run`: reads the configuration and becomes the router. The router itself is in Router/.

import ArgumentParser
import ControlAPI
import Logging

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run the router.",
    discussion: "SIGHUP reads the file again without dropping a packet; SIGTERM ends, and restores what was changed.")

  @Argument(help: ArgumentHelp("The configuration file.", valueName: "config"), completion: .file(extensions: ["toml"]))
  var file: String

  func run() async throws {
    let configuration: Configuration
    do throws(ConfigurationErrors) { configuration = try Configuration.load(file: file) } catch { throw CommandFailure(error) }
    LoggingSystem.bootstrap { label in StreamLogHandler.standardError(label: label) }
    var log = Logger(label: "xtr")
    log.logLevel = configuration.router.logLevel
    try await runRouter(configuration, file: file, log: log)
  }
}
