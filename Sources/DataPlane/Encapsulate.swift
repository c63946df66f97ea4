// SPDX-License-Identifier: Apache-2.0
//
// The ITR's stages (RFC 9300 sections 5 and 12): packets from our EIDs, towards the core.

import PrefixTable
import Wire

extension Engine {
  @inline(__always)
  mutating func encapsulate(_ batch: inout Batch, port: Int, state: ForwardingStateReader, only: (borrowing Packet) -> Bool = { _ in true }) {
    let table = state.table
    var roots = RootsCache()
    for i in 0..<batch.count where only(batch[i]) { readInner(&batch[i], port: port, state: state, table: table, roots: &roots) }
    lookups.run(table)
    for i in 0..<lookups.count { state.mappings.prefetch(lookups[i]) }
    var source = SourceCheck()
    for i in 0..<batch.count where batch[i].verdict.isPending { chooseLocator(&batch[i], state: state, source: &source) }
    for i in 0..<batch.count where batch[i].verdict.isPending { prepend(&batch[i], settings: state.settings) }
  }

  /// The roots of the instance that was looked up last: a port has one instance, mostly.
  struct RootsCache {
    var instanceID = ForwardingState.noInstance
    var roots = InstanceRoots(ipv4: 0, ipv6: 0)

    @inline(__always)
    mutating func find(_ instanceID: UInt32, _ table: TableView) -> InstanceRoots {
      if instanceID != self.instanceID {
        self.instanceID = instanceID
        roots = table.instance(instanceID)
      }
      return roots
    }
  }

  /// The last mapping that was found to be local: packets of a site share few.
  struct SourceCheck { var localMapping: UInt32 = 0 }

  /// Stage 1: the inner packet's header; two lookups, destination and source, in the instance of port and VLAN (rule E16).
  @inline(__always)
  private mutating func readInner(
    _ packet: inout Packet, port: Int, state: ForwardingStateReader, table: TableView, roots: inout RootsCache
  ) {
    guard let ethernet = EthernetView(packet.frame) else { return packet.verdict = .drop(.frameMalformed) }
    let instance = state.instance(port: port, vlan: ethernet.vlan)
    guard instance != ForwardingState.noInstance else { return packet.verdict = .drop(.vlanUnknown) }
    packet.instanceID = instance
    packet.innerOffset = UInt16(truncatingIfNeeded: ethernet.payloadOffset)
    let roots = roots.find(instance, table)
    let bytes = packet.frame.dropFirst(ethernet.payloadOffset)
    if ethernet.etherType == EtherType.ipv4.rawValue {
      guard let inner = IPv4View(bytes) else { return packet.verdict = .drop(.innerMalformed) }
      packet.innerFamily = 4
      packet.innerByteCount = UInt16(truncatingIfNeeded: inner.totalLength)
      packet.timeToLive = inner.timeToLive
      packet.trafficClass = inner.trafficClass
      packet.flowHash = FlowHash.of(inner)
      lookUp(&packet, roots.ipv4, table, to: (UInt64(inner.destination) << 32, 0), from: (UInt64(inner.source) << 32, 0))
    } else if ethernet.etherType == EtherType.ipv6.rawValue {
      guard let inner = IPv6View(bytes), inner.totalLength <= 0xFFFF else { return packet.verdict = .drop(.innerMalformed) }
      packet.innerFamily = 6
      packet.innerByteCount = UInt16(truncatingIfNeeded: inner.totalLength)
      packet.timeToLive = inner.hopLimit
      packet.trafficClass = inner.trafficClass
      packet.flowHash = FlowHash.of(inner)
      let (to, from) = (inner.destination, inner.source)
      lookUp(&packet, roots.ipv6, table, to: (to.high, to.low), from: (from.high, from.low))
    } else {
      packet.verdict = .drop(.notIP)
    }
  }

  @inline(__always)
  private mutating func lookUp(
    _ packet: inout Packet, _ root: NodeIndex, _ table: TableView, to: (high: UInt64, low: UInt64), from: (high: UInt64, low: UInt64)
  ) {
    packet.destinationPlace = UInt16(truncatingIfNeeded: lookups.add(root, high: to.high, low: to.low, in: table))
    packet.sourcePlace = UInt16(truncatingIfNeeded: lookups.add(root, high: from.high, low: from.low, in: table))
  }

