// SPDX-License-Identifier: Apache-2.0
//
// The self-check of the prefix table: executes I1 to I6 of PrefixTable. For tests: it visits everything, and works out anew what every
// block should look like from the entries that the iterator finds. Of I1 it asks the two ways to look a single address up; batches
// are compared with them, and with a plain list, by the tests.

import Wire

extension PrefixTable {
  /// What does not hold, in words; nothing when all is well.
  public func checkInvariants() -> [String] {
    let check = TrieCheck(reader: writer.reader)
    var instances: [(prefix: BitPrefix, value: Entry)] = []
    var entries = 0
    var directory = TrieIterator(self.directory, writer.reader)
    while let next = directory.next() {
      instances.append(next)
      let (block, iid) = (next.value.value, UInt32(next.prefix.high >> 40))
      let roots = writer.reader.roots(instance: block)
      check.visit(block, "instance \(iid)")
      check.require(roots.isKnown, "instance \(iid): without prefixes")
      entries += check.trie(roots.ipv4, pageDepth: 2, "[\(iid)] IPv4", writer)
      entries += check.trie(roots.ipv6, pageDepth: 3, "[\(iid)] IPv6", writer)
    }
    check.require(check.trie(self.directory, pageDepth: 0, "directory", writer) == instances.count, "directory: instances")
    if self.directory != committedDirectory { check.published(directory: committedDirectory, writer) }
    check.require(entries == count, "\(entries) entries found, \(count) counted")
    check.require(check.seen.isDisjoint(with: waiting), "a block waits for readers and is reachable")
    return check.found + writer.memory.checkInvariants(used: check.seen.union(waiting))
  }
}

/// The check of one trie after another.
private final class TrieCheck {
  let reader: NodeReader
  var seen = Set<Block>()
  var found: [String] = []

  typealias Entries = ArraySlice<(prefix: BitPrefix, value: Entry)>

  init(reader: NodeReader) { self.reader = reader }

  func require(_ condition: Bool, _ text: @autoclosure () -> String) {
    if !condition { found.append(text()) }
  }

  /// I2: no block by two ways.
  func visit(_ block: Block, _ place: String) { require(seen.insert(block).inserted, "\(place): block \(block) is reached twice") }

  /// I3: the open transaction has made none of the blocks that readers see.
  func published(directory: Entry, _ writer: borrowing TrieWriter) {
    published(directory, "directory", writer)
    var instances = TrieIterator(directory, reader)
    while let (prefix, value) = instances.next() {
      require(!writer.memory.isFresh(value.value), "instance \(prefix.high >> 40): published, but not sealed")
      let roots = reader.roots(instance: value.value)
      for root in [roots.ipv4, roots.ipv6] { published(root, "instance \(prefix.high >> 40)", writer) }
    }
  }

  private func published(_ entry: Entry, _ name: String, _ writer: borrowing TrieWriter) {
    guard entry.isLink else { return }
    require(!writer.memory.isFresh(entry.block), "\(name): block \(entry.block) is published, but not sealed")
    guard !entry.isRecord else { return published(reader.target(record: entry), name, writer) }
    for slot in 0..<256 { published(reader.entry(entry, slot), name, writer) }
  }

  /// Returns how many entries the trie has.
  func trie(_ root: Entry, pageDepth: Int, _ name: String, _ writer: borrowing TrieWriter) -> Int {
    var entries: [(prefix: BitPrefix, value: Entry)] = []
    var iterator = TrieIterator(root, reader)
    while let next = iterator.next() { entries.append(next) }
    for (a, b) in zip(entries, entries.dropFirst()) {
      require(Self.isOrdered(a.prefix, b.prefix), "\(name): \(a.prefix) and \(b.prefix) are not in order")
    }
    require(entries.allSatisfy(\.value.isValue), "\(name): an entry without a value")
    for entry in entries { require(reader.value(of: entry.prefix, under: root) == entry.value, "\(name): \(entry.prefix) is not found") }
    lookups(root, entries, name)
    let inherited = entries.first?.prefix.length == 0 ? entries[0].value : .none
    subtree(root, entries.drop { $0.prefix.length == 0 }, 0, inherited, pageDepth, name, writer)
    return entries.count
  }

  /// I1: of all prefixes that begin at an address, its lookup finds the longest.
  private func lookups(_ root: Entry, _ entries: [(prefix: BitPrefix, value: Entry)], _ name: String) {
    let view = TableView(nodes: reader, root: .none)
    for (i, entry) in entries.enumerated() {
      let (high, low) = (entry.prefix.high, entry.prefix.low)
      if i + 1 < entries.count, entries[i + 1].prefix.high == high, entries[i + 1].prefix.low == low { continue }
      let expected = PrefixMatch(value: entry.value.value, length: entry.prefix.length)
      require(view.match(root, high: high, low: low) == expected, "\(name): the match of the first address of \(entry.prefix)")
      require(view.lookup(root, high: high, low: low) == expected.value, "\(name): the lookup of the first address of \(entry.prefix)")
    }
  }

