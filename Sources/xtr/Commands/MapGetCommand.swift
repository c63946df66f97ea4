// SPDX-License-Identifier: Apache-2.0
//
// `xtr map get`: the mapping that packets to an EID use.

import ArgumentParser
import ControlAPI
import Wire

struct MapGetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get",
    abstract: "Show the mapping that packets to an EID use: the longest match.")

  @Argument(help: ArgumentHelp("An EID or EID-prefix.", valueName: "eid"))
  var eid: PrefixArgument

  @Flag(help: "The mapping of exactly this EID-prefix.")
  var exact = false

  @OptionGroup var instance: InstanceOption
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    let instanceID = InstanceID(truncating: UInt32(instance.instanceID))
    var client = try socket.connect()
    let answer = try client.ask(.get(EIDPrefix(instanceID, eid.prefix), exact: exact))
    guard case .mapping(let entry) = answer else { throw client.strange() }
    if format.json {
      print(MappingPrinter.json(entry))
    } else {
      print(MappingPrinter.details(entry))
    }
  }
}
