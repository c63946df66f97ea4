// SPDX-License-Identifier: Apache-2.0
//
// `xtr map`: the mapping table of a running router. One file per subcommand: Map….swift.

import ArgumentParser

struct MapCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "map",
    abstract: "Look at and change the mappings of a running router.",
    subcommands: [MapAddCommand.self, MapDeleteCommand.self, MapGetCommand.self, MapListCommand.self, MapWatchCommand.self])
}

/// `--instance-id N`.
struct InstanceOption: ParsableArguments {
  @Option(name: [.customLong("instance-id"), .customShort("i")], help: ArgumentHelp("The instance ID.", valueName: "number"))
  var instanceID = 0

  func validate() throws {
    guard (0...0xFF_FFFF).contains(instanceID) else {
      throw ValidationError("--instance-id: expected an integer in 0…16777215, found \(instanceID)")
    }
  }
}
