// SPDX-License-Identifier: Apache-2.0
//
// `table`: the prefix table beside DPDK's. Called by `make bench`.
//
//     table [--rounds N] [--prefixes FILE] [--only SECTION] [--output FILE]
//
// The sections stand in Sections.swift.

import CDPDK
import Glibc
import Measuring
import PrefixTable
import Wire

struct Options {
  var rounds = 30
  var path: String?
  var only = ""
  var output: String?

  /// nil when the arguments make no sense.
  init?(_ arguments: [String]) {
    var rest = arguments[...]
    while let name = rest.popFirst() {
      guard let value = rest.popFirst() else { return nil }
      switch name {
      case "--rounds": rounds = Int(value) ?? 0
      case "--prefixes": path = value
      case "--only": only = value
      case "--output": output = value
      default: return nil
      }
    }
    guard rounds > 0, only.isEmpty || sections.contains(where: { $0.name == only }) else { return nil }
  }
}

/// What is asked of the table.
enum Bars {
  static let ratioIPv4 = 1.0
  static let ratioIPv6 = 1 / 1.5
  static let singleIPv4 = 40.0
  static let singleIPv6 = 60.0
  static let gigahertz = 2.5
  static let hot = 8.0
  static let megabytes = 12.0
  static let bytesPerInstance = 1000.0
  static let loadSeconds = 1.0
  static let updatesPerSecond = 500_000.0
  static let readerRatio = 0.95
}

func progress(_ text: String) {
  guard isatty(2) != 0 else { return }
  let line = "\r\u{1B}[K\(text)"
  _ = write(2, line, line.utf8.count)
}

exit(run())
