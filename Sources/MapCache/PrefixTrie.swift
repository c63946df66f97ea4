// SPDX-License-Identifier: Apache-2.0
//
// EID-prefixes in order, each with a number: the index of everything in the slow path that is kept by EID-prefix. The map-cache keeps
// its slots by it, the Map-Server its registrations. (The workers' longest match is PrefixTable's: smaller, and read without locks.)
//
// A binary trie, path-compressed (Morrison's PATRICIA, 1968, with whole prefixes in the nodes). Every instance and family has a
// root of its own. A node is a prefix; what hangs below it lies within it, on the left what goes on with a 0 bit, on the right
// with a 1. A node is there for one of two reasons: its prefix is stored, or it is a fork, the longest prefix that the two
// children have in common. With 10.0.0.0/8, 10.1.0.0/16, 10.2.0.0/16 and 10.2.3.0/24 stored:
//
//                  10.0.0.0/8  ●
//                             /
//                 10.0.0.0/14 ○          ● stored
//                            / \         ○ a fork: nothing is stored here
//             10.1.0.0/16   ●   ●  10.2.0.0/16
//                              /
//                             ●  10.2.3.0/24
//
// A way down therefore has at most one node for each bit, and n stored prefixes need at most 2n − 1 nodes of 32 bytes in one array.
// Nodes refer to each other by their places in it; a free place is linked to the next free one and taken again first.
//
// A node before its children and the left child before the right one is the order of `EIDPrefix <`: what lists prefixes page by
// page needs no sorted copy, and goes on after a prefix that has been removed meanwhile.
//
// Invariants, executed by `checkInvariants`:
// I1  Bits of a node beyond its length are zero.
// I2  A child lies within its parent, strictly, on its side.
// I3  A node that stores nothing has two children.
// I4  Every place is used by exactly one node or free; `count` nodes store something.
// I5  Roots are in ascending order of their spaces; none is empty.

import Wire

/// A map from EID-prefixes to numbers, ordered. Every operation costs at most one step per bit of the prefix, unless it says
/// otherwise; none recurses. Thread: slow path (a value type without shared state).
public struct PrefixTrie: Sendable {
  private(set) var nodes: ContiguousArray<Node> = []
  private(set) var roots: [Root] = []
  private(set) var firstFree = Node.none
  private(set) var freeCount = 0
  /// How many prefixes are stored.
  public private(set) var count = 0

  /// An empty one.
  public init() {}

  /// Bytes of memory that it holds.
  public var byteCount: Int { nodes.capacity * MemoryLayout<Node>.stride + roots.capacity * MemoryLayout<Root>.stride }

  /// Places that were used and are free to be taken again.
  package var freeNodeCount: Int { freeCount }
  /// Nodes in use.
  package var nodeCount: Int { nodes.count - freeCount }
}

// MARK: - Parts

extension PrefixTrie {
  /// A prefix, stored or a fork.
  struct Node {
    static let none = UInt32.max

    /// Left-aligned (I1).
    var bits: UInt128
    /// Places of the children; of a free node `left` is the next free one.
    var left = none
    var right = none
    var value: UInt32 = 0
    var length: UInt8
    var isStored: Bool

    init(_ key: Key, value: UInt32?) {
      bits = key.bits
      length = UInt8(key.length)
      self.value = value ?? 0
      isStored = value != nil
    }

    /// The child that goes on with a 1 bit, or the other.
    subscript(isRight: Bool) -> UInt32 {
      get { isRight ? right : left }
      set { if isRight { right = newValue } else { left = newValue } }
    }

    /// Any child.
    var firstChild: UInt32 { left != Self.none ? left : right }
  }

  /// An instance's prefixes of one family.
  struct Root {
    var space: UInt32
    var node: UInt32
  }

  /// Where a node hangs.
  private enum Link {
    /// A position among the roots.
    case root(Int)
    case child(of: UInt32, isRight: Bool)
  }

  /// An EID-prefix as the trie sees it.
  struct Key {
    /// Instance and family, in the order of EID-prefixes.
    var space: UInt32
    var bits: UInt128
    var length: Int

    init(_ eid: EIDPrefix) {
      space = eid.instanceID.rawValue << 1 | (eid.prefix.family == .ipv6 ? 1 : 0)
      let (high, low) = eid.prefix.address.leftAligned
      bits = UInt128(high) << 64 | UInt128(low)
      length = eid.prefix.length
    }

