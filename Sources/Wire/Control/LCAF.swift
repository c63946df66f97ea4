// SPDX-License-Identifier: Apache-2.0
//
// The LISP canonical address format (RFC 8060): addresses that say more than an address. Types that we do not know, and those that
// nobody here has a use for, are kept as the bytes they are.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────────────────────────────┼───────────────┬───────────────┤ -2
//    │          AFI = 16387          │  reserved 1   │     flags     │
//    ├───────────────┬───────────────┼───────────────┴───────────────┤  2
//    │     type      │  reserved 2   │     length of what follows    │
//    ├───────────────┴───────────────┴───────────────────────────────┤  6
//    │ content …

/// An LCAF address; parsing and emitting keep every bit.
public struct LCAF: Hashable, Sendable {
  /// What an LCAF of a known type says.
  public enum Content: Hashable, Sendable {
    /// Type 1: addresses of any families that belong together.
    case list([AFIAddress])
    /// Type 2: 32 bits on the wire, of which the data plane carries 24; `reserved2` is the mask length of the instance ID.
    case instanceID(UInt32, AFIAddress)
    /// Type 7.
    case nat(NAT)
    /// Type 10: the hops of an explicit locator path, in order.
    case explicitPath([Hop])
    /// Type 12.
    case sourceDestination(SourceDestination)
    /// Type 13.
    case replicationList([Replica])
    /// Type 14: UTF-8 text as its octets, and an address it is about (or none).
    case json([UInt8], AFIAddress)
    /// Any other type.
    case unknown(type: UInt8, [UInt8])
  }

  /// Ports and addresses around a NAT (RFC 8060 4.4).
  public struct NAT: Hashable, Sendable {
    public var mapServerPort: UInt16
    public var etrPort: UInt16
    public var globalETR: AFIAddress
    public var mapServer: AFIAddress
    public var privateETR: AFIAddress
    public var rtrs: [AFIAddress]

    public init(
      mapServerPort: UInt16, etrPort: UInt16, globalETR: AFIAddress, mapServer: AFIAddress, privateETR: AFIAddress, rtrs: [AFIAddress]
    ) {
      self.mapServerPort = mapServerPort
      self.etrPort = etrPort
      self.globalETR = globalETR
      self.mapServer = mapServer
      self.privateETR = privateETR
      self.rtrs = rtrs
    }
  }

  /// A re-encapsulation hop (RFC 8060 4.6).
  public struct Hop: Hashable, Sendable {
    /// 13 reserved bits and L (lookup), P (probe), S (strict), as they stand on the wire.
    public var flags: UInt16
    public var address: AFIAddress

    public init(_ address: AFIAddress, flags: UInt16 = 0) {
      self.flags = flags
      self.address = address
    }

    public var mustBeLookedUp: Bool { flags & 4 != 0 }
    public var mayBeProbed: Bool { flags & 2 != 0 }
    public var isStrict: Bool { flags & 1 != 0 }
  }

  /// A lookup key of two prefixes (RFC 8060 4.8).
  public struct SourceDestination: Hashable, Sendable {
    public var reserved: UInt16 = 0
    public var sourceMaskLength: UInt8
    public var destinationMaskLength: UInt8
    public var source: AFIAddress
    public var destination: AFIAddress

    public init(source: AFIAddress, sourceMaskLength: UInt8, destination: AFIAddress, destinationMaskLength: UInt8) {
      self.source = source
      self.sourceMaskLength = sourceMaskLength
      self.destination = destination
      self.destinationMaskLength = destinationMaskLength
    }
  }

  /// An entry of a replication list (RFC 8060 4.9).
  public struct Replica: Hashable, Sendable {
    /// 24 reserved bits.
    public var reserved: UInt32 = 0
    public var level: UInt8
    public var address: AFIAddress

    public init(_ address: AFIAddress, level: UInt8) {
      self.address = address
      self.level = level
    }
  }

  /// LCAFs in LCAFs go no deeper: enough for a key of instance-IDs with names, and a bound for hostile bytes. Our choice.
  static let maximumDepth = 4

  public var reserved1: UInt8 = 0
  public var flags: UInt8 = 0
  public var reserved2: UInt8 = 0
  public var content: Content

  public init(_ content: Content) { self.content = content }

  // MARK: - Bytes

  /// `depth`: how many LCAFs this one lies in. The AFI has been read.
  init(parsing reader: inout ControlReader, depth: Int) throws(WireError) {
    guard depth < Self.maximumDepth else { throw .invalid(.lcaf, field: "nesting", value: UInt64(depth + 1)) }
    reserved1 = try reader.u8(.lcaf)
    flags = try reader.u8(.lcaf)
    let type = try reader.u8(.lcaf)
    reserved2 = try reader.u8(.lcaf)
    let length = Int(try reader.u16(.lcaf))
    var body = try reader.part(length, .lcaf)
    content = try Content(parsing: &body, type: type, depth: depth + 1)
    try body.requireEnd(.lcaf)
  }

  func emit(into writer: inout ControlWriter) {
    writer.u8(reserved1)
    writer.u8(flags)
    writer.u8(content.type)
    writer.u8(reserved2)
    let lengthAt = writer.count
    writer.u16(0)
    content.emit(into: &writer)
    writer.setU16(UInt16(truncatingIfNeeded: writer.count - lengthAt - 2), at: lengthAt)
  }
}

