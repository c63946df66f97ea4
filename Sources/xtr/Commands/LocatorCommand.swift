// SPDX-License-Identifier: Apache-2.0
//
// `xtr locator`: the operator's word about a locator, which goes before what probes and ICMP say.

import ArgumentParser
import ControlAPI
import Wire

struct LocatorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "locator", abstract: "Declare a locator up or down, or leave it to the router again.",
    discussion: "For maintenance: packets take the mappings' other locators. The word holds until it is taken back or the router ends.")

  @Argument(help: ArgumentHelp("The locator.", valueName: "address"))
  var address: String

  @Argument(help: ArgumentHelp("up, down or auto.", valueName: "state"))
  var state: LocatorWord

  @OptionGroup var socket: SocketOption

  func validate() throws {
    guard IPAddress(address) != nil else { throw ValidationError("expected an address such as 192.0.2.1, found \(address)") }
  }

  func run() throws {
    guard let locator = IPAddress(address) else { return }
    var client = try socket.connect()
    guard case .done = try client.ask(.locator(locator, state)) else { throw client.strange() }
  }
}

extension LocatorWord: ExpressibleByArgument {}
