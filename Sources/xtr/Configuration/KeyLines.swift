// SPDX-License-Identifier: Apache-2.0
//
// On which line of a TOML file a key stands. TOMLKit gives positions of syntax errors only, not of values; so that an error
// of content can name its line, too, this scan walks the text once more and notes the line of every key and array element:
//
//     [[interface]]                 interface[0]            line 1
//     name = "core0"                interface[0].name       line 2
//     rlocs = [ "192.0.2.1",        interface[0].rlocs      line 3, interface[0].rlocs[0] line 3
//               "2001:db8::1" ]     interface[0].rlocs[1]   line 4
//
// The text has been parsed by TOMLKit before, so it is known to be TOML (v1.0.0), and the scan need not check it again. On any
// other text it gives wrong lines, but it ends and does not trap.

/// The lines of a TOML text's keys. `ProblemList` uses it.
struct KeyLines {
  private var lines: [String: Int] = [:]

  /// Scans `text`. O(text).
  init(of text: String) {
    var scan = Scan(bytes: Array(text.utf8))
    scan.document()
    lines = scan.lines
  }

  /// The line of `path`, or of the innermost table or array around it that stands somewhere; nil: of none.
  func line(of path: String) -> Int? {
    var path = path[...]
    while !path.isEmpty {
      if let line = lines[String(path)] { return line }
      guard let cut = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
      path = path[..<cut]
    }
    return nil
  }

  /// `key` as it is written in a path: in quotes unless it is bare (TOML v1.0.0 "Keys").
  static func component(_ key: String) -> String {
    let isBare = !key.isEmpty && key.utf8.allSatisfy { Scan.isBare($0) }
    return isBare ? key : "\"\(key)\""
  }

  static func path(_ table: String, _ key: String) -> String {
    table.isEmpty ? component(key) : "\(table).\(component(key))"
  }
}

private struct Scan {
  let bytes: [UInt8]
  var position = 0
  var line = 1
  var lines: [String: Int] = [:]
  /// How many elements each array of tables has by now.
  var counts: [String: Int] = [:]

  init(bytes: [UInt8]) { self.bytes = bytes }

  var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  static func isBare(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  mutating func document() {
    var table = ""
    skipSpace(lines: true)
    while let byte = current {
      if byte == UInt8(ascii: "[") {
        table = header()
      } else {
        keyAndValue(in: table)
      }
      skipSpace(lines: true)
    }
  }

  // MARK: Structure

  /// `[a.b]` or `[[a.b]]`; the path of the table it opens.
  private mutating func header() -> String {
    advance()
    let isArray = current == UInt8(ascii: "[")
    if isArray { advance() }
    let keys = dottedKey()
    while let byte = current, byte == UInt8(ascii: "]") { advance() }
    var path = ""
    for (index, key) in keys.enumerated() {
      path = KeyLines.path(path, key)
      note(path)
      if index == keys.count - 1, isArray { counts[path, default: 0] += 1 }
      if let count = counts[path] { path += "[\(count - 1)]" }
      note(path)
    }
    return path
  }

  private mutating func keyAndValue(in table: String) {
    let before = position
    var path = table
    for key in dottedKey() {
      path = KeyLines.path(path, key)
      note(path)
    }
    skipSpace(lines: false)
    if current == UInt8(ascii: "=") { advance() }
    skipSpace(lines: false)
    value(at: path)
    if position == before { advance() }
  }

  private mutating func value(at path: String) {
    switch current {
    case UInt8(ascii: "\""), UInt8(ascii: "'"): _ = quoted()
    case UInt8(ascii: "["): array(at: path)
    case UInt8(ascii: "{"): inlineTable(at: path)
    case nil: break
    default:
      while let byte = current, ![UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: "#"), 0x0A].contains(byte) {
        advance()
      }
    }
  }

  private mutating func array(at path: String) {
    advance()
    var index = 0
    skipSpace(lines: true)
    while let byte = current, byte != UInt8(ascii: "]") {
      let before = position
      note("\(path)[\(index)]")
      value(at: "\(path)[\(index)]")
      skipSpace(lines: true)
      if current == UInt8(ascii: ",") { advance() }
      skipSpace(lines: true)
      index += 1
      if position == before { advance() }
    }
    advance()
  }

  private mutating func inlineTable(at path: String) {
    advance()
    skipSpace(lines: true)
    while let byte = current, byte != UInt8(ascii: "}") {
      keyAndValue(in: path)
      skipSpace(lines: true)
      if current == UInt8(ascii: ",") { advance() }
      skipSpace(lines: true)
    }
    advance()
  }

  private mutating func note(_ path: String) {
    if lines[path] == nil { lines[path] = line }
  }

  // MARK: Keys and strings

  private mutating func dottedKey() -> [String] {
    var keys: [String] = []
    while true {
      skipSpace(lines: false)
      guard let byte = current else { return keys }
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
        keys.append(quoted())
      } else {
        let start = position
        while let byte = current, Self.isBare(byte) { advance() }
        guard position > start else { return keys }
        keys.append(String(decoding: bytes[start..<position], as: UTF8.self))
      }
      skipSpace(lines: false)
      guard current == UInt8(ascii: ".") else { return keys }
      advance()
    }
  }

  /// A string of any of the four kinds; its text without the quotes, escapes as they stand.
  private mutating func quoted() -> String {
    guard let quote = current else { return "" }
    let isLong = position + 2 < bytes.count && bytes[position + 1] == quote && bytes[position + 2] == quote
    let width = isLong ? 3 : 1
    for _ in 0..<width { advance() }
    let start = position
    while let byte = current {
      if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
        advance()
        advance()
      } else if closes(quote, width) {
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        for _ in 0..<width { advance() }
        // A long string may end in up to two quotes of its own.
        while isLong, current == quote { advance() }
        return text
      } else if !isLong, byte == 0x0A {
        break
      } else {
        advance()
      }
    }
    return ""
  }

  private func closes(_ quote: UInt8, _ width: Int) -> Bool {
    position + width <= bytes.count && bytes[position..<position + width].allSatisfy { $0 == quote }
  }

  // MARK: Bytes

  private mutating func advance() {
    guard let byte = current else { return }
    if byte == 0x0A { line += 1 }
    position += 1
  }

  /// Passes space and, where lines may end, comments and line ends.
  private mutating func skipSpace(lines: Bool) {
    while let byte = current {
      if byte == 0x20 || byte == 0x09 || (lines && (byte == 0x0A || byte == 0x0D)) {
        advance()
      } else if lines, byte == UInt8(ascii: "#") {
        while let byte = current, byte != 0x0A { _ = byte; advance() }
      } else {
        return
      }
    }
  }
}
