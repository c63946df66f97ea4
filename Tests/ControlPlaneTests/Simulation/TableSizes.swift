// SPDX-License-Identifier: Apache-2.0
//
// How much the tables of a state machine hold, whatever they are: every array, dictionary and set that its stored properties lead to, by its
// path. What grows with the hours, and not with the sites, shows when two of these are compared.

struct TableSizes {
  private(set) var counts: [String: Int] = [:]

  init(of value: Any) { look(into: Mirror(reflecting: value), path: "", depth: 0) }

  /// Elements are not looked into: they are as many as their table holds.
  private mutating func look(into mirror: Mirror, path: String, depth: Int) {
    switch mirror.displayStyle {
    case .collection, .dictionary, .set: counts[path] = mirror.children.count
    case .struct, .optional, .tuple:
      guard depth < 8 else { return }
      for child in mirror.children { look(into: Mirror(reflecting: child.value), path: "\(path)/\(child.label ?? "")", depth: depth + 1) }
    default: return
    }
  }

  /// The tables that hold more than `factor` times what they held before, and more than `floor` in all.
  func grown(since before: TableSizes, factor: Double, floor: Int) -> [String] {
    counts.filter { path, count in count > floor && Double(count) > factor * Double(max(before.counts[path] ?? 0, 1)) }
      .map { "\($0.key): \(before.counts[$0.key] ?? 0) → \($0.value)" }.sorted()
  }
}
