// SPDX-License-Identifier: Apache-2.0
//
// `xtr map watch`: prints what happens in a running router, a line each, until interrupted or the router ends.

import ArgumentParser
import ControlAPI
import Glibc
import Wire

struct MapWatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch", abstract: "Print what happens, a line each, until Ctrl-C.")

  @Argument(help: "Only these kinds of events.")
  var kinds: [ControlEvent.Kind] = []

  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func run() throws {
    var client = try socket.connect()
    _ = try client.ask(.watch(kinds.isEmpty ? Set(ControlEvent.Kind.allCases) : Set(kinds)))
    do throws(ControlClientError) {
      while let event = try client.nextEvent() {
        print(format.json ? String(decoding: event.line.dropLast(), as: UTF8.self) : Self.text(event))
        // Whoever reads through a pipe wants each line when it happens.
        fflush(nil)
      }
    } catch {
      throw CommandFailure(error)
    }
    throw CommandFailure(.closed(path: socket.path))
  }

  static func text(_ event: ControlEvent) -> String {
    switch event {
    case .miss(let instanceID, let eid, let source):
      "miss       [\(instanceID)]\(eid)" + (source.map { " from \($0)" } ?? "")
    case .add(let mapping, let owner): "add        \(mapping.eid) → \(MappingPrinter.summary(mapping.target)) by \(owner)"
    case .delete(let eid, let owner): "delete     \(eid) of \(owner)"
    case .expired(let eid, let owner): "expired    \(eid) of \(owner)"
    case .reach(let address): "reach      \(address)"
    case .badreach(let address, let reason): "badreach   \(address): \(reason)"
    case .stale(let eid): "stale      \(eid)"
    case .neighbour(let neighbour):
      "neighbour  \(neighbour.address) on \(neighbour.interface): \(neighbour.mac ?? "no link address"), \(neighbour.state)"
    case .lost(let count): "lost       \(count) events: they came faster than they were read"
    }
  }
}

extension ControlEvent.Kind: ExpressibleByArgument {}
