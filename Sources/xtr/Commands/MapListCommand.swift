// SPDX-License-Identifier: Apache-2.0
//
// `xtr map list` (and `xtr show mappings`, which is the same): all mappings of a running router.

import ArgumentParser
import ControlAPI
import Wire

struct MapListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the mappings, each with its locators, its counters and its owner.")

  @Option(name: [.customLong("instance-id"), .customShort("i")], help: ArgumentHelp("Of one instance only.", valueName: "number"))
  var instanceID: Int?

  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func validate() throws {
    if let instanceID, !(0...0xFF_FFFF).contains(instanceID) {
      throw ValidationError("--instance-id: expected an integer in 0…16777215, found \(instanceID)")
    }
  }

  func run() throws {
    let instance = instanceID.map { InstanceID(truncating: UInt32($0)) }
    var client = try socket.connect()
    do throws(ControlClientError) {
      if format.json { try printJSON(&client, instance) } else { try printTable(&client, instance) }
    } catch {
      throw CommandFailure(error)
    }
  }

  private func printTable(_ client: inout ControlClient, _ instance: InstanceID?) throws(ControlClientError) {
    var table = MappingPrinter.table()
    try client.forEachMapping(instance: instance) { MappingPrinter.add($0, to: &table) }
    print(table.text(empty: "no mappings"))
  }

  /// One array, an entry a line, written as the pages come.
  private func printJSON(_ client: inout ControlClient, _ instance: InstanceID?) throws(ControlClientError) {
    var separator = "[\n"
    try client.forEachMapping(instance: instance) { entry in
      print(separator + MappingPrinter.json(entry), terminator: "")
      separator = ",\n"
    }
    print(separator == ",\n" ? "\n]" : "[]")
  }
}
