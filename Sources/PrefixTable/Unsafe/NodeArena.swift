// SPDX-License-Identifier: Apache-2.0
//
// Where the trie's nodes live. The writer allocates, fills and frees; readers only ever see nodes that are reachable from
// a published root.

import CLinux

/// The position of a node in its arena. Node 0 is the empty node: no value, no child, never written.
public typealias NodeIndex = UInt32

/// One place in a node: the value of the longest prefix that ends in this node and covers the place (0: none), and the
/// node to go on in (0: none).
public struct Slot: Equatable, Sendable {
  public var value: UInt32
  public var child: NodeIndex

  @inlinable public init(value: UInt32, child: NodeIndex) {
    self.value = value
    self.child = child
  }
}

/// Read access to the nodes. Trivial; valid as long as the table lives.
@safe public struct NodeReader: @unchecked Sendable {
  @usableFromInline let slots: UnsafeMutablePointer<Slot>

  init(_ memory: ReservedMemory) {
    unsafe slots = unsafe memory.base.assumingMemoryBound(to: Slot.self)
  }

  /// SAFETY: `node` comes from a published root or slot, hence lies in the arena (I2 of PrefixTable); `place` is 8 bits.
  @inlinable @inline(__always)
  public func slot(_ node: NodeIndex, _ place: UInt8) -> Slot {
    unsafe slots[Int(node) << 8 | Int(place)]
  }

  /// SAFETY: `position` is node << 8 | place of such a node.
  @inlinable @inline(__always)
  subscript(position: Int) -> Slot { unsafe slots[position] }

  @inlinable @inline(__always)
  func prefetch(_ position: Int) { unsafe clinux_prefetch(slots + position) }
}

/// The writer's side: allocation, and writing to nodes nobody else can reach yet.
@safe struct NodeArena {
  static let slotCount = 256
  static let nodeByteCount = slotCount * MemoryLayout<Slot>.stride

  let memory: ReservedMemory
  /// One octet per place, the writer's alone: the length of the prefix the place's value belongs to.
  private let lengthMemory: ReservedMemory
  let reader: NodeReader
  let capacity: Int
  private(set) var touched = 1  // node 0 stays empty
  private var free: [NodeIndex] = []

  init?(capacity: Int) {
    guard let memory = ReservedMemory(byteCount: capacity * Self.nodeByteCount, hugePages: true),
      let lengthMemory = ReservedMemory(byteCount: capacity * Self.slotCount)
    else { return nil }
    self.memory = memory
    self.lengthMemory = lengthMemory
    self.capacity = capacity
    reader = NodeReader(memory)
  }

  var inUse: Int { touched - 1 - free.count }
  var available: Int { capacity - touched + free.count }

  /// A copy of `origin`; nil when the arena is full.
  mutating func allocate(copyOf origin: NodeIndex) -> NodeIndex? {
    let node: NodeIndex
    if let reused = free.popLast() {
      node = reused
    } else {
      guard touched < capacity else { return nil }
      node = NodeIndex(touched)
      touched += 1
    }
    // SAFETY: both lie in the arena and differ: `node` was not in use.
    unsafe (reader.slots + Int(node) << 8).update(from: reader.slots + Int(origin) << 8, count: Self.slotCount)
    unsafe lengths(node).copyMemory(from: lengths(origin), byteCount: Self.slotCount)
    return node
  }

  /// Gives a node back that no reader can reach any more.
  mutating func release(_ node: NodeIndex) { free.append(node) }

  func write(_ node: NodeIndex, _ place: UInt8, _ slot: Slot) {
    assert(node != 0)
    // SAFETY: the writer writes only to nodes of the open transaction (I3 of PrefixTable).
    unsafe reader.slots[Int(node) << 8 | Int(place)] = slot
  }

  private func lengths(_ node: NodeIndex) -> UnsafeMutableRawPointer { unsafe lengthMemory.base + Int(node) << 8 }

  /// SAFETY (of both): `node` < capacity; `place` is 8 bits; zero pages are lengths of 0.
  func length(_ node: NodeIndex, _ place: UInt8) -> Int {
    Int(unsafe lengths(node).load(fromByteOffset: Int(place), as: UInt8.self))
  }

  func setLength(_ node: NodeIndex, _ place: UInt8, _ length: Int) {
    unsafe lengths(node).storeBytes(of: UInt8(truncatingIfNeeded: length), toByteOffset: Int(place), as: UInt8.self)
  }

  func isEmpty(_ node: NodeIndex) -> Bool {
    for place in 0..<Self.slotCount where reader.slot(node, UInt8(place)) != Slot(value: 0, child: 0) { return false }
    return true
  }
}
