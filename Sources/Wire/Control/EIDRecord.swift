// SPDX-License-Identifier: Apache-2.0
//
// The EID-record that Map-Replies, Map-Registers and Map-Notifies carry (RFC 9301 5.4): an EID-prefix and its locators.
//
//     0                   1                   2                   3
//     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//    ├───────────────────────────────────────────────────────────────┤  0
//    │                     record TTL in minutes                     │
//    ├───────────────┬───────────────┬─────┬─┬───────────────────────┤  4
//    │ locator count │ EID mask-len  │ ACT │A│       reserved        │
//    ├───────┬───────┴───────────────┼─────┴─┴───────────────────────┤  8
//    │ rsvd  │      map-version      │            EID-AFI            │
//    ├───────┴───────────────────────┴───────────────────────────────┤ 12
//    │ EID-prefix …                                                  │
//    ├───────────────┬───────────────┬───────────────┬───────────────┤  then as many RLOC-records as the locator count says
//    │   priority    │    weight     │  m-priority   │   m-weight    │
//    ├───────────────┴─────────┬─┬─┬─┼───────────────┴───────────────┤  4
//    │          unused         │L│p│R│            Loc-AFI            │
//    ├─────────────────────────┴─┴─┴─┴───────────────────────────────┤  8
//    │ locator …

/// What to do with packets whose destination has no locators: the ACT bits (RFC 9301 5.4).
public struct MapAction: RawRepresentable, Hashable, Sendable {
  /// 0…7.
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue & 7 }

  public static let noAction = MapAction(rawValue: 0)
  public static let nativelyForward = MapAction(rawValue: 1)
  public static let sendMapRequest = MapAction(rawValue: 2)
  public static let drop = MapAction(rawValue: 3)
  public static let policyDenied = MapAction(rawValue: 4)
  public static let authenticationFailure = MapAction(rawValue: 5)
}

/// An RLOC-record.
public struct LocatorRecord: Hashable, Sendable {
  /// Lowest wins, 255 is never used for unicast.
  public var priority: UInt8
  public var weight: UInt8
  public var multicastPriority: UInt8 = 255
  public var multicastWeight: UInt8 = 0
  public var flags: Flags
  public var address: AFIAddress

  /// The 16 bits before the Loc-AFI.
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// L: the locator is the answering ETR's own.
    public static let local = Flags(rawValue: 4)
    /// p: the locator that was probed.
    public static let probed = Flags(rawValue: 2)
    /// R: reachable from the point of view of who answers.
    public static let reachable = Flags(rawValue: 1)
  }

  public init(_ address: AFIAddress, priority: UInt8 = 1, weight: UInt8 = 100, flags: Flags = .reachable) {
    self.address = address
    self.priority = priority
    self.weight = weight
    self.flags = flags
  }

  init(parsing reader: inout ControlReader) throws(WireError) {
    let preferences = try reader.u32(.locatorRecord)
    priority = UInt8(truncatingIfNeeded: preferences >> 24)
    weight = UInt8(truncatingIfNeeded: preferences >> 16)
    multicastPriority = UInt8(truncatingIfNeeded: preferences >> 8)
    multicastWeight = UInt8(truncatingIfNeeded: preferences)
    flags = Flags(rawValue: try reader.u16(.locatorRecord))
    address = try AFIAddress(parsing: &reader)
  }

  func emit(into writer: inout ControlWriter) {
    writer.u8(priority)
    writer.u8(weight)
    writer.u8(multicastPriority)
    writer.u8(multicastWeight)
    writer.u16(flags.rawValue)
    address.emit(into: &writer)
  }
}

/// An EID-record with its RLOC-records.
public struct EIDRecord: Hashable, Sendable {
  /// In minutes; 0 removes, 0xFFFFFFFF is the receiver's choice.
  public var ttl: UInt32
  /// Of the prefix, also where the EID is one in an instance-ID LCAF.
  public var maskLength: UInt8
  public var action: MapAction
  public var isAuthoritative: Bool
  /// The 12 bits after A.
  public var reserved: UInt16 = 0
  /// 4 reserved bits, then the 12-bit map-version (RFC 9302): 0 means none.
  public var versionWord: UInt16 = 0
  public var eid: AFIAddress
  /// At most 255.
  public var locators: [LocatorRecord]

  public static let receiverChoosesTTL: UInt32 = 0xFFFF_FFFF

  public init(
    _ eid: EIDPrefix, ttl: UInt32, action: MapAction = .noAction, isAuthoritative: Bool = false, locators: [LocatorRecord] = []
  ) {
    self.ttl = ttl
    self.action = action
    self.isAuthoritative = isAuthoritative
    self.locators = locators
    maskLength = UInt8(eid.prefix.length)
    self.eid = AFIAddress(eid.prefix.address, in: eid.instanceID)
  }

  /// The EID-prefix; nil when the EID is not an IP address (in an instance), or the mask does not fit it. Host bits are cut.
  public var eidPrefix: EIDPrefix? { EIDPrefix(eid, maskLength: maskLength) }

  public var mapVersion: UInt16 { versionWord & 0xFFF }

  public init(parsing reader: inout ControlReader) throws(WireError) {
    ttl = try reader.u32(.eidRecord)
    let count = try reader.u8(.eidRecord)
    maskLength = try reader.u8(.eidRecord)
    let word = try reader.u16(.eidRecord)
    action = MapAction(rawValue: UInt8(truncatingIfNeeded: word >> 13))
    isAuthoritative = word >> 12 & 1 == 1
    reserved = word & 0xFFF
    versionWord = try reader.u16(.eidRecord)
    eid = try AFIAddress(parsing: &reader)
    locators = []
    // A record of a locator has 8 bytes at least: what the count claims beyond that is not worth the room.
    locators.reserveCapacity(min(Int(count), reader.remaining / 8))
    for _ in 0..<count { locators.append(try LocatorRecord(parsing: &reader)) }
  }

  public func emit(into writer: inout ControlWriter) {
    writer.u32(ttl)
    writer.u8(UInt8(clamping: locators.count))
    writer.u8(maskLength)
    writer.u16(UInt16(action.rawValue) << 13 | (isAuthoritative ? 1 << 12 : 0) | reserved & 0xFFF)
    writer.u16(versionWord)
    eid.emit(into: &writer)
    for locator in locators.prefix(255) { locator.emit(into: &writer) }
  }
}

extension EIDPrefix {
  /// From an EID and a mask length of a record; nil when the EID is not an IP address (in an instance) or the mask does not fit.
  public init?(_ eid: AFIAddress, maskLength: UInt8) {
    guard let (instance, address) = eid.ipInInstance, Int(maskLength) <= address.family.bitWidth else { return nil }
    self.init(instance, IPPrefix(masking: address, length: Int(maskLength)))
  }
}

extension [EIDRecord] {
  /// `count` records.
  init(parsing reader: inout ControlReader, count: UInt8) throws(WireError) {
    self = []
    for _ in 0..<count { append(try EIDRecord(parsing: &reader)) }
  }

  func emit(into writer: inout ControlWriter) { for record in prefix(255) { record.emit(into: &writer) } }
}
