// SPDX-License-Identifier: Apache-2.0
//
// Many lookups at once: the whole batch goes down one level after the other, so that the next cache lines are on their way while
// others are read. The engine fills in the questions, calls `run`, and reads the answers.
//
// What a lookup needs is spread over arrays, one per kind of thing. `put` reads the pages near the root, which stay in the cache, and
// asks for what lies behind them. `run` first reads the nodes found there, place by place: in a large IPv4 table that mostly is the
// end. What goes on is put on one of two lists:
//
//   nodes    A level takes two passes: the first reads the nodes' maps and asks for the entries' lines, the second reads the entries
//            and asks for the next nodes. No branches: which lookups end is anyone's guess.
//   records  Between two levels, one by one.

import CLinux

/// Room for a number of lookups and the scratch they need. Thread: its worker only. Allocated once.
@safe public struct LookupBatch: ~Copyable {
  /// The address, 16 octets in halves; of an IPv4 address 4 octets of the first half.
  @usableFromInline let first: UnsafeMutablePointer<UInt64>
  @usableFromInline let second: UnsafeMutablePointer<UInt64>
  /// What to follow next; in the end the answer.
  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  /// The octet that the node found by `put` asks for.
  @usableFromInline let octets: UnsafeMutablePointer<UInt8>
  /// Where the next entry lies (`NodeReader.position`).
  @usableFromInline let positions: UnsafeMutablePointer<UInt32>
  /// Lists of places.
  @usableFromInline let nodes: UnsafeMutablePointer<UInt16>
  @usableFromInline let records: UnsafeMutablePointer<UInt16>
  /// Whether few lookups of the last batch needed more than what `put` had found and one node: as in a large IPv4 table.
  @usableFromInline var endsSoon = false
  /// Lookups added since `clear()`.
  public var count: Int { @inlinable @inline(__always) get { added } }
  @usableFromInline var added = 0
  public let capacity: Int

