// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a packet. Every packet leaves the engine with exactly one verdict, and every verdict has a counter: drops by
// reason, punts by reason, transmissions by port. The reasons' names and meanings are what `xtr show drops` prints.

/// Why a packet was dropped. Raw values are counter positions.
public enum DropReason: UInt8, CaseIterable, Sendable {
  // Any direction
  case frameMalformed
  case vlanUnknown
  case notIP
  case headerChecksumWrong
  // Towards the core
  case innerMalformed
  case sourceNotLocal
  case mappingDrop
  case policyDenied
  case authenticationFailure
  case noUsableLocator
  case outerTooBig
  // From the core
  case outerMalformed
  case outerFragment
  case outerOptionRefused
  case udpMalformed
  case notLISP
  case lispTruncated
  case udpChecksumWrong
  case encryptedWithoutKey
  case outerSourceInvalid
  case instanceUnknown
  case innerVersionUnknown
  case innerTruncated
  case destinationNotLocal
  case congestionMarkLost
  case deliveryTooBig
  // Leaving
  case transmitRingFull
  case portGone
  case puntRingFull
  case frameRefused

  /// Kebab-case, as JSON and tables show it.
  public var name: String {
    switch self {
    case .frameMalformed: "frame-malformed"
    case .vlanUnknown: "vlan-unknown"
    case .notIP: "not-ip"
    case .headerChecksumWrong: "header-checksum-wrong"
    case .innerMalformed: "inner-malformed"
    case .sourceNotLocal: "source-not-local"
    case .mappingDrop: "mapping-drop"
    case .policyDenied: "policy-denied"
    case .authenticationFailure: "authentication-failure"
    case .noUsableLocator: "no-usable-locator"
    case .outerTooBig: "outer-too-big"
    case .outerMalformed: "outer-malformed"
    case .outerFragment: "outer-fragment"
    case .outerOptionRefused: "outer-option-refused"
    case .udpMalformed: "udp-malformed"
    case .notLISP: "not-lisp"
    case .lispTruncated: "lisp-truncated"
    case .udpChecksumWrong: "udp-checksum-wrong"
    case .encryptedWithoutKey: "encrypted-without-key"
    case .outerSourceInvalid: "outer-source-invalid"
    case .instanceUnknown: "instance-unknown"
    case .innerVersionUnknown: "inner-version-unknown"
    case .innerTruncated: "inner-truncated"
    case .destinationNotLocal: "destination-not-local"
    case .congestionMarkLost: "congestion-mark-lost"
    case .deliveryTooBig: "delivery-too-big"
    case .transmitRingFull: "transmit-ring-full"
    case .portGone: "port-gone"
    case .puntRingFull: "punt-ring-full"
    case .frameRefused: "frame-refused"
    }
  }

  /// Which way the packet was going.
  public enum Direction: String, Sendable { case any, encapsulate, decapsulate, transmit }

  public var direction: Direction {
    switch self {
    case .frameMalformed, .vlanUnknown, .notIP, .headerChecksumWrong: .any
    case .innerMalformed, .sourceNotLocal, .mappingDrop, .policyDenied, .authenticationFailure, .noUsableLocator, .outerTooBig:
      .encapsulate
    case .outerMalformed, .outerFragment, .outerOptionRefused, .udpMalformed, .notLISP, .lispTruncated, .udpChecksumWrong,
      .encryptedWithoutKey,
      .outerSourceInvalid, .instanceUnknown, .innerVersionUnknown, .innerTruncated, .destinationNotLocal, .congestionMarkLost,
      .deliveryTooBig:
      .decapsulate
    case .transmitRingFull, .portGone, .puntRingFull, .frameRefused: .transmit
    }
  }

