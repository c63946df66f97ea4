// SPDX-License-Identifier: Apache-2.0
//
// A node taken apart: the writer changes this, and NodeCoding turns it into a block again. Called by TrieWriter.
//
// Its 256 slots are a list of runs. A run is a longest stretch of slots that belong to the same prefix of this node (length 1 to 8,
// counted from the node's depth; 0 when no prefix of this node covers them: they say what the node inherits), or one slot with a
// link to something deeper:
//
//      slots    0 … 63        64    65 … 127    128 … 255
//      run     ┌───────────┬──────┬───────────┬────────────┐
//      entry   │ value of  │ link │ value of  │ inherited  │    prefix 0/1 owns slots 0 to 127; slot 64 leads deeper,
//      length  │ 0/1   (1) │  (1) │ 0/1   (1) │         (0)│    and what it leads to inherits the value of 0/1
//              └───────────┴──────┴───────────┴────────────┘
//
// A prefix whose slots all belong to longer ones is hidden: it stands in a list of its own. Together, runs, hidden prefixes and what
// the links inherit say exactly which prefixes end in this node.

/// A node under construction. Thread: slow path.
@safe struct OpenNode: ~Copyable {
  /// A prefix that ends in this node: its first slot, and its length counted from the node's depth, 1 to 8.
  struct Owner: Equatable {
    var slot: Int
    var length: Int

    /// The prefix of that length that covers the slot.
    init(covering slot: Int, _ length: Int) {
      self.slot = slot & ~0 << (8 - length)
      self.length = length
    }

    var end: Int { slot + 1 << (8 - length) }
    func isCovering(_ other: Int) -> Bool { slot <= other && other < end }
  }

  struct Run {
    var start: UInt8
    var length: UInt8
    var entry: Entry
  }

  /// A prefix whose slots all belong to longer ones.
  struct Hidden {
    var slot: UInt8
    var length: UInt8
    var value: Entry

    var owner: Owner { Owner(covering: Int(slot), Int(length)) }
  }

  var depth = 0
  /// What the slot above would say if it did not lead here.
  var inherited = Entry.none
  /// Prefixes in the whole subtree.
  var prefixCount = 0

  /// In the order of their slots; room for 256.
  private let runs = UnsafeMutablePointer<Run>.allocate(capacity: 256)
  private(set) var runCount = 0
  /// In the order of their slots, shorter ones first; room for 256.
  private let hidden = UnsafeMutablePointer<Hidden>.allocate(capacity: 256)
  private(set) var hiddenCount = 0

  init() {
    unsafe runs.initialize(repeating: Run(start: 0, length: 0, entry: .none), count: 256)
    unsafe hidden.initialize(repeating: Hidden(slot: 0, length: 0, value: .none), count: 256)
  }

  deinit {
    unsafe runs.deallocate()
    unsafe hidden.deallocate()
  }

  /// An empty node.
  mutating func clear(depth: Int, inherited: Entry) {
    reset(depth: depth, inherited: inherited, prefixCount: 0)
    append(0, 0, inherited)
  }

  // MARK: - Taking apart

  mutating func reset(depth: Int, inherited: Entry, prefixCount: Int) {
    self.depth = depth
    self.inherited = inherited
    self.prefixCount = prefixCount
    runCount = 0
    hiddenCount = 0
  }

  mutating func append(_ start: Int, _ length: Int, _ entry: Entry) {
    unsafe runs[runCount] = Run(start: UInt8(truncatingIfNeeded: start), length: UInt8(truncatingIfNeeded: length), entry: entry)
    runCount += 1
  }

  mutating func hide(_ owner: Owner, _ value: Entry) {
    var i = hiddenCount
    while i > 0, (hidden(i - 1).owner.slot, hidden(i - 1).owner.length) > (owner.slot, owner.length) {
      unsafe hidden[i] = hidden[i - 1]
      i -= 1
    }
    unsafe hidden[i] = Hidden(slot: UInt8(owner.slot), length: UInt8(owner.length), value: value)
    hiddenCount += 1
  }

