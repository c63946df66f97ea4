// SPDX-License-Identifier: Apache-2.0
//
// Mappings ⇄ JSON. Used by requests (add, replace), answers (get, list) and events (add). This is the way bulk loads take:
// nothing here goes through Codable.

import Wire

extension JSONReader {
  /// An instance ID: an integer of 24 bits.
  mutating func readInstanceID(_ field: String = "instance-id") throws(JSONError) -> InstanceID {
    let start = offset
    guard let instanceID = InstanceID(try readInteger()) else {
      throw JSONError(.badValue(field: field, expected: "an integer in 0…16777215"), at: start)
    }
    return instanceID
  }

  /// "10.2.0.0/24", "2001:db8::/32"; an address alone is its host prefix.
  mutating func readPrefix(_ field: String = "eid-prefix") throws(JSONError) -> IPPrefix {
    let start = offset
    if let range = try readPlainString() {
      var text = AddressText(bytes, range)
      if let prefix = text.prefix() { return prefix }
      offset = start
    }
    // Not plain or not right: the slow way finds the words for it.
    let text = try readString()
    do throws(PrefixError) {
      return try IPPrefix(parsing: text)
    } catch {
      throw JSONError(.badValue(field: field, expected: "a prefix: \(error)"), at: start)
    }
  }

  mutating func readAddress(_ field: String) throws(JSONError) -> IPAddress {
    let start = offset
    if let range = try readPlainString() {
      var text = AddressText(bytes, range)
      if let address = text.address() { return address }
      offset = start
    }
    let text = try readString()
    guard let address = IPAddress(text) else {
      throw JSONError(.badValue(field: field, expected: "an IPv4 or IPv6 address, found \"\(text)\""), at: start)
    }
    return address
  }

  mutating func readInteger<Value: FixedWidthInteger>(_ field: String, in range: ClosedRange<Value>) throws(JSONError) -> Value {
    let start = offset
    guard let value = Value(exactly: try readInteger()), range.contains(value) else {
      throw JSONError(.badValue(field: field, expected: "an integer in \(range.lowerBound)…\(range.upperBound)"), at: start)
    }
    return value
  }

  /// One of an enumeration's raw values.
  mutating func readName<Value: RawRepresentable & CaseIterable>(
    _ field: String, _ type: Value.Type
  ) throws(JSONError) -> Value where Value.RawValue == String {
    let start = offset
    guard let value = Value(rawValue: try readString()) else {
      let names = Value.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
      throw JSONError(.badValue(field: field, expected: "one of \(names)"), at: start)
    }
    return value
  }
}

/// The members of a mapping as they are met, in whatever order, until all are there.
struct MappingFields {
  var instanceID = InstanceID.zero
  var prefix: IPPrefix?
  var locators: [LocatorEntry]?
  var action: MappingAction?
  var ttlMinutes: UInt32?
  var expiresInSeconds: UInt32?
  var owner: String?
  var origin: MappingOrigin?
  var count = PacketCount()

  /// Takes the member `key` when it is one of a mapping's; returns whether it is.
  mutating func read(_ key: String, from reader: inout JSONReader) throws(JSONError) -> Bool {
    switch key {
    case "instance-id": instanceID = try reader.readInstanceID()
    case "eid-prefix": prefix = try reader.readPrefix()
    case "rlocs": locators = try Self.readLocators(from: &reader)
    case "action": action = try reader.readName(key, MappingAction.self)
    case "ttl-minutes": ttlMinutes = try reader.readInteger(key, in: 1...UInt32.max)
    default: return false
    }
    return true
  }

  /// As `read`, for the members that only the router tells.
  mutating func readTold(_ key: String, from reader: inout JSONReader) throws(JSONError) -> Bool {
    switch key {
    case "expires-in-seconds": expiresInSeconds = try reader.readInteger(key, in: 0...UInt32.max)
    case "owner": owner = try reader.readString()
    case "origin": origin = try reader.readName(key, MappingOrigin.self)
    case "packets": count.packets = try reader.readInteger(key, in: 0...UInt64.max)
    case "bytes": count.bytes = try reader.readInteger(key, in: 0...UInt64.max)
    default: return try read(key, from: &reader)
    }
    return true
  }

  /// The mapping, if what was read makes one; `offset` is where it began.
  func mapping(at offset: Int) throws(JSONError) -> ControlMapping {
    let target: MappingTarget
    switch (locators, action) {
    case (let locators?, nil):
      guard !locators.isEmpty else {
        throw JSONError(.badValue(field: "rlocs", expected: "at least one locator; a negative mapping has an action"), at: offset)
      }
      target = .locators(locators.map(\.locator))
    case (nil, let action?): target = .action(action)
    case (nil, nil), (_?, _?):
      throw JSONError(.badValue(field: "mapping", expected: "either rlocs or an action"), at: offset)
    }
    return ControlMapping(eid: try eid(at: offset), target: target, ttlMinutes: ttlMinutes)
  }

  func entry(at offset: Int) throws(JSONError) -> MappingEntry {
    let target: MappingEntry.Target
    if let action {
      target = .action(action)
    } else {
      target = .locators(locators ?? [])
    }
    guard let owner, let origin else {
      throw JSONError(.badValue(field: "mapping", expected: "owner and origin"), at: offset)
    }
    return MappingEntry(
      eid: try eid(at: offset), target: target, ttlMinutes: ttlMinutes, expiresInSeconds: expiresInSeconds, owner: owner,
      origin: origin, count: count)
  }