extension LCAF.Content {
  /// The type number (IANA).
  public var type: UInt8 {
    switch self {
    case .list: 1
    case .instanceID: 2
    case .nat: 7
    case .explicitPath: 10
    case .sourceDestination: 12
    case .replicationList: 13
    case .json: 14
    case .unknown(let type, _): type
    }
  }

  init(parsing body: inout ControlReader, type: UInt8, depth: Int) throws(WireError) {
    switch type {
    case 1: self = .list(try Self.addresses(&body, depth))
    case 2:
      let number = try body.u32(.lcaf)
      self = .instanceID(number, try AFIAddress(parsing: &body, depth: depth))
    case 7: self = .nat(try LCAF.NAT(parsing: &body, depth: depth))
    case 10: self = .explicitPath(try Self.hops(&body, depth))
    case 12: self = .sourceDestination(try LCAF.SourceDestination(parsing: &body, depth: depth))
    case 13: self = .replicationList(try Self.replicas(&body, depth))
    case 14:
      let length = Int(try body.u16(.lcaf))
      let text = try body.take(length, .lcaf)
      self = .json(text, try AFIAddress(parsing: &body, depth: depth))
    default: self = .unknown(type: type, body.takeRest())
    }
  }

  func emit(into writer: inout ControlWriter) {
    switch self {
    case .list(let addresses): for address in addresses { address.emit(into: &writer) }
    case .instanceID(let number, let address):
      writer.u32(number)
      address.emit(into: &writer)
    case .nat(let nat): nat.emit(into: &writer)
    case .explicitPath(let hops):
      for hop in hops {
        writer.u16(hop.flags)
        hop.address.emit(into: &writer)
      }
    case .sourceDestination(let key): key.emit(into: &writer)
    case .replicationList(let replicas):
      for replica in replicas {
        writer.u32(replica.reserved << 8 | UInt32(replica.level))
        replica.address.emit(into: &writer)
      }
    case .json(let text, let address):
      writer.u16(UInt16(truncatingIfNeeded: text.count))
      writer.append(text)
      address.emit(into: &writer)
    case .unknown(_, let bytes): writer.append(bytes)
    }
  }

  private static func addresses(_ body: inout ControlReader, _ depth: Int) throws(WireError) -> [AFIAddress] {
    var addresses: [AFIAddress] = []
    while body.remaining > 0 { addresses.append(try AFIAddress(parsing: &body, depth: depth)) }
    return addresses
  }

  private static func hops(_ body: inout ControlReader, _ depth: Int) throws(WireError) -> [LCAF.Hop] {
    var hops: [LCAF.Hop] = []
    while body.remaining > 0 {
      let flags = try body.u16(.lcaf)
      hops.append(LCAF.Hop(try AFIAddress(parsing: &body, depth: depth), flags: flags))
    }
    return hops
  }

  private static func replicas(_ body: inout ControlReader, _ depth: Int) throws(WireError) -> [LCAF.Replica] {
    var replicas: [LCAF.Replica] = []
    while body.remaining > 0 {
      let word = try body.u32(.lcaf)
      var replica = LCAF.Replica(try AFIAddress(parsing: &body, depth: depth), level: UInt8(truncatingIfNeeded: word))
      replica.reserved = word >> 8
      replicas.append(replica)
    }
    return replicas
  }
}

extension LCAF.NAT {
  init(parsing body: inout ControlReader, depth: Int) throws(WireError) {
    mapServerPort = try body.u16(.lcaf)
    etrPort = try body.u16(.lcaf)
    globalETR = try AFIAddress(parsing: &body, depth: depth)
    mapServer = try AFIAddress(parsing: &body, depth: depth)
    privateETR = try AFIAddress(parsing: &body, depth: depth)
    rtrs = []
    while body.remaining > 0 { rtrs.append(try AFIAddress(parsing: &body, depth: depth)) }
  }

  func emit(into writer: inout ControlWriter) {
    writer.u16(mapServerPort)
    writer.u16(etrPort)
    for address in [globalETR, mapServer, privateETR] + rtrs { address.emit(into: &writer) }
  }
}

extension LCAF.SourceDestination {
  init(parsing body: inout ControlReader, depth: Int) throws(WireError) {
    reserved = try body.u16(.lcaf)
    sourceMaskLength = try body.u8(.lcaf)
    destinationMaskLength = try body.u8(.lcaf)
    source = try AFIAddress(parsing: &body, depth: depth)
    destination = try AFIAddress(parsing: &body, depth: depth)
  }

  func emit(into writer: inout ControlWriter) {
    writer.u16(reserved)
    writer.u8(sourceMaskLength)
    writer.u8(destinationMaskLength)
    source.emit(into: &writer)
    destination.emit(into: &writer)
  }
}

extension LCAF: CustomStringConvertible {
  public var description: String {
    switch content {
    case .list(let addresses): "{\(addresses.map(\.description).joined(separator: ", "))}"
    case .instanceID(let number, let address): "[\(number)]\(address)"
    case .nat(let nat): "nat \(nat.globalETR) port \(nat.etrPort)"
    case .explicitPath(let hops): hops.map { "\($0.address)" }.joined(separator: " → ")
    case .sourceDestination(let key):
      "(\(key.source)/\(key.sourceMaskLength), \(key.destination)/\(key.destinationMaskLength))"
    case .replicationList(let replicas): "replicas \(replicas.map { "\($0.address)" }.joined(separator: ", "))"
    case .json(let text, let address): "\(address) \(String(decoding: text, as: UTF8.self))"
    case .unknown(let type, let bytes): "LCAF type \(type), \(bytes.count) bytes"
    }
  }
}
