// SPDX-License-Identifier: Apache-2.0
//
// Where the trie's blocks live: lines of 64 bytes in one reserved stretch of address space that never moves. The writer allocates
// and frees; readers only ever see blocks that are reachable from a published root.
//
// Blocks of 1 to 63 lines are taken from the smallest free stretch that is long enough (one list per length, one bitmap over the
// lists), else from the end of what is in use. A freed block joins free neighbours at once, so that what many small blocks leave
// serves a large one. Half a line, 32 bytes, is a block as well: two of them share a line.
//
//      ┌────┬─────────┬──┬──┬────────────────┬───────┬ ─ ─ ─ ─ ─ ─ ─
//      │used│  free   │½ │  │      used      │ free  │  never used
//      └────┴─────────┴──┴──┴────────────────┴───────┴ ─ ─ ─ ─ ─ ─ ─
//      0                                             end           limit
//
// A free stretch says what it is in its own first and last line; 16 bits per line beside the arena say the rest. Pages of the
// operating system are given back (`trim`) when much is free.
//
// Invariants
//   B1  The lines below `end` are partitioned into used blocks and free stretches; no two free stretches touch, none touches `end`.
//   B2  Each free stretch is in the list of its length (63 for longer ones), and a list is marked when it is not empty.
//   B3  A line of halves has at least one half in use; it is in the list of half-free lines when one of them is free.

import Glibc
import Synchronization

/// The arena and its allocator. Thread: slow path.
@safe struct BlockMemory: ~Copyable {
  static let lineByteCount = 64
  static let longest = 63

  let memory: ReservedMemory
  private let stateMemory: ReservedMemory
  let reader: NodeReader
  /// The lines that may be used.
  let limit: Int
  /// The last of them are for deletions only: a full table can be emptied.
  static let reserve = 1024
  var usesReserve = false
  /// The first line that was never used, or is not any more. Line 0 is not a block: 0 means none.
  private(set) var end = 1
  private var freeLines = 0
  private var lists = [UInt32](repeating: 0, count: longest + 1)
  private var nonEmpty: UInt64 = 0
  private var halfFree: Block = 0
  private(set) var freeHalves = 0
  /// The first line that was not touched since memory was last given back.
  private var touched = 1
  /// How many free lines have been given back and not been taken again, at most.
  private var discarded = 0
  /// For tests: how many allocations succeed before one fails.
  var allocationsUntilFailure = Int.max

  /// What is known of a line. Of a block of several lines: of its first; of a free stretch: of its first and last.
  private struct State {
    static let size: UInt16 = 63
    static let isFree: UInt16 = 1 << 6
    static let isHalves: UInt16 = 1 << 7
    /// Of block and half 0; the next bit is for half 1.
    static let isUsed: UInt16 = 1 << 8
    /// Allocated by the open transaction. For half 1 the next bit.
    static let isFresh: UInt16 = 1 << 10
  }

  /// What entries can name.
  static let maximumByteCount = 16 << 30

  /// nil when the kernel refuses the address space, or entries could not name it.
  init?(byteLimit: Int) {
    guard byteLimit <= Self.maximumByteCount else { return nil }
    let lines = max(2 * Self.reserve, byteLimit / Self.lineByteCount)
    guard let memory = ReservedMemory(byteCount: (lines + 64) * Self.lineByteCount, hugePages: true),
      let states = ReservedMemory(byteCount: lines * MemoryLayout<UInt16>.stride)
    else { return nil }
    self.memory = memory
    stateMemory = states
    reader = NodeReader(memory)
    limit = lines
  }

  /// Bytes in blocks, in free stretches between them, and in the states of their lines.
  var byteCounts: (used: Int, free: Int, states: Int) {
    let used = (end - 1 - freeLines) * Self.lineByteCount - freeHalves * 32
    return (used, freeLines * Self.lineByteCount + freeHalves * 32, end * MemoryLayout<UInt16>.stride)
  }

