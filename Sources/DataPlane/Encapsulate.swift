// SPDX-License-Identifier: Apache-2.0
//
// The ITR's stages (RFC 9300 sections 5 and 12): packets from our EIDs, towards the core.

import PrefixTable
import Wire

extension Engine {
  /// Encapsulates the packets of `batch` that are in the set. Each stage is a function with a loop: the compiler inlines what a
  /// packet needs into it, and gives it all registers.
  mutating func encapsulate(_ batch: inout Batch, _ members: PacketSet, port: Int, state: ForwardingStateReader) {
    readInnerHeaders(&batch, members, port: port, state: state)
    lookups.run(state.table)
    chooseLocators(&batch, state.chain)
    let settings = state.settings
    if settings.statusBits == nil && !settings.exchangesNonces {
      prependHeaders(&batch, settings)
    } else {
      prependHeadersWithHints(&batch, settings)
    }
  }

  /// Stage 1.
  @inline(never)
  private mutating func readInnerHeaders(_ batch: inout Batch, _ members: PacketSet, port: Int, state: ForwardingStateReader) {
    let (packets, count) = (batch.packets, batch.count)
    let table = state.table
    var roots = RootsCache()
    var known = KnownSources()
    for i in 0..<count where members.contains(i) {
      readInner(&packets[i], i, port: port, state: state, table: table, roots: &roots, known: &known)
    }
  }

  /// Stage 3.
  @inline(never)
  private func chooseLocators(_ batch: inout Batch, _ chain: ForwardingChain) {
    let (packets, count) = (batch.packets, batch.count)
    for i in 0..<count { chain.mappings.prefetch(lookups[i]) }
    var source = SourceCheck()
    for i in 0..<count where packets[i].verdict.isPending { chooseLocator(&packets[i], i, chain, source: &source) }
  }

  /// Stage 4.
  @inline(never)
  private mutating func prependHeaders(_ batch: inout Batch, _ settings: EngineSettings) {
    let (packets, count) = (batch.packets, batch.count)
    let trafficClassMask: UInt8 = settings.copiesECN ? 0xFF : 0xFC
    for i in 0..<count where packets[i].verdict.isPending {
      prepend(&packets[i], trafficClassMask, nil, computesUDPChecksum: settings.computesUDPChecksum)
    }
  }

  /// The same where LISP headers tell more than the instance ID: apart, so that it costs the others nothing.
  @inline(never)
  private mutating func prependHeadersWithHints(_ batch: inout Batch, _ settings: EngineSettings) {
    let (packets, count) = (batch.packets, batch.count)
    let trafficClassMask: UInt8 = settings.copiesECN ? 0xFF : 0xFC
    let words = LISPWords(settings)
    for i in 0..<count where packets[i].verdict.isPending {
      prepend(&packets[i], trafficClassMask, words, computesUDPChecksum: settings.computesUDPChecksum)
    }
  }

  /// What the LISP headers of a batch have in common, by whether there is an instance ID (rules E8, E11).
  struct LISPWords {
    let plain: UInt64
    let inInstance: UInt64
    /// What of a template's nonce word goes out: all or nothing.
    let nonceMask: UInt32

    @inline(__always)
    init(_ settings: EngineSettings) {
      plain = settings.statusBits.map { LISPFlag.locatorStatusBits | UInt64($0) } ?? 0
      inInstance = plain & (LISPFlag.locatorStatusBits | 0xFF) | LISPFlag.instanceID
      nonceMask = settings.exchangesNonces ? ~0 : 0
    }

    @inline(__always)
    func header(_ instanceID: UInt32, _ nonceWord: UInt32) -> UInt64 {
      (instanceID == 0 ? plain : inInstance | UInt64(instanceID) << 8) | UInt64(nonceWord & nonceMask) << 32
    }
  }

  /// The roots of the instance that was looked up last: a port has one instance, mostly.
  struct RootsCache {
    var instanceID = ForwardingState.noInstance
    var roots = InstanceRoots.none

