// SPDX-License-Identifier: Apache-2.0
//
// A TOML file → its members and the list that problems go to. The router's and the map-server's configurations are read through it.

import TOMLKit

/// The parsed text of a configuration file.
struct ConfigurationFile {
  let members: [String: ConfigurationValue]
  let problems: ProblemList

  /// Reads `file`; touches nothing. Thread: any but a worker.
  init(reading file: String) throws(ConfigurationErrors) {
    let bytes: [UInt8]
    do throws(InputFile.Unreadable) {
      bytes = try InputFile.read(file)
    } catch {
      throw Self.fault(file, nil, "cannot be read: \(error.reason)")
    }
    try self.init(parsing: bytes, file: file)
  }

  /// `bytes` are the text of `file`.
  init(parsing bytes: [UInt8], file: String) throws(ConfigurationErrors) {
    // TOMLKit takes a C string: it would not see what stands behind a zero.
    if let zero = bytes.firstIndex(of: 0) { throw Self.fault(file, Self.lineNumber(bytes[..<zero]), "expected text, found a zero byte") }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Self.fault(file, Self.firstLineNotUTF8(bytes), "expected UTF-8 text, found bytes that are not")
    }
    let table: TOMLTable
    do {
      table = try TOMLTable(string: text)
    } catch let error as TOMLParseError {
      throw Self.fault(file, error.source.begin.line, "not TOML: \(error.description)")
    } catch {
      throw Self.fault(file, nil, "not TOML: \(error)")
    }
    guard case .table(let members) = ConfigurationValue.table(of: table) else { throw Self.fault(file, nil, "not TOML: no table") }
    self.members = members
    problems = ProblemList(file: file, text: text)
  }

  private static func fault(_ file: String, _ line: Int?, _ message: String) -> ConfigurationErrors {
    ConfigurationErrors(problems: [ConfigurationProblem(file: file, line: line, key: "", message: message)])
  }

  private static func lineNumber(_ bytes: ArraySlice<UInt8>) -> Int { bytes.count { $0 == 0x0A } + 1 }

  private static func firstLineNotUTF8(_ bytes: [UInt8]) -> Int? {
    bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
      .firstIndex { String(validating: $0, as: UTF8.self) == nil }
      .map { $0 + 1 }
  }
}
