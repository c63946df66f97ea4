// SPDX-License-Identifier: Apache-2.0
//
// Why bytes are not what they should be. Thrown by the value types' parsers; the packet path uses the views' `init?` instead.

/// The formats that errors speak of.
public enum WireFormat: String, Sendable {
  case ethernet = "Ethernet header"
  case ipv4 = "IPv4 header"
  case ipv6 = "IPv6 header"
  case udp = "UDP header"
  case lisp = "LISP header"
  // RFC 9301 section 5, RFC 8060
  case control = "control message"
  case mapRequest = "Map-Request"
  case mapReply = "Map-Reply"
  case mapRegister = "Map-Register"
  case mapNotify = "Map-Notify"
  case mapNotifyAck = "Map-Notify-Ack"
  case mapReferral = "Map-Referral"
  case encapsulatedControl = "Encapsulated Control Message"
  case eidRecord = "EID-record"
  case locatorRecord = "RLOC-record"
  case address = "AFI-encoded address"
  case lcaf = "LISP canonical address"
  case xtrIdentity = "xTR-ID and site-ID"
}

/// A parse error: the format and what is wrong.
public enum WireError: Error, Equatable, CustomStringConvertible {
  /// Fewer bytes than the format needs.
  case truncated(WireFormat, needed: Int, available: Int)
  /// A field with a value that the format does not allow.
  case invalid(WireFormat, field: String, value: UInt64)
  /// Bytes after the end of what the format describes.
  case trailing(WireFormat, byteCount: Int)

  public var description: String {
    switch self {
    case .truncated(let format, let needed, let available):
      "\(format.rawValue): \(needed) bytes needed, \(available) there"
    case .invalid(let format, let field, let value):
      "\(format.rawValue): \(field) cannot be \(value)"
    case .trailing(let format, let byteCount):
      "\(format.rawValue): \(byteCount) bytes too many"
    }
  }
}
