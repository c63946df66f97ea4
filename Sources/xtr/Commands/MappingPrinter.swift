// SPDX-License-Identifier: Apache-2.0
//
// Mappings for people: the tables of `xtr map list` and `xtr show mappings`, the paragraph of `xtr map get`.

import ControlAPI
import Wire

enum MappingPrinter {
  static func table() -> TextTable {
    TextTable(
      ("INSTANCE", .right), ("EID-PREFIX", .left), ("RLOC OR ACTION", .left), ("PRIORITY/WEIGHT", .left), ("STATE", .left),
      ("PACKETS", .right), ("BYTES", .right), ("EXPIRES IN", .right), ("OWNER", .left))
  }

  /// A row for the mapping; further locators have rows of their own under it.
  static func add(_ entry: MappingEntry, to table: inout TextTable) {
    let expiry = entry.expiresInSeconds.map { duration(seconds: Double($0)) } ?? "never"
    let head = (entry.eid.instanceID.description, entry.eid.prefix.description)
    switch entry.target {
    case .action(let action):
      table.add(head.0, head.1, action.rawValue, "", "", grouped(entry.count.packets), grouped(entry.count.bytes), expiry, entry.owner)
    case .locators(let locators):
      for (index, row) in locators.enumerated() {
        let first = index == 0
        table.add(
          first ? head.0 : " ", first ? head.1 : " ", row.locator.address.description,
          "\(row.locator.priority)/\(row.locator.weight)", row.state.rawValue, grouped(row.count.packets),
          grouped(row.count.bytes), first ? expiry : " ", first ? entry.owner : " ")
      }
    }
  }

  static func details(_ entry: MappingEntry) -> String {
    var table = table()
    add(entry, to: &table)
    let matched = "\(grouped(entry.count.packets)) packets, \(grouped(entry.count.bytes)) bytes matched"
    return table.text(empty: "") + "\n\(matched); given by \(entry.owner) (\(entry.origin.rawValue))"
  }

  static func json(_ entry: MappingEntry) -> String {
    var writer = JSONWriter()
    entry.write(to: &writer)
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  static func summary(_ target: MappingTarget) -> String {
    switch target {
    case .action(let action): action.rawValue
    case .locators(let locators): locators.map { "\($0.address) \($0.priority)/\($0.weight)" }.joined(separator: ", ")
    }
  }
}
