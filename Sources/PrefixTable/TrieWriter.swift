// SPDX-License-Identifier: Apache-2.0
//
// Changes of one trie: a prefix is set or removed, and everything on the way to it is copied. Called by PrefixTable, which explains
// the structure; the cases below follow that essay.
//
// A change reads blocks that readers may see and writes only to blocks it has allocated itself. Blocks of the open transaction,
// which nobody else can see, may be changed in place, but that is put down as a patch; so are blocks to be dropped. Only when
// nothing can fail any more are the patches made: a change that runs out of memory leaves no trace.
//
// Most of what a change copies are the blocks above the one that differs, which then say nothing new but where the copy below is. When
// a transaction is one such change, `commit` lets the old blocks stand instead, stores the one link that is new, and takes the copies,
// which nobody has seen, back: so many lines less that readers must fetch anew.

/// Why a change is not made.
enum ChangeFailure: Error {
  /// No room for another block.
  case outOfMemory
  /// The prefix is in the trie, and should not be.
  case exists
  /// The prefix is not in the trie.
  case notFound
}

/// The writer of the tries. Thread: slow path.
struct TrieWriter: ~Copyable {
  typealias Owner = OpenNode.Owner

  var memory: BlockMemory
  /// The node that is taken apart.
  private var node = OpenNode()
  /// Nodes above this depth are pages when they are large: 2 in IPv4 tries, 3 in IPv6 tries.
  private var pageDepth = 0
  /// The value that the prefix of the change under way had; none when it was not there.
  private(set) var previous = Entry.none
  /// Whether the prefix may be there.
  private var replaces = true

  // The change under way.
  private var allocated: [Block] = []
  private typealias Patch = (position: Int, word: UInt32)
  private var patches: [Patch] = []
  private var dropped: [Block] = []

  /// A block that was copied only to lead elsewhere, and to count its prefixes anew.
  private struct Detour {
    var old: Block
    var copy: Block
    /// Where the old block keeps the link and its shape, and what the copy has there.
    var link: Patch
    var shape: Patch?
  }
  /// Those of the change under way, from below, as far as one leads to the other.
  private var detours: [Detour] = []
  /// Those of the open transaction's first change, if they lead up to the root, and how much of `fresh` and `superseded` the change of
  /// the trie takes; the rest is the directory's.
  private var way: [Detour] = []
  private var wayEnd = (fresh: 0, superseded: 0)

  /// What the open transaction has allocated. Some of it may have been released since.
  private var fresh: [Block] = []
  private var changeCount = 0
  /// What readers may still see and the next commit makes unreachable.
  private(set) var superseded: [Block] = []

  /// From how many prefixes on a node may be a page: 1.2 KiB, about 2 bytes each.
  static let pagePrefixCount = 512

  init(_ memory: consuming BlockMemory) { self.memory = memory }

  var reader: NodeReader { memory.reader }

  // MARK: - Setting a prefix

  /// The trie with the prefix added or, if `replacing`, with its value replaced.
  mutating func set(
    _ key: BitPrefix, _ value: Entry, in root: Entry, replacing: Bool, pageDepth: Int
  ) throws(ChangeFailure) -> Entry {
    self.pageDepth = pageDepth
    replaces = replacing
    previous = .none
    let inherited = root.isLink ? reader.inherited(root) : root
    guard key.length > 0 else {
      try found(inherited)
      return try inheriting(root, value)
    }
    return try set(key, value, in: root, depth: 0, inherited: inherited)
  }

  /// The prefix has the value `previous`, none if it is not there.
  private mutating func found(_ previous: Entry) throws(ChangeFailure) {
    guard replaces || previous == .none else { throw .exists }
    self.previous = previous
  }

  private var isNew: Bool { previous == .none }

