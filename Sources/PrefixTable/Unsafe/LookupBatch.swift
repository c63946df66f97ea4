// SPDX-License-Identifier: Apache-2.0
//
// Many lookups at once: the whole batch goes down one level per pass, so that the next nodes' cache lines are on their way
// while the others are read. The engine fills in the questions, calls `run`, and reads the answers.

/// Room for a number of lookups and the scratch they need. Thread: its worker only. Allocated once.
@safe public struct LookupBatch: ~Copyable {
  /// One lookup. `node` is the root to begin with, then where the walk is.
  @usableFromInline struct Item {
    @usableFromInline var bits: UInt64
    @usableFromInline var low: UInt64
    @usableFromInline var node: NodeIndex
    @usableFromInline var value: UInt32

    @inlinable init(bits: UInt64, low: UInt64, node: NodeIndex, value: UInt32) {
      self.bits = bits
      self.low = low
      self.node = node
      self.value = value
    }
  }

  @usableFromInline let items: UnsafeMutablePointer<Item>
  @usableFromInline let active: UnsafeMutablePointer<UInt16>
  /// Lookups added since `clear()`.
  public var count = 0
  public let capacity: Int

  /// `capacity` ≤ 65,535 lookups.
  public init(capacity: Int) {
    precondition(capacity <= Int(UInt16.max))
    self.capacity = capacity
    unsafe items = .allocate(capacity: capacity)
    unsafe items.initialize(repeating: Item(bits: 0, low: 0, node: 0, value: 0), count: capacity)
    unsafe active = .allocate(capacity: capacity)
    unsafe active.initialize(repeating: 0, count: capacity)
  }

  deinit {
    unsafe items.deallocate()
    unsafe active.deallocate()
  }

  /// Forgets all lookups.
  @inlinable @inline(__always)
  public mutating func clear() { count = 0 }

  /// Adds a lookup of the left-aligned address under `root`; returns its place. Room is the caller's to keep (I: ≤ capacity).
  @inlinable @inline(__always) @discardableResult
  public mutating func add(_ root: NodeIndex, high: UInt64, low: UInt64, in view: TableView) -> Int {
    assert(count < capacity)
    let place = count
    // SAFETY: place < capacity.
    unsafe items[place] = Item(bits: high, low: low, node: root, value: 0)
    view.nodes.prefetch(root, UInt8(truncatingIfNeeded: high >> 56))
    count = place &+ 1
    return place
  }

  /// The value found for the lookup at `place`; 0 for a miss.
  @inlinable @inline(__always)
  public subscript(place: Int) -> UInt32 {
    // SAFETY: a place that `add` returned.
    unsafe items[place].value
  }

  /// Answers all lookups against `view`.
  @inlinable
  public mutating func run(_ view: TableView) {
    let nodes = view.nodes
    var walking = 0
    for i in 0..<count where unsafe step(items + i, nodes) {
      unsafe active[walking] = UInt16(truncatingIfNeeded: i)
      walking &+= 1
    }
    var depth = 1
    while walking != 0, depth < 16 {
      if depth == 8 { switchToLow(walking) }
      var still = 0
      for i in 0..<walking {
        let item = unsafe active[i]
        if unsafe step(items + Int(item), nodes) {
          unsafe active[still] = item
          still &+= 1
        }
      }
      walking = still
      depth &+= 1
    }
  }

  /// Reads one slot; true when there is a deeper node to read.
  @inlinable @inline(__always)
  func step(_ item: UnsafeMutablePointer<Item>, _ nodes: NodeReader) -> Bool {
    let bits = unsafe item.pointee.bits
    let slot = unsafe nodes.slot(item.pointee.node, UInt8(truncatingIfNeeded: bits >> 56))
    if slot.value != 0 { unsafe item.pointee.value = slot.value }
    guard slot.child != 0 else { return false }
    let next = bits << 8
    unsafe item.pointee.bits = next
    unsafe item.pointee.node = slot.child
    nodes.prefetch(slot.child, UInt8(truncatingIfNeeded: next >> 56))
    return true
  }

  /// After eight octets the walk goes on in the low half of the address. The prefetch of `step` looked at a used-up half.
  @usableFromInline @inline(never)
  func switchToLow(_ walking: Int) {
    for i in 0..<walking {
      let item = unsafe Int(active[i])
      unsafe items[item].bits = unsafe items[item].low
    }
  }
}
