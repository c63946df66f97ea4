// SPDX-License-Identifier: Apache-2.0
//
// What the suites of the ITR's state machines have in common: a clock that stands until a test moves it, addresses, messages, and a look
// into what was sent.

import MapCache
import Testing
import Wire

@testable import ControlPlane

/// Any instant: the machines see differences only.
let start = ContinuousClock.now

/// To the microsecond.
func at(_ seconds: Double) -> Instant { start + .microseconds(Int64((seconds * 1_000_000).rounded())) }

func address(_ text: String) -> IPAddress {
  guard let address = IPAddress(text) else { preconditionFailure("not an address: \(text)") }
  return address
}

func eid(_ text: String, in instance: UInt32 = 0) -> EIDPrefix {
  guard let prefix = try? IPPrefix(parsing: text) else { preconditionFailure("not a prefix: \(text)") }
  return EIDPrefix(InstanceID(truncating: instance), prefix)
}

enum Sample {
  static let ownRLOC = address("192.0.2.1")
  static let ownRLOC6 = address("2001:db8:ffff::1")
  static let resolverA = address("198.51.100.1")
  static let resolverB = address("198.51.100.2")
  static let remote = address("203.0.113.9")
  static let host = address("10.1.0.1")
  static let arrival = Arrival(from: Endpoint(remote), to: ownRLOC)

  static func resolver(_ limits: Resolver.Limits = .init(), resolvers: [IPAddress] = [resolverA, resolverB]) -> Resolver {
    var resolver = Resolver(limits: limits, random: NonceSource(seed: 1))
    resolver.setRLOCs([ownRLOC, ownRLOC6])
    resolver.setResolvers(resolvers)
    return resolver
  }

  static func record(_ prefix: String, ttl: UInt32 = 60, in instance: UInt32 = 0, locators: [IPAddress] = [remote]) -> EIDRecord {
    EIDRecord(eid(prefix, in: instance), ttl: ttl, isAuthoritative: true, locators: locators.map { LocatorRecord(.ip($0)) })
  }
}

/// The Map-Request in a datagram, within an Encapsulated Control Message or not.
func request(_ datagram: Datagram?) throws -> MapRequest {
  let datagram = try #require(datagram)
  switch try ControlMessage(parsing: datagram.payload) {
  case .mapRequest(let request): return request
  case .encapsulated(let envelope):
    guard case .mapRequest(let request) = try ControlMessage(parsing: envelope.message) else { break }
    return request
  case .mapReply, .mapRegister, .mapNotify, .mapNotifyAck, .mapReferral: break
  }
  throw NotARequest()
}

struct NotARequest: Error {}

extension [ITRAction] {
  var datagrams: [Datagram] { compactMap { if case .send(let datagram) = $0 { datagram } else { nil } } }
  var installs: [[LearnedMapping]] { compactMap { if case .install(let mappings) = $0 { mappings } else { nil } } }
  var refusals: [Refusal] { compactMap { if case .refused(let refusal) = $0 { refusal } else { nil } } }
}

extension Resolver.MissAnswer {
  var datagram: Datagram? { if case .wait(let datagram) = self { datagram } else { nil } }
}

extension Resolver {
  mutating func miss(_ destination: String, in instance: UInt32 = 0, now: Instant) -> MissAnswer {
    miss(eid: address(destination), in: InstanceID(truncating: instance), source: Sample.host, now: now)
  }

  /// The nonce of a new request for `destination`.
  mutating func nonce(_ destination: String, now: Instant) throws -> UInt64 { try request(miss(destination, now: now).datagram).nonce }
}