  /// One sentence for an operator.
  public var meaning: String {
    switch self {
    case .frameMalformed: "the frame is shorter than its Ethernet header"
    case .vlanUnknown: "no instance ID is configured for the frame's VLAN"
    case .notIP: "the frame carries neither IPv4 nor IPv6"
    case .headerChecksumWrong: "the checksum of an IPv4 header is wrong (RFC 1812 5.2.2)"
    case .innerMalformed: "version, header length or total length of the site's packet is wrong"
    case .sourceNotLocal: "the source is not one of our EIDs in this instance (RFC 9300 section 16)"
    case .mappingDrop: "the destination's negative mapping says drop"
    case .policyDenied: "the destination's mapping is denied by policy (RFC 9301 5.4)"
    case .authenticationFailure: "the destination's mapping was refused for an authentication failure (RFC 9301 5.4)"
    case .noUsableLocator: "the mapping has no reachable locator of a family that we have an RLOC of"
    case .outerTooBig: "the encapsulated packet would exceed the core interface's MTU: raise that to the site's MTU + 56"
    case .outerMalformed: "version, header length or total length of the outer header is wrong"
    case .outerFragment: "the outer packet is a fragment; the kernel reassembles, we do not (RFC 9300 section 5)"
    case .outerOptionRefused: "a source route or an option on the outer header forbids it (RFC 791 3.1, RFC 8200 4.2)"
    case .udpMalformed: "the UDP length disagrees with the packet"
    case .notLISP: "the packet is not for UDP port 4341"
    case .lispTruncated: "there is no room for a LISP header"
    case .udpChecksumWrong: "the UDP checksum is wrong (verification is on)"
    case .encryptedWithoutKey: "the key bits are set and there is no key for that peer (RFC 8061)"
    case .outerSourceInvalid: "the outer source is unspecified, loopback, multicast, broadcast or our own RLOC"
    case .instanceUnknown: "we have no EIDs in the packet's instance ID"
    case .innerVersionUnknown: "the inner packet is neither IPv4 nor IPv6"
    case .innerTruncated: "the inner packet is longer than the outer one that carries it, or its header is wrong"
    case .destinationNotLocal: "the inner destination is not one of our EIDs in this instance"
    case .congestionMarkLost: "congestion was marked on the outer header of a packet that cannot carry the mark (RFC 6040 4.2)"
    case .deliveryTooBig: "the inner packet exceeds the site interface's MTU"
    case .transmitRingFull: "the transmit ring stayed full"
    case .portGone: "the interface to send on is gone"
    case .puntRingFull: "the slow path has too many packets waiting"
    case .frameRefused: "the kernel handed over a frame that was not its own to give"
    }
  }
}

/// Why a packet was handed to the slow path. Raw values are counter positions.
public enum PuntReason: UInt8, CaseIterable, Sendable {
  /// No mapping covers the destination.
  case miss
  /// The mapping says: forward natively; or the destination is local after all.
  case nativeForward
  /// The inner TTL would reach 0: the kernel answers with an ICMP Time Exceeded.
  case timeExceeded
  /// Encapsulated, but the outer next hop's link-layer address is not known yet: the kernel finds it and sends.
  case outerNeighbour
  /// Decapsulated, but the host's link-layer address is not known yet: the kernel finds it and delivers.
  case innerNeighbour
  /// Instance ID 0xFFFFFF: encapsulated control, for the host.
  case control

  /// Kebab-case, as JSON and tables show it.
  public var name: String {
    switch self {
    case .miss: "miss"
    case .nativeForward: "native-forward"
    case .timeExceeded: "time-exceeded"
    case .outerNeighbour: "outer-neighbour"
    case .innerNeighbour: "inner-neighbour"
    case .control: "control"
    }
  }

  /// One sentence for an operator.
  public var meaning: String {
    switch self {
    case .miss: "no mapping covers the destination; it is reported and the packet goes no further"
    case .nativeForward: "forwarded by the kernel, not encapsulated"
    case .timeExceeded: "TTL or hop limit used up; the kernel answers with ICMP"
    case .outerNeighbour: "next hop towards the RLOC not resolved yet; sent through the kernel"
    case .innerNeighbour: "host's link-layer address not resolved yet; delivered through the kernel"
    case .control: "encapsulated control message (instance ID 0xFFFFFF), for the host"
    }
  }
}

/// The engine's answer for one packet.
public struct Verdict: RawRepresentable, Equatable, Sendable {
  /// The kind in the high octet, its detail in the low one.
  public let rawValue: UInt16
  @inlinable @inline(__always) public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Still on its way through the stages.
  public static var pending: Verdict { @inlinable @inline(__always) get { Verdict(rawValue: 0) } }
  @inlinable @inline(__always) public static func transmit(_ port: UInt8) -> Verdict { Verdict(rawValue: 0x100 | UInt16(port)) }
  @inlinable @inline(__always) public static func drop(_ reason: DropReason) -> Verdict {
    Verdict(rawValue: 0x200 | UInt16(reason.rawValue))
  }
  @inlinable @inline(__always) public static func punt(_ reason: PuntReason) -> Verdict {
    Verdict(rawValue: 0x300 | UInt16(reason.rawValue))
  }

  @inlinable @inline(__always) public var isPending: Bool { rawValue == 0 }
  @inlinable @inline(__always) public var isTransmit: Bool { rawValue >> 8 == 1 }
  @inlinable @inline(__always) public var isPunt: Bool { rawValue >> 8 == 3 }
  /// Port, or the reason's raw value.
  @inlinable @inline(__always) public var detail: UInt8 { UInt8(truncatingIfNeeded: rawValue) }

  public var dropReason: DropReason? { rawValue >> 8 == 2 ? DropReason(rawValue: detail) : nil }
  public var puntReason: PuntReason? { isPunt ? PuntReason(rawValue: detail) : nil }
  public var port: UInt8? { isTransmit ? detail : nil }
}

extension Verdict: CustomStringConvertible {
  public var description: String {
    if let port { return "transmit(\(port))" }
    if let dropReason { return "drop(\(dropReason.name))" }
    if let puntReason { return "punt(\(puntReason.name))" }
    return "pending"
  }
}
