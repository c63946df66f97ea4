// SPDX-License-Identifier: Apache-2.0
//
// Many lookups at once: the whole batch goes down one level per pass, so that the next cache lines are on their way while others are
// read. The engine fills in the questions, calls `run`, and reads the answers.
//
// What a lookup needs is spread over arrays, one per kind of thing. `put` reads the pages near the root, which stay in the cache,
// asks for what lies behind them, and puts the lookup on one of three lists:
//
//   narrow   IPv4 behind two pages: the third octet mostly is the last. What goes on joins the others.
//   wide     What has a node to read. A level takes two passes: the first reads the nodes' maps and asks for the entries' lines, the
//            second reads the entries and asks for the next nodes. No branches: which walks end is anyone's guess.
//   records  Between two levels, one by one.

import CLinux

/// Room for a number of lookups and the scratch they need. Thread: its worker only. Allocated once.
@safe public struct LookupBatch: ~Copyable {
  /// The address, 16 octets in halves; of an IPv4 address 4 octets of the first half.
  @usableFromInline let first: UnsafeMutablePointer<UInt64>
  @usableFromInline let second: UnsafeMutablePointer<UInt64>
  /// What to follow next; in the end the answer.
  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  /// Where the next entry lies, counted in words from the arena's begin.
  @usableFromInline let positions: UnsafeMutablePointer<UInt32>
  /// Lists of places.
  @usableFromInline let narrow: UnsafeMutablePointer<UInt16>
  @usableFromInline let wide: UnsafeMutablePointer<UInt16>
  @usableFromInline let records: UnsafeMutablePointer<UInt16>
  @usableFromInline var narrowCount = 0
  @usableFromInline var wideCount = 0
  @usableFromInline var recordCount = 0
  /// Lookups added since `clear()`.
  public var count: Int { @inlinable @inline(__always) get { added } }
  @usableFromInline var added = 0
  public let capacity: Int

