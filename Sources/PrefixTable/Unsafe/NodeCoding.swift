// SPDX-License-Identifier: Apache-2.0
//
// Blocks into open nodes and back. The layouts are those of NodeReader. Called by TrieWriter.

extension BlockMemory {
  private typealias NodeLayout = NodeReader.NodeLayout
  private typealias PageLayout = NodeReader.PageLayout
  private typealias HiddenLayout = NodeReader.HiddenLayout
  private typealias RecordLayout = NodeReader.RecordLayout

  /// Where a link's block begins, in bytes.
  func position(_ link: Entry) -> Int { Int(link.block) * 32 }

  /// Where a node or page keeps the entry of a slot, of which the run is known to be one slot long.
  func entryPosition(_ node: Entry, _ octet: Int) -> Int {
    entryPosition(node, place: node.isNode ? reader.rank(node, octet) - 1 : octet)
  }

  func shapePosition(_ node: Entry) -> Int { position(node) + (node.isNode ? NodeLayout.shape : PageLayout.shape) }

  func inheritedPosition(_ link: Entry) -> Int {
    position(link) + (link.isNode ? NodeLayout.inherited : link.isPage ? PageLayout.inherited : RecordLayout.inherited)
  }

  func targetPosition(_ record: Entry) -> Int { position(record) + RecordLayout.target }

  /// A node has a place for an entry and a length per run, a page per slot.
  func placeCount(_ node: Entry) -> Int { node.isNode ? reader.runCount(node: node) : 256 }
  func entryPosition(_ node: Entry, place: Int) -> Int { position(node) + (node.isNode ? NodeLayout.entries : 0) + 4 * place }
  func ownerLength(_ node: Entry, place: Int) -> Int { reader.ownerLength(node, place: place) }

  // MARK: - Taking apart

  func open(_ link: Entry, _ node: inout OpenNode) {
    let shape = reader.shape(link)
    node.reset(depth: shape.depth, inherited: reader.inherited(link), prefixCount: shape.prefixCount)
    if link.isNode { openRuns(link, &node) } else { openSlots(link, &node) }
    for hidden in reader.hiddenPrefixes(in: link) { node.hide(hidden.owner, hidden.value) }
  }

  private func openRuns(_ link: Entry, _ node: inout OpenNode) {
    let at = position(link)
    let count = reader.runCount(node: link)
    let lengths = at + NodeLayout.lengths(count)
    for word in 0..<4 {
      var starts = UInt64(self.word(at + 8 * word)) | UInt64(self.word(at + 8 * word + 4)) << 32
      while starts != 0 {
        let run = node.runCount
        let length = octet(lengths + run / 2) >> UInt8(4 * (run & 1)) & 15
        node.append(64 * word + starts.trailingZeroBitCount, Int(length), Entry(raw: self.word(at + NodeLayout.entries + 4 * run)))
        starts &= starts - 1
      }
    }
  }

  private func openSlots(_ link: Entry, _ node: inout OpenNode) {
    let at = position(link)
    var previous: (owner: OpenNode.Owner?, isLink: Bool) = (nil, true)
    for slot in 0..<256 {
      let length = Int(octet(at + PageLayout.lengths + slot / 2) >> UInt8(4 * (slot & 1)) & 15)
      let entry = Entry(raw: word(at + 4 * slot))
      let owner = length == 0 ? nil : OpenNode.Owner(covering: slot, length)
      if entry.isLink || previous.isLink || owner != previous.owner { node.append(slot, length, entry) }
      previous = (owner, entry.isLink)
    }
  }

  // MARK: - Putting together

  /// How many lines the node takes.
  func lineCount(_ node: borrowing OpenNode, asPage: Bool) -> Int {
    let end = HiddenLayout.end(asPage ? PageLayout.hidden : NodeLayout.hidden(node.runCount), node.hiddenCount)
    return (end + Self.lineByteCount - 1) / Self.lineByteCount
  }

  func write(_ node: borrowing OpenNode, to block: Block, asPage: Bool) {
    let at = Int(block) * 32
    let shape = NodeShape(depth: node.depth, prefixCount: node.prefixCount)
    setWord(at + (asPage ? PageLayout.inherited : NodeLayout.inherited), node.inherited.raw)
    setWord(at + (asPage ? PageLayout.shape : NodeLayout.shape), shape.raw)
    if asPage { writeSlots(node, at) } else { writeRuns(node, at) }
    writeHidden(node, at + (asPage ? PageLayout.hidden : NodeLayout.hidden(node.runCount)))
  }

