// SPDX-License-Identifier: Apache-2.0
//
// How nodes, pages and records are read: the layouts, word for word. Lookups (TableView, LookupBatch) and the writer read through
// this; NodeCoding writes.
//
//      node   0  map: 256 bits, one where a run of slots begins     page   0  256 entries
//            32  runs before each 64 bits of the map, 4 octets       1024  inherited
//            36  inherited                                           1028  shape
//            40  shape                                               1032  lengths, 256 half octets
//            44  one entry per run                                   1160  hidden prefixes, as in a node
//             …  lengths: half an octet per run
//             …  hidden prefixes: their number (1 octet); slot and length of each (2 octets); at a multiple of 4: their values
//
//      record 0  the prefix, 16 octets   16  target   20  inherited   24  length
//      instance 0 root of the IPv4 trie   4  root of the IPv6 trie
//
// Shape: bits 0–5 the place of this depth's octet in its half of the address, in bits; bit 6 whether that is the second half;
// bits 8–31 the number of prefixes in the whole subtree.
//
// Addresses are halves of 8 octets in the order of the wire, as they lie in a packet: the first octet is the lowest.

import CLinux
import Synchronization

/// What a node knows about itself besides its slots.
@frozen @usableFromInline struct NodeShape: Equatable {
  @usableFromInline let raw: UInt32

  @inlinable init(raw: UInt32) { self.raw = raw }

  init(depth: Int, prefixCount: Int) {
    raw = UInt32(8 * (depth & 7)) | (depth < 8 ? 0 : 1 << 6) | UInt32(prefixCount) << 8
  }

  /// The most prefixes of one trie, hence of a table.
  static let maximumPrefixCount = 1 << 24 - 1

  /// How many octets of the address come before the one that this node reads.
  @inlinable var depth: Int { Int(raw & 127) >> 3 }
  var prefixCount: Int { Int(raw >> 8) }

  /// The octet that picks the slot.
  @inlinable @inline(__always) func octet(_ first: UInt64, _ second: UInt64) -> Int {
    Int(truncatingIfNeeded: (raw & 1 << 6 == 0 ? first : second) &>> UInt64(raw)) & 0xFF
  }
}

