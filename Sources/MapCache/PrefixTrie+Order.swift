// SPDX-License-Identifier: Apache-2.0
//
// What the trie answers about many prefixes: those within another, and all of them in order. For pages of lists, and for transactions
// over what is more specific.

import Wire

extension PrefixTrie {
  /// The place of the first node that lies in the prefix or is it: all that is within hangs there.
  private func top(_ key: Key) -> UInt32 {
    var place = root(key.space)
    while place != Node.none {
      let node = nodes[Int(place)]
      let common = key.common(node)
      if common == key.length { return place }
      guard common == node.length else { return Node.none }
      place = node[key.bit(common)]
    }
    return Node.none
  }

  /// Whether a stored prefix lies within `eid`, other than itself.
  public func hasDescendants(of eid: EIDPrefix) -> Bool {
    let place = top(Key(eid))
    guard place != Node.none else { return false }
    let node = nodes[Int(place)]
    return node.length > eid.prefix.length || node.firstChild != Node.none
  }

  /// The first `limit` stored prefixes within `eid`, other than itself, in ascending order. O(bits + limit).
  public func descendants(of eid: EIDPrefix, limit: Int) -> [(prefix: EIDPrefix, value: UInt32)] {
    let key = Key(eid)
    var found: [(prefix: EIDPrefix, value: UInt32)] = []
    // Subtrees still to be looked at, the next one last: at most one for each bit.
    var waiting = [top(key)].filter { $0 != Node.none }
    while found.count < limit, let place = waiting.popLast() {
      let node = nodes[Int(place)]
      if node.isStored, node.length > key.length { found.append((prefix(node, in: key.space), node.value)) }
      if node.right != Node.none { waiting.append(node.right) }
      if node.left != Node.none { waiting.append(node.left) }
    }
    return found
  }

  /// The stored prefix that follows `eid` in ascending order, whether or not `eid` is stored; of nil, the first of all.
  public func next(after eid: EIDPrefix?) -> (prefix: EIDPrefix, value: UInt32)? {
    guard let eid else { return roots.first.map { first($0.node, in: $0.space) } }
    let key = Key(eid)
    var position = position(key.space)
    if position < roots.count, roots[position].space == key.space {
      let place = successor(of: key, from: roots[position].node)
      if place != Node.none { return first(place, in: key.space) }
      position += 1
    }
    return position < roots.count ? first(roots[position].node, in: roots[position].space) : nil
  }

  /// The first prefix of the first instance that is `instance` or follows it.
  public func first(from instance: InstanceID) -> (prefix: EIDPrefix, value: UInt32)? {
    let position = position(instance.rawValue << 1)
    return position < roots.count ? first(roots[position].node, in: roots[position].space) : nil
  }

  /// The place of the subtree whose first prefix follows `key`, among what hangs at `root`.
  private func successor(of key: Key, from root: UInt32) -> UInt32 {
    var later = Node.none
    var place = root
    while place != Node.none {
      let node = nodes[Int(place)]
      let common = key.common(node)
      guard common == node.length else {
        // The node lies in the prefix, or beside it: then the first bit in which they differ says on which side.
        return common == key.length || !key.bit(common) ? place : later
      }
      guard common < key.length else { return node.firstChild != Node.none ? node.firstChild : later }
      if key.bit(common) {
        place = node.right
      } else {
        if node.right != Node.none { later = node.right }
        place = node.left
      }
    }
    return later
  }

  /// The first prefix of a subtree.
  private func first(_ place: UInt32, in space: UInt32) -> (prefix: EIDPrefix, value: UInt32) {
    var node = nodes[Int(place)]
    while !node.isStored { node = nodes[Int(node.left)] }
    return (prefix(node, in: space), node.value)
  }
}
