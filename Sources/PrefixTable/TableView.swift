// SPDX-License-Identifier: Apache-2.0
//
// What readers see of a prefix table: one published root. The engine looks whole batches up (LookupBatch), the slow path and
// tests single addresses; both give the same answers.

/// The roots of one instance's tries. Zero, the empty node, where the instance has none of that family.
public struct InstanceRoots: Sendable {
  public let ipv4: NodeIndex
  public let ipv6: NodeIndex

  @inlinable public init(ipv4: NodeIndex, ipv6: NodeIndex) {
    self.ipv4 = ipv4
    self.ipv6 = ipv6
  }

  /// Whether the instance has any entry.
  @inlinable public var isKnown: Bool { ipv4 | ipv6 != 0 }
}

/// A snapshot of the table. Thread: any; valid from the load of the published root to the thread's next quiescent point.
public struct TableView: Sendable {
  @usableFromInline let nodes: NodeReader
  @usableFromInline let root: NodeIndex

  @inlinable init(nodes: NodeReader, root: NodeIndex) {
    self.nodes = nodes
    self.root = root
  }

  /// The roots of instance `iid` (24 bits). Three reads.
  @inlinable @inline(__always)
  public func instance(_ iid: UInt32) -> InstanceRoots {
    let first = nodes.slot(root, UInt8(truncatingIfNeeded: iid >> 16)).child
    let second = nodes.slot(first, UInt8(truncatingIfNeeded: iid >> 8)).child
    let last = nodes.slot(second, UInt8(truncatingIfNeeded: iid))
    return InstanceRoots(ipv4: last.value, ipv6: last.child)
  }

  /// The value of the longest prefix under `root` that covers the address, given left-aligned in 128 bits; 0 for a miss.
  @inlinable
  public func lookup(_ root: NodeIndex, high: UInt64, low: UInt64) -> UInt32 {
    var node = root
    var best: UInt32 = 0
    var bits = high
    for depth in 0..<16 {
      if depth == 8 { bits = low }
      let slot = nodes.slot(node, UInt8(truncatingIfNeeded: bits >> 56))
      if slot.value != 0 { best = slot.value }
      if slot.child == 0 { break }
      node = slot.child
      bits <<= 8
    }
    return best
  }
}
