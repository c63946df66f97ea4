// SPDX-License-Identifier: Apache-2.0
//
// The ETR's stages (RFC 9300 section 5, RFC 6040): LISP packets from the core, towards the hosts of our site.

import PrefixTable
import Wire

extension Engine {
  /// Decapsulates the packets of `batch` that are in the set. Each stage is a function with a loop, as in `encapsulate`.
  @inline(__always)
  mutating func decapsulate(_ batch: inout Batch, _ members: PacketSet, state: ForwardingStateReader) {
    readOuterHeaders(&batch, members, state: state)
    readInnerHeaders(&batch, members, state.table, state.settings)
    lookups.run(state.table)
    chooseHosts(&batch, members, state.chain)
    let flags = HintNotes.flags(state.settings)
    if flags != 0 { noteHints(&batch, members, flags) }
    deliverPackets(&batch, members)
  }

  /// Stage 1: which packets are LISP for us, and what their outer headers say.
  @inline(never)
  private func readOuterHeaders(_ batch: inout Batch, _ members: PacketSet, state: ForwardingStateReader) {
    let (packets, count) = (batch.packets, batch.count)
    let verifies = state.settings.verifiesUDPChecksum
    let epoch = peers.epoch
    for i in 0..<count where members.contains(i) { readOuter(&packets[i], state: state, verifies: verifies, epoch: epoch) }
  }

  /// Stage 2: the inner headers; one lookup each, of the inner destination.
  @inline(never)
  private mutating func readInnerHeaders(_ batch: inout Batch, _ members: PacketSet, _ table: TableView, _ settings: EngineSettings) {
    let (packets, count) = (batch.packets, batch.count)
    // Mostly the outer header says what the inner one does, in the bits that count.
    let decisive: UInt8 = settings.copiesDSCP ? 0xFF : 0x03
    var roots = RootsCache()
    for i in 0..<count where members.contains(i) && packets[i].verdict.isPending {
      readInner(&packets[i], i, table, &roots, decisive)
    }
  }

  /// Stage 4, after the lookups.
  @inline(never)
  private mutating func chooseHosts(_ batch: inout Batch, _ members: PacketSet, _ chain: ForwardingChain) {
    let (packets, count) = (batch.packets, batch.count)
    for i in 0..<count { chain.mappings.prefetch(lookups[i]) }
    for i in 0..<count where members.contains(i) && packets[i].verdict.isPending { chooseHost(&packets[i], i, chain) }
  }

  /// Between them, where the settings ask for it: what the LISP headers say that has one of `flags`, of packets for our EIDs. Headers are
  /// as they came until stage 5.
  @inline(never)
  private func noteHints(_ batch: inout Batch, _ members: PacketSet, _ flags: UInt64) {
    let (packets, count) = (batch.packets, batch.count)
    let epoch = hints.epoch
    for i in 0..<count where members.contains(i) && packets[i].verdict.isPending {
      let word = packets[i].lispWord
      if word & flags != 0 { hints.note(packets[i], HintNotes.hint(word, flags), epoch) }
    }
  }

  /// Stage 5.
  @inline(never)
  private mutating func deliverPackets(_ batch: inout Batch, _ members: PacketSet) {
    let (packets, count) = (batch.packets, batch.count)
    for i in 0..<count where members.contains(i) && packets[i].verdict.isPending { deliver(&packets[i]) }
  }

  /// Whether a frame is a LISP packet for one of our RLOCs: how a port with both roles tells its directions apart.
  static func isForUs(_ packet: borrowing Packet, state: ForwardingStateReader) -> Bool {
    guard let ethernet = EthernetView(packet.frame) else { return false }
    let bytes = packet.frame.dropFirst(ethernet.payloadOffset)
    if let outer = IPv4View(bytes) {
      return outer.protocolNumber == IPProtocol.udp.rawValue && !outer.isLaterFragment && state.isOwn(outer.destination)
        && outer.headerByteCount + 4 <= outer.totalLength && bytes.u16(outer.headerByteCount + 2) == LISPPort.data
    }
    guard let outer = IPv6View(bytes), let upper = outer.upperLayer() else { return false }
    return upper.protocolNumber == IPProtocol.udp.rawValue && !upper.isLaterFragment && state.isOwn(outer.destination)
      && upper.offset + 4 <= outer.totalLength && bytes.u16(upper.offset + 2) == LISPPort.data
  }

