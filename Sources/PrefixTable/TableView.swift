// SPDX-License-Identifier: Apache-2.0
//
// What readers see of a prefix table: one published root. The engine looks whole batches up (LookupBatch), the slow path and
// tests single addresses; both give the same answers.

import Wire

/// The roots of one instance's tries.
public struct InstanceRoots: Equatable, Sendable {
  public var ipv4: Entry
  public var ipv6: Entry

  @inlinable public init(ipv4: Entry, ipv6: Entry) {
    self.ipv4 = ipv4
    self.ipv6 = ipv6
  }

  /// Those of an instance without entries.
  public static var none: InstanceRoots { @inlinable get { InstanceRoots(ipv4: .none, ipv6: .none) } }

  /// Whether the instance has any entry.
  @inlinable public var isKnown: Bool { self != .none }

  @inlinable public func root(_ family: AddressFamily) -> Entry {
    switch family {
    case .ipv4: ipv4
    case .ipv6: ipv6
    }
  }
}

/// The longest prefix that covers an address.
public struct PrefixMatch: Equatable, Sendable {
  public var value: UInt32
  /// In bits.
  public var length: Int
}

/// A version of the table. Thread: any; valid from the load of the published root to the thread's next quiescent point.
public struct TableView: Sendable {
  @usableFromInline let nodes: NodeReader
  /// The directory: a trie over the 24 bits of the instance ID. Its values are blocks.
  @usableFromInline let root: Entry

  @inlinable init(nodes: NodeReader, root: Entry) {
    self.nodes = nodes
    self.root = root
  }

  /// One word that stands for the view: what a writer publishes to readers that have a view of the table already. Versions that differ
  /// in one prefix may share it.
  public var token: UInt32 { @inlinable get { root.raw } }

  /// The view that `token`, of a view of the same table, stands for.
  @inlinable public func at(_ token: UInt32) -> TableView { TableView(nodes: nodes, root: Entry(raw: token)) }

  /// The roots of instance `iid` (24 bits). At most 3 nodes are read.
  @inlinable
  public func instance(_ iid: UInt32) -> InstanceRoots {
    let block = block(of: iid)
    return block == 0 ? .none : nodes.roots(instance: block)
  }

  /// The block of instance `iid`; 0 when it is unknown.
  @inlinable
  func block(of iid: UInt32) -> Block { lookup(root, high: UInt64(iid) << 40, low: 0) }

  /// The value of the longest prefix under `root` that covers the address, given left-aligned in 128 bits; 0 for a miss.
  @inlinable
  public func lookup(_ root: Entry, high: UInt64, low: UInt64) -> UInt32 {
    nodes.walk(root, high.bigEndian, low.bigEndian).value
  }

  /// The same with the length of the prefix; nil for a miss.
  public func match(_ root: Entry, high: UInt64, low: UInt64) -> PrefixMatch? {
    var match = root.isLink ? PrefixMatch(value: nodes.inherited(root).value, length: 0) : PrefixMatch(value: root.value, length: 0)
    let (first, second) = (high.bigEndian, low.bigEndian)
    var entry = root
    while entry.isLink {
      if entry.isRecord {
        guard nodes.covers(record: entry, first, second) else { break }
        let (target, length) = (nodes.target(record: entry), nodes.length(record: entry))
        if target.isValue { match = PrefixMatch(value: target.value, length: length) }
        entry = target
      } else {
        let shape = nodes.shape(entry)
        let octet = shape.octet(first, second)
        let next = nodes.entry(entry, octet)
        let length = nodes.ownerLength(entry, octet)
        if length != 0 {
          let value = next.isLink ? nodes.inherited(next).value : next.value
          match = PrefixMatch(value: value, length: 8 * shape.depth + length)
        }
        entry = next
      }
    }
    return match.value == 0 ? nil : match
  }
}

extension NodeReader {
  /// Follows `entry` to the end: a value or none. However links change meanwhile (I3), each leads at least one octet
  /// deeper (I4), or from a record to a node: 16 nodes and as many records end every walk. The address is in the order of the wire.
  @inlinable
  func walk(_ entry: Entry, _ first: UInt64, _ second: UInt64) -> Entry {
    var entry = entry
    while entry.isLink {
      // Pages come first, and mostly all of them: branches of their own are foreseen more often.
      while entry.isPage { entry = self.entry(page: entry, shape(page: entry).octet(first, second)) }
      if entry.isNode {
        entry = self.entry(node: entry, shape(node: entry).octet(first, second))
      } else if entry.isRecord {
        entry = covers(record: entry, first, second) ? target(record: entry) : inherited(record: entry)
      }
    }
    return entry
  }

  /// The value of exactly the prefix `key`, which is in the trie, or nil.
  func value(of key: BitPrefix, under root: Entry) -> Entry? {
    guard key.length > 0 else {
      let value = root.isLink ? inherited(root) : root
      return value == .none ? nil : value
    }
    var entry = root
    while entry.isLink {
      if entry.isRecord {
        let (bits, target) = (prefix(record: entry), target(record: entry))
        if target.isValue { return bits == key ? target : nil }
        guard key.length > bits.length, key.common(with: bits) == bits.length else { return nil }
        entry = target
      } else {
        let depth = shape(entry).depth
        guard key.length > 8 * (depth + 1) else { return value(of: key, in: entry, depth: depth) }
        entry = self.entry(entry, key.octet(depth))
      }
    }
    return nil
  }

  /// The value of a prefix that would end in this node.
  private func value(of key: BitPrefix, in node: Entry, depth: Int) -> Entry? {
    let owner = OpenNode.Owner(covering: key.octet(depth), key.length - 8 * depth)
    for slot in owner.slot..<owner.end where ownerLength(node, slot) == owner.length {
      let entry = self.entry(node, slot)
      return entry.isLink ? inherited(entry) : entry
    }
    return hiddenPrefixes(in: node).first { $0.owner == owner }?.value
  }
}
