// SPDX-License-Identifier: Apache-2.0
//
// The Encapsulated Control Message (RFC 9301 5.8): a Map-Request in an IP packet between EIDs, in a control message between RLOCs. So
// it finds its way through a mapping system that routes by EID, and its answer the way back by the RLOCs in it.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────┼─┼─┼─┼─┼───────────────────────────────────────────────┤  0
//    │type 8 │S│D│E│M│                   reserved                    │
//    ├───────┴─┴─┴─┴─┴───────────────────────────────────────────────┤  4
//    │ IPv4 or IPv6 header, UDP header, control message …
//
// Our UDP checksums are right (rule C2). A received one of zero is let through, for lispers.net sends that; any other is verified.

/// An Encapsulated Control Message. The inner IP header has neither options nor extension headers, and is no fragment.
public struct EncapsulatedControlMessage: Hashable, Sendable {
  /// The 28 bits after the type.
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// D: from a DDT Map-Resolver.
    public static let ddt = Flags(rawValue: 1 << 26)
    /// E: to an ETR.
    public static let toETR = Flags(rawValue: 1 << 25)
    /// M: to a Map-Server.
    public static let toMapServer = Flags(rawValue: 1 << 24)
    /// S: LISP-SEC data follows (RFC 9303), which we do not read.
    static let security: UInt32 = 1 << 27
    static let kept: UInt32 = 0x0FFF_FFFF & ~security
  }

  /// What of the inner IP header can vary.
  public enum Inner: Hashable, Sendable {
    case v4(
      trafficClass: UInt8, identification: UInt16, fragmentWord: UInt16, timeToLive: UInt8, source: IPv4Address, destination: IPv4Address)
    case v6(firstWord: UInt32, hopLimit: UInt8, source: IPv6Address, destination: IPv6Address)
  }

  public var flags: Flags = []
  public var inner: Inner
  public var sourcePort: UInt16
  public var destinationPort: UInt16
  /// Whether the inner UDP header has a checksum.
  public var hasChecksum = true
  /// The control message inside.
  public var message: [UInt8]

  /// From `sourcePort` of the EID that asks to the EID that is asked for: addresses of one family. nil for two families.
  public init?(source: IPAddress, destination: IPAddress, sourcePort: UInt16 = LISPPort.control, message: [UInt8]) {
    switch (source, destination) {
    case (.v4(let a), .v4(let b)):
      inner = .v4(trafficClass: 0, identification: 0, fragmentWord: Self.dontFragment, timeToLive: 64, source: a, destination: b)
    case (.v6(let a), .v6(let b)): inner = .v6(firstWord: 6 << 28, hopLimit: 64, source: a, destination: b)
    case (.v4, .v6), (.v6, .v4): return nil
    }
    self.sourcePort = sourcePort
    destinationPort = LISPPort.control
    self.message = message
  }

  private static let dontFragment: UInt16 = 0x4000

  public var source: IPAddress {
    switch inner {
    case .v4(_, _, _, _, let source, _): .v4(source)
    case .v6(_, _, let source, _): .v6(source)
    }
  }

  public var destination: IPAddress {
    switch inner {
    case .v4(_, _, _, _, _, let destination): .v4(destination)
    case .v6(_, _, _, let destination): .v6(destination)
    }
  }

  // MARK: - Bytes

  /// Of a whole message, its first word included. What is inside is not looked at.
  init(parsing reader: inout ControlReader) throws(WireError) {
    let word = try reader.u32(.encapsulatedControl)
    guard word & Flags.security == 0 else { throw .invalid(.encapsulatedControl, field: "S bit", value: 1) }
    flags = Flags(rawValue: word & Flags.kept)
    let payload: ControlReader
    (inner, payload) = try Inner.parse(&reader)
    try reader.requireEnd(.encapsulatedControl)
    var datagram = payload
    let whole = payload
    sourcePort = try datagram.u16(.udp)
    destinationPort = try datagram.u16(.udp)
    let length = try datagram.u16(.udp)
    guard Int(length) == whole.remaining else { throw .invalid(.udp, field: "length", value: UInt64(length)) }
    let checksum = try datagram.u16(.udp)
    hasChecksum = checksum != 0
    message = datagram.takeRest()
    if hasChecksum {
      var sum = pseudoHeader
      sum.add(whole)
      guard sum.checksum == 0 else { throw .invalid(.udp, field: "checksum", value: UInt64(checksum)) }
    }
  }

  func emit(into writer: inout ControlWriter) {
    writer.u32(ControlMessageType.encapsulatedControl.bits | flags.rawValue & Flags.kept)
    inner.emit(into: &writer, payloadByteCount: datagramByteCount)
    let udpAt = writer.count
    writer.u16(sourcePort)
    writer.u16(destinationPort)
    writer.u16(UInt16(truncatingIfNeeded: datagramByteCount))
    writer.u16(0)
    writer.append(message)
    guard hasChecksum else { return }
    var sum = pseudoHeader
    sum.add(writer.bytes[udpAt...])
    // A sum of zero would say that there is none (RFC 768).
    writer.setU16(sum.checksum == 0 ? 0xFFFF : sum.checksum, at: udpAt + 6)
  }

  private var datagramByteCount: Int { UDPView.byteCount + message.count }

  private var pseudoHeader: InternetChecksum {
    var sum = InternetChecksum()
    sum.add(source)
    sum.add(destination)
    sum.add(UInt16(IPProtocol.udp.rawValue))
    sum.add(UInt32(truncatingIfNeeded: datagramByteCount))
    return sum
  }
}

