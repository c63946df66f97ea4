// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a configuration file: every fault with file, line and key. `xtr run` and `xtr check` print them.

/// One fault: `site.toml:12: interface[0].role: expected "site", "core" or "both", found "sit"`.
struct ConfigurationProblem: Error, Sendable, Equatable, CustomStringConvertible {
  var file: String
  /// nil: the whole file.
  var line: Int?
  /// Where in the file's tables, such as `interface[0].role`; empty: the whole file.
  var key: String
  /// What was expected and what stands there.
  var message: String

  var description: String {
    let place = line.map { "\(file):\($0)" } ?? file
    return key.isEmpty ? "\(place): \(message)" : "\(place): \(key): \(message)"
  }
}

/// All faults of a file, in the order of its lines.
struct ConfigurationErrors: Error, Sendable, Equatable, CustomStringConvertible {
  var problems: [ConfigurationProblem]

  var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// Gathers faults while a file is read. The line of a key is looked for only when there is a fault to tell.
final class ProblemList {
  private let file: String
  private let text: String
  private var found: [(key: String, message: String)] = []

  init(file: String, text: String) {
    self.file = file
    self.text = text
  }

  var isEmpty: Bool { found.isEmpty }

  func add(_ key: String, _ message: String) { found.append((key, message)) }

  /// What was found, each with the line of its key, or of the table that should have held it.
  func errors() -> ConfigurationErrors {
    let lines = KeyLines(of: text)
    let problems = found.map { key, message in
      ConfigurationProblem(file: file, line: lines.line(of: key), key: key, message: message)
    }
    // Sorted by line; the order of finding decides between faults of one line.
    let order = problems.enumerated().sorted { a, b in
      (a.element.line ?? 0, a.offset) < (b.element.line ?? 0, b.offset)
    }
    return ConfigurationErrors(problems: order.map(\.element))
  }
}
