// SPDX-License-Identifier: Apache-2.0
//
// The longest-prefix-match table: (instance ID, address) → value. One writer, any number of lock-free readers.
//
// The structure. A trie of 256-way nodes. First three levels for the 24 bits of the instance ID (the directory), whose
// last slots hold the roots of the instance's IPv4 and IPv6 tries; then one level per octet of the address.
//
//      directory, 3 levels              address trie, one level per octet
//      ┌────┬────┬────┐   v4 root   ┌──────────────────┐ child ┌──────────────────┐
//      │ IID octets   ├────────────▶│ 10 │ value,child ├──────▶│ 1 │ value, child ├──▶ …
//      └────┴────┴────┘   v6 root   └──────────────────┘       └──────────────────┘
//
// A node at depth d holds the prefixes of length 8d+1 … 8d+8 (the root also length 0). A prefix shorter than the node's
// last bit covers several places of it: each place names the longest prefix *of that node* which covers it. Values are not
// pushed into deeper nodes; a lookup walks down and remembers the last value it saw. So a change touches one node and
// the path to it, whatever lies below.
//
// Change. Published nodes are never written. A change copies the nodes on its path (each once per transaction), and
// `commit()` hands out the new root: readers see all of a transaction or nothing of it. The nodes that the old root alone
// could reach are retired, and come back when QuiescentState says so.
//
// Limits. 2³² − 1 values; the number of nodes is given to init, and a change that might need more is refused before it
// begins. IPv4 lookups read at most 4 nodes, IPv6 at most 16.
//
// Invariants
//   I1  A slot's value belongs to the longest prefix in `entries` that ends in this node and covers the place, or is 0.
//   I2  Every child index, and every root handed out, is a node in the arena that is not free.
//   I3  A node reachable from a handed-out root is not written; nodes of the open transaction are reachable from `root` only.
//   I4  No node except node 0 is empty, so that memory comes back after deletes.

import Wire

/// Why a change was refused. The table is as it was before.
public enum PrefixTableError: Error, Equatable, CustomStringConvertible {
  case exists(EIDPrefix)
  case notFound(EIDPrefix)
  case full(nodeCapacity: Int)
  case zeroValue
  case noMemory(byteCount: Int)

  public var description: String {
    switch self {
    case .exists(let prefix): "\(prefix) is already in the table"
    case .notFound(let prefix): "\(prefix) is not in the table"
    case .full(let capacity): "the prefix table is full (\(capacity) nodes)"
    case .zeroValue: "0 is not a value: it means a miss"
    case .noMemory(let byteCount): "cannot reserve \(byteCount) bytes of address space for the prefix table (see ulimit -v)"
    }
  }
}

/// The writer. Thread: slow path. Readers use `TableView`.
public final class PrefixTable {
  private var arena: NodeArena
  /// The transaction that created each node; equal to `transaction` while it may be written.
  private var birth: [UInt32] = [0]
  private var transaction: UInt32 = 1
  private var entries: [EIDPrefix: UInt32] = [:]

  /// The root of the open transaction.
  private var root: NodeIndex = 0
  private var committedRoot: NodeIndex = 0
  private var superseded: [NodeIndex] = []
  /// How many of `superseded` the last commit has made unreachable; those behind belong to the open transaction.
  private var supersededByCommits = 0
  private var retired: [(node: NodeIndex, epoch: UInt64)] = []
  private var retiredHead = 0

  /// Nodes are 2 KiB of address space each; memory is used as they are touched.
  public init(nodeCapacity: Int = 1 << 20) throws(PrefixTableError) {
    guard let arena = NodeArena(capacity: nodeCapacity) else {
      throw .noMemory(byteCount: nodeCapacity * NodeArena.nodeByteCount)
    }
    self.arena = arena
  }

  public var count: Int { entries.count }
  /// Nodes that are in use or wait for readers.
  public var nodeCount: Int { arena.inUse }
  /// The view of the last commit.
  public var view: TableView { TableView(nodes: arena.reader, root: committedRoot) }

  public func value(for prefix: EIDPrefix) -> UInt32? { entries[prefix] }

