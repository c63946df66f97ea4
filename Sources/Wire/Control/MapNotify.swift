// SPDX-License-Identifier: Apache-2.0
//
// The Map-Notify and the Map-Notify-Ack (RFC 9301 5.7), which look alike: a Map-Server confirms a registration, or tells of a change
// (RFC 9437), and the receiver acknowledges.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────┼───────────────────────────────────────┼───────────────┤  0
//    │type   │               reserved                │ record count  │
//    ├───────┴───────────────────────────────────────┴───────────────┤  4
//    │ nonce and authentication: see AuthenticationFields            │
//    ├────────────────────────────────────────────────────────────────
//    │ EID-records …
//    ├────────────────────────────────────────────────────────────────     where the Map-Register had it
//    │ xTR-ID, 128 bits, and site-ID, 64 bits
//
// Servers in the field copy the Map-Register's trailer into the Map-Notify, with a flag bit (Cisco) or without (lispers.net): the trailer
// is recognised by its length, and must be there when the bit says so.

/// A Map-Notify or a Map-Notify-Ack.
public struct MapNotify: Hashable, Sendable {
  /// The 20 bits between type and record count, in their places in the first word.
  public var flags: UInt32 = 0
  public var nonce: UInt64
  public var authentication: AuthenticationFields
  /// At most 255.
  public var records: [EIDRecord]
  /// Of the xTR that is addressed.
  public var identity: XTRIdentity?

  private static let kept: UInt32 = 0x0FFF_FF00
  /// I, in the place that Cisco gives it.
  private static let xtrIdentityPresent: UInt32 = 1 << 27

  public init(
    nonce: UInt64, authentication: AuthenticationFields = .init(), records: [EIDRecord], identity: XTRIdentity? = nil
  ) {
    self.nonce = nonce
    self.authentication = authentication
    self.records = records
    self.identity = identity
  }

  /// Of a whole message, its first word included.
  init(parsing reader: inout ControlReader, as type: ControlMessageType) throws(WireError) {
    let format: WireFormat = type == .mapNotifyAck ? .mapNotifyAck : .mapNotify
    let word = try reader.u32(format)
    flags = word & Self.kept
    nonce = try reader.u64(format)
    authentication = try AuthenticationFields(parsing: &reader, format)
    records = try [EIDRecord](parsing: &reader, count: UInt8(truncatingIfNeeded: word))
    if flags & Self.xtrIdentityPresent != 0 || reader.remaining == XTRIdentity.byteCount {
      identity = try XTRIdentity(parsing: &reader)
    }
    try reader.requireEnd(format)
  }

  func emit(into writer: inout ControlWriter, as type: ControlMessageType) {
    writer.u32(type.bits | flags & Self.kept | UInt32(UInt8(clamping: records.count)))
    writer.u64(nonce)
    authentication.emit(into: &writer)
    records.emit(into: &writer)
    identity?.emit(into: &writer)
  }
}
