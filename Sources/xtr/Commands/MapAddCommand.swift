// SPDX-License-Identifier: Apache-2.0
//
// `xtr map add`: one mapping from the arguments, or many from a file in one atomic change.

import ArgumentParser
import ControlAPI
import Wire

struct MapAddCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add",
    abstract: "Put mappings in; one of the same EID-prefix is replaced.",
    discussion: """
      xtr map add 10.2.0.0/24 --rloc 192.0.2.2 --rloc 2001:db8::2,priority=2,weight=50
      xtr map add 10.9.0.0/16 --action native-forward
      xtr map add --file mappings.jsonl
        one mapping a line: {"instance-id":7,"eid-prefix":"10.2.0.0/24","rlocs":[{"address":"192.0.2.2"}]}
      """)

  @Argument(help: ArgumentHelp("The EID-prefix.", valueName: "eid-prefix"))
  var eid: PrefixArgument?

  @OptionGroup var instance: InstanceOption

  @Option(
    name: .customLong("rloc"),
    help: ArgumentHelp("A locator; priority 1 and weight 100 unless given. May be repeated.", valueName: "address[,priority=n][,weight=n]"))
  var rlocs: [LocatorArgument] = []

  @Option(help: "A negative mapping's action, instead of locators.")
  var action: MappingAction?

  @Option(help: ArgumentHelp("Minutes until it expires; without, it does not.", valueName: "minutes"))
  var ttl: UInt32?

  @Option(help: "Read mappings from a file, a line of JSON each; \"-\" is standard input.", completion: .file())
  var file: String?

  @OptionGroup var socket: SocketOption

  func validate() throws {
    if file != nil {
      guard eid == nil, rlocs.isEmpty, action == nil, ttl == nil else {
        throw ValidationError("--file: expected neither an EID-prefix nor --rloc, --action, --ttl beside it")
      }
      return
    }
    guard eid != nil else { throw ValidationError("expected an EID-prefix such as 10.2.0.0/24, or --file") }
    guard rlocs.isEmpty != (action == nil) else { throw ValidationError("expected either --rloc or --action") }
    if ttl == 0 { throw ValidationError("--ttl: expected at least 1 minute") }
  }

  func run() throws {
    let mappings = try mappings()
    var client = try socket.connect()
    // Some lines at a time, each of them atomic; a split `replace` would take away what was there.
    var changed = 0
    for start in stride(from: 0, to: mappings.count, by: 2000) {
      let answer = try client.ask(.add(Array(mappings[start..<min(start + 2000, mappings.count)])))
      guard case .changed(let count) = answer else { throw client.strange() }
      changed += count
    }
    print(changed == 1 ? "1 mapping is in" : "\(grouped(changed)) mappings are in")
  }

  private func mappings() throws(CommandFailure) -> [ControlMapping] {
    if let file { return try Self.read(file) }
    guard let eid else { return [] }
    let target = action.map { MappingTarget.action($0) } ?? .locators(rlocs.map(\.locator))
    return [
      ControlMapping(
        eid: EIDPrefix(InstanceID(truncating: UInt32(instance.instanceID)), eid.prefix), target: target, ttlMinutes: ttl)
    ]
  }

  private static func read(_ file: String) throws(CommandFailure) -> [ControlMapping] {
    let bytes: [UInt8]
    do throws(InputFile.Unreadable) {
      bytes = try InputFile.read(file)
    } catch {
      throw .unusable("\(file): cannot be read: \(error.reason)")
    }
    var mappings: [ControlMapping] = []
    for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() where !line.isEmpty {
      do throws(JSONError) {
        mappings.append(try ControlMapping(line: Array(line)))
      } catch {
        throw .unusable("\(file):\(index + 1): \(error)")
      }
    }
    return mappings
  }
}

/// `192.0.2.2`, `2001:db8::2,priority=2,weight=50`.
struct LocatorArgument: ExpressibleByArgument {
  let locator: ControlLocator

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    guard let first = parts.first, let address = IPAddress(first), address.locatorFault == nil else { return nil }
    var locator = ControlLocator(address: address)
    for part in parts.dropFirst() {
      let words = part.split(separator: "=", omittingEmptySubsequences: false)
      guard words.count == 2, let number = UInt8(words[1]) else { return nil }
      switch words[0] {
      case "priority": locator.priority = number
      case "weight":
        guard number <= 100 else { return nil }
        locator.weight = number
      default: return nil
      }
    }
    self.locator = locator
  }
}
