// SPDX-License-Identifier: Apache-2.0
//
// The Map-Server and Map-Resolver as a node of the simulation, with the file that its process keeps: rows are written ten times a second,
// refreshes every five. A crash loses what was not written, a restart restores the rest.

import Wire

@testable import ControlPlane

final class SimulatedMapServer: SimulatedNode {
  static let flushInterval: Duration = .milliseconds(100)
  static let touchInterval: Duration = .seconds(5)

  let addresses: [IPAddress]
  private(set) var server: MapServer
  private(set) var isRunning = true
  private(set) var sites: [MapServerSite]
  /// What the file holds, each row with the time at which it was right.
  private(set) var file: [MapServerRow.Key: (row: MapServerRow, at: Instant)] = [:]
  /// Called for every message that comes.
  var heard: ([UInt8], Arrival) -> Void = { _, _ in }
  /// Registers that came, by their source: for bounds on their rate.
  private(set) var registersFrom: [IPAddress: Int] = [:]
  private var unwritten: [(key: MapServerRow.Key, row: MapServerRow?, at: Instant)] = []
  private var nextTouch = Simulation.start
  private var starts: UInt64 = 1
  private let seed: UInt64

  init(_ address: IPAddress, _ sites: [MapServerSite], seed: UInt64) {
    addresses = [address]
    self.sites = sites
    self.seed = seed
    server = MapServer(settings: MapServerSettings(), sites: sites, nonces: NonceSource(seed: seed))
  }

  // MARK: - Life

  func crash() {
    isRunning = false
    unwritten = []
  }

  /// `losingFile`: it starts with nothing.
  func restart(losingFile: Bool = false, now: Instant) -> [Datagram] {
    if losingFile { file = [:] }
    starts += 1
    isRunning = true
    server = MapServer(settings: MapServerSettings(), sites: sites, nonces: NonceSource(seed: seed &+ starts &* 7919))
    for (key, stored) in file where !server.restore(stored.row.aged(by: now - stored.at), now: now) { file[key] = nil }
    return perform(server.tick(now), now)
  }

  func replaceSites(_ sites: [MapServerSite], now: Instant) -> [Datagram] {
    self.sites = sites
    return perform(server.replaceSites(sites, now: now), now)
  }

  // MARK: - Turns

  var nextDeadline: Instant? {
    guard isRunning else { return nil }
    let flush = unwritten.first.map { $0.at + Self.flushInterval }
    return [server.nextDeadline, flush, nextTouch].compactMap(\.self).min()
  }

  func receive(_ bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [Datagram] {
    guard isRunning else { return [] }
    heard(bytes, arrival)
    if bytes.first.map({ $0 >> 4 }) == ControlMessageType.mapRegister.rawValue { registersFrom[arrival.from.address, default: 0] += 1 }
    return perform(server.receive(bytes, arrival, now: now), now)
  }

  func tick(now: Instant) -> [Datagram] {
    guard isRunning else { return [] }
    if let first = unwritten.first, first.at + Self.flushInterval <= now { flush() }
    if nextTouch <= now {
      for row in server.touchedRows(limit: .max, now: now) { unwritten.append((row.key, row, now)) }
      nextTouch = now + Self.touchInterval
    }
    return perform(server.tick(now), now)
  }

  private func flush() {
    for (key, row, at) in unwritten { file[key] = row.map { ($0, at) } }
    unwritten = []
  }

  private func perform(_ actions: [MapServerAction], _ now: Instant) -> [Datagram] {
    var datagrams: [Datagram] = []
    for action in actions {
      switch action {
      case .send(let datagram): datagrams.append(datagram)
      case .store(let row): unwritten.append((row.key, row, now))
      case .forget(let key): unwritten.append((key, nil, now))
      case .log: break
      }
    }
    return datagrams
  }

  // MARK: - What it has

  /// The locators that are registered for exactly this prefix; nil: it is not registered.
  func locators(of eid: EIDPrefix) -> [IPAddress]? {
    server.registrations[eid].map { MapServerRecord.decoded($0.mapping)?.locators.compactMap(\.address.locatorIP) ?? [] }
  }

  /// Everything that is registered, for comparisons.
  func registered(now: Instant) -> [EIDPrefix: [IPAddress]] {
    let views = server.page(after: nil, limit: .max, now: now).registrations
    return Dictionary(uniqueKeysWithValues: views.map { ($0.eid, $0.locators.compactMap(\.address.locatorIP)) })
  }
}

extension MapServerRow {
  /// What the process reads from its file, so much later.
  fileprivate func aged(by time: Duration) -> MapServerRow {
    guard case .registration(var registration) = self else { return self }
    registration.age += time
    registration.expiresIn -= time
    return .registration(registration)
  }
}