  // MARK: - Allocation

  /// A block of `lines` lines, with arbitrary contents, on a line of its own; nil when there is no room.
  mutating func allocate(lines: Int) -> Block? {
    guard mayAllocate(), let line = take(lines) else { return nil }
    states(line) { $0 = UInt16(lines) | State.isUsed | State.isFresh }
    if lines > 1 { states(line + lines - 1) { $0 = 0 } }
    return Block(line * 2)
  }

  /// A block of 32 bytes.
  mutating func allocateHalf() -> Block? {
    guard mayAllocate() else { return nil }
    if halfFree != 0 {
      let half = halfFree
      unlinkHalf(half)
      states(Int(half) / 2) { $0 |= (State.isUsed | State.isFresh) << UInt16(half & 1) }
      return half
    }
    guard let line = take(1) else { return nil }
    states(line) { $0 = State.isHalves | State.isUsed | State.isFresh }
    linkHalf(Block(line * 2 + 1))
    return Block(line * 2)
  }

  /// Gives a block back that no reader can reach any more.
  mutating func release(_ block: Block) {
    let line = Int(block) / 2
    let state = self.state(line)
    guard state & State.isHalves != 0 else {
      states(line) { $0 = 0 }
      return give(line, Int(state & State.size))
    }
    let other = block ^ 1
    if state & State.isUsed << UInt16(other & 1) == 0 {
      unlinkHalf(other)
      states(line) { $0 = 0 }
      give(line, 1)
    } else {
      states(line) { $0 &= ~((State.isUsed | State.isFresh) << UInt16(block & 1)) }
      linkHalf(block)
    }
  }

  /// How long a block is, in lines; 0 for half a line.
  func lineCount(_ block: Block) -> Int { Int(state(Int(block) / 2) & State.size) }

  /// Whether the open transaction allocated the block.
  func isFresh(_ block: Block) -> Bool {
    let state = state(Int(block) / 2)
    return state & State.isFresh << (state & State.isHalves != 0 ? UInt16(block & 1) : 0) != 0
  }

  /// The transaction that allocated the block is over.
  mutating func settle(_ block: Block) {
    states(Int(block) / 2) { state in
      state &= ~(State.isFresh << (state & State.isHalves != 0 ? UInt16(block & 1) : 0))
    }
  }

  private mutating func mayAllocate() -> Bool {
    guard allocationsUntilFailure > 0 else { return false }
    if allocationsUntilFailure != .max { allocationsUntilFailure -= 1 }
    return true
  }

  // MARK: - Stretches of lines

  private mutating func take(_ lines: Int) -> Int? {
    assert((1...Self.longest).contains(lines))
    guard usesReserve || end - freeLines + lines <= limit - Self.reserve else { return nil }
    let longEnough = nonEmpty & ~0 << UInt64(lines)
    guard longEnough != 0 else { return extend(lines) }
    let line = Int(lists[longEnough.trailingZeroBitCount])
    let length = self.length(line)
    unlink(line, length)
    if length > lines { link(line + lines, length - lines) }
    return line
  }

  private mutating func extend(_ lines: Int) -> Int? {
    guard end + lines <= (usesReserve ? limit : limit - Self.reserve) else { return nil }
    defer { end += lines }
    touched = max(touched, end + lines)
    return end
  }

  /// Joins free neighbours (B1).
  private mutating func give(_ line: Int, _ lines: Int) {
    var (first, length) = (line, lines)
    if line > 1, state(line - 1) & State.isFree != 0 {
      let before = Int(word((line - 1) * Self.lineByteCount + Link.footer))
      first -= before
      length += before
      unlink(first, before)
    }
    let next = line + lines
    if next < end, state(next) & State.isFree != 0 {
      let behind = self.length(next)
      length += behind
      unlink(next, behind)
    }
    if first + length == end {
      end = first
    } else {
      link(first, length)
    }
  }

