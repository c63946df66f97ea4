// SPDX-License-Identifier: Apache-2.0
//
// Many lookups at once: the whole batch goes down one level per pass, so that the next nodes' cache lines are on their way
// while the others are read. The engine fills in the questions, calls `run`, and reads the answers.

import CLinux

/// Room for a number of lookups and the scratch they need. Thread: its worker only. Allocated once.
@safe public struct LookupBatch: ~Copyable {
  /// One lookup: 32 bytes.
  @usableFromInline struct Item {
    /// The address in network byte order: its octets are read one per level.
    @usableFromInline var high: UInt64
    @usableFromInline var low: UInt64
    /// The slot to read next, counted from the arena's first; meaningless when the walk is over.
    @usableFromInline var position: Int
    /// The value of the longest prefix met so far.
    @usableFromInline var value: UInt32

    @inlinable @inline(__always) init(high: UInt64, low: UInt64, position: Int, value: UInt32) {
      self.high = high
      self.low = low
      self.position = position
      self.value = value
    }
  }

  @usableFromInline let items: UnsafeMutablePointer<Item>
  /// Scratch of `run`: the places of the lookups that have a deeper node to read.
  @usableFromInline let walking: UnsafeMutablePointer<UInt16>
  /// Lookups added since `clear()`.
  public var count: Int { @inlinable @inline(__always) get { added } }
  @usableFromInline var added = 0
  public let capacity: Int

  /// `capacity` ≤ 65,535 lookups.
  public init(capacity: Int) {
    precondition(capacity <= Int(UInt16.max))
    self.capacity = capacity
    // One block: the scratch follows the items.
    let itemBytes = capacity * MemoryLayout<Item>.stride
    let memory = UnsafeMutableRawPointer.allocate(byteCount: itemBytes + 2 * capacity, alignment: 64)
    unsafe items = memory.bindMemory(to: Item.self, capacity: capacity)
    unsafe items.initialize(repeating: Item(high: 0, low: 0, position: 0, value: 0), count: capacity)
    unsafe walking = (memory + itemBytes).bindMemory(to: UInt16.self, capacity: capacity)
    unsafe walking.initialize(repeating: 0, count: capacity)
  }

  deinit { unsafe items.deallocate() }

  /// Forgets all lookups. Places below `reserved` are the caller's to fill with `put`, or to leave; `add` goes on behind them.
  @inlinable @inline(__always)
  public mutating func clear(reserving reserved: Int = 0) {
    assert(reserved <= capacity)
    added = reserved
    // SAFETY: i < capacity. Position 0 is in the empty node: a lookup that is not asked for ends there.
    for i in 0..<reserved { unsafe items[i].position = 0 }
  }

  /// Adds a lookup of the left-aligned address under `root`; returns its place. Room is the caller's to keep (I: ≤ capacity).
  @inlinable @inline(__always) @discardableResult
  public mutating func add(_ root: NodeIndex, high: UInt64, low: UInt64, in view: TableView) -> Int {
    assert(added < capacity)
    let place = added
    put(place, root, raw: (high.bigEndian, low.bigEndian), in: view)
    added = place &+ 1
    return place
  }

  /// Puts a lookup of an IPv6 address under `root` at `place`, both halves in network byte order. Reads the root node at once: roots
  /// are few and stay in the cache.
  @inlinable @inline(__always)
  public mutating func put(_ place: Int, _ root: NodeIndex, raw address: (UInt64, UInt64), in view: TableView) {
    let first = UInt16(truncatingIfNeeded: UInt64(bigEndian: address.0) >> 48)
    let (position, value) = enter(root, first, view)
    // SAFETY: place < capacity.
    unsafe items[place] = Item(high: address.0, low: address.1, position: position, value: value)
  }

  /// The same for an IPv4 address in network byte order.
  @inlinable @inline(__always)
  public mutating func put(_ place: Int, _ root: NodeIndex, raw address: UInt32, in view: TableView) {
    let first = UInt16(truncatingIfNeeded: UInt32(bigEndian: address) >> 16)
    let (position, value) = enter(root, first, view)
    // SAFETY: place < capacity. The rest of the item's address is not looked at: IPv4 tries have four levels.
    unsafe UnsafeMutableRawPointer(items + place).storeBytes(of: address, as: UInt32.self)
    unsafe items[place].position = position
    unsafe items[place].value = value
  }

  /// Reads the root's slot for the first of an address's first two octets: the position to go on at, and the value so far.
  @inlinable @inline(__always)
  func enter(_ root: NodeIndex, _ first: UInt16, _ view: TableView) -> (position: Int, value: UInt32) {
    let slot = view.nodes.slot(root, UInt8(truncatingIfNeeded: first >> 8))
    let position = Int(slot.child) << 8 | Int(UInt8(truncatingIfNeeded: first))
    view.nodes.prefetch(position)
    return (position, slot.value)
  }

  /// The value found for the lookup at `place`; 0 for a miss.
  @inlinable @inline(__always)
  public subscript(place: Int) -> UInt32 {
    // SAFETY: a place that `add` returned.
    unsafe items[place].value
  }

  /// Answers all lookups against `view`, which is the one they were put with.
  @inlinable
  public mutating func run(_ view: TableView) {
    let nodes = view.nodes
    var count = 0
    var i = 0
    while i < added {
      // SAFETY: i < added ≤ capacity, count ≤ i.
      let child = unsafe Self.step(items + i, 1, nodes)
      unsafe walking[count] = UInt16(truncatingIfNeeded: i)
      count &+= child == 0 ? 0 : 1
      i &+= 1
    }
    var depth = 2
    while count != 0, depth < 16 {
      var still = 0
      i = 0
      while i < count {
        // SAFETY: places that the pass before left there; still ≤ i.
        let place = unsafe walking[i]
        let child = unsafe Self.step(items + Int(place), depth, nodes)
        unsafe walking[still] = place
        still &+= child == 0 ? 0 : 1
        i &+= 1
      }
      count = still
      depth &+= 1
    }
  }

  /// Reads one slot at `depth` and asks for the next; returns the node to go on in. No branch: which walks end is anyone's guess.
  @inlinable @inline(__always)
  static func step(_ item: UnsafeMutablePointer<Item>, _ depth: Int, _ nodes: NodeReader) -> NodeIndex {
    let slot = unsafe nodes[item.pointee.position]
    let shorter = unsafe item.pointee.value
    unsafe item.pointee.value = slot.value != 0 ? slot.value : shorter
    // SAFETY: octet depth + 1 ≤ 16 of the item: the address, and one more that is read when the walk is over.
    let octet = unsafe UnsafeRawPointer(item).load(fromByteOffset: depth &+ 1, as: UInt8.self)
    let position = Int(slot.child) << 8 | Int(octet)
    unsafe item.pointee.position = position
    nodes.prefetch(position)
    return slot.child
  }
}
