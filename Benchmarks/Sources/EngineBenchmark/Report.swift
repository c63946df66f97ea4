// SPDX-License-Identifier: Apache-2.0
//
// Rows of results, as Benchmarks/Results keeps them (results.py writes the same for the other benchmarks).

import CEngine
import Glibc

/// One figure and what it is compared with.
struct Row {
  var name: String
  var metric: String
  var unit: String
  var value: Double
  var reference: String
  var referenceValue: Double
  var ratio: Double
  /// What is asked of it.
  var bar: Bar?

  /// A limit that a figure of the row must not exceed.
  enum Bar {
    case value(Double)
    case ratio(Double)
  }

  /// Whether the bar is met; nil without one.
  var isMet: Bool? {
    switch bar {
    case .value(let limit): value <= limit
    case .ratio(let limit): ratio <= limit
    case nil: nil
    }
  }

  private var barText: String {
    switch bar {
    case .value(let limit): "value ≤ \(limit)"
    case .ratio(let limit): "ratio ≤ \(limit)"
    case nil: ""
    }
  }

  var json: String {
    var fields = [
      "\"name\": \"\(name)\"", "\"metric\": \"\(metric)\"", "\"unit\": \"\(unit)\"", "\"value\": \(thousandths(value))",
      "\"reference\": \"\(reference)\"", "\"reference_value\": \(thousandths(referenceValue))", "\"ratio\": \(thousandths(ratio))",
    ]
    if let isMet { fields += ["\"bar\": \"\(barText)\"", "\"met\": \(isMet)"] }
    return "{" + fields.joined(separator: ", ") + "}"
  }
}

/// A fixed piece of work on registers: nanoseconds per step of four cycles, the smallest and the median of 41 runs. A machine
/// that shares its cores with others is slower at times; the pair before and after a measurement tells.
struct Calibration {
  let minimum: Double
  let median: Double

  init() {
    let steps: UInt64 = 1_000_000
    let samples = (0..<41).map { _ in
      let start = Bench.now()
      _ = cengine_calibrate(steps)
      return Double(Bench.now() - start) / Double(steps)
    }.sorted()
    (minimum, median) = (samples[0], samples[samples.count / 2])
  }

  /// The clock, if a step is four cycles.
  var gigahertz: Double { 4 / minimum }

  var json: String { "{\"min\": \(thousandths(minimum)), \"median\": \(thousandths(median))}" }
}

/// What goes to the file.
struct Report {
  var command: String
  var before = Calibration()
  var after: Calibration?
  var rows: [Row] = []

  init(command: String) { self.command = command }

  var json: String {
    let rows = rows.map { "  " + $0.json }.joined(separator: ",\n")
    let processor = Self.value(of: "model name", in: "/proc/cpuinfo")
    return """
      {
       "benchmark": "engine",
       "command": "\(command)",
       "machine": {"cpu": "\(processor)", "kernel": "\(Self.kernel())", "cores": \(sysconf(Int32(_SC_NPROCESSORS_ONLN)))},
       "calibration": {"before": \(before.json), "after": \((after ?? before).json)},
       "rows": [
      \(rows)
       ]
      }

      """
  }

  /// False when the file cannot be written.
  func write(to path: String) -> Bool {
    guard let file = fopen(path, "w") else { return false }
    defer { fclose(file) }
    return fputs(json, file) >= 0
  }

  /// The first value behind `key` in a file of "key : value" lines.
  static func value(of key: String, in path: String) -> String {
    guard let file = fopen(path, "r") else { return "unknown" }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix(key), let colon = text.firstIndex(of: ":") {
        return String(text[colon...].dropFirst(2).filter { $0 != "\n" && $0 != "\"" })
      }
    }
    return "unknown"
  }

  static func kernel() -> String {
    var name = utsname()
    guard uname(&name) == 0 else { return "unknown" }
    return withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}

extension String {
  func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
  func rightAligned(_ width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}

func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
func thousandths(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