    init(space: UInt32, bits: UInt128, length: Int) {
      self.space = space
      self.bits = length == 0 ? 0 : bits & ~0 << UInt128(128 - length)
      self.length = length
    }

    /// The bit behind the first `length`.
    func bit(_ length: Int) -> Bool { bits >> UInt128(127 - length) & 1 != 0 }

    /// How many leading bits it has in common with a node's prefix.
    func common(_ node: Node) -> Int { min(length, Int(node.length), (bits ^ node.bits).leadingZeroBitCount) }

    var eid: EIDPrefix {
      let high = UInt64(truncatingIfNeeded: bits >> 64)
      let address = IPAddress(family: space & 1 == 0 ? .ipv4 : .ipv6, leftAlignedHigh: high, low: UInt64(truncatingIfNeeded: bits))
      return EIDPrefix(InstanceID(truncating: space >> 1), IPPrefix(masking: address, length: length))
    }
  }

  func prefix(_ node: Node, in space: UInt32) -> EIDPrefix {
    Key(space: space, bits: node.bits, length: Int(node.length)).eid
  }

  /// The position of the first root of `space` or a later one.
  func position(_ space: UInt32) -> Int {
    var (low, high) = (0, roots.count)
    while low < high {
      let middle = (low + high) / 2
      if roots[middle].space < space { low = middle + 1 } else { high = middle }
    }
    return low
  }

  func root(_ space: UInt32) -> UInt32 {
    let i = position(space)
    return i < roots.count && roots[i].space == space ? roots[i].node : Node.none
  }

  private subscript(_ link: Link) -> UInt32 {
    get {
      switch link {
      case .root(let i): roots[i].node
      case .child(let parent, let isRight): nodes[Int(parent)][isRight]
      }
    }
    set {
      switch link {
      case .root(let i): if newValue == Node.none { roots.remove(at: i) } else { roots[i].node = newValue }
      case .child(let parent, let isRight): nodes[Int(parent)][isRight] = newValue
      }
    }
  }

  private mutating func allocate(_ node: Node) -> UInt32 {
    if firstFree != Node.none {
      let place = firstFree
      firstFree = nodes[Int(place)].left
      freeCount -= 1
      nodes[Int(place)] = node
      return place
    }
    nodes.growByQuarter(to: nodes.count + 1)
    nodes.append(node)
    return UInt32(nodes.count - 1)
  }

  private mutating func free(_ place: UInt32) {
    nodes[Int(place)].left = firstFree
    nodes[Int(place)].isStored = false
    firstFree = place
    freeCount += 1
  }
}

// MARK: - Changing

extension PrefixTrie {
  /// Stores a prefix or gives it another number; returns the old one.
  @discardableResult
  public mutating func insert(_ eid: EIDPrefix, _ value: UInt32) -> UInt32? {
    let key = Key(eid)
    let position = position(key.space)
    guard position < roots.count, roots[position].space == key.space else {
      roots.insert(Root(space: key.space, node: allocate(Node(key, value: value))), at: position)
      count += 1
      return nil
    }
    var link = Link.root(position)
    while true {
      let place = self[link]
      guard place != Node.none else {
        count += 1
        self[link] = allocate(Node(key, value: value))
        return nil
      }
      let node = nodes[Int(place)]
      let common = key.common(node)
      guard common == node.length else {
        count += 1
        self[link] = put(key, value, above: place, common: common)
        return nil
      }
      guard common < key.length else { return store(value, at: place) }
      link = .child(of: place, isRight: key.bit(common))
    }
  }

  private mutating func store(_ value: UInt32, at place: UInt32) -> UInt32? {
    let old = nodes[Int(place)]
    nodes[Int(place)].value = value
    nodes[Int(place)].isStored = true
    if !old.isStored { count += 1 }
    return old.isStored ? old.value : nil
  }

  /// A new node where the node at `place` is: its parent, or its sibling under a fork. Returns the upper one.
  private mutating func put(_ key: Key, _ value: UInt32, above place: UInt32, common: Int) -> UInt32 {
    let below = Key(space: key.space, bits: nodes[Int(place)].bits, length: Int(nodes[Int(place)].length))
    guard common < key.length else {
      var parent = Node(key, value: value)
      parent[below.bit(common)] = place
      return allocate(parent)
    }
    var fork = Node(Key(space: key.space, bits: key.bits, length: common), value: nil)
    fork[below.bit(common)] = place
    fork[key.bit(common)] = allocate(Node(key, value: value))
    return allocate(fork)
  }