  // MARK: - Questions

  // SAFETY (of all): runs and hidden prefixes begin at different slots or, the latter, end at different ones: there are at most 256 of
  // either. Numbers are below `runCount` or `hiddenCount`.
  func hidden(_ i: Int) -> Hidden { unsafe hidden[i] }

  func start(_ run: Int) -> Int { Int(unsafe runs[run].start) }
  func end(_ run: Int) -> Int { run + 1 < runCount ? start(run + 1) : 256 }
  func length(_ run: Int) -> Int { Int(unsafe runs[run].length) }
  func entry(_ run: Int) -> Entry { unsafe runs[run].entry }

  /// The prefix of this node that the run belongs to.
  func owner(_ run: Int) -> Owner? { length(run) == 0 ? nil : Owner(covering: start(run), length(run)) }

  /// The value of that prefix; `reader` knows what links inherit.
  func ownerValue(_ run: Int, _ reader: NodeReader) -> Entry { entry(run).isLink ? reader.inherited(entry(run)) : entry(run) }

  /// The run that the slot belongs to.
  func run(at slot: Int) -> Int {
    var (low, high) = (0, runCount)
    while high - low > 1 {
      let middle = (low + high) / 2
      if start(middle) <= slot { low = middle } else { high = middle }
    }
    return low
  }

  /// A run of the prefix; nil when it is hidden, or not there.
  func visibleRun(_ owner: Owner) -> Int? {
    var run = run(at: owner.slot)
    while run < runCount, start(run) < owner.end {
      if length(run) == owner.length { return run }
      run += 1
    }
    return nil
  }

  func hiddenPlace(_ owner: Owner) -> Int? {
    for i in 0..<hiddenCount where hidden(i).owner == owner { return i }
    return nil
  }

  /// The value of a prefix that ends here; nil when it is not there.
  func value(_ owner: Owner, _ reader: NodeReader) -> Entry? {
    if let run = visibleRun(owner) { return ownerValue(run, reader) }
    guard let place = hiddenPlace(owner) else { return nil }
    return hidden(place).value
  }

  /// The only link, when there is nothing else in the node.
  var onlyLink: Int? {
    guard runCount <= 3, hiddenCount == 0 else { return nil }
    var link: Int?
    for run in 0..<runCount {
      guard length(run) == 0 else { return nil }
      if entry(run).isLink {
        guard link == nil else { return nil }
        link = run
      }
    }
    return link
  }

  // MARK: - Changes

  /// Adds or replaces a prefix. Links in its slots keep what they inherit: the caller tells them.
  mutating func assign(_ owner: Owner, _ value: Entry, _ reader: NodeReader) {
    let first = split(owner.slot)
    _ = split(owner.end)
    var displaced = [9 of Entry](repeating: .none)
    var isVisible = false
    var run = first
    while run < runCount, start(run) < owner.end {
      let length = length(run)
      if length <= owner.length {
        isVisible = true
        if length != 0, length != owner.length { displaced[length] = ownerValue(run, reader) }
        give(run, to: owner.length, value)
      }
      run += 1
    }
    merge(first, run)
    if !isVisible {
      if let place = hiddenPlace(owner) { unsafe hidden[place].value = value } else { hide(owner, value) }
    }
    for length in 1..<max(1, owner.length) where displaced[length] != .none {
      let shorter = Owner(covering: owner.slot, length)
      if visibleRun(shorter) == nil { hide(shorter, displaced[length]) }
    }
  }

