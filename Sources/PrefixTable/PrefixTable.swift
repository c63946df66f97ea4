// SPDX-License-Identifier: Apache-2.0
//
// The longest-prefix-match table: (instance ID, address) → value. One writer, any number of lock-free readers.
//
// The structure. A trie with one level per octet of the address, in which everything that can be left out is left out. A node has
// 256 slots, one per value of the octet, but neighbouring slots that say the same are one run and share one entry: a map of 256
// bits says where runs begin, and counting bits up to the octet tells which entry it is. So most nodes are one to three cache
// lines, and a lookup reads at most two of them.
//
//      octet      0           10    11          128         255      map     1000…010100…010…0   (a bit where a run begins)
//                ┌───────────┬─────┬───────────┬──────────────┐              │      │ │     │
//                │ inherited │ link│ inherited │ value of 1/1 │      entries inherited, link, inherited, value
//                └───────────┴──┬──┴───────────┴──────────────┘
//                               ▼ node of the next octet
//
//   node     Holds the prefixes of length 8d+1 … 8d+8, d being its depth. A slot belongs to the longest of them that covers it, and
//            holds that one's value; a slot of none holds what the node inherits. Where longer prefixes lie below a slot, it holds
//            a link, and what lies below inherits what the slot would have held. So whatever a lookup ends with is the answer: it
//            remembers nothing on its way. In exchange, a prefix stands in one node and in whatever inherits from it, and to change
//            a short one rewrites all of that: a default route mostly.
//   record   32 bytes: where only one prefix lies below a slot (a host route, mostly), the prefix itself; where all prefixes below
//            have more octets in common, those octets and the node behind them. So chains of nodes with one slot do not exist.
//   page     A node with 512 prefixes or more below it, near the root, laid out as 256 entries: one read instead of two. In a table of
//            the whole Internet the first two octets of IPv4 and the first three of IPv6 are looked up that way.
//
// The second half of an IPv6 address is read by nodes that always hang below a record; lookups take those apart from the others.
//
// Instances. The directory is a trie as well: 24 bits of instance ID lead to the roots of the instance's IPv4 and IPv6 tries. An
// instance with a few prefixes costs a few hundred bytes. The value of 0/0 is what the root inherits.
//
// The writer needs no other memory of what is in the table: a node says which prefixes end in it (OpenNode explains how). The shape
// of the trie depends on its contents only, not on how they came about.
//
// Change. A change copies the blocks on its path (once per transaction), and `commit()` hands out the new root: readers see all of
// a transaction or nothing of it. The blocks that the old root alone could reach are retired, and come back when QuiescentState
// says so. A change that runs out of memory is undone, and so is, with `rollback()`, a whole transaction. A snapshot keeps a root
// and what it reaches. A transaction of one change mostly comes down to one link, which `commit(mayPrecede: true)` stores in the
// block that readers have: they need not fetch pages anew of which one word differs.
//
// Limits. Values up to 2²⁹ − 1, 2²⁴ − 1 prefixes, and the memory given to init. An IPv4 lookup reads at most 4 nodes, an IPv6
// lookup at most 16, with a record before each at most.
//
// Invariants
//   I1  Lookups give the value of the longest prefix that covers the address, or none; the writer's reading of the trie is that of
//       the readers.
//   I2  Every link, and every root handed out, leads to a block of its kind that is not free, by one way only.
//   I3  A block reachable from a handed-out root is not written, but for one link by a transaction that is this one change, and the
//       numbers of prefixes above it; blocks of the open transaction are reachable from its root only.
//   I4  Every block has the shape that its contents ask for: runs are as long as can be, hidden prefixes are hidden, nodes have two
//       prefixes below them and not one link alone, large ones near the root are pages, counts are right.
//   I5  What hangs below a slot inherits what a lookup would find that ended there: the value of the slot's owner, else what the node
//       inherits. Slots that no prefix of their node owns hold what the node inherits.
//   I6  Used blocks are those that are reachable and those that wait for readers (and B1 to B3 of BlockMemory).

import Wire

/// The writer. Thread: slow path. Readers use `TableView`.
public final class PrefixTable {
  var writer: TrieWriter
  private let byteLimit: Int