  /// Stage 1: outer IP, UDP and LISP headers. Leaves in the packet where the inner one begins and how many bytes the outer
  /// lengths leave it, the outer TTL and traffic class, and where the outer header begins if its source is to be noted.
  @inline(__always)
  private func readOuter(_ packet: inout Packet, state: ForwardingStateReader, verifies: Bool, epoch: UInt64) {
    guard let ethernet = EthernetView(packet.frame) else { return packet.verdict = .drop(.frameMalformed) }
    let bytes = packet.frame.dropFirst(ethernet.payloadOffset)
    let (trafficClass, timeToLive): (UInt8, UInt8)
    let datagram: PacketBytes
    if ethernet.etherType == EtherType.ipv4.rawValue {
      guard let ip = IPv4View(bytes) else { return packet.verdict = .drop(.outerMalformed) }
      guard ip.hasValidChecksum else { return packet.verdict = .drop(.headerChecksumWrong) }
      guard ip.protocolNumber == IPProtocol.udp.rawValue else { return packet.verdict = .drop(.notLISP) }
      guard !ip.isFragment else { return packet.verdict = .drop(.outerFragment) }
      if ip.headerByteCount != IPv4View.minimumByteCount, ip.isRoutedOn { return packet.verdict = .drop(.outerOptionRefused) }
      let source = ip.source
      guard isLegalSource(source), !state.isOwn(source) else { return packet.verdict = .drop(.outerSourceInvalid) }
      if !peers.holds(source, epoch) { packet.outerOffset = UInt16(truncatingIfNeeded: ethernet.payloadOffset) }
      (trafficClass, timeToLive, datagram) = (ip.trafficClass, ip.timeToLive, ip.payload)
      if verifies, !hasRightChecksum(datagram, .v4(IPv4Address(rawValue: source)), .v4(IPv4Address(rawValue: ip.destination))) {
        return packet.verdict = .drop(.udpChecksumWrong)
      }
    } else if ethernet.etherType == EtherType.ipv6.rawValue {
      guard let ip = IPv6View(bytes) else { return packet.verdict = .drop(.outerMalformed) }
      var offset = IPv6View.byteCount
      if ip.nextHeader != IPProtocol.udp.rawValue {
        offset = passExtensions(of: ip, &packet)
        guard packet.verdict.isPending else { return }
      }
      let source = ip.source
      guard isLegalSource(source), !state.isOwn(source) else { return packet.verdict = .drop(.outerSourceInvalid) }
      if !peers.holds(source, epoch) { packet.outerOffset = UInt16(truncatingIfNeeded: ethernet.payloadOffset) }
      (trafficClass, timeToLive, datagram) = (ip.trafficClass, ip.hopLimit, bytes.prefix(ip.totalLength).dropFirst(offset))
      if verifies, !hasRightChecksum(datagram, .v6(source), .v6(ip.destination)) {
        return packet.verdict = .drop(.udpChecksumWrong)
      }
    } else {
      return packet.verdict = .drop(.notIP)
    }
    packet.trafficClass = trafficClass
    packet.timeToLive = timeToLive
    readLISP(&packet, datagram)
  }

  /// Rule D13, for IPv4: not 0/8, 127/8, or 224/3 (multicast, reserved, broadcast).
  @inline(__always)
  private func isLegalSource(_ address: UInt32) -> Bool {
    address >> 24 != 0 && address >> 24 != 127 && address >> 29 != 7
  }

  /// For IPv6: not multicast, unspecified (::) or loopback (::1).
  @inline(__always)
  private func isLegalSource(_ address: IPv6Address) -> Bool {
    !address.isMulticast && (address.high != 0 || address.low > 1)
  }

  /// Where the UDP header begins behind extension headers, which are rare; or a verdict.
  @inline(never)
  private func passExtensions(of ip: IPv6View, _ packet: inout Packet) -> Int {
    guard let upper = ip.upperLayer(), upper.protocolNumber == IPProtocol.udp.rawValue else {
      packet.verdict = .drop(.notLISP)
      return 0
    }
    if upper.isFragment {
      packet.verdict = .drop(.outerFragment)
    } else if ip.isRefusedByExtension {
      packet.verdict = .drop(.outerOptionRefused)
    }
    return upper.offset
  }

