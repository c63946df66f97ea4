// SPDX-License-Identifier: Apache-2.0
//
// The least Map-Server that the registrar can be tried against: it verifies, wants nonces to ascend, keeps what it is told for three minutes and
// confirms. What it can be made to do wrong is a property. The real one is MapServer.

import Wire

@testable import ControlPlane

final class ModelMapServer: SimulatedNode {
  struct Registration: Equatable {
    var locators: [LocatorRecord]
    var expires: Instant
    var flags: MapRegister.Flags
  }

  let addresses: [IPAddress]
  var key: AuthenticationKey
  /// Confirms what it accepts.
  var answers = true
  /// Leaves these out.
  var notAllowed: Set<EIDPrefix> = []
  private(set) var registrations: [EIDPrefix: Registration] = [:]
  /// Register messages that came, whatever became of them, by the address they came from.
  private(set) var arrivals: [IPAddress: [Instant]] = [:]
  private(set) var largestMessage = 0
  private(set) var wrongKeyCount = 0
  private(set) var replayedCount = 0
  private(set) var acknowledgements: [MapNotify] = []
  private var lastNonces: [XTRIdentity?: UInt64] = [:]

  init(_ address: IPAddress, key: AuthenticationKey) {
    addresses = [address]
    self.key = key
  }

  /// Loses all it knows of registrations; nonces it keeps (RFC 9301 5.6).
  func forgetRegistrations() { registrations = [:] }

  func isRegistered(_ eid: EIDPrefix, at now: Instant) -> Bool { registrations[eid].map { $0.expires > now } ?? false }

  var nextDeadline: Instant? { nil }
  func tick(now: Instant) -> [Datagram] { [] }

  func receive(_ bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [Datagram] {
    switch try? ControlMessage(parsing: bytes) {
    case .mapRegister(let register):
      arrivals[arrival.from.address, default: []].append(now)
      largestMessage = max(largestMessage, bytes.count)
      return receive(register, bytes, arrival, now)
    case .mapNotifyAck(let acknowledgement):
      if key.verifies(bytes, type: .mapNotifyAck, nonce: acknowledgement.nonce, fields: acknowledgement.authentication) {
        acknowledgements.append(acknowledgement)
      }
      return []
    case .mapRequest, .mapReply, .mapNotify, .mapReferral, .encapsulated, nil: return []
    }
  }

  private func receive(_ register: MapRegister, _ bytes: [UInt8], _ arrival: Arrival, _ now: Instant) -> [Datagram] {
    guard key.verifies(bytes, type: .mapRegister, nonce: register.nonce, fields: register.authentication) else {
      wrongKeyCount += 1
      return []
    }
    guard register.nonce > lastNonces[register.identity] ?? 0 else {
      replayedCount += 1
      return []
    }
    lastNonces[register.identity] = register.nonce
    let accepted = register.records.filter { $0.eidPrefix.map { !notAllowed.contains($0) } ?? false }
    for record in accepted {
      guard let eid = record.eidPrefix else { continue }
      let lifetime: Duration = register.flags.contains(.useTTL) ? .seconds(60 * Int64(record.ttl)) : .seconds(180)
      registrations[eid] =
        record.ttl == 0 ? nil : Registration(locators: record.locators, expires: now + lifetime, flags: register.flags)
    }
    guard answers, register.flags.contains(.wantNotify) else { return [] }
    let notify = MapNotify(nonce: register.nonce, records: accepted, identity: register.identity)
    return [Datagram(key.sign(notify: notify), to: arrival.from, from: arrival.to)]
  }
}
