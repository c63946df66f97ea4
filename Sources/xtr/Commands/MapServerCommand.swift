// SPDX-License-Identifier: Apache-2.0
//
// `xtr map-server`: reads the configuration and becomes a Map-Server and Map-Resolver. The server itself is in MapServer/.

import ArgumentParser
import Logging

struct MapServerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "map-server",
    abstract: "Run a Map-Server and Map-Resolver.",
    discussion: "SIGHUP reads the file again; SIGTERM ends. What was registered survives a restart if the file names a `state`.")

  @Argument(help: ArgumentHelp("The configuration file.", valueName: "config"), completion: .file(extensions: ["toml"]))
  var file: String

  func run() async throws {
    let configuration: MapServerConfiguration
    do throws(ConfigurationErrors) { configuration = try MapServerConfiguration.load(file: file) } catch { throw CommandFailure(error) }
    LoggingSystem.bootstrap { label in StreamLogHandler.standardError(label: label) }
    var log = Logger(label: "xtr-map-server")
    log.logLevel = configuration.logLevel
    try await runMapServer(configuration, file: file, log: log)
  }
}