/// Read access to the blocks. Trivial; valid as long as the table lives.
@safe public struct NodeReader: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer

  init(_ memory: ReservedMemory) { unsafe base = memory.base }

  @usableFromInline enum NodeLayout {
    @inlinable static var runsBefore: Int { 32 }
    @inlinable static var inherited: Int { 36 }
    @inlinable static var shape: Int { 40 }
    @inlinable static var entries: Int { 44 }
    static func lengths(_ runCount: Int) -> Int { entries + 4 * runCount }
    static func hidden(_ runCount: Int) -> Int { lengths(runCount) + (runCount + 1) / 2 }
  }

  @usableFromInline enum PageLayout {
    @inlinable static var inherited: Int { 1024 }
    @inlinable static var shape: Int { 1028 }
    static let lengths = 1032
    static let hidden = 1160
  }

  /// Hidden prefixes, their number first: where their values begin, and where these end.
  enum HiddenLayout {
    static func values(_ at: Int, _ count: Int) -> Int { (at + 1 + 2 * count + 3) & ~3 }
    static func end(_ at: Int, _ count: Int) -> Int { count == 0 ? at + 1 : values(at, count) + 4 * count }
  }

  @usableFromInline enum RecordLayout {
    @inlinable static var target: Int { 16 }
    @inlinable static var inherited: Int { 20 }
    @inlinable static var length: Int { 24 }
  }

  /// SAFETY (of everything here): a link comes from a published root or slot, hence names a block of its kind in the arena (I2 of
  /// PrefixTable); an octet has 8 bits, and a node as many entries as its map has bits. Offsets are those of the layouts above.
  @inlinable @inline(__always)
  func word(_ link: Entry, _ tag: UInt32, _ offset: Int) -> UInt32 {
    unsafe base.load(fromByteOffset: Int(link.raw) &* 8 &+ (offset &- Int(tag) &* 8), as: UInt32.self)
  }

  /// The same of a word that the writer may store meanwhile (`BlockMemory.publish`). What an entry leads to was written before, and its
  /// address depends on the entry: processors keep that order. ThreadSanitizer does not know of it.
  @inlinable @inline(__always)
  func entry(_ link: Entry, _ tag: UInt32, _ offset: Int) -> Entry { entry(atByte: Int(link.raw) &* 8 &+ (offset &- Int(tag) &* 8)) }

  @inlinable @inline(__always)
  func entry(atByte offset: Int) -> Entry {
    let word = unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    #if THREAD_SANITIZER
      return Entry(raw: unsafe word.pointee.load(ordering: .acquiring))
    #else
      return Entry(raw: unsafe word.pointee.load(ordering: .relaxed))
    #endif
  }

  /// Asks for what the entry leads to. A value asks for the arena's first line, which is there at least: a prefetch of what is not
  /// mapped costs a walk through the page tables, each time.
  @inlinable @inline(__always)
  func prefetch(_ entry: Entry) { unsafe clinux_prefetch(base + Int(max(0, Int32(bitPattern: entry.raw))) &* 8) }

  // MARK: - Nodes and pages

  /// Which run of the node the slot `octet` belongs to, counted from 1.
  @inlinable @inline(__always)
  func rank(_ node: Entry, _ octet: Int) -> Int {
    let (block, word) = unsafe (base + Int(node.raw) &* 8, octet &>> 6)
    let starts = unsafe block.load(fromByteOffset: word &* 8 &- 8, as: UInt64.self)
    let before = unsafe block.load(fromByteOffset: word &+ (NodeLayout.runsBefore &- 8), as: UInt8.self)
    return Int(before) &+ (starts &<< UInt64(truncatingIfNeeded: ~octet)).nonzeroBitCount
  }

  @inlinable @inline(__always)
  func entry(node: Entry, _ octet: Int) -> Entry {
    entry(node, 1, NodeLayout.entries &- 4 &+ rank(node, octet) &* 4)
  }

  /// Where that entry lies, in words from `beforeEntries` on.
  @inlinable @inline(__always)
  func position(node: Entry, _ octet: UInt8) -> UInt32 { node.raw &* 2 &+ UInt32(truncatingIfNeeded: rank(node, Int(octet))) }

  /// What all positions have in common, in bytes: the instruction that reads adds it for nothing.
  @inlinable static var beforeEntries: Int { NodeLayout.entries &- 4 &- 8 }

  @inlinable @inline(__always)
  func entry(at position: UInt32) -> Entry { entry(atByte: Int(position) &* 4 &+ Self.beforeEntries) }

  @inlinable @inline(__always)
  func prefetch(at position: UInt32) { unsafe clinux_prefetch(base + (Int(position) &* 4 &+ Self.beforeEntries)) }

  @inlinable @inline(__always)
  func entry(page: Entry, _ octet: Int) -> Entry { entry(page, 3, octet &* 4) }

  @inlinable @inline(__always)
  func inherited(node: Entry) -> Entry { Entry(raw: word(node, 1, NodeLayout.inherited)) }

  @inlinable @inline(__always)
  func inherited(page: Entry) -> Entry { Entry(raw: word(page, 3, PageLayout.inherited)) }

  @inlinable @inline(__always)
  func shape(node: Entry) -> NodeShape { NodeShape(raw: entry(node, 1, NodeLayout.shape).raw) }

  @inlinable @inline(__always)
  func shape(page: Entry) -> NodeShape { NodeShape(raw: entry(page, 3, PageLayout.shape).raw) }

  // MARK: - Records

  /// The octets of its prefix, in halves.
  @inlinable @inline(__always)
  func octets(record: Entry) -> (first: UInt64, second: UInt64) {
    let position = unsafe base + Int(record.raw &- 2) &* 8
    return unsafe (position.load(as: UInt64.self), position.load(fromByteOffset: 8, as: UInt64.self))
  }

  @inlinable @inline(__always)
  func target(record: Entry) -> Entry { entry(record, 2, RecordLayout.target) }

  @inlinable @inline(__always)
  func inherited(record: Entry) -> Entry { Entry(raw: word(record, 2, RecordLayout.inherited)) }

  @inlinable @inline(__always)
  func length(record: Entry) -> Int { Int(word(record, 2, RecordLayout.length)) }

  /// Whether the address lies in the record's prefix.
  @inlinable @inline(__always)
  func covers(record: Entry, _ first: UInt64, _ second: UInt64) -> Bool {
    let (octets, length) = (octets(record: record), UInt64(length(record: record)))
    if length <= 64 { return (octets.first ^ first).bigEndian &>> (64 &- length) == 0 }
    return octets.first == first && (octets.second ^ second).bigEndian &>> (128 &- length) == 0
  }

  // MARK: - Any of them

  /// What lookups find that come to `link` and match nothing below: a value or none.
  @inlinable
  func inherited(_ link: Entry) -> Entry {
    link.isNode ? inherited(node: link) : link.isRecord ? inherited(record: link) : inherited(page: link)
  }

  func shape(_ node: Entry) -> NodeShape { node.isNode ? shape(node: node) : shape(page: node) }

  @inlinable
  func entry(_ node: Entry, _ octet: Int) -> Entry { node.isNode ? entry(node: node, octet) : entry(page: node, octet) }

  /// The roots of an instance.
  @inlinable
  func roots(instance: Block) -> InstanceRoots {
    let position = unsafe base + Int(instance) &* 32
    return unsafe InstanceRoots(
      ipv4: Entry(raw: position.load(as: UInt32.self)), ipv6: Entry(raw: position.load(fromByteOffset: 4, as: UInt32.self)))
  }
}
