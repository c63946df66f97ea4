// SPDX-License-Identifier: Apache-2.0
//
// One line on standard error that says what the demo is doing; on a terminal it is drawn over itself and goes at the end.

import Glibc

/// Thread: the demo's.
final class DemoProgress {
  var total = 0
  private var done = 0
  private let isTerminal = isatty(2) != 0
  private let isQuiet: Bool
  private var output = StandardError()

  /// Quiet: only on a terminal.
  init(isQuiet: Bool) { self.isQuiet = isQuiet }

  func step(_ text: String) {
    done += 1
    let line = "[\(done)/\(total)] \(text)"
    if isTerminal {
      print("\r\u{1B}[K\(line) …", terminator: "", to: &output)
    } else if !isQuiet {
      print(line, to: &output)
    }
  }

  func clear() {
    if isTerminal { print("\r\u{1B}[K", terminator: "", to: &output) }
  }
}