    @inline(__always)
    mutating func find(_ instanceID: UInt32, _ table: TableView) -> InstanceRoots {
      if instanceID != self.instanceID {
        self.instanceID = instanceID
        roots = table.instance(instanceID)
      }
      return roots
    }
  }

  /// Sources that are known to be ours: per family, those in the space of ours that the last one outside it lay in. A site's packets
  /// mostly come from one prefix.
  struct KnownSources {
    var ipv4 = Range()
    var ipv6 = Range()

    /// A space of the instance whose entries lie under one root.
    struct Range {
      var root = Entry.impossible
      var space = LocalSpace()

      @inline(__always)
      func contains(_ root: Entry, _ octets: UInt64) -> Bool { root == self.root && space.contains(octets) }
    }
  }

  /// The last mapping that was found to be local, among sources that were looked up.
  struct SourceCheck { var localMapping: UInt32 = 0 }

  /// Stage 1: the inner packet's header; lookups of destination and, unless it is known, source, in the instance of port and
  /// VLAN (rule E16).
  @inline(__always)
  private mutating func readInner(
    _ packet: inout Packet, _ place: Int, port: Int, state: ForwardingStateReader, table: TableView, roots: inout RootsCache,
    known: inout KnownSources
  ) {
    guard let ethernet = EthernetView(packet.frame) else { return packet.verdict = .drop(.frameMalformed) }
    let instance = state.instance(port: port, vlan: ethernet.vlan)
    guard instance != ForwardingState.noInstance else { return packet.verdict = .drop(.vlanUnknown) }
    let roots = roots.find(instance, table)
    let bytes = packet.frame.dropFirst(ethernet.payloadOffset)
    if ethernet.etherType == EtherType.ipv4.rawValue {
      guard let inner = IPv4View(bytes) else { return packet.verdict = .drop(.innerMalformed) }
      guard inner.hasValidChecksum else { return packet.verdict = .drop(.headerChecksumWrong) }
      let hash = FlowHash.of(inner)
      packet.describe(4, inner.totalLength, inner.timeToLive, inner.trafficClass, hash)
      lookups.put(place, roots.ipv4, raw: inner.rawDestination, in: table)
      let octets = UInt64(inner.rawSource)
      if !known.ipv4.contains(roots.ipv4, octets), !decide(&known.ipv4, roots.ipv4, instance, 4, octets, state) {
        packet.sourcePlace = lookUpSource(.v4(IPv4Address(rawValue: inner.source)), roots.ipv4, table)
      }
    } else if ethernet.etherType == EtherType.ipv6.rawValue {
      guard let inner = IPv6View(bytes), inner.totalLength <= 0xFFFF else { return packet.verdict = .drop(.innerMalformed) }
      let hash = FlowHash.of(inner)
      packet.describe(6, inner.totalLength, inner.hopLimit, inner.trafficClass, hash)
      lookups.put(place, roots.ipv6, raw: inner.rawDestination, in: table)
      let octets = inner.rawSource.0
      if !known.ipv6.contains(roots.ipv6, octets), !decide(&known.ipv6, roots.ipv6, instance, 6, octets, state) {
        packet.sourcePlace = lookUpSource(.v6(inner.source), roots.ipv6, table)
      }
    } else {
      packet.verdict = .drop(.notIP)
    }
    packet.instanceID = instance
    packet.innerOffset = UInt16(truncatingIfNeeded: ethernet.payloadOffset)
  }

  /// A source outside the known space: the space that it lies in becomes the known one. False: it lies in none.
  @inline(never)
  private func decide(
    _ known: inout KnownSources.Range, _ root: Entry, _ instance: UInt32, _ family: UInt32, _ octets: UInt64,
    _ state: ForwardingStateReader
  ) -> Bool {
    guard let space = state.localSpace(instance, family: family, octets) else { return false }
    known.root = root
    known.space = space
    return true
  }

  /// A source outside all spaces. Returns where its lookup stands.
  @inline(never)
  private mutating func lookUpSource(_ source: IPAddress, _ root: Entry, _ table: TableView) -> UInt16 {
    let bits = source.leftAligned
    return UInt16(truncatingIfNeeded: lookups.add(root, high: bits.high, low: bits.low, in: table))
  }

