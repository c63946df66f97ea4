// SPDX-License-Identifier: Apache-2.0
//
// What Map-Notifies can do to the registrar, and above all what they cannot.

import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct ETRNotifyTests {
  private static let arrival = Arrival(from: Endpoint(RegistrarWorld.serverAddress), to: RegistrarWorld.siteAddress)
  private static let now = Simulation.start

  /// A registrar that has registered `count` prefixes, unanswered, and what it sent.
  private func registered(_ count: Int = 2) throws -> (Registrar, MapRegister) {
    var registrar = RegistrarWorld.registrar(seconds: 800_000_000)
    var actions = registrar.update(try RegistrarWorld.database(count), now: Self.now)
    actions += registrar.configure([RegistrationServer(Self.arrival.from, key: RegistrarWorld.key)], now: Self.now)
    guard case .send(let datagram) = try #require(actions.first),
      case .mapRegister(let register) = try ControlMessage(parsing: datagram.payload)
    else { throw Unexpected() }
    return (registrar, register)
  }
  private struct Unexpected: Error {}

  private func receive(
    _ registrar: inout Registrar, _ notify: MapNotify, _ key: AuthenticationKey = RegistrarWorld.key, from arrival: Arrival = arrival
  ) throws -> [RegistrarAction] {
    let bytes = key.sign(notify: notify)
    guard case .mapNotify(let parsed) = try ControlMessage(parsing: bytes) else { throw Unexpected() }
    return registrar.receive(parsed, bytes: bytes, arrival, now: Self.now + .seconds(0.5))
  }

  private func kinds(_ registrar: Registrar) -> [RegistrationState.Kind] {
    registrar.registrations.flatMap { $0.statuses.map(\.status.state.kind) }
  }

  /// All that can be seen of a registrar.
  private func picture(_ registrar: Registrar) -> String { "\(registrar.registrations) \(String(describing: registrar.nextDeadline))" }

  @Test func `C8 a Map-Notify is obeyed with nonce and key, and once`() throws {
    var (registrar, register) = try registered()
    let notify = MapNotify(nonce: register.nonce, records: register.records)
    let before = picture(registrar)
    #expect(try receive(&registrar, notify, AuthenticationKey(id: 1, secret: [1])) == [.refused(.wrongKey)])
    #expect(try receive(&registrar, notify, AuthenticationKey(id: 2, secret: Array("a secret".utf8))) == [.refused(.wrongKey)])
    #expect(picture(registrar) == before)
    guard case .report = try #require(receive(&registrar, notify).first) else { throw Unexpected() }
    #expect(kinds(registrar) == [.registered, .registered])
    let after = picture(registrar)
    #expect(try receive(&registrar, notify) == [.refused(.unknownNonce)])
    #expect(picture(registrar) == after)
  }

  @Test func `C8 a Map-Notify about a prefix that was not in the register is refused`() throws {
    var (registrar, register) = try registered()
    let strange = EIDRecord(RegistrarWorld.eid(77), ttl: 1440)
    #expect(try receive(&registrar, MapNotify(nonce: register.nonce, records: register.records + [strange])) == [.refused(.badRecord)])
    var nameless = register.records
    nameless[0].eid = .none
    #expect(try receive(&registrar, MapNotify(nonce: register.nonce, records: nameless)) == [.refused(.badRecord)])
    #expect(kinds(registrar) == [.registering, .registering])
  }

  @Test func `C8 the answer to any of the retransmissions counts, that to what has changed since does not`() throws {
    var (registrar, register) = try registered()
    var now = Self.now
    for _ in 0..<3 {
      now = try #require(registrar.nextDeadline)
      _ = registrar.tick(now: now)
    }
    var (other, same) = (registrar, registrar)
    #expect(try receive(&same, MapNotify(nonce: register.nonce, records: register.records)).count == 1)
    #expect(kinds(same) == [.registered, .registered])
    _ = other.update(try RegistrarWorld.database(3), now: now)
    #expect(try receive(&other, MapNotify(nonce: register.nonce, records: register.records)) == [.refused(.unknownNonce)])
    #expect(kinds(other) == [.unanswered, .unanswered, .registering])
  }

  @Test func `no more than eight nonces of a batch are waited for`() throws {
    var (registrar, register) = try registered()
    for _ in 0..<20 { _ = registrar.tick(now: try #require(registrar.nextDeadline)) }
    let last = registrar.lastNonce
    #expect(last == register.nonce + 20)
    for (nonce, isAwaited) in [(register.nonce, false), (last - 8, false), (last - 7, true), (last, true)] {
      var copy = registrar
      let isRefused = try receive(&copy, MapNotify(nonce: nonce, records: register.records)) == [.refused(.unknownNonce)]
      #expect(isRefused != isAwaited)
    }
  }

  @Test func `truncated, changed and random Map-Notifies change nothing`() throws {
    var (registrar, register) = try registered()
    let before = picture(registrar)
    let bytes = RegistrarWorld.key.sign(notify: MapNotify(nonce: register.nonce, records: register.records, identity: register.identity))
    var random = SplitMix64(seed: 99)
    var refusals = 0
    func check(_ hostile: [UInt8]) {
      guard case .mapNotify(let parsed) = try? ControlMessage(parsing: hostile) else { return }
      let actions = registrar.receive(parsed, bytes: hostile, Self.arrival, now: Self.now)
      guard case .refused = actions.first, actions.count == 1 else {
        Issue.record("\(actions) for \(hostile)")
        return
      }
      refusals += 1
    }
    for count in 0..<bytes.count { check(Array(bytes.prefix(count))) }
    for i in bytes.indices {
      for bit in 0..<8 {
        var changed = bytes
        changed[i] ^= 1 << UInt8(bit)
        check(changed)
      }
    }
    for _ in 0..<2000 {
      var noise = bytes
      for _ in 0...random.below(8) { noise[random.below(noise.count)] = UInt8(truncatingIfNeeded: random.next()) }
      noise[0] = noise[0] & 0x0F | 0x40
      if noise != bytes { check(noise) }
    }
    #expect(refusals > 1000)
    #expect(picture(registrar) == before)
    guard case .mapNotify(let whole) = try ControlMessage(parsing: bytes) else { throw Unexpected() }
    #expect(registrar.receive(whole, bytes: bytes, Self.arrival, now: Self.now).count == 1)
    #expect(kinds(registrar) == [.registered, .registered])
  }
}

// MARK: - Unsolicited

extension ETRNotifyTests {
  private static let merged = EIDRecord(
    RegistrarWorld.eid(0), ttl: 1440,
    locators: [LocatorRecord(.ip(RegistrarWorld.siteAddress)), LocatorRecord(.ip(.v4(IPv4Address(192, 0, 2, 2))))])

  private func acknowledgement(_ actions: [RegistrarAction]) throws -> MapNotify {
    guard case .send(let datagram) = try #require(actions.first),
      case .mapNotifyAck(let message) = try ControlMessage(parsing: datagram.payload)
    else { throw Unexpected() }
    #expect(datagram.destination == Self.arrival.from && datagram.source == Self.arrival.to)
    #expect(RegistrarWorld.key.verifies(datagram.payload, type: .mapNotifyAck, nonce: message.nonce, fields: message.authentication))
    return message
  }

  @Test func `C8 an unsolicited Map-Notify is verified, shown and acknowledged`() throws {
    var (registrar, _) = try registered()
    let notify = MapNotify(nonce: 41, records: [Self.merged])
    #expect(registrar.isAddressed(by: notify))
    let message = try acknowledgement(receive(&registrar, notify))
    #expect(message.nonce == 41 && message.records == [Self.merged])
    #expect(registrar.registrations[0].statuses[0].status.serverLocators == Self.merged.locators)
  }

  @Test func `C8 a repeated unsolicited Map-Notify is acknowledged again and obeyed once; one with a lower nonce is no older`() throws {
    var (registrar, _) = try registered()
    _ = try receive(&registrar, MapNotify(nonce: 41, records: [Self.merged]))
    var changed = Self.merged
    changed.locators = []
    let again = try receive(&registrar, MapNotify(nonce: 41, records: [changed]))
    #expect(try acknowledgement(again).nonce == 41 && again.last == .refused(.replayed))
    #expect(registrar.registrations[0].statuses[0].status.serverLocators == Self.merged.locators)
    // Servers take any nonces for these.
    #expect(try acknowledgement(receive(&registrar, MapNotify(nonce: 40, records: [changed]))).nonce == 40)
    #expect(registrar.registrations[0].statuses[0].status.serverLocators.isEmpty)
  }

  @Test func `C8 an unsolicited Map-Notify of a stranger, with a wrong key or about others' EIDs is refused`() throws {
    var (registrar, _) = try registered()
    let notify = MapNotify(nonce: 41, records: [Self.merged])
    let stranger = Arrival(from: Endpoint(.v4(IPv4Address(203, 0, 113, 9))), to: Self.arrival.to)
    #expect(try receive(&registrar, notify, from: stranger) == [.refused(.unknownNonce)])
    #expect(try receive(&registrar, notify, AuthenticationKey(id: 1, secret: [])) == [.refused(.wrongKey)])
    let others = MapNotify(nonce: 41, records: [EIDRecord(RegistrarWorld.eid(77), ttl: 5)])
    #expect(!registrar.isAddressed(by: others))
    #expect(try receive(&registrar, others) == [.refused(.badRecord)])
    #expect(registrar.registrations[0].statuses[0].status.serverLocators.isEmpty)
    #expect(try acknowledgement(receive(&registrar, notify)).nonce == 41, "what was refused used no nonce up")
  }
}
