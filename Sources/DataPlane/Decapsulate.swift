// SPDX-License-Identifier: Apache-2.0
//
// The ETR's stages (RFC 9300 section 5, RFC 6040): LISP packets from the core, towards the hosts of our site.

import PrefixTable
import Wire

extension Engine {
  /// Decapsulates the packets of `batch` that are in the set. Each stage is a function with a loop, as in `encapsulate`.
  mutating func decapsulate(_ batch: inout Batch, _ packets: PacketSet, state: ForwardingStateReader) {
    readOuterHeaders(&batch, packets, state: state)
    lookups.run(state.table)
    chooseHosts(&batch, state.chain)
    deliverPackets(&batch)
  }

  /// Stage 1.
  @inline(never)
  private mutating func readOuterHeaders(_ batch: inout Batch, _ packets: PacketSet, state: ForwardingStateReader) {
    let table = state.table
    let settings = state.settings
    var roots = RootsCache()
    for i in 0..<batch.count where packets.contains(i) {
      guard let outer = readOuter(&batch[i], state: state, settings: settings) else { continue }
      readLISP(&batch[i], i, outer, settings: settings, table: table, roots: &roots)
    }
  }

  /// Stage 3.
  @inline(never)
  private mutating func chooseHosts(_ batch: inout Batch, _ chain: ForwardingChain) {
    for i in 0..<batch.count { chain.mappings.prefetch(lookups[i]) }
    for i in 0..<batch.count where batch[i].isDecapsulating { chooseHost(&batch[i], i, chain) }
  }