  /// Stage 3: is the source ours, what does the destination's mapping say, which locator takes the flow.
  @inline(__always)
  private func chooseLocator(_ packet: inout Packet, _ place: Int, _ chain: ForwardingChain, source: inout SourceCheck) {
    if packet.sourcePlace != Packet.knownSource {
      let from = lookups[Int(packet.sourcePlace)]
      if from != source.localMapping || from == 0 {
        guard isLocal(from, chain) else { return packet.verdict = .drop(.sourceNotLocal) }
        source.localMapping = from
      }
    }
    let mapping = lookups[place]
    guard mapping != 0 else { return packet.verdict = .punt(.miss) }
    let record = chain.mappings[mapping]
    // SAFETY: the record is published, so its set is there.
    guard let block = unsafe chain.sets[record.set] else { return packet.verdict = .drop(.noUsableLocator) }
    let set = unsafe SetBlock(base: block)
    guard set.actionCode == ForwardingAction.encapsulate.rawValue else { return packet.verdict = verdict(set.actionCode) }
    guard packet.timeToLive > 1 else { return packet.verdict = .punt(.timeExceeded) }
    let choice = set.choice(packet.flowHash)
    // SAFETY: the set is published, so its templates are there; 0 is never a template.
    guard let template = unsafe chain.templates[choice & 0xFF_FFFF] else { return packet.verdict = .drop(.noUsableLocator) }
    unsafe TemplateBlock(base: template).prefetch()
    unsafe packet.template = unsafe template
    packet.counter = record.counters &+ choice >> 24
    counters.prefetch(packet.counter)
  }

  /// Whether a mapping is one of our own EID-prefixes (rule E15).
  @inline(never)
  private func isLocal(_ mapping: UInt32, _ chain: ForwardingChain) -> Bool {
    // SAFETY: a value of the published table.
    guard mapping != 0, let block = unsafe chain.sets[chain.mappings[mapping].set] else { return false }
    return unsafe SetBlock(base: block).actionCode == ForwardingAction.local.rawValue
  }

  /// What every action but encapsulation comes to (rule E17).
  @inline(never)
  private func verdict(_ actionCode: UInt8) -> Verdict {
    switch ForwardingAction(rawValue: actionCode) {
    case .local, .nativeForward: .punt(.nativeForward)
    case .sendMapRequest: .punt(.miss)
    case .drop: .drop(.mappingDrop)
    case .policyDenied: .drop(.policyDenied)
    case .authenticationFailure: .drop(.authenticationFailure)
    case .encapsulate, nil: .drop(.noUsableLocator)
    }
  }

  /// Stage 4: decrement the inner packet, put the header before it, fill in what differs from packet to packet.
  @inline(__always)
  private mutating func prepend(_ packet: inout Packet, _ trafficClassMask: UInt8, _ words: LISPWords?, computesUDPChecksum: Bool) {
    // SAFETY: chooseLocator set it.
    guard let block = unsafe packet.template else { return packet.verdict = .drop(.noUsableLocator) }
    let template = unsafe TemplateBlock(base: block)
    let fields = template.fields
    guard packet.innerByteCount <= fields.maximumPacket else { return packet.verdict = .drop(.outerTooBig) }
    let innerByteCount = Int(packet.innerByteCount)
    let timeToLive = packet.timeToLive &- 1
    let inner = packet.inner
    if packet.innerFamily == 4 {
      IPv4View.decrement(inner)
    } else {
      inner.store(timeToLive, at: 7)
    }
    let trafficClass = packet.trafficClass & trafficClassMask
    let lisp = words?.header(packet.instanceID, fields.nonceWord) ?? instanceHeader(packet.instanceID)
    let sourcePort = outerSourcePort(packet.flowHash)
    let tunnel = Int(fields.tunnelByteCount)
    let outer = unsafe PacketBytes(base: inner.base - tunnel, count: innerByteCount &+ tunnel)
    if fields.tunnelFamily == 4 {
      unsafe template.copyIPv4Tunnel(before: inner.base)
      fillIPv4(outer, trafficClass, timeToLive, fields.checksumSeed)
      outer.store(sourcePort, at: 20)
      outer.store(UInt16(truncatingIfNeeded: innerByteCount &+ 16), at: 24)
      outer.store(lisp, at: 28)
    } else {
      unsafe template.copyIPv6Tunnel(before: inner.base)
      fillIPv6(outer, trafficClass, timeToLive, packet.flowHash)
      outer.store(sourcePort, at: 40)
      outer.store(UInt16(truncatingIfNeeded: innerByteCount &+ 16), at: 44)
      outer.store(lisp, at: 48)
      if computesUDPChecksum { computeUDPChecksum(outer) }
    }
    counters.count(packet.counter, bytes: innerByteCount)
    tally.encapsulated &+= 1
    finish(&packet, outer: outer, fields: fields)
  }