  private static func isOrdered(_ a: BitPrefix, _ b: BitPrefix) -> Bool { (a.high, a.low, a.length) < (b.high, b.low, b.length) }

  /// `entry` must be what these entries, longer than 8 × depth bits, ask for (I4, I5).
  private func subtree(
    _ entry: Entry, _ entries: Entries, _ depth: Int, _ inherited: Entry, _ pageDepth: Int, _ name: String,
    _ writer: borrowing TrieWriter
  ) {
    guard let first = entries.first, let last = entries.last else {
      return require(entry == inherited, "\(name) depth \(depth): \(entry) where nothing is below, expected \(inherited)")
    }
    guard entry.isLink else { return require(false, "\(name) depth \(depth): no link to \(entries.count) entries") }
    visit(entry.block, name)
    require(reader.inherited(entry) == inherited, "\(name) depth \(depth): \(first.prefix) inherits \(reader.inherited(entry))")
    let shortest = entries.map(\.prefix.length).min() ?? 0
    let fork = min(first.prefix.common(with: last.prefix), shortest - 1) / 8
    guard entries.count == 1 || fork > depth || fork == TrieWriter.secondHalf else {
      return node(entry, entries, depth, inherited, pageDepth, name, writer)
    }
    guard entry.isRecord else { return require(false, "\(name) depth \(depth): no record at \(first.prefix)") }
    let prefix = reader.prefix(record: entry)
    if entries.count == 1 {
      require(prefix == first.prefix && reader.target(record: entry) == first.value, "\(name): the record of \(first.prefix)")
    } else {
      require(prefix == first.prefix.prefix(8 * fork), "\(name): the record \(prefix), expected \(8 * fork) bits")
      let target = reader.target(record: entry)
      visit(target.block, name)
      require(reader.inherited(target) == inherited, "\(name): a node below a record inherits something else")
      node(target, entries, fork, inherited, pageDepth, name, writer)
    }
  }

  private func node(
    _ entry: Entry, _ entries: Entries, _ depth: Int, _ inherited: Entry, _ pageDepth: Int, _ name: String, _ writer: borrowing TrieWriter
  ) {
    guard entry.isNode || entry.isPage else { return require(false, "\(name) depth \(depth): a record where a node should be") }
    let place = "\(name) \(entries.first?.prefix.prefix(8 * depth) as Any)"
    let asPage = depth < pageDepth && entries.count >= TrieWriter.pagePrefixCount
    require(entry.isPage == asPage, "\(place): a page or not")
    let shape = reader.shape(entry)
    require(shape == NodeShape(depth: depth, prefixCount: entries.count), "\(place): depth \(shape.depth), \(shape.prefixCount) prefixes")
    var open = OpenNode()
    writer.memory.open(entry, &open)
    let lines = writer.memory.lineCount(open, asPage: asPage)
    require(writer.memory.lineCount(entry.block) == lines, "\(place): size of the block")
    let here = entries.filter { $0.prefix.length <= 8 * (depth + 1) }
    let owners = here.map { (owner: OpenNode.Owner(covering: $0.prefix.octet(depth), $0.prefix.length - 8 * depth), value: $0.value) }
    let below = Dictionary(grouping: entries.filter { $0.prefix.length > 8 * (depth + 1) }) { $0.prefix.octet(depth) }
    runs(open, owners, Set(below.keys), place)
    for slot in 0..<256 {
      let owner = owners.last { $0.owner.isCovering(slot) }
      require(reader.ownerLength(entry, slot) == owner?.owner.length ?? 0, "\(place) slot \(slot): length of the owner")
      subtree(reader.entry(entry, slot), (below[slot] ?? [])[...], depth + 1, owner?.value ?? inherited, pageDepth, name, writer)
    }
  }

  /// Runs are as long as can be; what owns no slot is hidden, in order.
  private func runs(_ open: borrowing OpenNode, _ owners: [(owner: OpenNode.Owner, value: Entry)], _ links: Set<Int>, _ place: String) {
    var expected: [Int] = []
    var visible: [OpenNode.Owner] = []
    for slot in 0..<256 {
      // Sorted by slot and length: the last that covers is the longest.
      let owner = owners.last { $0.owner.isCovering(slot) }?.owner
      let before = slot == 0 ? nil : owners.last { $0.owner.isCovering(slot - 1) }?.owner
      if slot == 0 || owner != before || links.contains(slot) || links.contains(slot - 1) { expected.append(slot) }
      if let owner, !visible.contains(owner) { visible.append(owner) }
    }
    var starts: [Int] = []
    for run in 0..<open.runCount { starts.append(open.start(run)) }
    require(starts == expected, "\(place): runs")
    let hidden = owners.filter { !visible.contains($0.owner) }
    var listed: [(owner: OpenNode.Owner, value: Entry)] = []
    for i in 0..<open.hiddenCount { listed.append((open.hidden(i).owner, open.hidden(i).value)) }
    require(hidden.elementsEqual(listed) { $0.owner == $1.owner && $0.value == $1.value }, "\(place): hidden prefixes")
  }
}