  /// `subtree` holds prefixes longer than 8 × depth bits, and inherits a value for what they do not cover.
  private mutating func set(
    _ key: BitPrefix, _ value: Entry, in subtree: Entry, depth: Int, inherited: Entry
  ) throws(ChangeFailure) -> Entry {
    guard subtree.isLink else { return try record(key, value, inherited: inherited) }
    if subtree.isRecord { return try set(key, value, record: subtree, depth: depth, inherited: inherited) }
    guard key.length > 8 * (depth + 1) else { return try assign(key, value, in: subtree) }
    let octet = key.octet(depth)
    let present = reader.entry(subtree, octet)
    if present.isLink {
      let link = try set(key, value, in: present, depth: depth + 1, inherited: reader.inherited(present))
      return try setLink(subtree, octet, link, added: isNew ? 1 : 0)
    }
    let link = try record(key, value, inherited: present)
    memory.open(subtree, &node)
    node.setLink(octet, link)
    node.prefixCount += 1
    return try replace(subtree)
  }

  private mutating func set(
    _ key: BitPrefix, _ value: Entry, record: Entry, depth: Int, inherited: Entry
  ) throws(ChangeFailure) -> Entry {
    let (bits, target) = (reader.prefix(record: record), reader.target(record: record))
    if target.isValue {
      if bits == key {
        try found(target)
        return try retarget(record, value)
      }
    } else if key.length > bits.length, key.common(with: bits) == bits.length {
      let below = try set(key, value, in: target, depth: bits.length / 8, inherited: inherited)
      return try retarget(record, below)
    }
    return try join(record, key, value, depth: depth, inherited: inherited)
  }

  /// The prefix ends in this node.
  private mutating func assign(_ key: BitPrefix, _ value: Entry, in subtree: Entry) throws(ChangeFailure) -> Entry {
    memory.open(subtree, &node)
    let owner = Owner(covering: key.octet(node.depth), key.length - 8 * node.depth)
    try found(node.value(owner, reader) ?? .none)
    node.assign(owner, value, reader)
    try tellLinks(in: owner, of: owner.length, value)
    node.prefixCount += isNew ? 1 : 0
    return try replace(subtree)
  }

  /// A node where the record was: for what the record leads to, and for the prefix.
  private mutating func join(
    _ record: Entry, _ key: BitPrefix, _ value: Entry, depth: Int, inherited: Entry
  ) throws(ChangeFailure) -> Entry {
    let (bits, target) = (reader.prefix(record: record), reader.target(record: record))
    let fork = min(key.common(with: bits), bits.length - 1, key.length - 1) / 8
    let isDirect = fork == depth && fork != Self.secondHalf
    node.clear(depth: fork, inherited: inherited)
    node.prefixCount = 1 + (target.isValue ? 1 : reader.shape(target).prefixCount)
    // What ends here first: the others inherit from it.
    let (keyEnds, bitsEnd) = (key.length <= 8 * (fork + 1), target.isValue && bits.length <= 8 * (fork + 1))
    if keyEnds { node.assign(Owner(covering: key.octet(fork), key.length - 8 * fork), value, reader) }
    if bitsEnd { node.assign(Owner(covering: bits.octet(fork), bits.length - 8 * fork), target, reader) }
    if !keyEnds { try attach(key, value) }
    if !bitsEnd { try attach(bits, target) }
    drop(record)
    let link = try encode()
    if isDirect { return link }
    return try self.record(key.prefix(8 * fork), link, inherited: inherited)
  }

  /// A link in the open node to what lies at `bits`: a value or a node.
  private mutating func attach(_ bits: BitPrefix, _ target: Entry) throws(ChangeFailure) {
    let slot = bits.octet(node.depth)
    let inherited = node.entry(node.run(at: slot))
    let isDirect = target.isLink && bits.length == 8 * (node.depth + 1) && node.depth + 1 != Self.secondHalf
    let heir = target.isLink ? try inheriting(target, inherited) : target
    node.setLink(slot, isDirect ? heir : try record(bits, heir, inherited: inherited))
  }

  /// Nodes of this depth always hang below a record: they read the second 64 bits of the address, and nodes above it need not ask.
  static let secondHalf = 8

  // MARK: - Removing a prefix