  /// The directory of the open transaction, and that of the last commit.
  private(set) var directory = Entry.none
  private(set) var committedDirectory = Entry.none
  /// Prefixes in the table, the open transaction included.
  public private(set) var count = 0
  private var committedCount = 0

  /// Made unreachable by commits, and not yet tagged with an epoch.
  private var superseded: [Block] = []
  private var retired: [(block: Block, epoch: UInt64)] = []
  private var retiredHead = 0
  private var lastEpoch: UInt64 = 0
  private let holds = SnapshotHolds()
  /// For tests it may be less.
  var maximumCount = NodeShape.maximumPrefixCount

  /// Reserves `byteLimit` bytes of address space, 128 KiB at least and 16 GiB at most; memory is used as it is needed. Throws `noMemory`.
  public init(byteLimit: Int = 4 << 30) throws(PrefixTableError) {
    guard let memory = BlockMemory(byteLimit: byteLimit) else { throw .noMemory(byteCount: byteLimit) }
    writer = TrieWriter(memory)
    self.byteLimit = byteLimit
  }

  /// The view of the last commit.
  public var view: TableView { TableView(nodes: writer.reader, root: committedDirectory) }
  /// The view of the open transaction, for this thread only.
  var openView: TableView { TableView(nodes: writer.reader, root: directory) }

  /// Bytes of memory: in blocks (those that wait for readers included), free between them, and what the writer knows about either.
  public var byteCounts: (used: Int, free: Int, states: Int) { writer.memory.byteCounts }

  /// The value of exactly this prefix. Sees the open transaction.
  public func value(for prefix: EIDPrefix) -> UInt32? {
    let root = openView.instance(prefix.instanceID.rawValue).root(prefix.prefix.family)
    return writer.reader.value(of: BitPrefix(prefix.prefix), under: root)?.value
  }

  /// The longest entry that covers `address`, and its prefix. Sees the open transaction.
  public func longestMatch(_ address: IPAddress, in instance: InstanceID) -> (prefix: EIDPrefix, value: UInt32)? {
    let bits = address.leftAligned
    let root = openView.instance(instance.rawValue).root(address.family)
    guard let match = openView.match(root, high: bits.high, low: bits.low) else { return nil }
    return (EIDPrefix(instance, IPPrefix(masking: address, length: match.length)), match.value)
  }

  // MARK: - Changes

  /// Adds an entry that is not there yet. Throws `exists`, `valueOutOfRange` or `full`. Complexity: one block copied per octet of the
  /// prefix, and all that inherits its value, which is much for a short prefix only.
  public func insert(_ prefix: EIDPrefix, value: UInt32) throws(PrefixTableError) {
    try set(prefix, value, replacing: false)
  }

  /// Adds or replaces an entry; returns the value it had. Throws `valueOutOfRange` or `full`. Complexity: as `insert`.
  @discardableResult
  public func update(_ prefix: EIDPrefix, value: UInt32) throws(PrefixTableError) -> UInt32? {
    try set(prefix, value, replacing: true)
    return writer.previous == .none ? nil : writer.previous.value
  }

  private func set(_ prefix: EIDPrefix, _ value: UInt32, replacing: Bool) throws(PrefixTableError) {
    guard (1...Entry.maximumValue).contains(value) else { throw .valueOutOfRange(value) }
    let mayAdd = count < maximumCount
    try change(prefix) { writer, root throws(ChangeFailure) in
      let pageDepth = Self.pageDepth(prefix)
      let root = try writer.set(BitPrefix(prefix.prefix), .value(value), in: root, replacing: replacing, pageDepth: pageDepth)
      guard mayAdd || writer.previous != .none else { throw .outOfMemory }
      return root
    }
    count += writer.previous == .none ? 1 : 0
  }

  /// Removes an entry; returns its value. Throws `notFound` or `instanceUnknown`; `full` only where much inherits the value, as of 0/0,
  /// and must be copied before any of it is free: memory is kept aside for all other deletions.
  @discardableResult
  public func delete(_ prefix: EIDPrefix) throws(PrefixTableError) -> UInt32 {
    writer.memory.usesReserve = true
    defer { writer.memory.usesReserve = false }
    try change(prefix) { writer, root throws(ChangeFailure) in
      try writer.remove(BitPrefix(prefix.prefix), from: root, pageDepth: Self.pageDepth(prefix))
    }
    count -= 1
    return writer.previous.value
  }

