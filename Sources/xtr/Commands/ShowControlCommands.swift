// SPDX-License-Identifier: Apache-2.0
//
// `xtr show map-cache`, `registrations`, `probes` and `control`: the mapping system as a router sees it, or a map-server. The tables are in
// ControlPrinter.swift.

import ArgumentParser
import ControlAPI
import Wire

struct ShowMapCacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "map-cache", abstract: "The mappings, and the requests to the mapping system: the last ones and those under way.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .resolutions(let resolutions) = try client.ask(.resolutions) else { throw client.strange() }
    var table = MappingPrinter.table()
    var lines: [String] = []
    do throws(ControlClientError) {
      try client.forEachMapping { entry in
        if format.json { lines.append(MappingPrinter.json(entry)) } else { MappingPrinter.add(entry, to: &table) }
      }
    } catch {
      throw CommandFailure(error)
    }
    guard format.json else {
      return print(table.text(empty: "no mappings") + "\n\n" + ControlPrinter.text(resolutions))
    }
    let requests = String(decoding: StatusCoding.encode(resolutions, pretty: true), as: UTF8.self)
    print("{\n\"mappings\": [\n\(lines.joined(separator: ",\n"))\n],\n\"resolutions\": \(requests)\n}")
  }
}

struct ShowRegistrationsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "registrations", abstract: "A router's EID-prefixes at its map-servers, or what a map-server has registered.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    var registered: [RegisteredEntry] = []
    var after: EIDPrefix?
    repeat {
      switch try client.ask(.registrations(after: after, limit: ControlProtocol.defaultPageSize)) {
      case .registrations(let rows): return ShowCommand.printEither(format, rows, ControlPrinter.text(rows))
      case .registered(let rows, let next):
        registered += rows
        after = next
      default: throw client.strange()
      }
    } while after != nil
    var text = ControlPrinter.text(registered)
    // In JSON they are in the answer to `show control` only: this one is an array of registrations.
    if !format.json, case .control(let status) = try client.ask(.control), !status.siteRefusals.isEmpty {
      text += "\n\n" + ControlPrinter.text(status.siteRefusals)
    }
    ShowCommand.printEither(format, registered, text)
  }
}

struct ShowProbesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probes", abstract: "The locators in use: whether each answers, and why packets go to it or do not.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .probes(let rows) = try client.ask(.probes) else { throw client.strange() }
    ShowCommand.printEither(format, rows, ControlPrinter.text(rows))
  }
}

struct ShowControlCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "control", abstract: "Control messages in and out, those refused by reason, and packets that wait for a mapping.")
  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    guard case .control(let status) = try client.ask(.control) else { throw client.strange() }
    ShowCommand.printEither(format, status, ControlPrinter.text(status))
  }
}
