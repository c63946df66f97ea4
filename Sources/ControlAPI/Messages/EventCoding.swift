// SPDX-License-Identifier: Apache-2.0
//
// Events ⇄ lines. The server writes one line per event and gives it to every client that watches; the client reads it.

import Wire

extension ControlEvent {
  /// The event as one line, with its line feed.
  public var line: [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      writer.key("event")
      writer.string(kind?.rawValue ?? "lost")
      writeMembers(to: &writer)
    }
    writer.lineFeed()
    return writer.bytes
  }

  private func writeMembers(to writer: inout JSONWriter) {
    switch self {
    case .miss(let instanceID, let eid, let source):
      writer.key("instance-id")
      writer.integer(instanceID.rawValue)
      writer.key("eid")
      writer.string(eid.description)
      writer.optional("source", source?.description)
    case .add(let mapping, let owner):
      mapping.writeMembers(to: &writer)
      writer.optional("owner", owner)
    case .delete(let eid, let owner), .expired(let eid, let owner):
      writer.eid(eid)
      writer.optional("owner", owner)
    case .reach(let address): writer.optional("address", address.description)
    case .badreach(let address, let reason):
      writer.optional("address", address.description)
      writer.optional("reason", reason)
    case .stale(let eid): writer.eid(eid)
    case .neighbour(let neighbour):
      writer.optional("interface", neighbour.interface)
      writer.optional("address", neighbour.address)
      writer.optional("mac", neighbour.mac)
      writer.optional("state", neighbour.state)
      writer.key("used-by")
      writer.array(neighbour.usedBy) { $0.string($1) }
    case .lost(let count):
      writer.key("count")
      writer.integer(count)
    }
  }

  /// nil when the line is an object, but not an event or not one that this version knows.
  init?(line: [UInt8]) throws(JSONError) {
    var fields = EventFields()
    var reader = JSONReader(line)
    // The server writes "event" first; answers have no such member, and need not be read twice.
    guard line.starts(with: Array("{\"event\":".utf8)) else { return nil }
    try reader.readObject { key, reader throws(JSONError) in try fields.read(key, from: &reader) }
    try reader.finish()
    self = try fields.event()
  }
}

/// The members of an event as they are met.
private struct EventFields {
  var name = ""
  var mapping = MappingFields()
  var eid: IPAddress?
  var source: IPAddress?
  var addressText = ""
  var reason = ""
  var interface = ""
  var mac: String?
  var state = ""
  var usedBy: [String] = []
  var count: UInt64 = 0

  mutating func read(_ key: String, from reader: inout JSONReader) throws(JSONError) {
    switch key {
    case "event": name = try reader.readString()
    case "eid": eid = try reader.readAddress(key)
    case "source": source = try reader.readAddress(key)
    case "address": addressText = try reader.readString()
    case "reason": reason = try reader.readString()
    case "interface": interface = try reader.readString()
    case "mac": mac = try reader.readString()
    case "state": state = try reader.readString()
    case "used-by": try reader.readArray { reader throws(JSONError) in usedBy.append(try reader.readString()) }
    case "count": count = try reader.readInteger(key, in: 0...UInt64.max)
    default: if try !mapping.readTold(key, from: &reader) { try reader.skipValue() }
    }
  }

  func event() throws(JSONError) -> ControlEvent {
    guard let kind = ControlEvent.Kind(rawValue: name) else {
      if name == "lost" { return .lost(count) }
      throw JSONError(.badValue(field: "event", expected: "an event this version of xtr knows, found \"\(name)\""), at: 0)
    }
    let owner = mapping.owner ?? ""
    switch kind {
    case .miss:
      guard let eid else { throw JSONError(.badValue(field: "eid", expected: "an address; it is missing"), at: 0) }
      return .miss(instanceID: mapping.instanceID, eid: eid, source: source)
    case .add: return .add(try mapping.mapping(at: 0), owner: owner)
    case .delete: return .delete(try mapping.eid(at: 0), owner: owner)
    case .expired: return .expired(try mapping.eid(at: 0), owner: owner)
    case .reach: return .reach(try address())
    case .badreach: return .badreach(try address(), reason: reason)
    case .stale: return .stale(try mapping.eid(at: 0))
    case .neighbour:
      return .neighbour(
        NeighbourStatus(interface: interface, address: addressText, mac: mac, state: state, usedBy: usedBy))
    }
  }

  private func address() throws(JSONError) -> IPAddress {
    guard let address = IPAddress(addressText) else {
      throw JSONError(.badValue(field: "address", expected: "an address, found \"\(addressText)\""), at: 0)
    }
    return address
  }
}