  /// `capacity` ≤ 65,535 lookups.
  public init(capacity: Int) {
    precondition(capacity <= Int(UInt16.max))
    self.capacity = capacity
    // One block, the arrays one behind the other, each on a line of its own. There are three places more than lookups: `readFirst` goes
    // on to a multiple of four, and on a list the place behind the last is written before it is known whether it counts.
    let room = (capacity + 3 + 63) / 64 * 64
    let memory = UnsafeMutableRawPointer.allocate(byteCount: room * 29, alignment: 64)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: room * 29)
    unsafe first = memory.assumingMemoryBound(to: UInt64.self)
    unsafe second = (memory + room * 8).assumingMemoryBound(to: UInt64.self)
    unsafe entries = (memory + room * 16).assumingMemoryBound(to: Entry.self)
    unsafe positions = (memory + room * 20).assumingMemoryBound(to: UInt32.self)
    unsafe nodes = (memory + room * 24).assumingMemoryBound(to: UInt16.self)
    unsafe records = (memory + room * 26).assumingMemoryBound(to: UInt16.self)
    unsafe octets = (memory + room * 28).assumingMemoryBound(to: UInt8.self)
  }

  deinit { unsafe first.deallocate() }

  /// Forgets all lookups. Places below `reserved` are the caller's to fill with `put`, or to leave; `add` goes on behind them.
  @inlinable @inline(__always)
  public mutating func clear(reserving reserved: Int = 0) {
    assert(reserved <= capacity)
    added = reserved
    // SAFETY: i < capacity. A lookup that is not asked for misses.
    for i in 0..<reserved { unsafe entries[i] = .none }
  }

  /// Adds a lookup of the left-aligned address under `root`; returns its place. Room is the caller's to keep.
  @inlinable @inline(__always) @discardableResult
  public mutating func add(_ root: Entry, high: UInt64, low: UInt64, in view: TableView) -> Int {
    assert(added < capacity)
    let place = added
    put(place, root, raw: (high.bigEndian, low.bigEndian), in: view)
    added = place &+ 1
    return place
  }

  /// Puts a lookup of an IPv6 address under `root` at `place`, both halves in network byte order; once per place.
  @inlinable @inline(__always)
  public mutating func put(_ place: Int, _ root: Entry, raw address: (UInt64, UInt64), in view: TableView) {
    var (entry, octets) = (root, address.0)
    // A page that is a root reads the first octet, a page below it the second.
    readPage(&entry, &octets, view)
    readPage(&entry, &octets, view)
    readPage(&entry, &octets, view)
    view.nodes.prefetch(entry)
    // SAFETY: place < capacity.
    unsafe first[place] = address.0
    unsafe second[place] = address.1
    unsafe entries[place] = entry
    unsafe self.octets[place] = UInt8(truncatingIfNeeded: octets)
  }

  /// The same for an IPv4 address in network byte order.
  @inlinable @inline(__always)
  public mutating func put(_ place: Int, _ root: Entry, raw address: UInt32, in view: TableView) {
    var (entry, octets) = (root, UInt64(address))
    readPage(&entry, &octets, view)
    readPage(&entry, &octets, view)
    view.nodes.prefetch(entry)
    // SAFETY: as above.
    unsafe first[place] = UInt64(address)
    unsafe entries[place] = entry
    unsafe self.octets[place] = UInt8(truncatingIfNeeded: octets)
  }

  /// Goes on behind a page; `octets` are those of the address that are left, the next one lowest.
  @inlinable @inline(__always)
  func readPage(_ entry: inout Entry, _ octets: inout UInt64, _ view: TableView) {
    guard entry.isPage else { return }
    entry = view.nodes.entry(page: entry, Int(truncatingIfNeeded: octets & 0xFF))
    octets &>>= 8
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
    let reader = view.nodes
    var lists = unsafe Lists(nodes, records)
    readFirst(reader, &lists)
    while lists.nodeCount | lists.recordCount != 0 {
      descend(reader, &lists)
      passRecords(reader, &lists)
    }
  }

  /// The places of the lookups that go on.
  @safe @usableFromInline struct Lists {
    @usableFromInline let nodes: UnsafeMutablePointer<UInt16>
    @usableFromInline let records: UnsafeMutablePointer<UInt16>
    @usableFromInline var nodeCount = 0
    @usableFromInline var recordCount = 0

    @inlinable init(_ nodes: UnsafeMutablePointer<UInt16>, _ records: UnsafeMutablePointer<UInt16>) {
      unsafe self.nodes = nodes
      unsafe self.records = records
    }

    /// No page comes here: an odd entry is a node, and one with the other bit a record.
    ///
    /// SAFETY: a place is on a list once at most, and a list has room for one more than there are.
    @inlinable @inline(__always)
    mutating func add(_ place: Int, _ entry: Entry) {
      unsafe nodes[nodeCount] = UInt16(truncatingIfNeeded: place)
      nodeCount &+= Int(entry.raw & 1)
      unsafe records[recordCount] = UInt16(truncatingIfNeeded: place)
      recordCount &+= Int(entry.raw &>> 1 & 1)
    }
  }

  /// Reads the nodes that `put` has found; records wait. Pages have been read, so an odd entry is a node.
  @inlinable @inline(__always)
  mutating func readFirst(_ reader: NodeReader, _ lists: inout Lists) {
    // Four at a time: what lies behind the last place must not look like a lookup.
    // SAFETY (here and below): places below `added`, three behind them, for which there is room, and those on a list.
    for i in 0..<3 { unsafe entries[added &+ i] = .none }
    var place = 0
    while place < added {
      locateFirst(place, reader)
      locateFirst(place &+ 1, reader)
      locateFirst(place &+ 2, reader)
      locateFirst(place &+ 3, reader)
      place &+= 4
    }
    if endsSoon { takeFirst(reader, &lists, endsSoon: true) } else { takeFirst(reader, &lists, endsSoon: false) }
    endsSoon = (lists.nodeCount &+ lists.recordCount) &* 8 < added
  }

  @inlinable @inline(__always)
  func locateFirst(_ place: Int, _ reader: NodeReader) {
    let node = unsafe entries[place]
    if node.raw & 1 != 0 { locate(place, node, unsafe octets[place], reader) }
  }

  /// Takes the entries that `readFirst` has located. With `endsSoon`, lookups that go on are set apart by a branch, which the processor
  /// foresees when there are few of them; else all are put on the lists without one.
  @inlinable @inline(__always)
  func takeFirst(_ reader: NodeReader, _ lists: inout Lists, endsSoon: Bool) {
    var place = 0
    while place < added {
      take(place, reader, &lists, endsSoon)
      take(place &+ 1, reader, &lists, endsSoon)
      take(place &+ 2, reader, &lists, endsSoon)
      take(place &+ 3, reader, &lists, endsSoon)
      place &+= 4
    }
  }

  @inlinable @inline(__always)
  func take(_ place: Int, _ reader: NodeReader, _ lists: inout Lists, _ endsSoon: Bool) {
    var entry = unsafe entries[place]
    if entry.raw & 1 != 0 {
      entry = reader.entry(at: unsafe positions[place])
      unsafe entries[place] = entry
    }
    guard !endsSoon || entry.isLink else { return }
    reader.prefetch(entry)
    lists.add(place, entry)
  }

  /// Reads the node's map, and asks for the entry that it points to.
  @inlinable @inline(__always)
  func locate(_ place: Int, _ node: Entry, _ octet: UInt8, _ reader: NodeReader) {
    let position = reader.position(node: node, octet)
    reader.prefetch(at: position)
    unsafe positions[place] = position
  }

  /// One level of all that have a node to read.
  @inlinable @inline(__always)
  func descend(_ reader: NodeReader, _ lists: inout Lists) {
    let count = lists.nodeCount
    var i = 0
    while i < count {
      let place = Int(unsafe lists.nodes[i])
      let node = unsafe entries[place]
      let octet = UInt8(truncatingIfNeeded: unsafe first[place] &>> UInt64(reader.shape(node: node).raw))
      locate(place, node, octet, reader)
      i &+= 1
    }
    lists.nodeCount = 0
    i = 0
    while i < count {
      let place = Int(unsafe lists.nodes[i])
      follow(reader.entry(at: unsafe positions[place]), place, reader, &lists)
      i &+= 1
    }
  }

  @inlinable @inline(__always)
  func follow(_ entry: Entry, _ place: Int, _ reader: NodeReader, _ lists: inout Lists) {
    reader.prefetch(entry)
    unsafe entries[place] = entry
    lists.add(place, entry)
  }

  /// Reads the records that are listed: mostly the last thing on the way. What goes on is listed again; pages behind a record, and nodes
  /// that read the second half of the address, are done at once.
  @inlinable @inline(__always)
  func passRecords(_ reader: NodeReader, _ lists: inout Lists) {
    let count = lists.recordCount
    lists.recordCount = 0
    var i = 0
    while i < count {
      let place = Int(unsafe lists.records[i])
      let record = unsafe entries[place]
      let (first, second) = unsafe (self.first[place], self.second[place])
      var next = reader.covers(record: record, first, second) ? reader.target(record: record) : reader.inherited(record: record)
      while next.isPage { next = reader.entry(page: next, reader.shape(page: next).octet(first, second)) }
      if next.isLink, reader.length(record: record) >= 64 { next = reader.walk(next, first, second) }
      follow(next, place, reader, &lists)
      i &+= 1
    }
  }
}
