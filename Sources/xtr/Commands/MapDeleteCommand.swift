// SPDX-License-Identifier: Apache-2.0
//
// `xtr map delete`: takes mappings away, each by its exact EID-prefix.

import ArgumentParser
import ControlAPI
import Wire

struct MapDeleteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Take mappings away, by their exact EID-prefixes; all or none.")

  @Argument(help: ArgumentHelp("The EID-prefixes.", valueName: "eid-prefix"))
  var eids: [PrefixArgument]

  @OptionGroup var instance: InstanceOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    let instanceID = InstanceID(truncating: UInt32(instance.instanceID))
    var client = try socket.connect()
    let answer = try client.ask(.delete(eids.map { EIDPrefix(instanceID, $0.prefix) }))
    guard case .changed(let count) = answer else { throw client.strange() }
    print(count == 1 ? "1 mapping is gone" : "\(grouped(count)) mappings are gone")
  }
}
