// SPDX-License-Identifier: Apache-2.0
//
// What a benchmark leaves behind: its rows with the command, the machine, and the calibration before and after.

import Glibc

/// What goes to the file.
public struct Report {
  let name: String
  public var command: String
  public var before = Calibration()
  public var after: Calibration?
  public var rows: [Row] = []

  public init(_ name: String, command: String) {
    self.name = name
    self.command = command
  }

  public var json: String {
    let rows = rows.map { "  " + $0.json }.joined(separator: ",\n")
    let processor = Self.value(of: "model name", in: "/proc/cpuinfo")
    return """
      {
       "benchmark": "\(name)",
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
  public func write(to path: String) -> Bool {
    guard let file = fopen(path, "w") else { return false }
    defer { fclose(file) }
    return fputs(json, file) >= 0
  }

  /// The first value behind `key` in a file of "key : value" lines.
  public static func value(of key: String, in path: String) -> String {
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

  public static func kernel() -> String {
    var name = utsname()
    guard uname(&name) == 0 else { return "unknown" }
    return withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
