// SPDX-License-Identifier: Apache-2.0
//
// A line → a request of which everything has been understood, or the reason why not. The server calls it for each line.
//
// Members may come in any order, so all are gathered first and then put together as `op` says. A member that the operation
// does not have is an error, too: a misspelled "exact" must not silently become the longest match.

import Wire

extension ControlRequest {
  /// Reads one line, without its line feed. Anything wrong gives a failure with the `id` of the request where it can be found.
  public static func decode(line: [UInt8]) -> Result<ControlRequest, FailedRequest> {
    var fields = RequestFields()
    do throws(ControlFailure) {
      do throws(JSONError) {
        var reader = JSONReader(line)
        try reader.readObject { key, reader throws(JSONError) in try fields.read(key, from: &reader) }
        try reader.finish()
      } catch {
        throw ControlFailure(error.isSyntax ? .malformed : .invalid, error.description)
      }
      return .success(ControlRequest(try fields.operation(), id: fields.id))
    } catch {
      return .failure(diagnose(line, error, id: fields.id))
    }
  }

  /// A request that was not understood.
  public struct FailedRequest: Error, Sendable, Equatable {
    public var id: RequestID?
    public var failure: ControlFailure
  }

  /// Looks at a refused line once more: is it JSON at all, and what is its `id`?
  private static func diagnose(_ line: [UInt8], _ failure: ControlFailure, id: RequestID?) -> FailedRequest {
    var id = id
    do throws(JSONError) {
      var reader = JSONReader(line)
      try reader.readObject { key, reader throws(JSONError) in
        if key == "id", let found = try? RequestID(from: &reader) { id = found } else { try reader.skipValue() }
      }
      try reader.finish()
      return FailedRequest(id: id, failure: failure)
    } catch {
      return FailedRequest(id: id, failure: ControlFailure(.malformed, failure.message))
    }
  }
}

extension RequestID {
  init(from reader: inout JSONReader) throws(JSONError) {
    switch try reader.peek() {
    case .number: self = .number(try reader.readInteger())
    case .string: self = .text(try reader.readString())
    case .object, .array, .boolean, .null: throw JSONError(.expected("id: an integer or a string"), at: reader.offset)
    }
  }

  func write(to writer: inout JSONWriter) {
    writer.key("id")
    switch self {
    case .number(let number): writer.integer(number)
    case .text(let text): writer.string(text)
    }
  }
}

/// The members of a request as they are met.
private struct RequestFields {
  var id: RequestID?
  var op: String?
  /// All keys that were there, for the check that the operation has them.
  var keys: [String] = []
  var version: Int?
  var name: String?
  var mapping = MappingFields()
  var mappings: [ControlMapping] = []
  var prefixes: [EIDPrefix] = []
  var scope: String?
  var owner: String?
  var part: Int?
  var more = false
  var exact = false
  var after: EIDPrefix?
  var limit = ControlProtocol.defaultPageSize
  var events = Set(ControlEvent.Kind.allCases)
  var address: IPAddress?
  var word: LocatorWord?

  /// The members of a mapping, which `add` takes in place of `mappings`.
  static let mappingKeys = ["instance-id", "eid-prefix", "rlocs", "action", "ttl-minutes"]

  mutating func read(_ key: String, from reader: inout JSONReader) throws(JSONError) {
    keys.append(key)
    switch key {
    case "id": id = try RequestID(from: &reader)
    case "op": op = try reader.readString()
    case "version": version = try reader.readInteger(key, in: 0...Int.max)
    case "name": name = try Self.readName(key, from: &reader)
    case "owner": owner = try Self.readName(key, from: &reader)
    case "scope": scope = try reader.readString()
    case "part": part = try reader.readInteger(key, in: 0...ControlProtocol.maximumCollectedMappings)
    case "more": more = try reader.readBoolean()
    case "exact": exact = try reader.readBoolean()
    case "limit": limit = try reader.readInteger(key, in: 1...ControlProtocol.maximumPageSize)
    case "after": after = try Self.readEID(key, from: &reader)
    case "mappings": try readMappings(from: &reader)
    case "eid-prefixes": try readPrefixes(from: &reader)
    case "events": try readEvents(from: &reader)
    case "address": address = try Self.readAddress(key, from: &reader)
    case "state": word = try reader.readName(key, LocatorWord.self)
    default:
      let offset = reader.offset
      guard try mapping.read(key, from: &reader) else { throw JSONError(.unknownKey(key), at: offset) }
    }
  }

  private mutating func readMappings(from reader: inout JSONReader) throws(JSONError) {
    // A mapping is at least fifty bytes; growing by doubling would copy a large array many times.
    mappings.reserveCapacity(min((reader.bytes.count - reader.offset) / 96, ControlProtocol.maximumCollectedMappings))
    try reader.readArray { reader throws(JSONError) in mappings.append(try ControlMapping(from: &reader)) }
  }

  private mutating func readPrefixes(from reader: inout JSONReader) throws(JSONError) {
    try reader.readArray { reader throws(JSONError) in
      var fields = MappingFields()
      let start = reader.offset
      try reader.readObject { key, reader throws(JSONError) in
        let offset = reader.offset
        guard ["instance-id", "eid-prefix"].contains(key), try fields.read(key, from: &reader) else {
          throw JSONError(.unknownKey(key), at: offset)
        }
      }
      prefixes.append(try fields.eid(at: start))
    }
  }

  private mutating func readEvents(from reader: inout JSONReader) throws(JSONError) {
    events = []
    try reader.readArray { reader throws(JSONError) in
      events.insert(try reader.readName("events", ControlEvent.Kind.self))
    }
  }