  /// Removes a prefix; returns its number. Nodes that are of no use any more become free.
  @discardableResult
  public mutating func remove(_ eid: EIDPrefix) -> UInt32? {
    let key = Key(eid)
    let position = position(key.space)
    guard position < roots.count, roots[position].space == key.space else { return nil }
    var (above, link): (Link?, Link) = (nil, .root(position))
    while true {
      let place = self[link]
      guard place != Node.none else { return nil }
      let node = nodes[Int(place)]
      guard key.common(node) == node.length else { return nil }
      guard node.length < key.length else {
        guard node.isStored else { return nil }
        remove(place, at: link, below: above)
        return node.value
      }
      (above, link) = (link, .child(of: place, isRight: key.bit(Int(node.length))))
    }
  }

  /// Takes out a stored node. `above` is the link of its parent.
  private mutating func remove(_ place: UInt32, at link: Link, below above: Link?) {
    count -= 1
    let node = nodes[Int(place)]
    if node.left != Node.none && node.right != Node.none {
      nodes[Int(place)].isStored = false
      return
    }
    self[link] = node.firstChild
    free(place)
    // A fork that has lost one of its two children is none any more (I3).
    guard node.firstChild == Node.none, let above, case .child(let parent, _) = link, !nodes[Int(parent)].isStored else { return }
    self[above] = nodes[Int(parent)].firstChild
    free(parent)
  }
}

// MARK: - Asking for one prefix

extension PrefixTrie {
  /// The number of exactly this prefix.
  public subscript(_ eid: EIDPrefix) -> UInt32? {
    let key = Key(eid)
    var place = root(key.space)
    while place != Node.none {
      let node = nodes[Int(place)]
      guard key.common(node) == node.length else { return nil }
      guard node.length < key.length else { return node.isStored ? node.value : nil }
      place = node[key.bit(Int(node.length))]
    }
    return nil
  }

  /// The longest stored prefix that contains `eid` or is it.
  public func longestMatch(_ eid: EIDPrefix) -> (prefix: EIDPrefix, value: UInt32)? {
    let key = Key(eid)
    var longest: Node?
    var place = root(key.space)
    while place != Node.none {
      let node = nodes[Int(place)]
      guard key.common(node) == node.length else { break }
      if node.isStored { longest = node }
      guard node.length < key.length else { break }
      place = node[key.bit(Int(node.length))]
    }
    return longest.map { (prefix($0, in: key.space), $0.value) }
  }

  /// All stored prefixes that contain `eid` or are it, the shortest first.
  public func covering(_ eid: EIDPrefix) -> [(prefix: EIDPrefix, value: UInt32)] {
    let key = Key(eid)
    var covering: [(prefix: EIDPrefix, value: UInt32)] = []
    var place = root(key.space)
    while place != Node.none {
      let node = nodes[Int(place)]
      guard key.common(node) == node.length else { break }
      if node.isStored { covering.append((prefix(node, in: key.space), node.value)) }
      guard node.length < key.length else { break }
      place = node[key.bit(Int(node.length))]
    }
    return covering
  }

  /// What a negative answer about `eid` covers (RFC 9301 sections 5.4 and 8.3): the shortest prefix around it that lies in `within`
  /// and overlaps no stored prefix in `within`. A stored prefix around `eid` that lies in `within` (or is it) bounds the hole: the
  /// result is then a hole in that prefix, strictly inside it. Stored prefixes around `within` do not matter.
  ///
  /// Nil when there is none: `eid` is not in `within`, is stored itself, or contains a stored prefix.
  public func hole(around eid: EIDPrefix, within: EIDPrefix) -> EIDPrefix? {
    guard within.instanceID == eid.instanceID, within.prefix.contains(eid.prefix) else { return nil }
    let key = Key(eid)
    var length = within.prefix.length
    var place = root(key.space)
    while place != Node.none {
      let node = nodes[Int(place)]
      let common = key.common(node)
      // Down to `common` the node, or one of the two below it (I3), would overlap.
      length = max(length, common + 1)
      guard common == node.length, common < key.length else { break }
      place = node[key.bit(common)]
    }
    return length <= key.length ? Key(space: key.space, bits: key.bits, length: length).eid : nil
  }
}