  /// The trie without the prefix.
  mutating func remove(_ key: BitPrefix, from root: Entry, pageDepth: Int) throws(ChangeFailure) -> Entry {
    self.pageDepth = pageDepth
    let inherited = root.isLink ? reader.inherited(root) : root
    guard key.length > 0 else {
      guard inherited != .none else { throw .notFound }
      previous = inherited
      return try inheriting(root, .none)
    }
    return try remove(key, from: root, depth: 0, inherited: inherited)
  }

  private mutating func remove(_ key: BitPrefix, from subtree: Entry, depth: Int, inherited: Entry) throws(ChangeFailure) -> Entry {
    guard subtree.isLink else { throw .notFound }
    if subtree.isRecord { return try remove(key, record: subtree, inherited: inherited) }
    if key.length <= 8 * (depth + 1) {
      try removeHere(key, from: subtree)
    } else {
      let octet = key.octet(depth)
      let present = reader.entry(subtree, octet)
      guard present.isLink else { throw .notFound }
      let link = try remove(key, from: present, depth: depth + 1, inherited: reader.inherited(present))
      if link.isLink { return try setLink(subtree, octet, link, added: -1) }
      memory.open(subtree, &node)
      node.removeLink(octet, link)
    }
    node.prefixCount -= 1
    if let rest = try collapse(subtree, key) { return rest }
    return try replace(subtree)
  }

  private mutating func remove(_ key: BitPrefix, record: Entry, inherited: Entry) throws(ChangeFailure) -> Entry {
    let (bits, target) = (reader.prefix(record: record), reader.target(record: record))
    if target.isValue {
      guard bits == key else { throw .notFound }
      previous = target
      drop(record)
      return inherited
    }
    guard key.length > bits.length, key.common(with: bits) == bits.length else { throw .notFound }
    let below = try remove(key, from: target, depth: bits.length / 8, inherited: inherited)
    guard below.isRecord else { return try retarget(record, below) }
    drop(record)
    return below
  }

  /// Opens the node and takes the prefix out.
  private mutating func removeHere(_ key: BitPrefix, from subtree: Entry) throws(ChangeFailure) {
    memory.open(subtree, &node)
    let owner = Owner(covering: key.octet(node.depth), key.length - 8 * node.depth)
    guard let value = node.value(owner, reader) else { throw .notFound }
    previous = value
    let heir = node.remove(owner, reader)
    try tellLinks(in: owner, of: heir?.owner.length ?? 0, heir?.value ?? node.inherited)
  }

  /// What takes the place of the open node when it has become superfluous: one prefix alone, or one link alone.
  private mutating func collapse(_ old: Entry, _ key: BitPrefix) throws(ChangeFailure) -> Entry? {
    assert(detours.isEmpty, "what is below has gone, or ends here")
    if let run = node.onlyLink {
      drop(old)
      let link = node.entry(run)
      if link.isRecord { return link }
      return try record(key.descendant(node.depth, node.start(run), bitCount: 8), link, inherited: node.inherited)
    }
    guard node.prefixCount == 1 else { return nil }
    var run = 0
    while node.length(run) == 0 { run += 1 }
    guard let owner = node.owner(run) else { return nil }
    drop(old)
    return try record(key.descendant(node.depth, owner.slot, bitCount: owner.length), node.entry(run), inherited: node.inherited)
  }

  // MARK: - What links inherit

  /// Links in the slots of `range` that belong to a prefix of `length` bits learn its value.
  private mutating func tellLinks(in range: Owner, of length: Int, _ value: Entry) throws(ChangeFailure) {
    var run = node.run(at: range.slot)
    while run < node.runCount, node.start(run) < range.end {
      let link = node.entry(run)
      if link.isLink, node.length(run) == length { node.setLink(run: run, try inheriting(link, value)) }
      run += 1
    }
  }