  /// A LISP header that says nothing but the instance ID (rule E8).
  @inline(__always)
  private func instanceHeader(_ instanceID: UInt32) -> UInt64 {
    instanceID == 0 ? 0 : LISPFlag.instanceID | UInt64(instanceID) << 8
  }

  /// First and third word: version, lengths and checksum of a header without options.
  @inline(__always)
  private func fillIPv4(_ outer: PacketBytes, _ trafficClass: UInt8, _ timeToLive: UInt8, _ seed: UInt32) {
    let (trafficClass, length) = (UInt32(trafficClass), UInt32(UInt16(truncatingIfNeeded: outer.count)))
    let lifetime = UInt32(timeToLive) << 8
    let checksum = InternetChecksum.checksum(of: seed &+ trafficClass &+ length &+ lifetime)
    outer.store(0x45 << 24 | trafficClass << 16 | length, at: 0)
    outer.store((lifetime | UInt32(IPProtocol.udp.rawValue)) << 16 | UInt32(checksum), at: 8)
  }

  @inline(__always)
  private func fillIPv6(_ outer: PacketBytes, _ trafficClass: UInt8, _ timeToLive: UInt8, _ flowHash: UInt32) {
    outer.store(6 << 28 | UInt32(trafficClass) << 20 | flowHash & 0xF_FFFF, at: 0)
    outer.store(UInt16(truncatingIfNeeded: outer.count &- 40), at: 4)
    outer.store(timeToLive, at: 7)
  }

  /// Rule E4, for those who ask for it.
  @inline(never)
  private func computeUDPChecksum(_ outer: PacketBytes) {
    guard let ip = IPv6View(outer) else { return }
    let datagram = outer.dropFirst(40)
    let checksum = InternetChecksum.udp(source: .v6(ip.source), destination: .v6(ip.destination), datagram: datagram)
    datagram.store(checksum == 0 ? 0xFFFF : checksum, at: 6)
  }

  /// Out by the template's port; or, as long as the next hop is not resolved, without Ethernet header to the slow path.
  @inline(__always)
  private func finish(_ packet: inout Packet, outer: PacketBytes, fields: TemplateFields) {
    let prefix = Int(fields.prefixByteCount)
    unsafe packet.start = outer.base - prefix
    packet.byteCount = UInt32(truncatingIfNeeded: outer.count &+ prefix)
    packet.innerOffset = 0
    packet.innerByteCount = UInt16(truncatingIfNeeded: outer.count)
    packet.verdict = fields.verdict
  }
}

extension Packet {
  /// What stage 1 of encapsulation reads from the inner header.
  @inline(__always)
  mutating func describe(_ family: UInt8, _ byteCount: Int, _ timeToLive: UInt8, _ trafficClass: UInt8, _ flowHash: UInt32) {
    innerFamily = family
    innerByteCount = UInt16(truncatingIfNeeded: byteCount)
    self.timeToLive = timeToLive
    self.trafficClass = trafficClass
    self.flowHash = flowHash
  }
}
