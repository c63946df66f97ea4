// SPDX-License-Identifier: Apache-2.0
//
// Reads one table of the configuration file key by key. What is not as expected goes to the list of problems, and reading goes
// on, so that a user sees all faults at once. `ConfigurationReader` uses it.

import Wire

/// One table and its path. Every getter returns nil when the key is absent or wrong; a wrong one has been noted.
struct TableReader {
  let path: String
  let problems: ProblemList
  private let members: [String: ConfigurationValue]

  /// Notes every key that is not one of `keys`.
  init(_ members: [String: ConfigurationValue], path: String, keys: [String], problems: ProblemList) {
    self.members = members
    self.path = path
    self.problems = problems
    for key in members.keys.sorted() where !keys.contains(key) {
      problems.add(KeyLines.path(path, key), "unknown key; expected \(Self.alternatives(keys))")
    }
  }

  func has(_ key: String) -> Bool { members[key] != nil }

  func path(_ key: String) -> String { KeyLines.path(path, key) }

  // MARK: Scalars

  func string(_ key: String, expected: String) -> String? {
    guard let value = members[key] else { return nil }
    if case .string(let text) = value, !text.isEmpty { return text }
    wrong(key, expected: expected, found: value)
    return nil
  }

  func boolean(_ key: String) -> Bool? {
    guard let value = members[key] else { return nil }
    if case .boolean(let truth) = value { return truth }
    wrong(key, expected: "true or false", found: value)
    return nil
  }

  func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
    guard let value = members[key] else { return nil }
    if case .integer(let number) = value, range.contains(number) { return number }
    wrong(key, expected: "an integer in \(range.lowerBound)…\(range.upperBound)", found: value)
    return nil
  }

  /// One of an enumeration's names.
  func name<Value: RawRepresentable & CaseIterable>(_ key: String, _ type: Value.Type) -> Value? where Value.RawValue == String {
    guard let value = members[key] else { return nil }
    if case .string(let text) = value, let name = Value(rawValue: text) { return name }
    wrong(key, expected: Self.alternatives(Value.allCases.map(\.rawValue)), found: value)
    return nil
  }

  /// A string or an integer, for keys that take either.
  func either(_ key: String) -> ConfigurationValue? { members[key] }

  func instanceID(_ key: String) -> InstanceID? {
    integer(key, in: 0...0xFF_FFFF).flatMap { InstanceID($0) }
  }

  func prefix(_ key: String) -> IPPrefix? {
    guard let value = members[key] else { return nil }
    guard case .string(let text) = value else {
      wrong(key, expected: "a prefix such as \"10.1.0.0/24\"", found: value)
      return nil
    }
    do throws(PrefixError) {
      return try IPPrefix(parsing: text)
    } catch {
      problems.add(path(key), "\(error)")
      return nil
    }
  }

  func address(_ key: String) -> IPAddress? { members[key].flatMap { address($0, at: path(key)) } }

  func addresses(_ key: String) -> [(address: IPAddress, path: String)]? {
    elements(key, of: "addresses").map { elements in
      elements.compactMap { value, path in address(value, at: path).map { ($0, path) } }
    }
  }

  func strings(_ key: String, of what: String) -> [String]? {
    elements(key, of: what).map { elements in
      elements.compactMap { value, path in
        if case .string(let text) = value { return text }
        problems.add(path, "expected a string, found \(value.summary)")
        return nil
      }
    }
  }

  private func address(_ value: ConfigurationValue, at path: String) -> IPAddress? {
    if case .string(let text) = value, let address = IPAddress(text) { return address }
    problems.add(path, "expected an address such as \"192.0.2.1\" or \"2001:db8::1\", found \(value.summary)")
    return nil
  }

  // MARK: Tables

  /// The table at `key`, when there is one.
  func table(_ key: String, keys: [String]) -> TableReader? {
    guard let value = members[key] else { return nil }
    if case .table(let members) = value {
      return TableReader(members, path: path(key), keys: keys, problems: problems)
    }
    wrong(key, expected: "a table", found: value)
    return nil
  }

  /// The tables of the array at `key`; none when it is absent.
  func tables(_ key: String, keys: [String]) -> [TableReader] {
    (elements(key, of: "tables") ?? []).compactMap { value, path in
      if case .table(let members) = value { return TableReader(members, path: path, keys: keys, problems: problems) }
      problems.add(path, "expected a table, found \(value.summary)")
      return nil
    }
  }

  private func elements(_ key: String, of what: String) -> [(ConfigurationValue, String)]? {
    guard let value = members[key] else { return nil }
    guard case .array(let elements) = value else {
      wrong(key, expected: "an array of \(what)", found: value)
      return nil
    }
    return elements.enumerated().map { ($0.element, "\(path(key))[\($0.offset)]") }
  }

  // MARK: Problems

  /// Notes that `key` must be there, unless it is.
  func require(_ key: String, _ expected: String) {
    if !has(key) { problems.add(path(key), "expected \(expected); it is missing") }
  }

  func wrong(_ key: String, expected: String, found value: ConfigurationValue) {
    problems.add(path(key), "expected \(expected), found \(value.summary)")
  }

  func problem(_ key: String, _ message: String) { problems.add(path(key), message) }

  /// `"site", "core" or "both"`.
  static func alternatives(_ names: [String]) -> String {
    let quoted = names.map { "\"\($0)\"" }
    guard let last = quoted.last, quoted.count > 1 else { return quoted.first ?? "nothing" }
    return quoted.dropLast().joined(separator: ", ") + " or " + last
  }
}
