// SPDX-License-Identifier: Apache-2.0
//
// What the registrar's tests happen in: one site, one model server, and times from the start.

import Wire

@testable import ControlPlane

/// One site and a model server on a simulated network.
struct RegistrarWorld {
  static let key = AuthenticationKey(id: 1, secret: Array("a secret".utf8))
  static let identity = XTRIdentity(xtrIDHigh: 1, xtrIDLow: 2, siteID: 3)
  static let serverAddress = IPAddress.v4(IPv4Address(198, 51, 100, 1))
  static let siteAddress = IPAddress.v4(IPv4Address(192, 0, 2, 1))

  let simulation: Simulation
  let server: ModelMapServer
  let site: RegisteringSite
  var settings = RegistrationServer(Endpoint(serverAddress), key: key)

  init(
    prefixCount: Int = 1, serverKey: AuthenticationKey = key, seed: UInt64 = 1, conditions: NetworkConditions = .perfect,
    floor: UInt64 = 0
  ) throws {
    simulation = Simulation(seed: seed, conditions)
    server = ModelMapServer(Self.serverAddress, key: serverKey)
    site = RegisteringSite(Self.siteAddress, Self.registrar(seconds: 800_000_000, floor: floor))
    simulation.add(server)
    simulation.add(site)
    let (database, settings) = (try Self.database(prefixCount), self.settings)
    at(.zero) { $0.update(database, now: $1) + $0.configure([settings], now: $1) }
  }

  static func registrar(seconds: UInt32, floor: UInt64 = 0) -> Registrar {
    Registrar(identity: identity, secondsSince2000: seconds, nonceFloor: floor, random: NonceSource(seed: 5))
  }

  static func eid(_ i: Int) -> EIDPrefix {
    EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: 0x0A00_0000 | UInt32(i) << 8)), length: 24))
  }

  static func database(_ count: Int, locator: IPAddress = siteAddress) throws -> SiteDatabase {
    var database = SiteDatabase()
    _ = try database.replace(with: Dictionary(uniqueKeysWithValues: (0..<count).map { (eid($0), [SiteLocator(locator)]) }))
    return database
  }

  /// At `time`: does something to the registrar, and sends what it says.
  func at(_ time: Duration, _ body: @escaping (inout Registrar, Instant) -> [RegistrarAction]) {
    simulation.at(time) { [site] simulation in
      simulation.send(site.with { body(&$0, simulation.now) }, from: site)
    }
  }

  func run(_ end: Duration) { simulation.run(until: end) }

  /// Seconds from the start at which registers came to the server.
  var arrivals: [Double] {
    server.arrivals[Self.siteAddress, default: []].map { ($0 - Simulation.start) / .seconds(1) }
  }
  func status(_ i: Int = 0) -> RegistrationStatus? { statuses.first { $0.eid == Self.eid(i) }?.status }
  var statuses: [RegistrationFacts] { site.registrar.registrations.first?.statuses ?? [] }
}
