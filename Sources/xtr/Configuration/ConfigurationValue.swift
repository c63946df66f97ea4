// SPDX-License-Identifier: Apache-2.0
//
// A TOML value as a Swift value, so that the reader need not know TOMLKit's classes over C++ memory.

import TOMLKit

/// A value of a TOML file. Kinds that no key takes (fractions, dates, times) keep only their names.
enum ConfigurationValue {
  case string(String)
  case integer(Int)
  case boolean(Bool)
  case array([ConfigurationValue])
  case table([String: ConfigurationValue])
  case other(String)

  init(_ value: any TOMLValueConvertible) {
    switch value.type {
    case .string: self = .string(value.string ?? "")
    case .int: self = .integer(value.int ?? 0)
    case .bool: self = .boolean(value.bool ?? false)
    case .array:
      let array = value.array ?? TOMLArray()
      self = .array((0..<array.count).map { ConfigurationValue(array[$0]) })
    case .table: self = Self.table(of: value.table ?? TOMLTable())
    case .double: self = .other("a fraction")
    case .date: self = .other("a date")
    case .time: self = .other("a time")
    case .dateTime: self = .other("a date and time")
    }
  }

  static func table(of table: TOMLTable) -> ConfigurationValue {
    var members: [String: ConfigurationValue] = [:]
    for key in table.keys {
      if let value = table[key] { members[key] = ConfigurationValue(value) }
    }
    return .table(members)
  }

  /// As it is named in "found …".
  var summary: String {
    switch self {
    case .string(let text): "\"\(text)\""
    case .integer(let number): "\(number)"
    case .boolean(let truth): "\(truth)"
    case .array: "an array"
    case .table: "a table"
    case .other(let name): name
    }
  }
}