  /// All entries, in no order.
  public var allEntries: [EIDPrefix: UInt32] { entries }

  /// The longest entry that covers `address`, and its prefix. Sees the open transaction.
  public func longestMatch(_ address: IPAddress, in instance: InstanceID) -> (prefix: EIDPrefix, value: UInt32)? {
    for length in stride(from: address.family.bitWidth, through: 0, by: -1) {
      let prefix = EIDPrefix(instance, IPPrefix(masking: address, length: length))
      if let value = entries[prefix] { return (prefix, value) }
    }
    return nil
  }

  // MARK: - Changes

  /// Adds an entry that is not there yet. Complexity: one node copy per octet at most.
  public func insert(_ prefix: EIDPrefix, value: UInt32) throws(PrefixTableError) {
    guard entries[prefix] == nil else { throw .exists(prefix) }
    try set(prefix, value)
  }

  /// Adds or replaces an entry; returns the value it had.
  @discardableResult
  public func update(_ prefix: EIDPrefix, value: UInt32) throws(PrefixTableError) -> UInt32? {
    let old = entries[prefix]
    try set(prefix, value)
    return old
  }

  /// Removes an entry; returns its value.
  @discardableResult
  public func delete(_ prefix: EIDPrefix) throws(PrefixTableError) -> UInt32 {
    guard let old = entries[prefix] else { throw .notFound(prefix) }
    try reserve(Self.longestPath)
    entries[prefix] = nil
    let length = prefix.prefix.length
    let heir = coveringPrefixInNode(prefix)
    modify(prefix) { table, node, place in
      guard table.arena.length(node, place) == length else { return }
      table.write(node, place, value: heir?.value ?? 0, length: heir?.length ?? 0)
    }
    return old
  }

  private func set(_ prefix: EIDPrefix, _ value: UInt32) throws(PrefixTableError) {
    guard value != 0 else { throw .zeroValue }
    try reserve(2 * Self.longestPath)
    entries[prefix] = value
    let length = prefix.prefix.length
    modify(prefix) { table, node, place in
      let present = table.arena.reader.slot(node, place)
      if present.value == 0 || table.arena.length(node, place) <= length { table.write(node, place, value: value, length: length) }
    }
  }

  /// A change copies at most 3 directory nodes and 16 address nodes.
  private static let longestPath = 19

  /// Deletions need one path, everything else asks for two: so a full table can still be emptied.
  private func reserve(_ nodeCount: Int) throws(PrefixTableError) {
    guard arena.available >= nodeCount else { throw .full(nodeCapacity: arena.capacity) }
  }

  /// The longest shorter entry that ends in the same node as `prefix` and covers it.
  private func coveringPrefixInNode(_ prefix: EIDPrefix) -> (value: UInt32, length: Int)? {
    let shortest = prefix.prefix.length <= 8 ? 0 : (prefix.prefix.length - 1) / 8 * 8 + 1
    for length in stride(from: prefix.prefix.length - 1, through: shortest, by: -1) {
      let covering = EIDPrefix(prefix.instanceID, IPPrefix(masking: prefix.prefix.address, length: length))
      if let value = entries[covering] { return (value, length) }
    }
    return nil
  }

  // MARK: - Transactions

  /// Seals the open transaction and returns the view to publish. After publishing, call `retire(epoch:)`.
  public func commit() -> TableView {
    committedRoot = root
    supersededByCommits = superseded.count
    transaction &+= 1
    return view
  }

  /// Tags what the last commits replaced with the epoch that began after they were published.
  public func retire(epoch: UInt64) {
    for node in superseded.prefix(supersededByCommits) { retired.append((node, epoch)) }
    superseded.removeFirst(supersededByCommits)
    supersededByCommits = 0
  }

  /// Frees what no reader can reach: everything tagged with `oldest` or less.
  public func reclaim(oldest: UInt64) {
    while retiredHead < retired.count, retired[retiredHead].epoch <= oldest {
      arena.release(retired[retiredHead].node)
      retiredHead += 1
    }
    if retiredHead == retired.count {
      retired.removeAll(keepingCapacity: true)
      retiredHead = 0
    } else if retiredHead > 4096, retiredHead > retired.count / 2 {
      retired.removeFirst(retiredHead)
      retiredHead = 0
    }
  }