  private static func readAddress(_ field: String, from reader: inout JSONReader) throws(JSONError) -> IPAddress {
    let start = reader.offset
    guard let address = IPAddress(try reader.readString()) else {
      throw JSONError(.badValue(field: field, expected: "an address such as \"192.0.2.1\""), at: start)
    }
    return address
  }

  /// "[7]10.2.0.0/24", as `next` gave it.
  static func readEID(_ field: String, from reader: inout JSONReader) throws(JSONError) -> EIDPrefix {
    let start = reader.offset
    guard let eid = EIDPrefix(cursor: try reader.readString()) else {
      throw JSONError(.badValue(field: field, expected: "a prefix such as \"[7]10.2.0.0/24\""), at: start)
    }
    return eid
  }

  /// The name of an owner: short and printable, because it is shown in tables and logs.
  private static func readName(_ field: String, from reader: inout JSONReader) throws(JSONError) -> String {
    let start = reader.offset
    let name = try reader.readString()
    guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw JSONError(.badValue(field: field, expected: "1 to 64 printable ASCII characters without spaces"), at: start)
    }
    return name
  }

  // MARK: Putting together

  /// The operation that `op` names, with the members it takes and no others.
  func operation() throws(ControlFailure) -> ControlRequest.Operation {
    guard let op else { throw ControlFailure(.invalid, "op: expected the name of an operation; it is missing") }
    switch op {
    case "hello":
      try only("version", "name")
      guard let version else { throw ControlFailure(.invalid, "version: expected an integer; it is missing") }
      return .hello(version: version, name: name)
    case "add": return .add(try given())
    case "delete": return .delete(try doomed())
    case "replace": return try replace()
    case "get":
      try only("instance-id", "eid-prefix", "exact")
      return .get(try eid(), exact: exact)
    case "list":
      try only("instance-id", "after", "limit")
      return .list(instance: keys.contains("instance-id") ? mapping.instanceID : nil, after: after, limit: limit)
    case "registrations":
      try only("after", "limit")
      return .registrations(after: after, limit: limit)
    case "locator":
      try only("address", "state")
      guard let address, let word else {
        throw ControlFailure(.invalid, "\(address == nil ? "address" : "state"): expected with locator; it is missing")
      }
      return .locator(address, word)
    case "watch":
      try only("events")
      return .watch(events)
    default: return try plain(op)
    }
  }

  /// The operations without members.
  private func plain(_ op: String) throws(ControlFailure) -> ControlRequest.Operation {
    let operations: [String: ControlRequest.Operation] = [
      "stats": .stats, "status": .status, "drops": .drops, "database": .database, "interfaces": .interfaces,
      "neighbours": .neighbours, "resolutions": .resolutions, "probes": .probes, "control": .control, "peers": .peers, "reload": .reload,
      "drain": .drain,
    ]
    guard let operation = operations[op] else {
      throw ControlFailure(.unknownOperation, "op: unknown operation \"\(op)\"")
    }
    try only()
    return operation
  }

  /// What `add` puts in: `mappings`, or one mapping's members in the request itself.
  private func given() throws(ControlFailure) -> [ControlMapping] {
    if keys.contains("mappings") {
      try only("mappings")
      return mappings
    }
    try only(Self.mappingKeys)
    do throws(JSONError) { return [try mapping.mapping(at: 0)] } catch { throw ControlFailure(.invalid, error.description) }
  }

  private func doomed() throws(ControlFailure) -> [EIDPrefix] {
    if keys.contains("eid-prefixes") {
      try only("eid-prefixes")
      return prefixes
    }
    try only("instance-id", "eid-prefix")
    return [try eid()]
  }

  private func replace() throws(ControlFailure) -> ControlRequest.Operation {
    try only("scope", "owner", "instance-id", "mappings", "part", "more")
    guard keys.contains("mappings") else { throw ControlFailure(.invalid, "mappings: expected an array; it is missing") }
    let part = part.map { ReplacePart(index: $0, more: more) }
    guard part != nil || !more else {
      throw ControlFailure(.invalid, "part: expected 0, 1, 2 … on every line of a replace with more lines; it is missing")
    }
    let hasInstance = keys.contains("instance-id")
    switch (scope, owner, hasInstance) {
    case (nil, _, false), ("owner", _, false): return .replace(scope: .owner(owner), mappings: mappings, part: part)
    case ("instance", nil, true): return .replace(scope: .instance(mapping.instanceID), mappings: mappings, part: part)
    default:
      throw ControlFailure(.invalid, "scope: expected \"owner\" (with owner or without), or \"instance\" with instance-id")
    }
  }

  private func eid() throws(ControlFailure) -> EIDPrefix {
    do throws(JSONError) { return try mapping.eid(at: 0) } catch { throw ControlFailure(.invalid, error.description) }
  }

  private func only(_ allowed: String...) throws(ControlFailure) { try only(allowed) }

  private func only(_ allowed: [String]) throws(ControlFailure) {
    for key in keys where key != "op" && key != "id" && !allowed.contains(key) {
      throw ControlFailure(.invalid, "\(op ?? "") has no field \"\(key)\"")
    }
  }
}

extension EIDPrefix {
  /// The inverse of `description`: "[7]10.2.0.0/24". What `next` and `after` of `list` hold.
  init?(cursor text: String) {
    guard text.first == "[", let end = text.firstIndex(of: "]"),
      let number = UInt32(text[text.index(after: text.startIndex)..<end]), let instanceID = InstanceID(number),
      let prefix = try? IPPrefix(parsing: String(text[text.index(after: end)...]))
    else { return nil }
    self.init(instanceID, prefix)
  }
}