  /// Where a free stretch and a free half keep their links.
  private enum Link {
    static let next = 0
    static let previous = 4
    static let length = 8
    /// In the last line.
    static let footer = 60
  }

  private func length(_ line: Int) -> Int { Int(word(line * Self.lineByteCount + Link.length)) }

  private mutating func link(_ line: Int, _ length: Int) {
    let list = min(length, Self.longest)
    let at = line * Self.lineByteCount
    let next = lists[list]
    setWord(at + Link.next, next)
    setWord(at + Link.previous, 0)
    setWord(at + Link.length, UInt32(length))
    setWord(at + (length - 1) * Self.lineByteCount + Link.footer, UInt32(length))
    if next != 0 { setWord(Int(next) * Self.lineByteCount + Link.previous, UInt32(line)) }
    lists[list] = UInt32(line)
    nonEmpty |= 1 << UInt64(list)
    states(line) { $0 = State.isFree }
    states(line + length - 1) { $0 = State.isFree }
    freeLines += length
  }

  private mutating func unlink(_ line: Int, _ length: Int) {
    let list = min(length, Self.longest)
    let at = line * Self.lineByteCount
    let (next, previous) = (word(at + Link.next), word(at + Link.previous))
    if next != 0 { setWord(Int(next) * Self.lineByteCount + Link.previous, previous) }
    if previous != 0 {
      setWord(Int(previous) * Self.lineByteCount + Link.next, next)
    } else {
      lists[list] = next
      if next == 0 { nonEmpty &= ~(1 << UInt64(list)) }
    }
    states(line) { $0 = 0 }
    states(line + length - 1) { $0 = 0 }
    freeLines -= length
  }

  // MARK: - Halves

  private mutating func linkHalf(_ half: Block) {
    let at = Int(half) * 32
    setWord(at + Link.next, halfFree)
    setWord(at + Link.previous, 0)
    if halfFree != 0 { setWord(Int(halfFree) * 32 + Link.previous, half) }
    halfFree = half
    freeHalves += 1
  }

  private mutating func unlinkHalf(_ half: Block) {
    let (next, previous) = (word(Int(half) * 32 + Link.next), word(Int(half) * 32 + Link.previous))
    if next != 0 { setWord(Int(next) * 32 + Link.previous, previous) }
    if previous != 0 { setWord(Int(previous) * 32 + Link.next, next) } else { halfFree = next }
    freeHalves -= 1
  }

  // MARK: - Memory of the operating system

  /// Gives pages back when much more is free than the last time: a quarter of what is used, and at least 8 MiB.
  mutating func trim() {
    let slack = touched - end + freeLines
    discarded = min(discarded, slack)
    guard (slack - discarded) * Self.lineByteCount > max(8 << 20, byteCounts.used / 4) else { return }
    discard(end, touched - end)
    touched = end
    discarded = freeLines
    var line = Int(lists[Self.longest])
    while line != 0 {
      // The first and last line hold the links.
      let length = length(line)
      discard(line + 1, length - 2)
      line = Int(word(line * Self.lineByteCount + Link.next))
    }
  }

  private func discard(_ line: Int, _ lines: Int) {
    let page = 4096
    let first = (line * Self.lineByteCount + page - 1) / page * page
    let last = (line + lines) * Self.lineByteCount / page * page
    // SAFETY: whole pages that hold no block and no link (B1).
    if last > first { _ = unsafe madvise(memory.base + first, last - first, MADV_DONTNEED) }
  }

  // MARK: - Words