extension EncapsulatedControlMessage.Inner {
  /// The header, and a cursor over what it carries.
  fileprivate static func parse(_ reader: inout ControlReader) throws(WireError) -> (Self, ControlReader) {
    var version = reader
    switch try version.u8(.encapsulatedControl) >> 4 {
    case 4: return try parseIPv4(&reader)
    case 6: return try parseIPv6(&reader)
    case let other: throw .invalid(.encapsulatedControl, field: "IP version", value: UInt64(other))
    }
  }

  private static func parseIPv4(_ reader: inout ControlReader) throws(WireError) -> (Self, ControlReader) {
    var header = reader
    let first = try reader.u16(.ipv4)
    guard first >> 8 == 0x45 else { throw .invalid(.ipv4, field: "header length", value: UInt64(first >> 8 & 0xF)) }
    let length = Int(try reader.u16(.ipv4))
    let (identification, fragmentWord) = (try reader.u16(.ipv4), try reader.u16(.ipv4))
    // More fragments, or an offset.
    guard fragmentWord & 0x3FFF == 0 else { throw .invalid(.ipv4, field: "fragment", value: UInt64(fragmentWord)) }
    let (timeToLive, number) = (try reader.u8(.ipv4), try reader.u8(.ipv4))
    let checksum = try reader.u16(.ipv4)
    let (source, destination) = (try reader.u32(.ipv4), try reader.u32(.ipv4))
    try requireUDP(number, .ipv4)
    guard length >= 20 else { throw .invalid(.ipv4, field: "length", value: UInt64(length)) }
    var sum = InternetChecksum()
    sum.add(try header.part(20, .ipv4))
    // Both of the sums that are zero would fit where one does; a header that is not all zeros never sums up to FFFF (RFC 1624 3).
    guard sum.folded == 0xFFFF, checksum != 0xFFFF else { throw .invalid(.ipv4, field: "checksum", value: UInt64(checksum)) }
    let inner = Self.v4(
      trafficClass: UInt8(truncatingIfNeeded: first), identification: identification, fragmentWord: fragmentWord, timeToLive: timeToLive,
      source: IPv4Address(rawValue: source), destination: IPv4Address(rawValue: destination))
    return (inner, try reader.part(length - 20, .ipv4))
  }

  private static func parseIPv6(_ reader: inout ControlReader) throws(WireError) -> (Self, ControlReader) {
    let first = try reader.u32(.ipv6)
    let length = Int(try reader.u16(.ipv6))
    let (number, hopLimit) = (try reader.u8(.ipv6), try reader.u8(.ipv6))
    let source = IPv6Address(high: try reader.u64(.ipv6), low: try reader.u64(.ipv6))
    let destination = IPv6Address(high: try reader.u64(.ipv6), low: try reader.u64(.ipv6))
    try requireUDP(number, .ipv6)
    let inner = Self.v6(firstWord: first, hopLimit: hopLimit, source: source, destination: destination)
    return (inner, try reader.part(length, .ipv6))
  }

  private static func requireUDP(_ number: UInt8, _ format: WireFormat) throws(WireError) {
    guard number == IPProtocol.udp.rawValue else { throw .invalid(format, field: "protocol", value: UInt64(number)) }
  }

  fileprivate func emit(into writer: inout ControlWriter, payloadByteCount: Int) {
    switch self {
    case .v4(let trafficClass, let identification, let fragmentWord, let timeToLive, let source, let destination):
      let start = writer.count
      writer.u16(0x4500 | UInt16(trafficClass))
      writer.u16(UInt16(truncatingIfNeeded: 20 + payloadByteCount))
      writer.u16(identification)
      writer.u16(fragmentWord)
      writer.u8(timeToLive)
      writer.u8(IPProtocol.udp.rawValue)
      writer.u16(0)
      writer.u32(source.rawValue)
      writer.u32(destination.rawValue)
      var sum = InternetChecksum()
      sum.add(writer.bytes[start...])
      writer.setU16(sum.checksum, at: start + 10)
    case .v6(let firstWord, let hopLimit, let source, let destination):
      writer.u32(firstWord)
      writer.u16(UInt16(truncatingIfNeeded: payloadByteCount))
      writer.u8(IPProtocol.udp.rawValue)
      writer.u8(hopLimit)
      writer.address(.v6(source))
      writer.address(.v6(destination))
    }
  }
}

extension InternetChecksum {
  /// Adds bytes; an odd last one counts as the high half of a word.
  fileprivate mutating func add(_ bytes: ArraySlice<UInt8>) {
    var i = bytes.startIndex
    while i + 1 < bytes.endIndex {
      add(UInt16(bytes[i]) << 8 | UInt16(bytes[i + 1]))
      i += 2
    }
    if i < bytes.endIndex { add(UInt16(bytes[i]) << 8) }
  }

  /// Adds what is left of `reader`.
  fileprivate mutating func add(_ reader: ControlReader) { add(reader.bytes[reader.offset..<reader.offset + reader.remaining]) }
}