  /// Stage 4.
  @inline(never)
  private mutating func deliverPackets(_ batch: inout Batch) {
    for i in 0..<batch.count where batch[i].isDecapsulating { deliver(&batch[i]) }
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

  /// What the outer IP header tells.
  struct Outer {
    var trafficClass: UInt8
    var timeToLive: UInt8
    /// The UDP datagram, cut to the IP length.
    var datagram: PacketBytes
  }

  /// Stage 1: the outer IP header; nil when the packet has got its verdict.
  @inline(__always)
  private func readOuter(_ packet: inout Packet, state: ForwardingStateReader, settings: EngineSettings) -> Outer? {
    guard let ethernet = EthernetView(packet.frame) else { return packet.drop(.frameMalformed) }
    let bytes = packet.frame.dropFirst(ethernet.payloadOffset)
    if ethernet.etherType == EtherType.ipv4.rawValue {
      guard let ip = IPv4View(bytes) else { return packet.drop(.outerMalformed) }
      guard ip.protocolNumber == IPProtocol.udp.rawValue else { return packet.drop(.notLISP) }
      guard !ip.isFragment else { return packet.drop(.outerFragment) }
      let source = ip.source
      guard isLegalSource(source), !state.isOwn(source) else { return packet.drop(.outerSourceInvalid) }
      let datagram = ip.payload
      if settings.verifiesUDPChecksum,
        !hasRightChecksum(datagram, .v4(IPv4Address(rawValue: source)), .v4(IPv4Address(rawValue: ip.destination)))
      {
        return packet.drop(.udpChecksumWrong)
      }
      return Outer(trafficClass: ip.trafficClass, timeToLive: ip.timeToLive, datagram: datagram)
    } else if ethernet.etherType == EtherType.ipv6.rawValue {
      guard let ip = IPv6View(bytes) else { return packet.drop(.outerMalformed) }
      var offset = IPv6View.byteCount
      if ip.nextHeader != IPProtocol.udp.rawValue {
        guard let upper = ip.upperLayer(), upper.protocolNumber == IPProtocol.udp.rawValue else { return packet.drop(.notLISP) }
        guard !upper.isFragment else { return packet.drop(.outerFragment) }
        offset = upper.offset
      }
      let source = ip.source
      guard !source.isMulticast, !source.isUnspecified, !source.isLoopback, !state.isOwn(source) else {
        return packet.drop(.outerSourceInvalid)
      }
      let datagram = bytes.prefix(ip.totalLength).dropFirst(offset)
      if settings.verifiesUDPChecksum, !hasRightChecksum(datagram, .v6(source), .v6(ip.destination)) {
        return packet.drop(.udpChecksumWrong)
      }
      return Outer(trafficClass: ip.trafficClass, timeToLive: ip.hopLimit, datagram: datagram)
    }
    return packet.drop(.notIP)
  }

  /// Rule D13, for IPv4: not 0/8, 127/8, or 224/3 (multicast, reserved, broadcast).
  @inline(__always)
  private func isLegalSource(_ address: UInt32) -> Bool {
    address >> 24 != 0 && address >> 24 != 127 && address >> 29 != 7
  }

  /// Stage 1, on: UDP and LISP headers.
  @inline(__always)
  private mutating func readLISP(
    _ packet: inout Packet, _ place: Int, _ outer: Outer, settings: EngineSettings, table: TableView, roots: inout RootsCache
  ) {
    guard let udp = UDPView(outer.datagram) else { return packet.verdict = .drop(.udpMalformed) }
    guard udp.destinationPort == LISPPort.data else { return packet.verdict = .drop(.notLISP) }
    let payload = outer.datagram.prefix(udp.length).dropFirst(UDPView.byteCount)
    guard let lisp = LISPView(payload) else { return packet.verdict = .drop(.lispTruncated) }
    guard lisp.keyID == 0 else { return packet.verdict = .drop(.encryptedWithoutKey) }
    let instanceID = lisp.instanceID
    packet.instanceID = instanceID
    guard instanceID != InstanceID.control.rawValue else { return passUp(&packet) }
    let roots = roots.find(instanceID, table)
    guard roots.isKnown else { return packet.verdict = .drop(.instanceUnknown) }
    readInner(&packet, place, payload.dropFirst(LISPView.byteCount), outer, settings: settings, table: table, roots: roots)
  }

  /// Stage 1, on: the inner header and the lookup of its destination, within what the outer lengths leave (rule D11: longer
  /// frames are trimmed, shorter ones dropped).
  @inline(__always)
  private mutating func readInner(
    _ packet: inout Packet, _ place: Int, _ bytes: PacketBytes, _ outer: Outer, settings: EngineSettings, table: TableView, roots: InstanceRoots
  ) {
    guard bytes.count >= IPv4View.minimumByteCount else { return packet.verdict = .drop(.innerTruncated) }
    let innerOffset = unsafe bytes.base - packet.start
    if bytes.u8(0) >> 4 == 4 {
      guard let inner = IPv4View(bytes) else { return packet.verdict = .drop(.innerTruncated) }
      let destination = UInt64(inner.destination) << 32
      describe(&packet, 4, inner.totalLength, inner.timeToLive, inner.trafficClass, outer, settings)
      lookups.put(place, roots.ipv4, high: destination, low: 0, in: table)
    } else if bytes.u8(0) >> 4 == 6 {
      guard let inner = IPv6View(bytes) else { return packet.verdict = .drop(.innerTruncated) }
      let destination = inner.destination
      describe(&packet, 6, inner.totalLength, inner.hopLimit, inner.trafficClass, outer, settings)
      lookups.put(place, roots.ipv6, high: destination.high, low: destination.low, in: table)
    } else {
      return packet.verdict = .drop(.innerVersionUnknown)
    }
    packet.innerOffset = UInt16(truncatingIfNeeded: innerOffset)
  }

  /// TTL and traffic class are those to deliver with; a congestion mark that the packet cannot carry ends its way.
  @inline(__always)
  private func describe(
    _ packet: inout Packet, _ family: UInt8, _ byteCount: Int, _ timeToLive: UInt8, _ trafficClass: UInt8, _ outer: Outer,
    _ settings: EngineSettings
  ) {
    packet.innerFamily = family
    packet.innerByteCount = UInt16(truncatingIfNeeded: byteCount)
    packet.timeToLive = min(timeToLive, outer.timeToLive)
    guard let ecn = ECN.decapsulated(inner: ECN(trafficClass: trafficClass), outer: ECN(trafficClass: outer.trafficClass)) else {
      return packet.verdict = .drop(.congestionMarkLost)
    }
    packet.trafficClass = (settings.copiesDSCP ? outer.trafficClass : trafficClass) & 0xFC | ecn.rawValue
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

  /// Stage 3: is the destination ours (rule D5), and do we know its host's link-layer address.
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
  }

  /// Stage 4: TTL and traffic class of the inner packet, then the site's Ethernet header before it; or, without a host's
  /// address or TTL left, the bare packet to the kernel, which resolves, decrements and answers.
  @inline(__always)
  private mutating func deliver(_ packet: inout Packet) {
    let inner = packet.inner
    let template = unsafe packet.template.map { unsafe TemplateBlock(base: $0) }
    let fields = template?.fields
    let isExpired = packet.timeToLive <= 1
    let goesToKernel = isExpired || !(fields?.verdict.isTransmit ?? false)
    // Before anything is written: the source is told with the packet as it came.
    guard goesToKernel || packet.innerByteCount <= fields?.maximumPacket ?? 0 else { return packet.verdict = .drop(.deliveryTooBig) }
    let timeToLive = goesToKernel ? packet.timeToLive : packet.timeToLive &- 1
    if packet.innerFamily == 4 {
      let ip = IPv4View(proven: inner)
      ip.setTimeToLive(timeToLive)
      if ip.trafficClass != packet.trafficClass { ip.setTrafficClass(packet.trafficClass) }
    } else {
      let ip = IPv6View(proven: inner)
      ip.setHopLimit(timeToLive)
      if ip.trafficClass != packet.trafficClass { ip.setTrafficClass(packet.trafficClass) }
    }
    counters.count(packet.counter, bytes: inner.count)
    tally.decapsulated &+= 1
    guard !goesToKernel, let template, let fields else {
      unsafe packet.start = inner.base
      packet.byteCount = UInt32(truncatingIfNeeded: inner.count)
      packet.innerOffset = 0
      packet.verdict = .punt(isExpired ? .timeExceeded : .innerNeighbour)
      return
    }
    unsafe template.copyDelivery(before: inner.base)
    let ethernet = Int(fields.ethernetByteCount)
    unsafe packet.start = inner.base - ethernet
    packet.byteCount = UInt32(truncatingIfNeeded: inner.count &+ ethernet)
    packet.frame.store(packet.innerFamily == 4 ? EtherType.ipv4.rawValue : EtherType.ipv6.rawValue, at: ethernet &- 2)
    packet.verdict = fields.verdict
  }
}

extension Packet {
  /// Whether the packet takes part in decapsulation and has no verdict yet.
  @inline(__always)
  fileprivate var isDecapsulating: Bool { verdict.isPending && innerFamily != 0 }

  @inline(__always)
  fileprivate mutating func drop(_ reason: DropReason) -> Engine.Outer? {
    verdict = .drop(reason)
    return nil
  }
}