  /// Stage 1, on: UDP and LISP headers.
  @inline(__always)
  private func readLISP(_ packet: inout Packet, _ datagram: PacketBytes) {
    guard let udp = UDPView(datagram) else { return packet.verdict = .drop(.udpMalformed) }
    guard udp.destinationPort == LISPPort.data else { return packet.verdict = .drop(.notLISP) }
    let payload = datagram.prefix(udp.length).dropFirst(UDPView.byteCount)
    guard let lisp = LISPView(payload) else { return packet.verdict = .drop(.lispTruncated) }
    guard lisp.keyID == 0 else { return packet.verdict = .drop(.encryptedWithoutKey) }
    let instanceID = lisp.instanceID
    packet.instanceID = instanceID
    guard instanceID != InstanceID.control.rawValue else { return passUp(&packet) }
    let innerOffset = unsafe payload.base - packet.start &+ LISPView.byteCount
    packet.innerOffset = UInt16(truncatingIfNeeded: innerOffset)
    packet.innerByteCount = UInt16(truncatingIfNeeded: payload.count &- LISPView.byteCount)
  }

  /// Stage 2: the inner header, within what the outer lengths leave (rule D11: longer frames are trimmed, shorter ones dropped).
  /// TTL and traffic class become those to deliver with (RFC 6040).
  @inline(__always)
  private mutating func readInner(_ packet: inout Packet, _ place: Int, _ table: TableView, _ roots: inout RootsCache, _ decisive: UInt8) {
    let roots = roots.find(packet.instanceID, table)
    guard roots.isKnown else { return packet.verdict = .drop(.instanceUnknown) }
    let bytes = packet.inner
    guard bytes.count >= IPv4View.minimumByteCount else { return packet.verdict = .drop(.innerTruncated) }
    if bytes.u8(0) >> 4 == 4 {
      guard let inner = IPv4View(bytes) else { return packet.verdict = .drop(.innerTruncated) }
      guard inner.hasValidChecksum else { return packet.verdict = .drop(.headerChecksumWrong) }
      merge(&packet, 4, inner.totalLength, inner.timeToLive, inner.trafficClass, decisive)
      lookups.put(place, roots.ipv4, raw: inner.rawDestination, in: table)
    } else if bytes.u8(0) >> 4 == 6 {
      guard let inner = IPv6View(bytes) else { return packet.verdict = .drop(.innerTruncated) }
      merge(&packet, 6, inner.totalLength, inner.hopLimit, inner.trafficClass, decisive)
      lookups.put(place, roots.ipv6, raw: inner.rawDestination, in: table)
    } else {
      packet.verdict = .drop(.innerVersionUnknown)
    }
  }

  /// The inner header's fields join what the outer one left in the packet.
  @inline(__always)
  private func merge(
    _ packet: inout Packet, _ family: UInt8, _ byteCount: Int, _ timeToLive: UInt8, _ trafficClass: UInt8, _ decisive: UInt8
  ) {
    packet.innerFamily = family
    packet.innerByteCount = UInt16(truncatingIfNeeded: byteCount)
    packet.timeToLive = min(timeToLive, packet.timeToLive)
    let outer = packet.trafficClass
    packet.trafficClass = trafficClass
    if (trafficClass ^ outer) & decisive != 0 { mergeTrafficClass(&packet, outer, decisive) }
  }

  /// RFC 6040 4.2, and rule D9; a congestion mark that the packet cannot carry ends its way.
  @inline(never)
  private func mergeTrafficClass(_ packet: inout Packet, _ outer: UInt8, _ decisive: UInt8) {
    guard let ecn = ECN.decapsulated(inner: ECN(trafficClass: packet.trafficClass), outer: ECN(trafficClass: outer)) else {
      return packet.verdict = .drop(.congestionMarkLost)
    }
    packet.trafficClass = (decisive == 0xFF ? outer : packet.trafficClass) & 0xFC | ecn.rawValue
  }

  /// Rule D14: the whole packet, from its outer header, is the host's.
  @inline(never)
  private func passUp(_ packet: inout Packet) {
    guard let ethernet = EthernetView(packet.frame) else { return packet.verdict = .drop(.frameMalformed) }
    unsafe packet.start += ethernet.payloadOffset
    packet.byteCount -= UInt32(ethernet.payloadOffset)
    packet.verdict = .punt(.control)
  }

