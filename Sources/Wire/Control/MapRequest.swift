// SPDX-License-Identifier: Apache-2.0
//
// The Map-Request (RFC 9301 5.2; I and N from RFC 9437): asks for the mapping of an EID. With P it probes an RLOC, with S it solicits a
// Map-Request from the receiver.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────┼─┼─┼─┼─┼─┼─┼─┼─┼─────────┼─┼─┼─────────┼───────────────┤  0
//    │type 1 │A│M│P│S│p│s│R│I│  rsvd   │L│D│   IRC   │ record count  │
//    ├───────┴─┴─┴─┴─┴─┴─┴─┴─┴─────────┴─┴─┴─────────┴───────────────┤  4
//    │                            nonce, 64 bits                     │
//    ├───────────────────────────────┬───────────────────────────────┤ 12
//    │        source-EID-AFI         │  source EID …
//    ├───────────────────────────────┼───────────────────────────────┤     IRC + 1 times
//    │          ITR-RLOC-AFI         │  ITR-RLOC address …
//    ├─┬─────────────┬───────────────┼───────────────────────────────┤     as many as the record count says
//    │N│  reserved   │ EID mask-len  │        EID-prefix-AFI         │
//    ├─┴─────────────┴───────────────┴───────────────────────────────┤
//    │ EID-prefix …
//    ├────────────────────────────────────────────────────────────────     with M
//    │ EID-record of the source EID
//    ├────────────────────────────────────────────────────────────────     with I
//    │ xTR-ID, 128 bits, and site-ID, 64 bits

/// A Map-Request.
public struct MapRequest: Hashable, Sendable {
  /// The bits between type and IRC, in their places in the first word. M and I follow from what is there and are not kept.
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// A: only an ETR of the EID may answer.
    public static let authoritative = Flags(rawValue: 1 << 27)
    /// P: a probe of an RLOC.
    public static let probe = Flags(rawValue: 1 << 25)
    /// S: a solicit-map-request.
    public static let solicit = Flags(rawValue: 1 << 24)
    /// p: sent by a PITR.
    public static let proxyITR = Flags(rawValue: 1 << 23)
    /// s: sent because of an SMR.
    public static let invokedBySolicit = Flags(rawValue: 1 << 22)
    /// L: sent by an xTR of the site itself.
    public static let localXTR = Flags(rawValue: 1 << 14)
    /// D: wants no reply to the request that the data in it would cause.
    public static let dontMapReply = Flags(rawValue: 1 << 13)

    static let mapDataPresent: UInt32 = 1 << 26
    static let xtrIdentityPresent: UInt32 = 1 << 20
    /// Everything but type, M, I, IRC and record count.
    static let kept: UInt32 = 0x0FFF_E000 & ~(mapDataPresent | xtrIdentityPresent)
  }

  /// An EID-prefix asked for.
  public struct Record: Hashable, Sendable {
    /// N and 7 reserved bits.
    public var flags: UInt8 = 0
    public var maskLength: UInt8
    public var eid: AFIAddress

    static let subscribeBit: UInt8 = 0x80

    public init(_ eid: EIDPrefix, subscribes: Bool = false) {
      flags = subscribes ? Self.subscribeBit : 0
      maskLength = UInt8(eid.prefix.length)
      self.eid = AFIAddress(eid.prefix.address, in: eid.instanceID)
    }

    /// N: wants a Map-Notify now and whenever the mapping changes (RFC 9437 section 5).
    public var subscribes: Bool { flags & Self.subscribeBit != 0 }

    /// nil when the EID is not an IP address (in an instance), or the mask does not fit it.
    public var eidPrefix: EIDPrefix? { EIDPrefix(eid, maskLength: maskLength) }

    init(parsing reader: inout ControlReader) throws(WireError) {
      flags = try reader.u8(.mapRequest)
      maskLength = try reader.u8(.mapRequest)
      eid = try AFIAddress(parsing: &reader)
    }

    func emit(into writer: inout ControlWriter) {
      writer.u8(flags)
      writer.u8(maskLength)
      eid.emit(into: &writer)
    }
  }

  public var flags: Flags
  public var nonce: UInt64
  public var sourceEID: AFIAddress
  /// 1…32: where the answer may go.
  public var itrRLOCs: [AFIAddress]
  /// At most 255; RFC 9301 5.3 asks senders for one.
  public var records: [Record]
  /// The mapping of the source EID (M).
  public var mapReplyRecord: EIDRecord?
  /// Who asks (I).
  public var identity: XTRIdentity?

  public init(
    nonce: UInt64, flags: Flags = [], sourceEID: AFIAddress = .none, itrRLOCs: [AFIAddress], records: [Record]
  ) {
    self.flags = flags
    self.nonce = nonce
    self.sourceEID = sourceEID
    self.itrRLOCs = itrRLOCs
    self.records = records
  }

  /// Of a whole message, its first word included.
  init(parsing reader: inout ControlReader) throws(WireError) {
    let word = try reader.u32(.mapRequest)
    flags = Flags(rawValue: word & Flags.kept)
    nonce = try reader.u64(.mapRequest)
    sourceEID = try AFIAddress(parsing: &reader)
    itrRLOCs = []
    for _ in 0...(word >> 8 & 0x1F) { itrRLOCs.append(try AFIAddress(parsing: &reader)) }
    records = []
    for _ in 0..<(word & 0xFF) { records.append(try Record(parsing: &reader)) }
    if word & Flags.mapDataPresent != 0 { mapReplyRecord = try EIDRecord(parsing: &reader) }
    if word & Flags.xtrIdentityPresent != 0 { identity = try XTRIdentity(parsing: &reader) }
    try reader.requireEnd(.mapRequest)
  }

  func emit(into writer: inout ControlWriter) {
    var word = ControlMessageType.mapRequest.bits | flags.rawValue & Flags.kept | UInt32(UInt8(clamping: records.count))
    word |= UInt32(max(itrRLOCs.count, 1) - 1) << 8 & 0x1F00
    if mapReplyRecord != nil { word |= Flags.mapDataPresent }
    if identity != nil { word |= Flags.xtrIdentityPresent }
    writer.u32(word)
    writer.u64(nonce)
    sourceEID.emit(into: &writer)
    for rloc in itrRLOCs.isEmpty ? [.none] : itrRLOCs.prefix(32) { rloc.emit(into: &writer) }
    for record in records.prefix(255) { record.emit(into: &writer) }
    mapReplyRecord?.emit(into: &writer)
    identity?.emit(into: &writer)
  }
}