  // SAFETY (of all): positions are those of lines below `limit`; the writer writes only to blocks of the open transaction and to
  // free stretches, and with `publish` what I3 of PrefixTable allows.
  func word(_ at: Int) -> UInt32 { unsafe memory.base.load(fromByteOffset: at, as: UInt32.self) }
  func setWord(_ at: Int, _ word: UInt32) { unsafe memory.base.storeBytes(of: word, toByteOffset: at, as: UInt32.self) }
  /// Stores a word that readers may be reading; they see all that was written before it.
  func publish(_ at: Int, _ word: UInt32) {
    unsafe (memory.base + at).assumingMemoryBound(to: Atomic<UInt32>.self).pointee.store(word, ordering: .releasing)
  }
  func octet(_ at: Int) -> UInt8 { unsafe memory.base.load(fromByteOffset: at, as: UInt8.self) }
  func setOctet(_ at: Int, _ octet: UInt8) { unsafe memory.base.storeBytes(of: octet, toByteOffset: at, as: UInt8.self) }
  func setDoubleWord(_ at: Int, _ word: UInt64) { unsafe memory.base.storeBytes(of: word, toByteOffset: at, as: UInt64.self) }

  /// Copies `byteCount` bytes from block to block.
  func copy(_ from: Block, to: Block, byteCount: Int) {
    unsafe (memory.base + Int(to) * 32).copyMemory(from: memory.base + Int(from) * 32, byteCount: byteCount)
  }

  private func state(_ line: Int) -> UInt16 {
    unsafe stateMemory.base.load(fromByteOffset: line * 2, as: UInt16.self)
  }

  private func states(_ line: Int, _ change: (inout UInt16) -> Void) {
    unsafe change(&stateMemory.base.assumingMemoryBound(to: UInt16.self)[line])
  }
}

extension BlockMemory {
  /// Executes B1 to B3; `used` are the blocks that should be in use.
  func checkInvariants(used: Set<Block>) -> [String] {
    var found: [String] = []
    var usedBlocks = Set<Block>()
    var stretches = Set<Int>()
    var halves = Set<Block>()
    var line = 1
    var afterFree = false
    while line < end {
      let state = self.state(line)
      if state & State.isFree != 0 {
        if afterFree || line + length(line) == end { found.append("line \(line): a free stretch touches another, or the end") }
        stretches.insert(line)
        line += length(line)
        afterFree = true
        continue
      }
      afterFree = false
      if state & State.isHalves != 0 {
        for half in 0..<2 as Range<UInt16> {
          let block = Block(line * 2) + Block(half)
          if state & State.isUsed << half != 0 { usedBlocks.insert(block) } else { halves.insert(block) }
        }
        line += 1
      } else {
        usedBlocks.insert(Block(line * 2))
        guard state & State.size != 0 else { return found + ["line \(line): no block begins here"] }
        line += Int(state & State.size)
      }
    }
    if line != end { found.append("the last block ends behind the end") }
    if usedBlocks != used {
      found.append("\(usedBlocks.subtracting(used).count) blocks leaked, \(used.subtracting(usedBlocks).count) freed")
    }
    return found + checkLists(stretches, halves)
  }

  /// B2 and B3.
  private func checkLists(_ stretches: Set<Int>, _ halves: Set<Block>) -> [String] {
    var found: [String] = []
    var listed: [Int] = []
    for list in 0...Self.longest {
      if (lists[list] != 0) != (nonEmpty & 1 << UInt64(list) != 0) { found.append("list \(list): mark") }
      var line = Int(lists[list])
      while line != 0 {
        if min(length(line), Self.longest) != list { found.append("line \(line): in list \(list)") }
        listed.append(line)
        line = Int(word(line * Self.lineByteCount))
      }
    }
    if Set(listed) != stretches || listed.count != stretches.count { found.append("free stretches are not those in the lists") }
    if listed.reduce(0, { $0 + length($1) }) != freeLines { found.append("free lines are miscounted") }
    var half = halfFree
    var listedHalves: [Block] = []
    while half != 0 {
      listedHalves.append(half)
      half = word(Int(half) * 32)
    }
    if Set(listedHalves) != halves || listedHalves.count != freeHalves { found.append("free halves are not those in the list") }
    return found
  }
}