  /// Rule D1: a checksum that is there may be verified.
  @inline(never)
  private func hasRightChecksum(_ datagram: PacketBytes, _ source: IPAddress, _ destination: IPAddress) -> Bool {
    guard let udp = UDPView(datagram), udp.checksum != 0 else { return true }
    return InternetChecksum.udp(source: source, destination: destination, datagram: datagram.prefix(udp.length)) == 0
  }

  /// Stage 4: is the destination ours (rule D5), and do we know its host's link-layer address.
  @inline(__always)
  private func chooseHost(_ packet: inout Packet, _ place: Int, _ chain: ForwardingChain) {
    let mapping = lookups[place]
    guard mapping != 0 else { return packet.verdict = .drop(.destinationNotLocal) }
    let record = chain.mappings[mapping]
    // SAFETY: the record is published, so its set is there.
    guard let block = unsafe chain.sets[record.set] else { return packet.verdict = .drop(.destinationNotLocal) }
    let set = unsafe SetBlock(base: block)
    guard set.actionCode == ForwardingAction.local.rawValue else { return packet.verdict = .drop(.destinationNotLocal) }
    // SAFETY: the set is published, so its template is there; an EID-prefix without a host behind it has none.
    let template = unsafe chain.templates[set.choice(0) & 0xFF_FFFF]
    if let template = unsafe template { unsafe TemplateBlock(base: template).prefetchDelivery() }
    unsafe packet.template = unsafe template
    packet.counter = record.counters
    counters.prefetch(packet.counter)
  }

  /// Stage 5: TTL and traffic class of the inner packet, then the site's Ethernet header before it.
  @inline(__always)
  private mutating func deliver(_ packet: inout Packet) {
    guard let block = unsafe packet.template else { return passToKernel(&packet) }
    // SAFETY: chooseHost took it from a published set.
    let template = unsafe TemplateBlock(base: block)
    let fields = template.fields
    guard packet.timeToLive > 1, fields.verdict.isTransmit else { return passToKernel(&packet) }
    let inner = packet.inner
    // Before anything is written: the source is told with the packet as it came.
    guard packet.innerByteCount <= fields.maximumPacket else { return packet.verdict = .drop(.deliveryTooBig) }
    let type = rewrite(&packet, inner, packet.timeToLive &- 1)
    unsafe template.copyDelivery(before: inner.base)
    let ethernet = Int(fields.ethernetByteCount)
    unsafe packet.start = inner.base - ethernet
    packet.byteCount = UInt32(truncatingIfNeeded: inner.count &+ ethernet)
    packet.frame.store(type.rawValue, at: ethernet &- 2)
    packet.verdict = fields.verdict
  }

  /// Writes what decapsulation changes in the inner header and counts the packet; returns the type it has on Ethernet. The outer header is
  /// still there: a source that is not noted yet is now (rule D16).
  @inline(__always)
  private mutating func rewrite(_ packet: inout Packet, _ inner: PacketBytes, _ timeToLive: UInt8) -> EtherType {
    counters.count(packet.counter, bytes: inner.count)
    tally.decapsulated &+= 1
    if packet.outerOffset != 0 { peers.note(packet.outer) }
    if packet.innerFamily == 4 {
      let ip = IPv4View(proven: inner)
      ip.setTimeToLive(timeToLive)
      if ip.trafficClass != packet.trafficClass { ip.setTrafficClass(packet.trafficClass) }
      return .ipv4
    } else {
      let ip = IPv6View(proven: inner)
      ip.setHopLimit(timeToLive)
      if ip.trafficClass != packet.trafficClass { ip.setTrafficClass(packet.trafficClass) }
      return .ipv6
    }
  }

  /// Without a host's address or TTL left: the bare packet to the kernel, which resolves, decrements and answers.
  @inline(never)
  private mutating func passToKernel(_ packet: inout Packet) {
    let inner = packet.inner
    _ = rewrite(&packet, inner, packet.timeToLive)
    unsafe packet.start = inner.base
    packet.byteCount = UInt32(truncatingIfNeeded: inner.count)
    packet.innerOffset = 0
    packet.verdict = .punt(packet.timeToLive <= 1 ? .timeExceeded : .innerNeighbour)
  }
}
