// SPDX-License-Identifier: Apache-2.0
//
// The Map-Register (RFC 9301 5.6): an ETR tells a Map-Server which EID-prefixes it serves.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────┼─┼─┼─┼───────────────────────┼─┼─┼─┼─┼─┼───────────────┤  0
//    │type 3 │P│S│I│       reserved        │E│T│a│R│M│ record count  │
//    ├───────┴─┴─┴─┴───────────────────────┴─┴─┴─┴─┴─┴───────────────┤  4
//    │ nonce and authentication: see AuthenticationFields            │
//    ├────────────────────────────────────────────────────────────────
//    │ EID-records …
//    ├────────────────────────────────────────────────────────────────     with I
//    │ xTR-ID, 128 bits, and site-ID, 64 bits

/// A Map-Register.
public struct MapRegister: Hashable, Sendable {
  /// The bits between type and record count, in their places in the first word. I follows from what is there and is not kept.
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// P: the Map-Server may answer for us.
    public static let proxyReply = Flags(rawValue: 1 << 27)
    /// S: the ETR does LISP-SEC.
    public static let securityCapable = Flags(rawValue: 1 << 26)
    /// E: the EID-prefixes are not covered by others of the site.
    public static let explicitPrefix = Flags(rawValue: 1 << 12)
    /// T: the Map-Server is to time the registration out by its TTL, not after three minutes.
    public static let useTTL = Flags(rawValue: 1 << 11)
    /// a: the locators are merged with those that other xTRs of the site register.
    public static let merge = Flags(rawValue: 1 << 10)
    /// M: wants a Map-Notify.
    public static let wantNotify = Flags(rawValue: 1 << 8)

    static let xtrIdentityPresent: UInt32 = 1 << 25
    static let kept: UInt32 = 0x0FFF_FF00 & ~xtrIdentityPresent
  }

  public var flags: Flags
  public var nonce: UInt64
  public var authentication: AuthenticationFields
  /// At most 255.
  public var records: [EIDRecord]
  /// Who registers (I).
  public var identity: XTRIdentity?

  public init(
    nonce: UInt64, flags: Flags, authentication: AuthenticationFields = .init(), records: [EIDRecord], identity: XTRIdentity? = nil
  ) {
    self.flags = flags
    self.nonce = nonce
    self.authentication = authentication
    self.records = records
    self.identity = identity
  }

  /// Of a whole message, its first word included.
  init(parsing reader: inout ControlReader) throws(WireError) {
    let word = try reader.u32(.mapRegister)
    flags = Flags(rawValue: word & Flags.kept)
    nonce = try reader.u64(.mapRegister)
    authentication = try AuthenticationFields(parsing: &reader, .mapRegister)
    records = try [EIDRecord](parsing: &reader, count: UInt8(truncatingIfNeeded: word))
    if word & Flags.xtrIdentityPresent != 0 { identity = try XTRIdentity(parsing: &reader) }
    try reader.requireEnd(.mapRegister)
  }

  func emit(into writer: inout ControlWriter) {
    var word = ControlMessageType.mapRegister.bits | flags.rawValue & Flags.kept | UInt32(UInt8(clamping: records.count))
    if identity != nil { word |= Flags.xtrIdentityPresent }
    writer.u32(word)
    writer.u64(nonce)
    authentication.emit(into: &writer)
    records.emit(into: &writer)
    identity?.emit(into: &writer)
  }
}