  /// Stage 3: is the source ours, what does the destination's mapping say, which locator takes the flow.
  @inline(__always)
  private func chooseLocator(_ packet: inout Packet, state: ForwardingStateReader, source: inout SourceCheck) {
    let from = lookups[Int(packet.sourcePlace)]
    if from != source.localMapping || from == 0 {
      guard isLocal(from, state) else { return packet.verdict = .drop(.sourceNotLocal) }
      source.localMapping = from
    }
    let mapping = lookups[Int(packet.destinationPlace)]
    guard mapping != 0 else { return packet.verdict = .punt(.miss) }
    let record = state.mappings[mapping]
    // SAFETY: the record is published, so its set is there.
    guard let block = unsafe state.sets[record.set] else { return packet.verdict = .drop(.noUsableLocator) }
    let set = unsafe SetBlock(base: block)
    guard set.actionCode == ForwardingAction.encapsulate.rawValue else { return packet.verdict = verdict(set.actionCode) }
    guard packet.timeToLive > 1 else { return packet.verdict = .punt(.timeExceeded) }
    let choice = set.choice(packet.flowHash)
    packet.ordinal = UInt8(truncatingIfNeeded: choice >> 24)
    packet.counter = record.counters &+ UInt32(packet.ordinal)
    // SAFETY: the set is published, so its templates are there; 0 is never a template.
    guard let template = unsafe state.templates[choice & 0xFF_FFFF] else { return packet.verdict = .drop(.noUsableLocator) }
    unsafe packet.template = unsafe template
    unsafe TemplateBlock(base: template).prefetch()
  }

  /// Whether a mapping is one of our own EID-prefixes (rule E15).
  @inline(never)
  private func isLocal(_ mapping: UInt32, _ state: ForwardingStateReader) -> Bool {
    // SAFETY: a value of the published table.
    guard mapping != 0, let block = unsafe state.sets[state.mappings[mapping].set] else { return false }
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
  private mutating func prepend(_ packet: inout Packet, settings: EngineSettings) {
    // SAFETY: chooseLocator set it.
    guard let block = unsafe packet.template else { return packet.verdict = .drop(.noUsableLocator) }
    let template = unsafe TemplateBlock(base: block)
    let fields = template.fields
    let innerByteCount = Int(packet.innerByteCount)
    let ethernet = Int(fields.ethernetByteCount)
    let header = Int(fields.headerByteCount)
    guard innerByteCount &+ header &- ethernet <= Int(fields.mtu) else { return packet.verdict = .drop(.outerTooBig) }
    let timeToLive = packet.timeToLive &- 1
    let inner = packet.inner
    if packet.innerFamily == 4 {
      IPv4View.decrement(inner)
    } else {
      inner.store(timeToLive, at: 7)
    }
    // SAFETY: minimumHeadroom before the frame covers the header (Batch.append).
    unsafe template.copyHeader(before: inner.base, long: header > 64)
    let outer = unsafe PacketBytes(base: inner.base - (header - ethernet), count: innerByteCount &+ header &- ethernet)
    let trafficClass = settings.copiesECN ? packet.trafficClass : packet.trafficClass & 0xFC
    let lisp = packet.instanceID == 0 ? 0 : 1 << 59 | UInt64(packet.instanceID) << 8
    if fields.tunnelFamily == 4 {
      fillIPv4(outer, trafficClass, timeToLive, fields.checksumSeed)
      outer.store(outerSourcePort(packet.flowHash), at: 20)
      outer.store(UInt16(truncatingIfNeeded: innerByteCount &+ 16), at: 24)
      outer.store(lisp, at: 28)
    } else {
      fillIPv6(outer, trafficClass, timeToLive, packet.flowHash)
      outer.store(outerSourcePort(packet.flowHash), at: 40)
      outer.store(UInt16(truncatingIfNeeded: innerByteCount &+ 16), at: 44)
      outer.store(lisp, at: 48)
      if settings.computesUDPChecksum { computeUDPChecksum(outer) }
    }
    counters.count(packet.counter, bytes: innerByteCount)
    tally.encapsulated &+= 1
    finish(&packet, outer: outer, fields: fields)
  }

  @inline(__always)
  private func fillIPv4(_ outer: PacketBytes, _ trafficClass: UInt8, _ timeToLive: UInt8, _ seed: UInt32) {
    var sum = InternetChecksum(seed)
    sum.add(UInt16(trafficClass))
    sum.add(UInt16(truncatingIfNeeded: outer.count))
    sum.add(UInt16(timeToLive) << 8)
    outer.store(trafficClass, at: 1)
    outer.store(UInt16(truncatingIfNeeded: outer.count), at: 2)
    outer.store(timeToLive, at: 8)
    outer.store(sum.checksum, at: 10)
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
    let ethernet = fields.isResolved ? Int(fields.ethernetByteCount) : 0
    unsafe packet.start = outer.base - ethernet
    packet.byteCount = UInt32(truncatingIfNeeded: outer.count &+ ethernet)
    packet.innerOffset = 0
    packet.innerByteCount = UInt16(truncatingIfNeeded: outer.count)
    packet.verdict = fields.isResolved ? .transmit(fields.port) : .punt(.outerNeighbour)
  }
}