  private static func pageDepth(_ prefix: EIDPrefix) -> Int { prefix.prefix.family == .ipv4 ? 2 : 3 }

  /// Replaces one root of the prefix's instance; all or nothing.
  private func change(
    _ prefix: EIDPrefix, _ body: (inout TrieWriter, Entry) throws(ChangeFailure) -> Entry
  ) throws(PrefixTableError) {
    let block = openView.block(of: prefix.instanceID.rawValue)
    var roots = block == 0 ? .none : writer.reader.roots(instance: block)
    do {
      let old = roots.root(prefix.prefix.family)
      let new = try body(&writer, old)
      switch prefix.prefix.family {
      case .ipv4: roots.ipv4 = new
      case .ipv6: roots.ipv6 = new
      }
      writer.finishTrie(from: old, to: new)
      let previous = writer.previous
      directory = try setInstance(prefix.instanceID, block, roots)
      writer.finish(previous: previous)
    } catch {
      writer.abandon()
      switch error {
      case .outOfMemory: throw .full(byteLimit: byteLimit)
      case .exists: throw .exists(prefix)
      case .notFound: throw block == 0 ? .instanceUnknown(prefix.instanceID) : .notFound(prefix)
      }
    }
  }

  /// The directory with the instance's new roots.
  private func setInstance(_ instance: InstanceID, _ block: Block, _ roots: InstanceRoots) throws(ChangeFailure) -> Entry {
    let key = BitPrefix(instance)
    guard roots.isKnown else {
      writer.drop(instance: block)
      return try writer.remove(key, from: directory, pageDepth: 0)
    }
    let value = try writer.instance(roots, replacing: block == 0 ? nil : block)
    if block != 0, value.value == block { return directory }
    return try writer.set(key, value, in: directory, replacing: true, pageDepth: 0)
  }

  // MARK: - Transactions

  /// Seals the open transaction and returns the view to publish. After publishing, call `retire(epoch:)`. With `mayPrecede`, a
  /// transaction of one change may take effect before the view is published, for readers of earlier ones: they then fetch only what
  /// differs anew. Each answer is that of a version that was current while the batch ran, but not all of a batch that of the same. Not while
  /// there are snapshots.
  public func commit(mayPrecede: Bool = false) -> TableView {
    if mayPrecede, holds.oldest == nil, writer.commitInPlace() { directory = committedDirectory }
    superseded += writer.commit()
    committedDirectory = directory
    committedCount = count
    return view
  }

  /// Takes back all changes since the last commit.
  public func rollback() {
    writer.rollback()
    directory = committedDirectory
    count = committedCount
  }

  /// Tags what the last commits replaced with the epoch that began after they were published.
  public func retire(epoch: UInt64) {
    for block in superseded { retired.append((block, epoch)) }
    superseded.removeAll(keepingCapacity: true)
    lastEpoch = max(lastEpoch, epoch)
  }

  /// Frees what no reader and no snapshot can reach: everything tagged with `oldest` or less.
  public func reclaim(oldest: UInt64) {
    let oldest = min(oldest, holds.oldest ?? .max)
    while retiredHead < retired.count, retired[retiredHead].epoch <= oldest {
      writer.memory.release(retired[retiredHead].block)
      retiredHead += 1
    }
    if retiredHead == retired.count {
      retired.removeAll(keepingCapacity: retired.count < 1 << 16)
      retiredHead = 0
    } else if retiredHead > 4096, retiredHead > retired.count / 2 {
      retired.removeFirst(retiredHead)
      retiredHead = 0
    }
    writer.memory.trim()
  }

  /// Blocks that are unreachable and wait for readers, or for the next commit.
  var waiting: [Block] { writer.superseded + superseded + retired[retiredHead...].map(\.block) }

  /// The table as of the last commit, for as long as the caller keeps it.
  public func snapshot() -> TableSnapshot {
    TableSnapshot(view: view, count: committedCount, hold: holds.add(lastEpoch, writer.memory.memory))
  }
}
