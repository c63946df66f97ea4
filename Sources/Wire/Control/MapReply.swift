// SPDX-License-Identifier: Apache-2.0
//
// The Map-Reply (RFC 9301 5.4): the mappings asked for, and the nonce of the question.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────┼─┼─┼─┼─────────────────────────────────┼───────────────┤  0
//    │type 2 │P│E│S│            reserved             │ record count  │
//    ├───────┴─┴─┴─┴─────────────────────────────────┴───────────────┤  4
//    │                            nonce, 64 bits                     │
//    ├────────────────────────────────────────────────────────────────  12
//    │ EID-records …

/// A Map-Reply.
public struct MapReply: Hashable, Sendable {
  /// The bits between type and record count, in their places in the first word.
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// P: answers a probe.
    public static let probe = Flags(rawValue: 1 << 27)
    /// E: the answering site does echo-nonce.
    public static let echoNonceCapable = Flags(rawValue: 1 << 26)
    /// S: LISP-SEC data follows (RFC 9303), which we do not read.
    static let security: UInt32 = 1 << 25
    static let kept: UInt32 = 0x0FFF_FF00 & ~security
  }

  public var flags: Flags
  public var nonce: UInt64
  /// At most 255. More than one where prefixes overlap (section 5.5).
  public var records: [EIDRecord]

  public init(nonce: UInt64, flags: Flags = [], records: [EIDRecord]) {
    self.flags = flags
    self.nonce = nonce
    self.records = records
  }

  /// Of a whole message, its first word included. A reply with LISP-SEC data is refused.
  init(parsing reader: inout ControlReader) throws(WireError) {
    let word = try reader.u32(.mapReply)
    guard word & Flags.security == 0 else { throw .invalid(.mapReply, field: "S bit", value: 1) }
    flags = Flags(rawValue: word & Flags.kept)
    nonce = try reader.u64(.mapReply)
    records = try [EIDRecord](parsing: &reader, count: UInt8(truncatingIfNeeded: word))
    try reader.requireEnd(.mapReply)
  }

  func emit(into writer: inout ControlWriter) {
    writer.u32(ControlMessageType.mapReply.bits | flags.rawValue & Flags.kept | UInt32(UInt8(clamping: records.count)))
    writer.u64(nonce)
    records.emit(into: &writer)
  }
  /// The bytes of a Map-Reply whose records are there in their encoded form already; at most 255.
  public static func bytes(nonce: UInt64, flags: Flags = [], encodedRecords records: ArraySlice<[UInt8]>) -> [UInt8] {
    var writer = ControlWriter(capacity: 12 + records.reduce(0) { $0 + $1.count })
    writer.u32(ControlMessageType.mapReply.bits | flags.rawValue & Flags.kept | UInt32(UInt8(clamping: records.count)))
    writer.u64(nonce)
    for record in records { writer.append(record) }
    return writer.bytes
  }
}