  private func writeRuns(_ node: borrowing OpenNode, _ at: Int) {
    let count = node.runCount
    let lengths = at + NodeLayout.lengths(count)
    var map = [4 of UInt64](repeating: 0)
    for run in 0..<count {
      let start = node.start(run)
      map[start >> 6] |= 1 << UInt64(start & 63)
      setWord(at + NodeLayout.entries + 4 * run, node.entry(run).raw)
    }
    for run in stride(from: 0, to: count, by: 2) {
      setOctet(lengths + run / 2, UInt8(node.length(run) | (run + 1 < count ? node.length(run + 1) << 4 : 0)))
    }
    var before: UInt32 = 0
    var total = 0
    for word in 0..<4 {
      setDoubleWord(at + 8 * word, map[word])
      before |= UInt32(total) << UInt32(8 * word)
      total += map[word].nonzeroBitCount
    }
    setWord(at + NodeLayout.runsBefore, before)
  }

  private func writeSlots(_ node: borrowing OpenNode, _ at: Int) {
    for run in 0..<node.runCount {
      let (entry, length) = (node.entry(run), UInt8(node.length(run)))
      for slot in node.start(run)..<node.end(run) {
        setWord(at + 4 * slot, entry.raw)
        let pair = at + PageLayout.lengths + slot / 2
        setOctet(pair, slot & 1 == 0 ? length : octet(pair) | length << 4)
      }
    }
  }

  private func writeHidden(_ node: borrowing OpenNode, _ at: Int) {
    setOctet(at, UInt8(node.hiddenCount))
    let values = HiddenLayout.values(at, node.hiddenCount)
    for i in 0..<node.hiddenCount {
      setOctet(at + 1 + 2 * i, node.hidden(i).slot)
      setOctet(at + 2 + 2 * i, node.hidden(i).length)
      setWord(values + 4 * i, node.hidden(i).value.raw)
    }
  }

  func write(record bits: BitPrefix, target: Entry, inherited: Entry, to block: Block) {
    let at = Int(block) * 32
    setDoubleWord(at, bits.high.bigEndian)
    setDoubleWord(at + 8, bits.low.bigEndian)
    setWord(at + RecordLayout.target, target.raw)
    setWord(at + RecordLayout.inherited, inherited.raw)
    setWord(at + RecordLayout.length, UInt32(bits.length))
    setWord(at + RecordLayout.length + 4, 0)
  }

  /// Where the instance's roots stand: of the IPv4 trie, of the IPv6 trie.
  func rootPositions(instance: Block) -> (ipv4: Int, ipv6: Int) { (Int(instance) * 32, Int(instance) * 32 + 4) }

  func write(instance roots: InstanceRoots, to block: Block) {
    let positions = rootPositions(instance: block)
    setWord(positions.ipv4, roots.ipv4.raw)
    setWord(positions.ipv6, roots.ipv6.raw)
  }
}

extension NodeReader {
  func runCount(node: Entry) -> Int { rank(node, 255) }

  /// The length of the prefix of this node, counted from its depth, that the slot belongs to; 0 for none.
  func ownerLength(_ node: Entry, _ octet: Int) -> Int {
    ownerLength(node, place: node.isNode ? rank(node, octet) - 1 : octet)
  }

  func ownerLength(_ node: Entry, place: Int) -> Int {
    // Lengths begin at a multiple of 4.
    let lengths = node.isNode ? NodeLayout.lengths(runCount(node: node)) : PageLayout.lengths
    let word = word(node, node.isNode ? 1 : 3, lengths + place / 8 * 4)
    return Int(word >> UInt32(4 * (place & 7)) & 15)
  }

  /// The prefixes of a node that longer ones cover entirely.
  func hiddenPrefixes(in node: Entry) -> [(owner: OpenNode.Owner, value: Entry)] {
    let tag: UInt32 = node.isNode ? 1 : 3
    let offset = node.isNode ? NodeLayout.hidden(runCount(node: node)) : PageLayout.hidden
    func octet(_ at: Int) -> Int { Int(word(node, tag, at & ~3) >> UInt32(8 * (at & 3)) & 0xFF) }
    let count = octet(offset)
    let values = HiddenLayout.values(offset, count)
    return (0..<count).map { i in
      let owner = OpenNode.Owner(covering: octet(offset + 1 + 2 * i), octet(offset + 2 + 2 * i))
      return (owner, Entry(raw: word(node, tag, values + 4 * i)))
    }
  }

  /// The prefixes that end in a node, in no order.
  func prefixes(in node: Entry) -> [(owner: OpenNode.Owner, value: Entry)] {
    var found = hiddenPrefixes(in: node)
    var last: [OpenNode.Owner?] = Array(repeating: nil, count: 9)
    for slot in 0..<256 {
      let length = ownerLength(node, slot)
      guard length != 0 else { continue }
      let owner = OpenNode.Owner(covering: slot, length)
      guard last[length] != owner else { continue }
      last[length] = owner
      let entry = entry(node, slot)
      found.append((owner, entry.isLink ? inherited(entry) : entry))
    }
    return found
  }

  /// The prefix of a record.
  func prefix(record: Entry) -> BitPrefix {
    let octets = octets(record: record)
    return BitPrefix(high: octets.first.bigEndian, low: octets.second.bigEndian, length: length(record: record))
  }
}
