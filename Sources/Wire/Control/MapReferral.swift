// SPDX-License-Identifier: Apache-2.0
//
// The Map-Referral (RFC 8111 6.4), a DDT node's answer to a Map-Resolver. We read it, for those who look at recordings; nothing of ours asks
// a DDT node.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────┼───────────────────────────────────────┼───────────────┤  0
//    │type 6 │               reserved                │ record count  │
//    ├───────┴───────────────────────────────────────┴───────────────┤  4
//    │                            nonce, 64 bits                     │
//    ├────────────────────────────────────────────────────────────────  12
//    │ records …
//
// A record looks like an EID-record with other names in the third word: the referral count, then ACT, A, I (incomplete) and reserved bits;
// 4 bits of signature count before the map-version. Signatures, which nobody has deployed, are refused.

/// A Map-Referral.
public struct MapReferral: Hashable, Sendable {
  /// The 20 bits between type and record count, in their places in the first word.
  public var flags: UInt32 = 0
  public var nonce: UInt64
  public var records: [EIDRecord]

  private static let kept: UInt32 = 0x0FFF_FF00

  public init(nonce: UInt64, records: [EIDRecord]) {
    self.nonce = nonce
    self.records = records
  }

  /// Of a whole message, its first word included.
  init(parsing reader: inout ControlReader) throws(WireError) {
    let word = try reader.u32(.mapReferral)
    flags = word & Self.kept
    nonce = try reader.u64(.mapReferral)
    records = try [EIDRecord](parsing: &reader, count: UInt8(truncatingIfNeeded: word))
    if let signed = records.first(where: { $0.versionWord >> 12 != 0 }) {
      throw .invalid(.mapReferral, field: "signature count", value: UInt64(signed.versionWord >> 12))
    }
    try reader.requireEnd(.mapReferral)
  }

  func emit(into writer: inout ControlWriter) {
    writer.u32(ControlMessageType.mapReferral.bits | flags & Self.kept | UInt32(UInt8(clamping: records.count)))
    writer.u64(nonce)
    records.emit(into: &writer)
  }
}

/// What a DDT node's record says of the way on: the ACT bits of a Map-Referral (RFC 8111 6.4.1).
public enum ReferralAction: UInt8, Sendable, CaseIterable {
  case nodeReferral = 0
  case mapServerReferral = 1
  case mapServerAck = 2
  case mapServerNotRegistered = 3
  case delegationHole = 4
  case notAuthoritative = 5
}

extension EIDRecord {
  /// Of a record in a Map-Referral; nil for the codes 6 and 7, which mean nothing.
  public var referralAction: ReferralAction? { ReferralAction(rawValue: action.rawValue) }
  /// I: the node does not know all Map-Servers of the prefix.
  public var isReferralIncomplete: Bool { reserved >> 11 & 1 == 1 }
}