  // MARK: - The path to a node

  /// Makes the path to the node in which `prefix` ends writable and applies `change` to each place the prefix covers.
  private func modify(_ prefix: EIDPrefix, _ change: (PrefixTable, NodeIndex, UInt8) -> Void) {
    let iid = prefix.instanceID.rawValue
    root = modify(directory: root, depth: 0, iid: iid) { slot in
      var slot = slot
      switch prefix.prefix.family {
      case .ipv4: slot.value = modify(trie: slot.value, depth: 0, prefix.prefix, change)
      case .ipv6: slot.child = modify(trie: slot.child, depth: 0, prefix.prefix, change)
      }
      return slot
    }
  }

  private func modify(
    directory node: NodeIndex, depth: Int, iid: UInt32, _ change: (Slot) -> Slot
  ) -> NodeIndex {
    let place = UInt8(truncatingIfNeeded: iid >> UInt32(16 - 8 * depth))
    let node = writable(node)
    var slot = arena.reader.slot(node, place)
    if depth == 2 {
      slot = change(slot)
    } else {
      slot.child = modify(directory: slot.child, depth: depth + 1, iid: iid, change)
    }
    arena.write(node, place, slot)
    return pruned(node, because: slot)
  }

  private func modify(
    trie node: NodeIndex, depth: Int, _ prefix: IPPrefix, _ change: (PrefixTable, NodeIndex, UInt8) -> Void
  ) -> NodeIndex {
    let node = writable(node)
    let place = prefix.octet(depth)
    if prefix.length > 8 * (depth + 1) {
      var slot = arena.reader.slot(node, place)
      slot.child = modify(trie: slot.child, depth: depth + 1, prefix, change)
      arena.write(node, place, slot)
    } else {
      let span = 1 << (8 * (depth + 1) - prefix.length)
      for covered in Int(place)..<Int(place) + span { change(self, node, UInt8(covered)) }
    }
    return pruned(node, because: arena.reader.slot(node, place))
  }

  /// `node` itself when the open transaction made it, else a copy of it (I3).
  private func writable(_ node: NodeIndex) -> NodeIndex {
    if node != 0, birth[Int(node)] == transaction { return node }
    guard let copy = arena.allocate(copyOf: node) else { preconditionFailure("reserve() promised a node") }
    if Int(copy) == birth.count { birth.append(transaction) }
    birth[Int(copy)] = transaction
    if node != 0 { superseded.append(node) }
    return copy
  }

  /// The node, or 0 when the change left it empty (I4).
  private func pruned(_ node: NodeIndex, because slot: Slot) -> NodeIndex {
    guard slot == Slot(value: 0, child: 0), arena.isEmpty(node) else { return node }
    discard(node)
    return 0
  }

  /// Gives back a node of the open transaction: no reader ever saw it.
  private func discard(_ node: NodeIndex) {
    birth[Int(node)] = 0
    arena.release(node)
  }

  private func write(_ node: NodeIndex, _ place: UInt8, value: UInt32, length: Int) {
    var slot = arena.reader.slot(node, place)
    slot.value = value
    arena.write(node, place, slot)
    arena.setLength(node, place, length)
  }
}

extension PrefixTable {
  /// Where a node hangs: the octets above it, left-aligned.
  private struct NodePath: Hashable {
    var instance: UInt32
    var family: AddressFamily
    var depth = 0
    var high: UInt64 = 0
    var low: UInt64 = 0

    func child(_ place: Int) -> NodePath {
      var path = self
      let octet = UInt64(place) << UInt64(56 - 8 * (depth & 7))
      if depth < 8 { path.high |= octet } else { path.low |= octet }
      path.depth += 1
      return path
    }
  }

  /// What I1 asks of a place.
  private struct Owner: Equatable {
    var value: UInt32 = 0
    var length = 0
  }

