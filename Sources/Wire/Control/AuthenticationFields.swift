// SPDX-License-Identifier: Apache-2.0
//
// The fields of a Map-Register, Map-Notify or Map-Notify-Ack that authenticate it (RFC 9301 5.6). Computing and verifying is
// ControlPlane's business; where the data stands in the message is this file's.
//
//    ├───────────────────────────────────────────────────────────────┤  4 from the start of the message
//    │                            nonce, 64 bits                     │
//    ├───────────────┬───────────────┬───────────────────────────────┤ 12
//    │    key ID     │ algorithm ID  │  authentication data length   │
//    ├───────────────┴───────────────┴───────────────────────────────┤ 16
//    │ authentication data …

/// Which key and algorithm, and what they made of the message.
public struct AuthenticationFields: Hashable, Sendable {
  /// Where the data begins in the message.
  public static let dataOffset = 16

  public var keyID: UInt8
  /// See the registry of section 12.5; ControlPlane knows 1, 2 and 3.
  public var algorithmID: UInt8
  /// At most 65,535 bytes, zeros while the message is signed.
  public var data: [UInt8]

  public init(keyID: UInt8 = 0, algorithmID: UInt8 = 0, data: [UInt8] = []) {
    self.keyID = keyID
    self.algorithmID = algorithmID
    self.data = data
  }

  init(parsing reader: inout ControlReader, _ format: WireFormat) throws(WireError) {
    keyID = try reader.u8(format)
    algorithmID = try reader.u8(format)
    let length = Int(try reader.u16(format))
    data = try reader.take(length, format)
  }

  func emit(into writer: inout ControlWriter) {
    writer.u8(keyID)
    writer.u8(algorithmID)
    writer.u16(UInt16(clamping: data.count))
    writer.append(data)
  }
}