  /// `link`, but inheriting `value`: so do all slots below that no prefix covers. Once per link and change: it does not see patches.
  private mutating func inheriting(_ link: Entry, _ value: Entry) throws(ChangeFailure) -> Entry {
    guard link.isLink else { return value }
    if reader.inherited(link) == value { return link }
    let copy = try writable(link)
    patch(memory.inheritedPosition(copy), value.raw)
    if link.isRecord {
      let target = reader.target(record: link)
      if target.isLink { patch(memory.targetPosition(copy), try inheriting(target, value).raw) }
    } else {
      for place in 0..<memory.placeCount(copy) where memory.ownerLength(copy, place: place) == 0 {
        let position = memory.entryPosition(copy, place: place)
        patch(position, try inheriting(Entry(raw: memory.word(position)), value).raw)
      }
    }
    return copy
  }

  // MARK: - Blocks

  private mutating func record(_ bits: BitPrefix, _ target: Entry, inherited: Entry) throws(ChangeFailure) -> Entry {
    guard let block = memory.allocateHalf() else { throw .outOfMemory }
    allocated.append(block)
    memory.write(record: bits, target: target, inherited: inherited, to: block)
    return .record(block)
  }

  private mutating func retarget(_ record: Entry, _ target: Entry) throws(ChangeFailure) -> Entry {
    if reader.target(record: record) == target { return record }
    let copy = try writable(record)
    patch(memory.targetPosition(copy), target.raw)
    detour(record, copy, (memory.targetPosition(record), target.raw), nil)
    return copy
  }

  /// Lets the slot, which is a link already, lead to `link`.
  private mutating func setLink(_ subtree: Entry, _ octet: Int, _ link: Entry, added: Int) throws(ChangeFailure) -> Entry {
    let shape = reader.shape(subtree)
    let prefixCount = shape.prefixCount + added
    guard isPage(depth: shape.depth, prefixCount) == subtree.isPage else {
      memory.open(subtree, &node)
      node.setLink(octet, link)
      node.prefixCount = prefixCount
      return try replace(subtree)
    }
    if added == 0, reader.entry(subtree, octet) == link { return subtree }
    let copy = try writable(subtree)
    let newShape = NodeShape(depth: shape.depth, prefixCount: prefixCount).raw
    patch(memory.entryPosition(copy, octet), link.raw)
    patch(memory.shapePosition(copy), newShape)
    detour(
      subtree, copy, (memory.entryPosition(subtree, octet), link.raw), added == 0 ? nil : (memory.shapePosition(subtree), newShape))
    return copy
  }

  /// The open node as a block, in place of `old`.
  private mutating func replace(_ old: Entry) throws(ChangeFailure) -> Entry {
    detours.removeAll(keepingCapacity: true)
    drop(old)
    return try encode()
  }

  private func isPage(depth: Int, _ prefixCount: Int) -> Bool { depth < pageDepth && prefixCount >= Self.pagePrefixCount }

  private mutating func encode() throws(ChangeFailure) -> Entry {
    let asPage = isPage(depth: node.depth, node.prefixCount)
    let block = try allocate(lines: memory.lineCount(node, asPage: asPage))
    memory.write(node, to: block, asPage: asPage)
    return asPage ? .page(block) : .node(block)
  }

  private mutating func allocate(lines: Int) throws(ChangeFailure) -> Block {
    guard let block = memory.allocate(lines: lines) else { throw .outOfMemory }
    allocated.append(block)
    return block
  }

  /// The link itself when the open transaction made it, else to a copy of its block.
  private mutating func writable(_ link: Entry) throws(ChangeFailure) -> Entry {
    if memory.isFresh(link.block) { return link }
    drop(link)
    if link.isRecord {
      return try record(reader.prefix(record: link), reader.target(record: link), inherited: reader.inherited(record: link))
    }
    let lines = memory.lineCount(link.block)
    let block = try allocate(lines: lines)
    memory.copy(link.block, to: block, byteCount: lines * BlockMemory.lineByteCount)
    return link.isNode ? .node(block) : .page(block)
  }

