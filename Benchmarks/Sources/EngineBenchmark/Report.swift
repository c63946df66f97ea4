// SPDX-License-Identifier: Apache-2.0
//
// Rows of results, as Benchmarks/Results keeps them, and as a table for the reader.

import Glibc

/// One figure and what it is compared with.
struct Row {
  var name: String
  var metric: String
  var unit: String
  var value: Double
  var reference: String
  var referenceValue: Double

  var ratio: Double { value / referenceValue }

  var json: String {
    let fields = [
      "\"name\": \"\(name)\"", "\"metric\": \"\(metric)\"", "\"unit\": \"\(unit)\"", "\"value\": \(Self.rounded(value))",
      "\"reference\": \"\(reference)\"", "\"reference_value\": \(Self.rounded(referenceValue))", "\"ratio\": \(Self.rounded(ratio))",
    ]
    return "{" + fields.joined(separator: ", ") + "}"
  }

  static func rounded(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
}

struct Report {
  var command: String
  var machine: String
  var rows: [Row] = []

  var json: String {
    let rows = rows.map { "    " + $0.json }.joined(separator: ",\n")
    return "{\n  \"command\": \"\(command)\",\n  \"machine\": \"\(machine)\",\n  \"rows\": [\n\(rows)\n  ]\n}\n"
  }

  /// False when the file cannot be written.
  func write(to path: String) -> Bool {
    guard let file = fopen(path, "w") else { return false }
    defer { fclose(file) }
    return fputs(json, file) >= 0
  }

  /// The processor, by its own account.
  static func processor() -> String {
    guard let file = fopen("/proc/cpuinfo", "r") else { return "unknown" }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix("model name"), let colon = text.firstIndex(of: ":") {
        return String(text[colon...].dropFirst(2).filter { $0 != "\n" && $0 != "\"" })
      }
    }
    return "unknown"
  }
}

/// Right-aligned, for tables.
func cell(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

/// One decimal.
func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
/// Three decimals, for ratios.
func thousandths(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