  /// Takes a prefix away that is there. Its slots, and links in them, fall to the next shorter one; returns that, or nil.
  mutating func remove(_ owner: Owner, _ reader: NodeReader) -> (owner: Owner, value: Entry)? {
    if let place = hiddenPlace(owner) {
      unhide(place)
      return nil
    }
    let heir = heir(of: owner, reader)
    let first = run(at: owner.slot)
    var run = first
    while run < runCount, start(run) < owner.end {
      if length(run) == owner.length { give(run, to: heir?.owner.length ?? 0, heir?.value ?? inherited) }
      run += 1
    }
    if let heir, let place = hiddenPlace(heir.owner) { unhide(place) }
    merge(max(0, first - 1), min(runCount, run + 1))
    return heir
  }

  /// The longest shorter prefix of this node that covers `owner`.
  private func heir(of owner: Owner, _ reader: NodeReader) -> (owner: Owner, value: Entry)? {
    let run = visibleHeir(of: owner)
    let longest = run == runCount ? 0 : length(run)
    for length in stride(from: owner.length - 1, to: longest, by: -1) {
      let candidate = Owner(covering: owner.slot, length)
      if let place = hiddenPlace(candidate) { return (candidate, hidden(place).value) }
    }
    return longest == 0 ? nil : (Owner(covering: owner.slot, longest), ownerValue(run, reader))
  }

  /// A run of the longest of those prefixes that owns slots; `runCount` when there is none.
  private func visibleHeir(of owner: Owner) -> Int {
    let range = Owner(covering: owner.slot, 1)
    var (heir, longest) = (runCount, 0)
    var run = run(at: range.slot)
    while run < runCount, start(run) < range.end, longest < owner.length - 1 {
      let length = length(run)
      if length > longest, length < owner.length, Owner(covering: start(run), length) == Owner(covering: owner.slot, length) {
        (heir, longest) = (run, length)
      }
      run += 1
    }
    return heir
  }

  private mutating func give(_ run: Int, to length: Int, _ value: Entry) {
    unsafe runs[run].length = UInt8(length)
    if !entry(run).isLink { unsafe runs[run].entry = value }
  }

  /// Makes the slot lead to `link`, which inherits what the slot's owner says.
  mutating func setLink(_ slot: Int, _ link: Entry) {
    let run = split(slot)
    _ = split(slot + 1)
    unsafe runs[run].entry = link
  }

  mutating func setLink(run: Int, _ link: Entry) { unsafe runs[run].entry = link }

  /// Takes the slot's link away; `value` is what it inherited.
  mutating func removeLink(_ slot: Int, _ value: Entry) {
    let run = run(at: slot)
    unsafe runs[run].entry = value
    merge(max(0, run - 1), min(runCount, run + 2))
  }

  /// A run begins at the slot; returns it. At 256: the end.
  private mutating func split(_ slot: Int) -> Int {
    guard slot < 256 else { return runCount }
    let run = run(at: slot)
    if start(run) == slot { return run }
    var i = runCount
    while i > run + 1 {
      unsafe runs[i] = runs[i - 1]
      i -= 1
    }
    unsafe runs[run + 1] = Run(start: UInt8(slot), length: UInt8(length(run)), entry: entry(run))
    runCount += 1
    return run + 1
  }

  /// Neighbours of one owner among the runs from `first` to before `last` become one.
  private mutating func merge(_ first: Int, _ last: Int) {
    var kept = first
    for run in first + 1..<max(first + 1, last) where !isSame(kept, run) {
      kept += 1
      if kept != run { unsafe runs[kept] = runs[run] }
    }
    let gone = last - kept - 1
    guard gone > 0 else { return }
    for run in last..<runCount { unsafe runs[run - gone] = runs[run] }
    runCount -= gone
  }

  private func isSame(_ one: Int, _ other: Int) -> Bool {
    length(one) == length(other) && !entry(one).isLink && !entry(other).isLink && owner(one) == owner(other)
  }

  private mutating func unhide(_ place: Int) {
    for i in place..<hiddenCount - 1 { unsafe hidden[i] = hidden[i + 1] }
    hiddenCount -= 1
  }
}