  /// `capacity` ≤ 65,535 lookups.
  public init(capacity: Int) {
    precondition(capacity <= Int(UInt16.max))
    self.capacity = capacity
    // One block, the arrays one behind the other, each on a line of its own. A list has one place more than there are lookups: the
    // place behind the last is written before it is known whether it counts.
    let room = (capacity + 64) / 64 * 64
    let memory = UnsafeMutableRawPointer.allocate(byteCount: room * 30, alignment: 64)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: room * 30)
    unsafe first = memory.assumingMemoryBound(to: UInt64.self)
    unsafe second = (memory + room * 8).assumingMemoryBound(to: UInt64.self)
    unsafe entries = (memory + room * 16).assumingMemoryBound(to: Entry.self)
    unsafe positions = (memory + room * 20).assumingMemoryBound(to: UInt32.self)
    unsafe narrow = (memory + room * 24).assumingMemoryBound(to: UInt16.self)
    unsafe wide = (memory + room * 26).assumingMemoryBound(to: UInt16.self)
    unsafe records = (memory + room * 28).assumingMemoryBound(to: UInt16.self)
  }

  deinit { unsafe first.deallocate() }

  /// Forgets all lookups. Places below `reserved` are the caller's to fill with `put`, or to leave; `add` goes on behind them.
  @inlinable @inline(__always)
  public mutating func clear(reserving reserved: Int = 0) {
    assert(reserved <= capacity)
    added = reserved
    narrowCount = 0
    wideCount = 0
    recordCount = 0
    // SAFETY: i < capacity. A lookup that is not asked for misses.
    for i in 0..<reserved { unsafe entries[i] = .none }
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

  /// Puts a lookup of an IPv6 address under `root` at `place`, both halves in network byte order; once per place.
  @inlinable @inline(__always)
  public mutating func put(_ place: Int, _ root: NodeIndex, raw address: (UInt64, UInt64), in view: TableView) {
    var entry = root
    // A page that is a root reads the first octet, a page below it the second.
    if entry.isPage { entry = view.nodes.entry(page: entry, Int(truncatingIfNeeded: address.0) & 0xFF) }
    if entry.isPage { entry = view.nodes.entry(page: entry, Int(truncatingIfNeeded: address.0 &>> 8) & 0xFF) }
    if entry.isPage { entry = view.nodes.entry(page: entry, Int(truncatingIfNeeded: address.0 &>> 16) & 0xFF) }
    // SAFETY: place < capacity.
    unsafe first[place] = address.0
    unsafe second[place] = address.1
    follow(entry, place, view.nodes)
  }

  /// The same for an IPv4 address in network byte order.
  @inlinable @inline(__always)
  public mutating func put(_ place: Int, _ root: NodeIndex, raw address: UInt32, in view: TableView) {
    // SAFETY: as above.
    unsafe first[place] = UInt64(address)
    guard root.isPage else { return follow(root, place, view.nodes) }
    let page = view.nodes.entry(page: root, Int(address & 0xFF))
    guard page.isPage else { return follow(page, place, view.nodes) }
    let entry = view.nodes.entry(page: page, Int(address &>> 8 & 0xFF))
    view.nodes.prefetch(entry.isLink ? entry : .none)
    // SAFETY: narrowCount ≤ place: each place is put once. The same holds for the other lists.
    unsafe entries[place] = entry
    unsafe narrow[narrowCount] = UInt16(truncatingIfNeeded: place)
    narrowCount &+= Int(entry.raw & 1)
    unsafe records[recordCount] = UInt16(truncatingIfNeeded: place)
    recordCount &+= Int(entry.raw &>> 1 & 1)
  }

  @inlinable @inline(__always)
  mutating func follow(_ entry: Entry, _ place: Int, _ nodes: NodeReader) {
    nodes.prefetch(entry.isLink ? entry : .none)
    unsafe entries[place] = entry
    list(place, entry)
  }

  /// No page comes here: an odd entry is a node, and one with the other bit a record.
  @inlinable @inline(__always)
  mutating func list(_ place: Int, _ entry: Entry) {
    unsafe wide[wideCount] = UInt16(truncatingIfNeeded: place)
    wideCount &+= Int(entry.raw & 1)
    unsafe records[recordCount] = UInt16(truncatingIfNeeded: place)
    recordCount &+= Int(entry.raw &>> 1 & 1)
  }

  /// The value found for the lookup at `place`; 0 for a miss.
  @inlinable @inline(__always)
  public subscript(place: Int) -> UInt32 {
    // SAFETY: a place that `add` returned, or that is reserved.
    unsafe entries[place].value
  }

  /// Answers all lookups against `view`, which is the one they were put with.
  @inlinable
  public mutating func run(_ view: TableView) {
    let nodes = view.nodes
    runNarrow(nodes)
    while wideCount | recordCount != 0 {
      descend(nodes)
      passRecords(nodes)
    }
  }

  /// The third octet of IPv4 addresses. What goes on, which is rare, joins the others.
  @inlinable @inline(__always)
  mutating func runNarrow(_ nodes: NodeReader) {
    var i = 0
    while i < narrowCount {
      // SAFETY (here and below): places that `put` left there; a list never grows beyond what has been read of it, or of all.
      let place = Int(unsafe narrow[i])
      let octet = unsafe UnsafeRawPointer(first + place).load(fromByteOffset: 2, as: UInt8.self)
      locate(place, unsafe entries[place], octet, nodes)
      i &+= 1
    }
    i = 0
    while i < narrowCount {
      let place = Int(unsafe narrow[i])
      let next = nodes.entry(at: unsafe positions[place])
      unsafe entries[place] = next
      if next.isLink { follow(next, place, nodes) }
      i &+= 1
    }
  }

  /// Reads the node's map, and asks for the entry that it points to.
  @inlinable @inline(__always)
  func locate(_ place: Int, _ node: Entry, _ octet: UInt8, _ nodes: NodeReader) {
    let position = nodes.position(node: node, octet)
    nodes.prefetch(at: position)
    unsafe positions[place] = position
  }

  /// One level of all that have a node to read.
  @inlinable @inline(__always)
  mutating func descend(_ nodes: NodeReader) {
    let count = wideCount
    var i = 0
    while i < count {
      let place = Int(unsafe wide[i])
      let node = unsafe entries[place]
      let octet = UInt8(truncatingIfNeeded: unsafe first[place] &>> UInt64(nodes.shape(node: node).raw))
      locate(place, node, octet, nodes)
      i &+= 1
    }
    wideCount = 0
    i = 0
    while i < count {
      let place = Int(unsafe wide[i])
      follow(nodes.entry(at: unsafe positions[place]), place, nodes)
      i &+= 1
    }
  }

  /// Reads the records that are listed: mostly the last thing on the way. What goes on is listed again; pages behind a record, and nodes
  /// that read the second half of the address, are done at once.
  @inlinable @inline(__always)
  mutating func passRecords(_ nodes: NodeReader) {
    let count = recordCount
    recordCount = 0
    var i = 0
    while i < count {
      let place = Int(unsafe records[i])
      let record = unsafe entries[place]
      let (first, second) = unsafe (self.first[place], self.second[place])
      var next = nodes.covers(record: record, first, second) ? nodes.target(record: record) : nodes.inherited(record: record)
      while next.isPage { next = nodes.entry(page: next, nodes.shape(page: next).octet(first, second)) }
      if next.isLink, nodes.length(record: record) >= 64 { next = nodes.walk(next, first, second) }
      follow(next, place, nodes)
      i &+= 1
    }
  }
}
