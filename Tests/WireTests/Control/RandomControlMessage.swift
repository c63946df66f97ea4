// SPDX-License-Identifier: Apache-2.0
//
// Control messages by chance, every type and every LCAF among them, all of them legal. For the round trips of ControlMessageTests.

import TestSupport
import Wire

extension SplitMix64 {
  mutating func controlMessage(_ type: ControlMessageType) -> ControlMessage {
    switch type {
    case .mapRequest: .mapRequest(mapRequest())
    case .mapReply: .mapReply(MapReply(nonce: next(), flags: .init(rawValue: bits(0x0DFF_FF00)), records: eidRecords()))
    case .mapRegister:
      .mapRegister(
        MapRegister(
          nonce: next(), flags: .init(rawValue: bits(0x0DFF_FF00)), authentication: authenticationFields(), records: eidRecords(),
          identity: identity()))
    case .mapNotify: .mapNotify(mapNotify())
    case .mapNotifyAck: .mapNotifyAck(mapNotify())
    case .mapReferral: .mapReferral(mapReferral())
    case .encapsulatedControl: .encapsulated(encapsulated())
    }
  }

  private mutating func bits(_ mask: UInt32) -> UInt32 { UInt32(truncatingIfNeeded: next()) & mask }
  private mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }
  private mutating func word() -> UInt16 { UInt16(truncatingIfNeeded: next()) }
  private mutating func chance(_ bound: Int) -> Bool { below(bound) == 0 }

  /// Few as a rule, now and then as many as the count can say.
  private mutating func count(upTo limit: Int) -> Int { chance(16) ? limit : below(min(limit, 4) + 1) }

  private mutating func mapRequest() -> MapRequest {
    var records: [MapRequest.Record] = []
    for _ in 0..<count(upTo: 255) {
      var record = MapRequest.Record(EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 0, 0, 0)), length: 8)))
      (record.flags, record.maskLength, record.eid) = (byte(), byte(), address())
      records.append(record)
    }
    var request = MapRequest(
      nonce: next(), flags: .init(rawValue: bits(0x0BEF_E000)), sourceEID: address(),
      itrRLOCs: (0..<max(1, count(upTo: 32))).map { _ in address() }, records: records)
    if chance(2) { request.mapReplyRecord = eidRecord() }
    request.identity = identity()
    return request
  }

  private mutating func mapNotify() -> MapNotify {
    var notify = MapNotify(nonce: next(), authentication: authenticationFields(), records: eidRecords(), identity: identity())
    // The flag I asks for an identity; one may be there without it.
    notify.flags = bits(notify.identity == nil ? 0x07FF_FF00 : 0x0FFF_FF00)
    return notify
  }

  private mutating func mapReferral() -> MapReferral {
    var referral = MapReferral(nonce: next(), records: eidRecords())
    referral.flags = bits(0x0FFF_FF00)
    for i in referral.records.indices { referral.records[i].versionWord &= 0xFFF }
    return referral
  }

  private mutating func encapsulated() -> EncapsulatedControlMessage {
    let six = chance(2)
    let (source, destination) = (ip(six), ip(six))
    guard var message = EncapsulatedControlMessage(source: source, destination: destination, sourcePort: word(), message: octets(below(80)))
    else { fatalError("two addresses of one family") }
    message.destinationPort = word()
    message.hasChecksum = !chance(4)
    message.flags = .init(rawValue: bits(0x07FF_FFFF))
    switch (source, destination) {
    case (.v4(let a), .v4(let b)):
      message.inner = .v4(
        trafficClass: byte(), identification: word(), fragmentWord: word() & 0xC000, timeToLive: byte(), source: a, destination: b)
    case (.v6(let a), .v6(let b)):
      message.inner = .v6(firstWord: 6 << 28 | bits(0x0FFF_FFFF), hopLimit: byte(), source: a, destination: b)
    case (.v4, .v6), (.v6, .v4): break
    }
    return message
  }

  private mutating func authenticationFields() -> AuthenticationFields {
    AuthenticationFields(keyID: byte(), algorithmID: byte(), data: octets([0, 12, 16, 20, 32, 1, 255][below(7)]))
  }

  private mutating func identity() -> XTRIdentity? { chance(2) ? XTRIdentity(xtrIDHigh: next(), xtrIDLow: next(), siteID: next()) : nil }

  private mutating func eidRecords() -> [EIDRecord] { (0..<count(upTo: 255)).map { _ in eidRecord() } }

  private mutating func eidRecord() -> EIDRecord {
    var record = EIDRecord(
      EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 0, 0, 0)), length: 8)), ttl: bits(.max), action: .init(rawValue: byte()),
      isAuthoritative: chance(2))
    (record.maskLength, record.reserved, record.versionWord, record.eid) = (byte(), word() & 0xFFF, word(), address())
    for _ in 0..<count(upTo: chance(32) ? 255 : 3) {
      var locator = LocatorRecord(address(), priority: byte(), weight: byte(), flags: .init(rawValue: word()))
      (locator.multicastPriority, locator.multicastWeight) = (byte(), byte())
      record.locators.append(locator)
    }
    return record
  }

  private mutating func ip(_ six: Bool) -> IPAddress {
    six ? .v6(IPv6Address(high: next(), low: next())) : .v4(IPv4Address(rawValue: bits(.max)))
  }

  /// An address of any family; LCAFs down to four in each other.
  mutating func address(depth: Int = 0) -> AFIAddress {
    switch below(depth < 4 ? 7 : 5) {
    case 0: .none
    case 1, 2: .ip(ip(chance(2)))
    case 3: .name(octets(below(12)).map { max($0, 1) })
    case 4: .mac(MACAddress(rawValue: next()))
    default: .lcaf(lcaf(depth: depth + 1))
    }
  }

  private mutating func lcaf(depth: Int) -> LCAF {
    var lcaf = LCAF(content(depth))
    (lcaf.reserved1, lcaf.flags, lcaf.reserved2) = (byte(), byte(), byte())
    return lcaf
  }

  private mutating func content(_ depth: Int) -> LCAF.Content {
    let few = 0..<below(3)
    switch below(8) {
    case 0: return .list(few.map { _ in address(depth: depth) })
    case 1: return .instanceID(bits(.max), address(depth: depth))
    case 2:
      return .nat(
        LCAF.NAT(
          mapServerPort: word(), etrPort: word(), globalETR: address(depth: depth), mapServer: address(depth: depth),
          privateETR: address(depth: depth), rtrs: few.map { _ in address(depth: depth) }))
    case 3: return .explicitPath(few.map { _ in LCAF.Hop(address(depth: depth), flags: word()) })
    case 4:
      var key = LCAF.SourceDestination(
        source: address(depth: depth), sourceMaskLength: byte(), destination: address(depth: depth), destinationMaskLength: byte())
      key.reserved = word()
      return .sourceDestination(key)
    case 5:
      return .replicationList(
        few.map { _ in
          var replica = LCAF.Replica(address(depth: depth), level: byte())
          replica.reserved = bits(0xFF_FFFF)
          return replica
        })
    case 6: return .json(octets(below(24)), address(depth: depth))
    default: return .unknown(type: [0, 3, 4, 5, 6, 8, 9, 11, 15, 16, 255][below(11)], octets(below(24)))
    }
  }
}
