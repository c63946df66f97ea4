// SPDX-License-Identifier: Apache-2.0
//
// Walks a version of the table in order. Called through TableSnapshot, and by the invariants' check.

import Wire

/// The entries of a trie in order: by address, shorter prefixes first.
struct TrieIterator: IteratorProtocol {
  private let reader: NodeReader
  /// What is still to come, the next one last.
  private var pending: [Item] = []

  private enum Item {
    case found(BitPrefix, Entry)
    /// A subtree, the octets on the way to it, and its depth.
    case subtree(Entry, BitPrefix)
  }

  init(_ root: Entry, _ reader: NodeReader) {
    self.reader = reader
    let whole = BitPrefix(high: 0, low: 0, length: 0)
    if root.isLink { pending.append(.subtree(root, whole)) }
    let value = root.isLink ? reader.inherited(root) : root
    if value != .none { pending.append(.found(whole, value)) }
  }

  mutating func next() -> (prefix: BitPrefix, value: Entry)? {
    while let item = pending.popLast() {
      switch item {
      case .found(let prefix, let value): return (prefix, value)
      case .subtree(let entry, let path): expand(entry, path)
      }
    }
    return nil
  }

  private mutating func expand(_ entry: Entry, _ path: BitPrefix) {
    guard entry.isRecord else { return expand(node: entry, path) }
    let (prefix, target) = (reader.prefix(record: entry), reader.target(record: entry))
    pending.append(target.isValue ? .found(prefix, target) : .subtree(target, prefix))
  }

  /// What is in the node, last slot first.
  private mutating func expand(node: Entry, _ path: BitPrefix) {
    let depth = reader.shape(node).depth
    var items: [(slot: Int, length: Int, item: Item)] = []
    for found in reader.prefixes(in: node) {
      let prefix = path.descendant(depth, found.owner.slot, bitCount: found.owner.length)
      items.append((found.owner.slot, found.owner.length, .found(prefix, found.value)))
    }
    for slot in 0..<256 {
      let link = reader.entry(node, slot)
      if link.isLink { items.append((slot, 9, .subtree(link, path.descendant(depth, slot, bitCount: 8)))) }
    }
    items.sort { ($0.slot, $0.length) > ($1.slot, $1.length) }
    pending.append(contentsOf: items.map(\.item))
  }
}

/// The entries of a version of the table in order.
public struct TableIterator: IteratorProtocol {
  private let view: TableView
  private let hold: SnapshotHold?
  private var instances: TrieIterator
  private var instance = InstanceID.zero
  private var families: [AddressFamily] = []
  private var roots = InstanceRoots.none
  private var family = AddressFamily.ipv4
  private var trie: TrieIterator

  init(_ view: TableView, _ hold: SnapshotHold? = nil) {
    self.view = view
    self.hold = hold
    instances = TrieIterator(view.root, view.nodes)
    trie = TrieIterator(.none, view.nodes)
  }

  public mutating func next() -> (prefix: EIDPrefix, value: UInt32)? {
    while true {
      if let entry = trie.next() {
        let address = IPAddress(family: family, leftAlignedHigh: entry.prefix.high, low: entry.prefix.low)
        return (EIDPrefix(instance, IPPrefix(masking: address, length: entry.prefix.length)), entry.value.value)
      }
      if families.isEmpty {
        guard let next = instances.next() else { return nil }
        instance = InstanceID(truncating: UInt32(truncatingIfNeeded: next.prefix.high >> 40))
        roots = view.nodes.roots(instance: next.value.value)
        families = [.ipv6, .ipv4]
      }
      family = families.removeLast()
      trie = TrieIterator(roots.root(family), view.nodes)
    }
  }
}