  /// Executes I1, I2 and I4 against `entries`; returns what does not hold. For tests: visits everything.
  public func violations() -> [String] {
    var found: [String] = []
    var seen = Set<NodeIndex>()
    var expected = ownersByNode()
    walk(directory: root, depth: 0, iid: 0, &seen, &found) { trie, path, seen, found in
      walk(trie: trie, path, &expected, &seen, &found)
    }
    for path in expected.keys {
      let address = IPAddress(family: path.family, leftAlignedHigh: path.high, low: path.low)
      found.append("[\(path.instance)]\(address): the node at depth \(path.depth) is not there")
    }
    let waiting = superseded.count + retired.count - retiredHead
    if seen.count + waiting != arena.inUse {
      found.append("\(seen.count) reachable and \(waiting) waiting nodes, \(arena.inUse) in use")
    }
    return found
  }

  /// For every node that `entries` ask for, the owner of each place: shorter prefixes first, so that longer ones cover them.
  private func ownersByNode() -> [NodePath: [Owner]] {
    var owners: [NodePath: [Owner]] = [:]
    for (entry, value) in entries.sorted(by: { $0.key.prefix.length < $1.key.prefix.length }) {
      let length = entry.prefix.length
      var path = NodePath(instance: entry.instanceID.rawValue, family: entry.prefix.family)
      while length > 8 * (path.depth + 1) { path = path.child(Int(entry.prefix.octet(path.depth))) }
      let first = Int(entry.prefix.octet(path.depth))
      for place in first..<first + 1 << (8 * (path.depth + 1) - length) {
        owners[path, default: Array(repeating: Owner(), count: NodeArena.slotCount)][place] = Owner(value: value, length: length)
      }
    }
    return owners
  }

  private func visit(_ node: NodeIndex, _ seen: inout Set<NodeIndex>, _ found: inout [String]) {
    if !seen.insert(node).inserted { found.append("node \(node) is reached twice") }
    if arena.isEmpty(node) { found.append("node \(node) is empty") }
  }

  private func walk(
    directory node: NodeIndex, depth: Int, iid: UInt32, _ seen: inout Set<NodeIndex>, _ found: inout [String],
    _ onTrie: (NodeIndex, NodePath, inout Set<NodeIndex>, inout [String]) -> Void
  ) {
    guard node != 0 else { return }
    visit(node, &seen, &found)
    for place in 0..<NodeArena.slotCount {
      let slot = arena.reader.slot(node, UInt8(place))
      let iid = iid << 8 | UInt32(place)
      if depth < 2 {
        walk(directory: slot.child, depth: depth + 1, iid: iid, &seen, &found, onTrie)
      } else {
        onTrie(slot.value, NodePath(instance: iid, family: .ipv4), &seen, &found)
        onTrie(slot.child, NodePath(instance: iid, family: .ipv6), &seen, &found)
      }
    }
  }

  private func walk(
    trie node: NodeIndex, _ path: NodePath, _ expected: inout [NodePath: [Owner]], _ seen: inout Set<NodeIndex>,
    _ found: inout [String]
  ) {
    guard node != 0 else { return }
    visit(node, &seen, &found)
    let owners = expected.removeValue(forKey: path)
    for place in 0..<NodeArena.slotCount {
      let slot = arena.reader.slot(node, UInt8(place))
      let owner = owners?[place] ?? Owner()
      if slot.value != owner.value || slot.value != 0 && arena.length(node, UInt8(place)) != owner.length {
        let below = path.child(place)
        let address = IPAddress(family: path.family, leftAlignedHigh: below.high, low: below.low)
        found.append("[\(path.instance)]\(address) depth \(path.depth): \(slot.value), expected \(owner.value) of /\(owner.length)")
      }
      if slot.child != 0 { walk(trie: slot.child, path.child(place), &expected, &seen, &found) }
    }
  }
}

extension IPPrefix {
  /// The octet of the address at `depth`, the first being 0.
  fileprivate func octet(_ depth: Int) -> UInt8 {
    let bits = address.leftAligned
    return UInt8(truncatingIfNeeded: (depth < 8 ? bits.high : bits.low) >> UInt64(56 - 8 * (depth & 7)))
  }
}
