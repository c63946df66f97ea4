// SPDX-License-Identifier: Apache-2.0
//
// Tables for people: aligned columns, numbers to the right. The show and map commands print with it.

/// Rows under headings. Columns are as wide as their widest cell.
struct TextTable {
  enum Alignment { case left, right }

  private let columns: [(heading: String, alignment: Alignment)]
  private var rows: [[String]] = []

  init(_ columns: (String, Alignment)...) { self.columns = columns.map { (heading: $0.0, alignment: $0.1) } }

  /// One cell per column; a cell that has nothing to say is "–".
  mutating func add(_ cells: String...) { rows.append(cells.map { $0.isEmpty ? "–" : $0 }) }

  /// Lines without spaces at their ends; `empty` when there is no row.
  func text(empty: String) -> String {
    guard !rows.isEmpty else { return empty }
    let lines = [columns.map(\.heading)] + rows
    let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { cells in
      var line = ""
      for (column, cell) in cells.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        line += (column == 0 ? "" : "  ") + (columns[column].alignment == .left ? cell + padding : padding + cell)
      }
      while line.last == " " { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }
}

/// `1234567` as "1,234,567".
func grouped(_ number: some BinaryInteger) -> String {
  let digits = String(number)
  var text = ""
  for (index, digit) in digits.enumerated() {
    let left = digits.count - index
    if index > 0, left % 3 == 0, digits.dropFirst(index - 1).first != "-" { text.append(",") }
    text.append(digit)
  }
  return text
}

/// "1 mapping", "1,000 mappings".
func counted(_ number: Int, _ noun: String, plural: String? = nil) -> String {
  "\(grouped(number)) \(number == 1 ? noun : plural ?? noun + "s")"
}

/// Seconds as "3 d 4 h", "4 h 5 min", "5 min 6 s" or "6 s".
func duration(seconds: Double) -> String {
  let whole = seconds.isFinite && seconds > 0 ? Int(min(seconds, 1e12)) : 0
  let (days, hours, minutes, rest) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60)
  if days > 0 { return "\(days) d \(hours) h" }
  if hours > 0 { return "\(hours) h \(minutes) min" }
  return minutes > 0 ? "\(minutes) min \(rest) s" : "\(rest) s"
}