  func eid(at offset: Int) throws(JSONError) -> EIDPrefix {
    guard let prefix else { throw JSONError(.badValue(field: "eid-prefix", expected: "a prefix; it is missing"), at: offset) }
    return EIDPrefix(instanceID, prefix)
  }

  /// The most locators of a mapping: the record's locator count is eight bits (RFC 9301 section 5.4).
  private static let maximumLocators = 255

  private static func readLocators(from reader: inout JSONReader) throws(JSONError) -> [LocatorEntry] {
    var locators: [LocatorEntry] = []
    let start = reader.offset
    try reader.readArray { reader throws(JSONError) in
      guard locators.count < maximumLocators else {
        throw JSONError(.badValue(field: "rlocs", expected: "at most \(maximumLocators) locators"), at: start)
      }
      locators.append(try readLocator(from: &reader))
    }
    return locators
  }

  private static func readLocator(from reader: inout JSONReader) throws(JSONError) -> LocatorEntry {
    let start = reader.offset
    var address: IPAddress?
    var entry = LocatorEntry(locator: ControlLocator(address: .v4(.any)), state: .up, count: PacketCount())
    try reader.readObject { key, reader throws(JSONError) in
      switch key {
      case "address": address = try reader.readAddress("address")
      case "priority": entry.locator.priority = try reader.readInteger(key, in: 0...255)
      case "weight": entry.locator.weight = try reader.readInteger(key, in: 0...100)
      case "reachable": entry.locator.reachable = try reader.readBoolean()
      case "state": entry.state = try reader.readName(key, LocatorState.self)
      case "packets": entry.count.packets = try reader.readInteger(key, in: 0...UInt64.max)
      case "bytes": entry.count.bytes = try reader.readInteger(key, in: 0...UInt64.max)
      default: throw JSONError(.unknownKey("rlocs.\(key)"), at: reader.offset)
      }
    }
    guard let address else { throw JSONError(.badValue(field: "rlocs.address", expected: "an address; it is missing"), at: start) }
    entry.locator.address = address
    return entry
  }
}

extension ControlMapping {
  /// Reads one mapping object; anything in it that is not a mapping's is an error.
  init(from reader: inout JSONReader) throws(JSONError) {
    var fields = MappingFields()
    let start = reader.offset
    try reader.readObject { key, reader throws(JSONError) in
      let offset = reader.offset
      guard try fields.read(key, from: &reader) else { throw JSONError(.unknownKey(key), at: offset) }
    }
    self = try fields.mapping(at: start)
  }

  /// The mapping in one line of JSON, without line feed: a line of `xtr map add --file`.
  public init(line: [UInt8]) throws(JSONError) {
    var reader = JSONReader(line)
    try self.init(from: &reader)
    try reader.finish()
  }

  func write(to writer: inout JSONWriter) {
    writer.object { writer in writeMembers(to: &writer) }
  }

  func writeMembers(to writer: inout JSONWriter) {
    writer.eid(eid)
    switch target {
    case .locators(let locators):
      writer.key("rlocs")
      writer.array(locators) { writer, locator in writer.object { locator.writeMembers(to: &$0) } }
    case .action(let action):
      writer.key("action")
      writer.string(action.rawValue)
    }
    if let ttlMinutes {
      writer.key("ttl-minutes")
      writer.integer(ttlMinutes)
    }
  }
}

extension ControlLocator {
  fileprivate func writeMembers(to writer: inout JSONWriter) {
    writer.key("address")
    writer.address(address)
    writer.key("priority")
    writer.integer(priority)
    writer.key("weight")
    writer.integer(weight)
    if !reachable {
      writer.key("reachable")
      writer.boolean(false)
    }
  }
}

extension MappingEntry {
  /// Reads what `write` wrote; members it does not know are passed over, so that a newer router can say more.
  init(from reader: inout JSONReader) throws(JSONError) {
    var fields = MappingFields()
    let start = reader.offset
    try reader.readObject { key, reader throws(JSONError) in
      if try !fields.readTold(key, from: &reader) { try reader.skipValue() }
    }
    self = try fields.entry(at: start)
  }

  /// Appends the entry as one JSON object.
  public func write(to writer: inout JSONWriter) {
    writer.object { writer in
      writer.eid(eid)
      switch target {
      case .locators(let locators):
        writer.key("rlocs")
        writer.array(locators) { writer, entry in
          writer.object { writer in
            entry.locator.writeMembers(to: &writer)
            writer.key("state")
            writer.string(entry.state.rawValue)
            writer.count(entry.count)
          }
        }
      case .action(let action):
        writer.key("action")
        writer.string(action.rawValue)
      }
      if let ttlMinutes {
        writer.key("ttl-minutes")
        writer.integer(ttlMinutes)
      }
      if let expiresInSeconds {
        writer.key("expires-in-seconds")
        writer.integer(expiresInSeconds)
      }
      writer.key("owner")
      writer.string(owner)
      writer.key("origin")
      writer.string(origin.rawValue)
      writer.count(count)
    }
  }
}

extension JSONWriter {
  mutating func eid(_ eid: EIDPrefix) {
    key("instance-id")
    integer(eid.instanceID.rawValue)
    key("eid-prefix")
    prefix(eid.prefix)
  }

  fileprivate mutating func count(_ count: PacketCount) {
    key("packets")
    integer(count.packets)
    key("bytes")
    integer(count.bytes)
  }
}
