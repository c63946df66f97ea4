// SPDX-License-Identifier: Apache-2.0
//
// Answers ⇄ lines. The server writes them; `ControlClient` reads them. A reader passes over members it does not know, so that
// a newer router can say more.

import Wire

extension ControlAnswer {
  /// The answer as one line, with its line feed.
  public func line(id: RequestID?) -> [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      if let id { id.write(to: &writer) }
      writer.key("ok")
      if case .failure(let failure) = self {
        writer.boolean(false)
        writer.key("error")
        writer.object { writer in
          writer.key("code")
          writer.string(failure.code.rawValue)
          writer.key("message")
          writer.string(failure.message)
        }
      } else {
        writer.boolean(true)
        writeMembers(to: &writer)
      }
    }
    writer.lineFeed()
    return writer.bytes
  }

  private func writeMembers(to writer: inout JSONWriter) {
    switch self {
    case .done, .failure: break
    case .hello(let version, let server):
      writer.key("version")
      writer.integer(version)
      writer.key("server")
      writer.string(server)
    case .changed(let count):
      writer.key("changed")
      writer.integer(count)
    case .collected(let count):
      writer.key("collected")
      writer.integer(count)
    case .mapping(let entry):
      writer.key("mapping")
      entry.write(to: &writer)
    case .mappings(let entries, let next):
      writer.key("mappings")
      writer.array(entries) { writer, entry in entry.write(to: &writer) }
      writer.optional("next", next?.description)
    case .stats(let totals): writer.coded("stats", totals)
    case .status(let status): writer.coded("status", status)
    case .drops(let rows): writer.coded("drops", rows)
    case .database(let rows): writer.coded("database", rows)
    case .interfaces(let rows): writer.coded("interfaces", rows)
    case .neighbours(let rows): writer.coded("neighbours", rows)
    case .registrations(let rows): writer.coded("registrations", rows)
    case .registered(let rows, let next):
      writer.coded("registered", rows)
      writer.optional("next", next?.description)
    case .resolutions(let rows): writer.coded("resolutions", rows)
    case .probes(let rows): writer.coded("probes", rows)
    case .control(let status): writer.coded("control", status)
    case .peers(let rows): writer.coded("peers", rows)
    }
  }
}

extension JSONWriter {
  fileprivate mutating func coded(_ name: StaticString, _ value: some Encodable) {
    key(name)
    raw(StatusCoding.encode(value))
  }
}

/// A line from the router: an answer with its `id`, or an event.
public enum ControlReply: Sendable, Equatable {
  case answer(ControlAnswer, id: RequestID?)
  case event(ControlEvent)

  /// Reads one line, without its line feed.
  public init(line: [UInt8]) throws(JSONError) {
    var fields = ReplyFields()
    var reader = JSONReader(line)
    if let event = try ControlEvent(line: line) {
      self = .event(event)
      return
    }
    try reader.readObject { key, reader throws(JSONError) in try fields.read(key, from: &reader) }
    try reader.finish()
    self = .answer(try fields.answer(), id: fields.id)
  }
}

/// The members of an answer as they are met.
private struct ReplyFields {
  var id: RequestID?
  var ok: Bool?
  var failure: ControlFailure?
  var version: Int?
  var server = ""
  var next: EIDPrefix?
  var entries: [MappingEntry]?
  var registered: [RegisteredEntry]?
  var body: ControlAnswer?

  mutating func read(_ key: String, from reader: inout JSONReader) throws(JSONError) {
    switch key {
    case "id": id = try RequestID(from: &reader)
    case "ok": ok = try reader.readBoolean()
    case "error": failure = try Self.readFailure(from: &reader)
    case "version": version = try reader.readInteger(key, in: 0...Int.max)
    case "server": server = try reader.readString()
    case "changed": body = .changed(try reader.readInteger(key, in: 0...Int.max))
    case "collected": body = .collected(try reader.readInteger(key, in: 0...Int.max))
    case "mapping": body = .mapping(try MappingEntry(from: &reader))
    case "mappings":
      var list: [MappingEntry] = []
      try reader.readArray { reader throws(JSONError) in list.append(try MappingEntry(from: &reader)) }
      entries = list
    case "next":
      let offset = reader.offset
      next = EIDPrefix(cursor: try reader.readString())
      guard next != nil else { throw JSONError(.badValue(field: key, expected: "a prefix such as \"[7]10.2.0.0/24\""), at: offset) }
    case "stats": body = .stats(try Self.decode(TrafficTotals.self, key, &reader))
    case "status": body = .status(try Self.decode(RouterStatus.self, key, &reader))
    case "drops": body = .drops(try Self.decode([DropStatus].self, key, &reader))
    case "database": body = .database(try Self.decode([DatabaseEntry].self, key, &reader))
    case "interfaces": body = .interfaces(try Self.decode([InterfaceStatus].self, key, &reader))
    case "neighbours": body = .neighbours(try Self.decode([NeighbourStatus].self, key, &reader))
    case "registrations": body = .registrations(try Self.decode([RegistrationEntry].self, key, &reader))
    case "registered": registered = try Self.decode([RegisteredEntry].self, key, &reader)
    case "resolutions": body = .resolutions(try Self.decode([ResolutionEntry].self, key, &reader))
    case "probes": body = .probes(try Self.decode([ProbeEntry].self, key, &reader))
    case "control": body = .control(try Self.decode(ControlPlaneStatus.self, key, &reader))
    case "peers": body = .peers(try Self.decode([PeerStatus].self, key, &reader))
    default: try reader.skipValue()
    }
  }

  func answer() throws(JSONError) -> ControlAnswer {
    guard let ok else { throw JSONError(.expected("an answer with \"ok\""), at: 0) }
    if !ok { return .failure(failure ?? ControlFailure(.failed, "the router gave no reason")) }
    if let entries { return .mappings(entries, next: next) }
    if let registered { return .registered(registered, next: next) }
    if let version { return .hello(version: version, server: server) }
    return body ?? .done
  }

  private static func decode<Value: Decodable>(
    _ type: Value.Type, _ key: String, _ reader: inout JSONReader
  ) throws(JSONError) -> Value {
    let range = try reader.skipValue()
    do {
      return try StatusCoding.decode(type, from: reader.bytes[range])
    } catch {
      throw JSONError(.badValue(field: key, expected: "what this version of xtr knows (\(error))"), at: range.lowerBound)
    }
  }

  private static func readFailure(from reader: inout JSONReader) throws(JSONError) -> ControlFailure {
    var failure = ControlFailure(.failed, "")
    try reader.readObject { key, reader throws(JSONError) in
      switch key {
      case "code": failure.code = ControlFailure.Code(rawValue: try reader.readString()) ?? .failed
      case "message": failure.message = try reader.readString()
      default: try reader.skipValue()
      }
    }
    return failure
  }
}
