// SPDX-License-Identifier: Apache-2.0
//
// The lines of keys: against texts counted by hand, and against TOMLKit's idea of which keys there are.

import TOMLKit
import Testing

@testable import xtr

@Suite struct KeyLinesTests {
  static let text = """
    # a comment with [brackets] and key = 1
    title = "a \\"quoted\\" # text"   # comment
    "odd key" = 1
    a.b = { c = 1, d.e = [ 1, { f = 2 } ] }

    [table]            # comment
    literal = 'C:\\path'
    long = \"\"\"
    line = 1
    [not.a.table]
    \\\"""still
    \"""
    after = true
    raw = '''
    x = ''y''
    '''
    [table.inner]
    list = [
      "one", # ]
      [ 2,
        3 ],

      { k = "}",
        }, # not TOML 1.0, but harmless
    ]
    [[row]]
    id = 1
    [[row.cell]]
    v = 1979-05-27T07:32:00Z
    [[row.cell]]
    v = 2
    [row.note]
    t = 1
    [[row]]
    id = 2
    [[row.cell]]
    v = 3
    """

  @Test(arguments: [
    ("title", 2), ("\"odd key\"", 3), ("a.b", 4), ("a.b.c", 4), ("a.b.d.e", 4), ("a.b.d.e[1].f", 4), ("table", 6), ("table.literal", 7),
    ("table.long", 8), ("table.after", 13), ("table.raw", 14), ("table.inner", 17), ("table.inner.list", 18), ("table.inner.list[0]", 19),
    ("table.inner.list[1]", 20), ("table.inner.list[1][1]", 21), ("table.inner.list[2]", 23), ("table.inner.list[2].k", 23),
    ("row[0]", 26), ("row[0].id", 27), ("row[0].cell[0].v", 29), ("row[0].cell[1]", 30), ("row[0].cell[1].v", 31), ("row[0].note.t", 33),
    ("row[1].id", 35), ("row[1].cell[0].v", 37),
  ])
  func `a key has the line on which it stands`(path: String, line: Int) {
    #expect(KeyLines(of: Self.text).line(of: path) == line)
  }

  @Test func `a key that is not there has the line of what should hold it`() {
    let lines = KeyLines(of: Self.text)
    #expect(lines.line(of: "row[1].cell[0].missing") == 36)
    #expect(lines.line(of: "row[1].missing") == 34)
    #expect(lines.line(of: "missing") == nil)
    #expect(lines.line(of: "") == nil)
  }

  /// All paths of a value, as `ConfigurationReader` writes them.
  private func paths(_ value: ConfigurationValue, _ path: String) -> [String] {
    switch value {
    case .table(let members):
      (path.isEmpty ? [] : [path]) + members.flatMap { paths($0.value, KeyLines.path(path, $0.key)) }
    case .array(let elements): [path] + elements.enumerated().flatMap { paths($0.element, "\(path)[\($0.offset)]") }
    case .string, .integer, .boolean, .other: [path]
    }
  }

  @Test func `every key that TOMLKit finds has its own line`() throws {
    let text = Self.text.split(separator: "\n", omittingEmptySubsequences: false)
      .filter { !$0.contains("harmless") }.joined(separator: "\n").replacing("{ k = \"}\",", with: "{ k = \"}\" }")
    let table = try TOMLTable(string: text)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let found = paths(ConfigurationValue.table(of: table), "")
    #expect(found.count > 30)
    let keyLines = KeyLines(of: text)
    for path in found {
      let line = try #require(keyLines.line(of: path), "\(path)")
      // The last part of the path stands on the line it is said to stand on.
      let last = path.split { $0 == "." || $0 == "[" }.last.map(String.init) ?? ""
      if !path.hasSuffix("]") { #expect(lines[line - 1].contains(last), "\(path) on line \(line)") }
    }
  }

  @Test func `any text ends, whatever it is`() {
    for text in [
      "[", "[[", "]", "a", "=", "\"", "'''", "a = [", "a = {", "a = [1,", "}{][", "a = \"\\", "\u{0}", "a..b = 1", "[a]]]", "= = =",
    ] {
      #expect(KeyLines(of: text).line(of: "nothing") == nil)
      #expect(KeyLines(of: String(repeating: text, count: 50)).line(of: "nothing") == nil)
    }
  }
}
