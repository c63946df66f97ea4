// SPDX-License-Identifier: Apache-2.0
//
// `xtr lig`: asks a map-resolver for one EID and shows the answer (RFC 6835). Uses a port of its own: a router may run on the host, or none.

import ArgumentParser
import ControlAPI
import ControlPlane
import NIOCore
import NIOPosix
import Wire

struct LIGCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lig", abstract: "Ask the mapping system for an EID (RFC 6835).",
    discussion: "Without --map-resolver, the first one of the running router is asked. Nothing changes in the router's map-cache.")

  @Argument(help: ArgumentHelp("An IPv4 or IPv6 address.", valueName: "eid"))
  var eid: String

  @Option(name: [.customLong("instance-id"), .customShort("i")], help: ArgumentHelp("The EID's instance.", valueName: "number"))
  var instanceID = 0

  @Option(help: ArgumentHelp("Whom to ask.", valueName: "address"))
  var mapResolver: String?

  @OptionGroup var format: FormatOption
  @OptionGroup var socket: SocketOption

  func validate() throws {
    guard IPAddress(eid) != nil else { throw ValidationError("expected an address such as 10.2.0.5, found \(eid)") }
    guard (0...0xFF_FFFE).contains(instanceID) else {
      throw ValidationError("--instance-id: expected an integer in 0…16777214, found \(instanceID)")
    }
    if let mapResolver, IPAddress(mapResolver) == nil {
      throw ValidationError("--map-resolver: expected an address, found \(mapResolver)")
    }
  }

  func run() async throws {
    guard let address = IPAddress(eid) else { return }
    let resolver = try mapResolver.flatMap { IPAddress($0) } ?? resolverOfRouter()
    let result = try await LIGExchange.run(address, in: InstanceID(truncating: UInt32(instanceID)), resolver: resolver)
    let answer = LIGAnswer(result, resolver: resolver)
    ShowCommand.printEither(format, answer, answer.text)
    guard answer.answered else { throw CommandFailure.failed("\(resolver) did not answer: is it a map-resolver, and can it reach us?") }
  }

  private func resolverOfRouter() throws -> IPAddress {
    var client = try socket.connect()
    guard case .control(let status) = try client.ask(.control) else { throw client.strange() }
    guard let first = status.mapResolvers.first.flatMap({ IPAddress($0) }) else {
      throw CommandFailure.failed("the router has no map-resolver: name one with --map-resolver")
    }
    return first
  }
}

/// What was found out, for people and JSON.
private struct LIGAnswer: Encodable {
  struct Record: Encodable {
    var instanceID: UInt32?
    var eidPrefix: String
    var ttlMinutes: UInt32
    var authoritative: Bool
    /// Of a negative answer.
    var action: String?
    var locators: [RegisteredLocator]
  }

  var answered: Bool
  var mapResolver: String
  var answeredBy: String?
  var milliseconds: Double?
  var tries: Int
  var records: [Record]

  init(_ result: LIG.Result, resolver: IPAddress) {
    mapResolver = "\(resolver)"
    switch result {
    case .unanswered(let tries):
      answered = false
      self.tries = tries
      records = []
    case .answered(let reply, let from, let time, let tries):
      answered = true
      answeredBy = "\(from.address)"
      milliseconds = time / .milliseconds(1)
      self.tries = tries
      records = reply.records.map(Record.init)
    }
  }

  var text: String {
    guard answered, let answeredBy, let milliseconds else {
      return "no answer from \(mapResolver) after \(counted(tries, "try", plural: "tries"))"
    }
    let head =
      "\(answeredBy) answered in \(ControlPrinter.hundredths(milliseconds)) ms, asked through \(mapResolver)"
    return ([head] + records.map(\.text)).joined(separator: "\n")
  }
}

extension LIGAnswer.Record {
  init(_ record: EIDRecord) {
    instanceID = record.eidPrefix?.instanceID.rawValue
    eidPrefix = record.eidPrefix.map { "\($0.prefix)" } ?? "\(record.eid)/\(record.maskLength)"
    ttlMinutes = record.ttl
    authoritative = record.isAuthoritative
    action = record.locators.isEmpty ? record.action.name : nil
    locators = record.locators.map(RegisteredLocator.init)
  }

  fileprivate var text: String {
    let instance = instanceID.map { "[\($0)]" } ?? ""
    let head = "\(instance)\(eidPrefix), \(ttlMinutes) min\(authoritative ? ", authoritative" : "")"
    guard action == nil else { return "\(head): not mapped, \(action ?? "")" }
    var table = TextTable(("  LOCATOR", .left), ("PRIORITY", .right), ("WEIGHT", .right), ("STATE", .left))
    for locator in locators {
      table.add("  \(locator.address)", "\(locator.priority)", "\(locator.weight)", locator.reachable ? "up" : "down")
    }
    return head + "\n" + table.text(empty: "")
  }
}

extension MapAction {
  /// As the control socket names it.
  fileprivate var name: String {
    let names = ["no-action", "native-forward", "send-map-request", "drop", "policy-denied", "authentication-failure"]
    return rawValue < names.count ? names[Int(rawValue)] : "action \(rawValue)"
  }
}
