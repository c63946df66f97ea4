// SPDX-License-Identifier: Apache-2.0
//
// A Map-Server with two sites, and the messages that the tests send it.

import ControlPlane
import Testing
import Wire

extension EIDPrefix {
  /// "10.1.0.0/16" or "[7]10.1.0.0/16"
  init(_ text: String) {
    let parts = text.split(separator: "]")
    let instance = parts.count == 2 ? InstanceID(truncating: UInt32(parts[0].dropFirst()) ?? 0) : .zero
    guard let prefix = try? IPPrefix(parsing: String(parts[parts.count - 1])) else { fatalError("\(text) is no prefix") }
    self.init(instance, prefix)
  }
}

struct MapServerRig {
  static let key = AuthenticationKey(id: 1, secret: Array("site A's secret".utf8))
  static let secondKey = AuthenticationKey(id: 2, algorithm: .hmacSHA1, secret: Array("another secret of site A".utf8))
  static let otherKey = AuthenticationKey(id: 1, secret: Array("site B's secret".utf8))
  static let serverAddress = address("198.51.100.1")
  static let etr = Endpoint(address("192.0.2.1"), port: 61_000)
  static let itr = Endpoint(address("203.0.113.9"), port: 50_123)

  /// Site A has 10.1.0.0/16 with more specific ones, 10.9.0.0/24 without, and 2001:db8:a::/48; site B 10.1.128.0/20, and 10.2.0.0/16 in 7.
  static var sites: [MapServerSite] {
    [
      MapServerSite(
        name: "A", keys: [key, secondKey],
        allowed: [
          .init(EIDPrefix("10.1.0.0/16"), acceptsMoreSpecifics: true), .init(EIDPrefix("10.9.0.0/24")),
          .init(EIDPrefix("2001:db8:a::/48"), acceptsMoreSpecifics: true),
        ]),
      MapServerSite(
        name: "B", keys: [otherKey],
        allowed: [
          .init(EIDPrefix("10.1.128.0/20"), acceptsMoreSpecifics: true), .init(EIDPrefix("[7]10.2.0.0/16"), acceptsMoreSpecifics: true),
        ]),
    ]
  }

  var server: MapServer
  var now = ContinuousClock.now
  var nonce: UInt64 = 1000
  var actions: [MapServerAction] = []

  init(sites: [MapServerSite] = Self.sites, settings: MapServerSettings = MapServerSettings()) {
    server = MapServer(settings: settings, sites: sites, nonces: NonceSource(seed: 1))
  }

  // MARK: - What goes in

  mutating func receive(_ bytes: [UInt8], from: Endpoint) {
    actions = server.receive(bytes, Arrival(from: from, to: Self.serverAddress), now: now)
  }

  mutating func wait(_ duration: Duration) {
    actions = []
    let end = now + duration
    while let deadline = server.nextDeadline, deadline <= end {
      now = max(now, deadline)
      actions += server.tick(now)
    }
    now = end
    actions += server.tick(now)
  }

  static func record(_ eid: String, _ locators: [String], ttl: UInt32 = 1440) -> EIDRecord {
    EIDRecord(EIDPrefix(eid), ttl: ttl, locators: locators.map { LocatorRecord(.ip(address($0))) })
  }

  /// Registers and returns the refusal, if any.
  @discardableResult
  mutating func register(
    _ records: [EIDRecord], _ flags: MapRegister.Flags = [.proxyReply], xtr: UInt64? = nil, key: AuthenticationKey = Self.key,
    nonce: UInt64? = nil, from: Endpoint = Self.etr
  ) -> Refusal? {
    let identity = xtr.map { XTRIdentity(xtrIDHigh: 0, xtrIDLow: $0, siteID: 1) }
    self.nonce += 1
    return refusal(key.sign(MapRegister(nonce: nonce ?? self.nonce, flags: flags, records: records, identity: identity)), from: from)
  }

  @discardableResult
  mutating func register(
    _ eid: String, _ locators: [String] = ["192.0.2.1"], _ flags: MapRegister.Flags = [.proxyReply], xtr: UInt64? = nil
  )
    -> Refusal?
  {
    register([Self.record(eid, locators)], flags, xtr: xtr)
  }

  /// What the message is refused for.
  mutating func refusal(_ bytes: [UInt8], from: Endpoint) -> Refusal? {
    let before = server.counters
    receive(bytes, from: from)
    let after = server.counters
    let refused = Refusal.allCases.filter { before.refused[$0, default: 0] < after.refused[$0, default: 0] }
    #expect(after.accepted - before.accepted + refused.count == 1, "a message has one outcome")
    return refused.first
  }

  static func request(_ eids: [String], nonce: UInt64 = 77, itrRLOCs: [String] = ["203.0.113.9"], flags: MapRequest.Flags = [])
    -> MapRequest
  {
    MapRequest(
      nonce: nonce, flags: flags, sourceEID: .ip(address("10.1.0.1")), itrRLOCs: itrRLOCs.map { .ip(address($0)) },
      records: eids.map { .init(EIDPrefix($0)) })
  }

  static func encapsulated(_ request: MapRequest, sourcePort: UInt16 = 50_123) -> [UInt8] {
    let inner = ControlMessage.mapRequest(request).bytes
    let message = EncapsulatedControlMessage(
      source: address("10.1.0.1"), destination: address("10.1.0.2"), sourcePort: sourcePort, message: inner)
    return message.map { ControlMessage.encapsulated($0).bytes } ?? []
  }

  /// Asks for an EID and returns the records of the answer.
  mutating func ask(_ eids: String...) -> [EIDRecord] {
    receive(Self.encapsulated(Self.request(eids)), from: Self.itr)
    return replies.flatMap(\.records)
  }

  // MARK: - What came out

  var datagrams: [Datagram] {
    actions.compactMap { if case .send(let datagram) = $0 { datagram } else { nil } }
  }

  var messages: [ControlMessage] { datagrams.compactMap { try? ControlMessage(parsing: $0.payload) } }

  var replies: [MapReply] { messages.compactMap { if case .mapReply(let reply) = $0 { reply } else { nil } } }

  var notifies: [MapNotify] { messages.compactMap { if case .mapNotify(let notify) = $0 { notify } else { nil } } }

  var events: [MapServerEvent] { actions.compactMap { if case .log(let event) = $0 { event } else { nil } } }

  var stored: [MapServerRow] { actions.compactMap { if case .store(let row) = $0 { row } else { nil } } }

  var forgotten: [MapServerRow.Key] { actions.compactMap { if case .forget(let key) = $0 { key } else { nil } } }

  /// Acknowledges a Map-Notify that came to `address`.
  mutating func acknowledge(_ notify: MapNotify, from address: IPAddress, key: AuthenticationKey = Self.key) -> Refusal? {
    refusal(key.sign(acknowledgement: notify), from: Endpoint(address))
  }
}

extension EIDRecord {
  var addresses: [IPAddress] { locators.compactMap(\.address.locatorIP) }
}
