// SPDX-License-Identifier: Apache-2.0
//
// An address with its address family identifier (RFC 9301 5.1; the numbers are IANA's): what stands wherever a control message names an
// EID or an RLOC.
//
//    ├───────────────────────────────┼───────────────────────────────┤
//    │              AFI              │  address: as many bytes as its AFI says …
//    └───────────────────────────────┴────────────────────────────────

/// An AFI-encoded address.
public enum AFIAddress: Hashable, Sendable {
  /// AFI 0: no address.
  case none
  /// AFI 1 and 2.
  case ip(IPAddress)
  /// AFI 17, a distinguished name: its octets, none of them zero (RFC 9735).
  case name([UInt8])
  /// AFI 6, an Ethernet address (RFC 8060 4.10.2). IANA's later 16389 means the same; nobody in LISP sends it.
  case mac(MACAddress)
  /// AFI 16387.
  indirect case lcaf(LCAF)

  enum AFI {
    static let none: UInt16 = 0
    static let ipv4: UInt16 = 1
    static let ipv6: UInt16 = 2
    static let name: UInt16 = 17
    static let lcaf: UInt16 = 16387
    static let mac: UInt16 = 6
  }

  /// An IP address in an instance; the default instance needs no LCAF.
  public init(_ address: IPAddress, in instance: InstanceID) {
    self = instance == .zero ? .ip(address) : .lcaf(LCAF(.instanceID(instance.rawValue, .ip(address))))
  }

  /// The address, if it is a plain one, and its instance: 0, or what an instance-ID LCAF around it says.
  public var ipInInstance: (instance: InstanceID, address: IPAddress)? {
    switch self {
    case .ip(let address): return (.zero, address)
    case .lcaf(let lcaf):
      guard case .instanceID(let number, .ip(let address)) = lcaf.content, let instance = InstanceID(number) else { return nil }
      return (instance, address)
    case .none, .name, .mac: return nil
    }
  }

  /// The IP address that packets to this locator go to: the address itself, the first one in a list (RFC 8060 4.1: equivalent addresses of one
  /// locator), or the one that a JSON or key LCAF carries. nil where there is none or where it takes more than an address
  /// (explicit paths, replication lists).
  public var locatorIP: IPAddress? { locatorIP(depth: 0) }

  private func locatorIP(depth: Int) -> IPAddress? {
    guard depth < LCAF.maximumDepth else { return nil }
    switch self {
    case .ip(let address): return address
    case .none, .name, .mac: return nil
    case .lcaf(let lcaf):
      switch lcaf.content {
      case .list(let addresses): return addresses.lazy.compactMap { $0.locatorIP(depth: depth + 1) }.first
      case .instanceID(_, let address), .json(_, let address): return address.locatorIP(depth: depth + 1)
      case .nat(let nat): return nat.globalETR.locatorIP(depth: depth + 1)
      case .explicitPath, .sourceDestination, .replicationList, .unknown: return nil
      }
    }
  }

  // MARK: - Bytes

  public init(parsing reader: inout ControlReader) throws(WireError) { try self.init(parsing: &reader, depth: 0) }

  /// `depth`: how many LCAFs this one lies in.
  init(parsing reader: inout ControlReader, depth: Int) throws(WireError) {
    let afi = try reader.u16(.address)
    switch afi {
    case AFI.none: self = .none
    case AFI.ipv4: self = .ip(.v4(IPv4Address(rawValue: try reader.u32(.address))))
    case AFI.ipv6:
      let high = try reader.u64(.address)
      self = .ip(.v6(IPv6Address(high: high, low: try reader.u64(.address))))
    case AFI.name: self = .name(try reader.zeroTerminated(.address))
    case AFI.mac:
      let high = UInt64(try reader.u16(.address))
      self = .mac(MACAddress(rawValue: high << 32 | UInt64(try reader.u32(.address))))
    case AFI.lcaf: self = .lcaf(try LCAF(parsing: &reader, depth: depth))
    default: throw .invalid(.address, field: "AFI", value: UInt64(afi))
    }
  }

  public func emit(into writer: inout ControlWriter) {
    switch self {
    case .none: writer.u16(AFI.none)
    case .ip(let address):
      writer.u16(address.family == .ipv4 ? AFI.ipv4 : AFI.ipv6)
      writer.address(address)
    case .name(let octets):
      writer.u16(AFI.name)
      writer.append(octets)
      writer.u8(0)
    case .mac(let address):
      writer.u16(AFI.mac)
      writer.u16(UInt16(truncatingIfNeeded: address.rawValue >> 32))
      writer.u32(UInt32(truncatingIfNeeded: address.rawValue))
    case .lcaf(let lcaf):
      writer.u16(AFI.lcaf)
      lcaf.emit(into: &writer)
    }
  }
}

extension AFIAddress: CustomStringConvertible {
  public var description: String {
    switch self {
    case .none: "none"
    case .ip(let address): "\(address)"
    case .name(let octets): "\"\(String(decoding: octets, as: UTF8.self))\""
    case .mac(let address): "\(address)"
    case .lcaf(let lcaf): "\(lcaf)"
    }
  }
}
