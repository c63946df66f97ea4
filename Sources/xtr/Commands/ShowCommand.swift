// SPDX-License-Identifier: Apache-2.0
//
// `xtr show`: a running router, looked at once. The tables are in StatusPrinter.swift.

import ArgumentParser
import ControlAPI

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Look at a running router or map-server.",
    subcommands: [
      ShowStatusCommand.self, ShowInterfacesCommand.self, ShowMappingsCommand.self, ShowNeighboursCommand.self,
      ShowDropsCommand.self, ShowDatabaseCommand.self, ShowMapCacheCommand.self, ShowRegistrationsCommand.self, ShowProbesCommand.self,
      ShowControlCommand.self, ShowPeersCommand.self,
    ])

  /// Prints `value` as JSON, or as `text`.
  static func printEither(_ format: FormatOption, _ value: some Encodable, _ text: String) {
    print(format.json ? String(decoding: StatusCoding.encode(value, pretty: true), as: UTF8.self) : text)
  }
}

struct ShowStatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "status", abstract: "State, workers, frames and traffic totals.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .status(let status) = try client.ask(.status) else { throw client.strange() }
    ShowCommand.printEither(format, status, StatusPrinter.text(status))
  }
}

struct ShowInterfacesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "interfaces", abstract: "The ports: modes in force, traffic, and what the kernel had to drop.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .interfaces(let rows) = try client.ask(.interfaces) else { throw client.strange() }
    ShowCommand.printEither(format, rows, StatusPrinter.text(rows))
  }
}

struct ShowMappingsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "mappings", abstract: "The same as `xtr map list`.")
  @OptionGroup var list: MapListCommand

  func run() throws { try list.run() }
}

struct ShowNeighboursCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "neighbours", abstract: "The next hops in use, and what they are used by.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .neighbours(let rows) = try client.ask(.neighbours) else { throw client.strange() }
    ShowCommand.printEither(format, rows, StatusPrinter.text(rows))
  }
}

struct ShowDropsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "drops", abstract: "Dropped packets by reason.")
  @Flag(help: "Also the reasons that never occurred; JSON always has them.")
  var all = false
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .drops(let rows) = try client.ask(.drops) else { throw client.strange() }
    ShowCommand.printEither(format, rows, StatusPrinter.text(rows, all: all))
  }
}

struct ShowDatabaseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "database", abstract: "Our own EID-prefixes.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .database(let rows) = try client.ask(.database) else { throw client.strange() }
    ShowCommand.printEither(format, rows, StatusPrinter.text(rows))
  }
}

struct ShowPeersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peers", abstract: "The RLOCs that sent us data in the last minute.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .peers(let rows) = try client.ask(.peers) else { throw client.strange() }
    ShowCommand.printEither(format, rows, StatusPrinter.text(rows))
  }
}
