// SPDX-License-Identifier: Apache-2.0
//
// The control messages of LISP on UDP port 4342 (RFC 9301 section 5). One begins with its type in four bits; each has a file of its own.
// ControlPlane reads what came by `init(parsing:)` and makes what leaves by `bytes`.

/// The types of control messages that we know.
public enum ControlMessageType: UInt8, Sendable, CaseIterable {
  case mapRequest = 1
  case mapReply = 2
  case mapRegister = 3
  case mapNotify = 4
  case mapNotifyAck = 5
  case mapReferral = 6
  case encapsulatedControl = 8

  /// In its place in the first word of a message.
  var bits: UInt32 { UInt32(rawValue) << 28 }
}

/// A control message. Parsing proves its structure to the last byte; what its values mean is the receiver's to judge. Emitting a parsed
/// message makes the same bytes.
public enum ControlMessage: Hashable, Sendable {
  case mapRequest(MapRequest)
  case mapReply(MapReply)
  case mapRegister(MapRegister)
  case mapNotify(MapNotify)
  case mapNotifyAck(MapNotify)
  case mapReferral(MapReferral)
  case encapsulated(EncapsulatedControlMessage)

  public var type: ControlMessageType {
    switch self {
    case .mapRequest: .mapRequest
    case .mapReply: .mapReply
    case .mapRegister: .mapRegister
    case .mapNotify: .mapNotify
    case .mapNotifyAck: .mapNotifyAck
    case .mapReferral: .mapReferral
    case .encapsulated: .encapsulatedControl
    }
  }

  /// From the payload of a UDP datagram. Throws what is wrong with the first part that is; types that we do not know are invalid.
  public init(parsing bytes: [UInt8]) throws(WireError) {
    guard let first = bytes.first else { throw .truncated(.control, needed: 4, available: 0) }
    guard let type = ControlMessageType(rawValue: first >> 4) else {
      throw .invalid(.control, field: "type", value: UInt64(first >> 4))
    }
    var reader = ControlReader(bytes)
    switch type {
    case .mapRequest: self = .mapRequest(try MapRequest(parsing: &reader))
    case .mapReply: self = .mapReply(try MapReply(parsing: &reader))
    case .mapRegister: self = .mapRegister(try MapRegister(parsing: &reader))
    case .mapNotify: self = .mapNotify(try MapNotify(parsing: &reader, as: type))
    case .mapNotifyAck: self = .mapNotifyAck(try MapNotify(parsing: &reader, as: type))
    case .mapReferral: self = .mapReferral(try MapReferral(parsing: &reader))
    case .encapsulatedControl: self = .encapsulated(try EncapsulatedControlMessage(parsing: &reader))
    }
  }

  /// The payload of the UDP datagram.
  public var bytes: [UInt8] {
    var writer = ControlWriter()
    switch self {
    case .mapRequest(let message): message.emit(into: &writer)
    case .mapReply(let message): message.emit(into: &writer)
    case .mapRegister(let message): message.emit(into: &writer)
    case .mapNotify(let message): message.emit(into: &writer, as: .mapNotify)
    case .mapNotifyAck(let message): message.emit(into: &writer, as: .mapNotifyAck)
    case .mapReferral(let message): message.emit(into: &writer)
    case .encapsulated(let message): message.emit(into: &writer)
    }
    return writer.bytes
  }
}
