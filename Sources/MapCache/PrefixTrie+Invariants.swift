// SPDX-License-Identifier: Apache-2.0
//
// The trie's self-check, for tests.

import Wire

extension PrefixTrie {
  /// What is wrong with it, in words: nothing, as long as I1–I5 hold. O(n); for tests.
  package func checkInvariants() -> [String] {
    var wrong: [String] = []
    var seen = Set<UInt32>()
    var stored = 0
    for (i, root) in roots.enumerated() {
      if i > 0, roots[i - 1].space >= root.space { wrong.append("I5: root \(root.space) is not after \(roots[i - 1].space)") }
      var waiting = [root.node]
      while let place = waiting.popLast() {
        guard Int(place) < nodes.count, seen.insert(place).inserted else {
          wrong.append("I4: place \(place) is outside or used twice")
          continue
        }
        let node = nodes[Int(place)]
        if node.isStored { stored += 1 }
        if Key(space: 0, bits: node.bits, length: Int(node.length)).bits != node.bits { wrong.append("I1: bits of place \(place)") }
        let children = [false, true].filter { node[$0] != Node.none }
        if !node.isStored, children.count < 2 { wrong.append("I3: place \(place) is no fork") }
        for isRight in children where !isChild(node[isRight], of: node, isRight: isRight) { wrong.append("I2: a child of place \(place)") }
        waiting += children.map { node[$0] }
      }
    }
    var free = firstFree
    var freed = 0
    while free != Node.none, seen.insert(free).inserted {
      freed += 1
      free = nodes[Int(free)].left
    }
    if free != Node.none || freed != freeCount || seen.count != nodes.count { wrong.append("I4: \(seen.count) of \(nodes.count) places") }
    if stored != count { wrong.append("I4: \(stored) stored, \(count) counted") }
    return wrong
  }

  private func isChild(_ place: UInt32, of parent: Node, isRight: Bool) -> Bool {
    guard Int(place) < nodes.count else { return false }
    let child = nodes[Int(place)]
    let key = Key(space: 0, bits: child.bits, length: Int(child.length))
    return child.length > parent.length && key.common(parent) == parent.length && key.bit(Int(parent.length)) == isRight
  }
}