  private mutating func patch(_ position: Int, _ word: UInt32) { patches.append((position, word)) }

  private mutating func detour(_ old: Entry, _ copy: Entry, _ link: Patch, _ shape: Patch?) {
    if old != copy { detours.append(Detour(old: old.block, copy: copy.block, link: link, shape: shape)) }
  }

  private mutating func drop(_ link: Entry) { dropped.append(link.block) }

  // MARK: - Instances

  /// The directory's value for an instance with these roots, in place of `old`, if there was one.
  mutating func instance(_ roots: InstanceRoots, replacing old: Block?) throws(ChangeFailure) -> Entry {
    if let old, memory.isFresh(old) {
      let positions = memory.rootPositions(instance: old)
      patch(positions.ipv4, roots.ipv4.raw)
      patch(positions.ipv6, roots.ipv6.raw)
      return .value(old)
    }
    guard let block = memory.allocateHalf() else { throw .outOfMemory }
    allocated.append(block)
    memory.write(instance: roots, to: block)
    if let old { dropped.append(old) }
    return .value(block)
  }

  mutating func drop(instance: Block) { dropped.append(instance) }

  // MARK: - The end of a change, the end of a transaction

  /// The trie has its new root; what follows is the directory's.
  mutating func finishTrie(from old: Entry, to new: Entry) {
    defer { detours.removeAll(keepingCapacity: true) }
    guard changeCount == 0 else { return }
    swap(&way, &detours)
    wayEnd = (allocated.count, dropped.count)
    var above = new
    for detour in way.reversed() {
      guard above.isLink, above.block == detour.copy else { return way.removeAll(keepingCapacity: true) }
      above = Entry(raw: detour.link.word)
    }
    if way.last?.old != old.block { way.removeAll(keepingCapacity: true) }
  }

  /// The change is complete: nothing can fail any more. `previous` is what its prefix had, not what the directory had.
  mutating func finish(previous: Entry) {
    self.previous = previous
    for patch in patches { memory.setWord(patch.position, patch.word) }
    fresh.append(contentsOf: allocated)
    for block in dropped {
      if memory.isFresh(block) {
        memory.release(block)
        way.removeAll(keepingCapacity: true)
      } else {
        superseded.append(block)
      }
    }
    changeCount += 1
    forgetChange()
  }

  /// The change has failed: it leaves nothing behind.
  mutating func abandon() {
    for block in allocated { memory.release(block) }
    forgetChange()
  }

  private mutating func forgetChange() {
    patches.removeAll(keepingCapacity: true)
    allocated.removeAll(keepingCapacity: true)
    dropped.removeAll(keepingCapacity: true)
    detours.removeAll(keepingCapacity: true)
  }

  /// Makes a transaction of one change visible under the old roots, if one link says it all, and takes back the copies above. False:
  /// nothing is done.
  mutating func commitInPlace() -> Bool {
    guard changeCount == 1, let lowest = way.first else { return false }
    for detour in way { if let shape = detour.shape { memory.publish(shape.position, shape.word) } }
    memory.publish(lowest.link.position, lowest.link.word)
    for detour in way { memory.release(detour.copy) }
    for block in fresh[wayEnd.fresh...] { memory.release(block) }
    fresh.removeSubrange(wayEnd.fresh...)
    superseded.removeSubrange(wayEnd.superseded...)
    superseded.removeAll { old in way.contains { $0.old == old } }
    return true
  }

  /// Seals what the transaction has made. Returns what it makes unreachable.
  mutating func commit() -> [Block] {
    for block in fresh { memory.settle(block) }
    defer { forgetTransaction() }
    return superseded
  }

  /// Takes back what the transaction has made.
  mutating func rollback() {
    for block in fresh where memory.isFresh(block) { memory.release(block) }
    forgetTransaction()
  }

  private mutating func forgetTransaction() {
    fresh.removeAll(keepingCapacity: true)
    superseded.removeAll(keepingCapacity: true)
    way.removeAll(keepingCapacity: true)
    changeCount = 0
  }
}
