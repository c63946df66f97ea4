// SPDX-License-Identifier: Apache-2.0
//
// A mapping system with everybody in it: Map-Servers, sites with an xTR each, hosts that send, and the truth about who has which EID-prefix,
// against which every packet is checked. Scenarios are suites of their own.

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

final class MappingWorld {
  struct Settings {
    var siteCount: Int
    var serverCount = 1
    var ttlMinutes: UInt32 = 5
    var probeInterval: Duration?
    /// All xTRs are of one site of the Map-Servers, so that EID-prefixes can move between them.
    var isOneSite = false
    /// A change is to be known everywhere after this time; nil: after the TTL of what was cached.
    var convergence: Duration?
    /// What the xTR of this number subscribes to.
    var subscriptions: (Int) -> [EIDPrefix] = { _ in [] }
  }

  /// How long a change may take to be registered and answered with, apart from the TTL of what is cached: several losses in a row.
  static let slack = Duration.seconds(60)

  let seed: UInt64
  let settings: Settings
  let simulation: Simulation
  let servers: [SimulatedMapServer]
  let xtrs: [SimulatedXTR]
  private(set) var random: SplitMix64
  private let owners: [IPAddress: Int]
  /// Who had a prefix from when on; no locators: nobody.
  private(set) var truth: [EIDPrefix: [(since: Instant, locators: Set<IPAddress>)]] = [:]
  /// What each xTR is to have in its database.
  private(set) var mappings: [[EIDPrefix: [SiteLocator]]]
  private(set) var failures: [String] = []
  private(set) var checkedPackets = 0

  init(_ settings: Settings, seed: UInt64, _ conditions: NetworkConditions = .hostile) {
    self.seed = seed
    self.settings = settings
    simulation = Simulation(seed: seed, conditions)
    random = SplitMix64(seed: seed &+ 1)
    let sites = Self.sites(settings)
    let addresses = (0..<settings.serverCount).map { IPAddress.v4(IPv4Address(198, 51, 100, UInt8(1 + $0))) }
    servers = addresses.enumerated().map { SimulatedMapServer($1, sites, seed: seed &* 31 &+ UInt64($0)) }
    xtrs = (0..<settings.siteCount).map { number in
      let key = Self.key(settings.isOneSite ? 0 : number)
      return SimulatedXTR(
        .init(
          addresses: Self.rlocs(number), identity: Self.identity(number), resolvers: addresses,
          servers: addresses.map { RegistrationServer(Endpoint($0), key: key) }, subscriptions: settings.subscriptions(number),
          ttlMinutes: settings.ttlMinutes, probeInterval: settings.probeInterval, seed: seed &* 100_003 &+ UInt64(number)))
    }
    owners = Dictionary(uniqueKeysWithValues: (0..<settings.siteCount).flatMap { i in Self.rlocs(i).map { ($0, i) } })
    mappings = (0..<settings.siteCount).map { [Self.eid($0): [SiteLocator(Self.rlocs($0)[0])]] }
    for server in servers { simulation.add(server) }
    for (i, xtr) in xtrs.enumerated() {
      simulation.add(xtr)
      xtr.forwarded = { [unowned self] in encapsulated($0, $1, $2, by: i) }
      xtr.notEncapsulated = { [unowned self] in notEncapsulated($0, $1) }
    }
  }

  // MARK: - Who is who

  static func rlocs(_ i: Int) -> [IPAddress] { [0, 1].map { .v4(IPv4Address(rawValue: 0xC000_0200 + UInt32(2 * i + $0))) } }
  static func eid(_ i: Int) -> EIDPrefix {
    EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: 0x0A00_0000 | UInt32(i) << 8)), length: 24))
  }
  static func host(_ i: Int, _ number: UInt8 = 7) -> IPAddress { .v4(IPv4Address(rawValue: 0x0A00_0000 | UInt32(i) << 8 | UInt32(number))) }
  static func identity(_ i: Int) -> XTRIdentity { XTRIdentity(xtrIDHigh: 7, xtrIDLow: UInt64(i), siteID: 1) }
  static func key(_ i: Int, id: UInt8 = 1) -> AuthenticationKey { AuthenticationKey(id: id, secret: Array("secret \(id) of \(i)".utf8)) }

  private static func sites(_ settings: Settings) -> [MapServerSite] {
    if settings.isOneSite {
      let all = EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 0, 0, 0)), length: 8))
      return [MapServerSite(name: "all", keys: [key(0)], allowed: [.init(all, acceptsMoreSpecifics: true)])]
    }
    return (0..<settings.siteCount).map { MapServerSite(name: "site \($0)", keys: [key($0)], allowed: [.init(eid($0))]) }
  }

  func below(_ bound: Int) -> Int { random.below(bound) }
  func isUp(_ i: Int) -> Bool { xtrs[i].isRunning }

  // MARK: - What happens

  /// The xTR begins, with what it is to have.
  func start(_ i: Int) {
    for (eid, locators) in mappings[i] { noteTruth(eid, locators) }
    simulation.send(xtrs[i].start(mappings[i], now: simulation.now), from: xtrs[i])
  }

  /// All of them, or all but one, within the first 20 seconds.
  func startAll(but late: Int? = nil) {
    for i in xtrs.indices where i != late { simulation.at(.milliseconds(below(20_000))) { [unowned self] _ in start(i) } }
  }

  /// A clean end, over half a minute later.
  func stop(_ i: Int) {
    for eid in mappings[i].keys { noteTruth(eid, []) }
    change(i) { $0.withdraw() }
    simulation.at(simulation.elapsed + .seconds(40)) { [xtr = xtrs[i]] _ in xtr.crash() }
  }

  /// Does something to an xTR, and sends what it says.
  func change(_ i: Int, _ body: (SimulatedXTR) -> Void) { simulation.send(xtrs[i].with(simulation.now, body), from: xtrs[i]) }

  /// The xTR's mappings are others now. `isTruth`: packets are to go by them; otherwise it only gives something up.
  func setMappings(_ i: Int, isTruth: Bool = true, _ body: (inout [EIDPrefix: [SiteLocator]]) -> Void) {
    let old = mappings[i]
    body(&mappings[i])
    for (eid, locators) in mappings[i] where isTruth && old[eid] != locators { noteTruth(eid, locators) }
    change(i) { [new = mappings[i]] in $0.update(new) }
  }

  private func noteTruth(_ eid: EIDPrefix, _ locators: [SiteLocator]) {
    truth[eid, default: []].append((simulation.now, Set(locators.map(\.address))))
  }

  /// From then on the network does no harm: what is to happen within a time can be asked for without exception.
  func heal(at time: Duration) { simulation.at(time) { $0.conditions = .perfect } }

  func send(from i: Int, to destination: IPAddress) { change(i) { $0.send(packetTo: destination) } }

  /// Calls `body` again and again, from a time on until another.
  func every(_ interval: Duration, from begin: Duration, until end: Duration, _ body: @escaping () -> Void) {
    guard begin <= end else { return }
    simulation.at(begin) { [unowned self] _ in
      body()
      every(interval, from: begin + interval, until: end, body)
    }
  }

  // MARK: - What is checked

  func fail(_ text: String) { if failures.count < 20 { failures.append("seed \(seed), \(simulation.elapsed): \(text)") } }

  /// A packet goes to a locator: its xTR has a peer, and the locator was the right one within the TTL of what was cached.
  private func encapsulated(_ mapping: Mapping, _ locator: IPAddress, _ destination: IPAddress, by i: Int) {
    let from = xtrs[i].addresses[0]
    if let owner = owners[locator], xtrs[owner].isRunning, simulation.isUp(from, locator, simulation.now) {
      xtrs[owner].machines.peers.note(from, now: simulation.now)
    }
    check(mapping, destination) { $0.contains(locator) }
  }

  private func notEncapsulated(_ mapping: Mapping, _ destination: IPAddress) { check(mapping, destination, \.isEmpty) }

  private func check(_ mapping: Mapping, _ destination: IPAddress, _ isRight: (Set<IPAddress>) -> Bool) {
    checkedPackets += 1
    let host = EIDPrefix(.zero, IPPrefix(host: destination))
    guard let history = truth[host] ?? truth[EIDPrefix(.zero, IPPrefix(masking: destination, length: 24))] else { return }
    let earliest = simulation.now - (settings.convergence ?? .seconds(60 * Int64(mapping.ttlMinutes ?? 0)) + Self.slack)
    // While a change spreads, the old, the new and nothing may be found.
    if settings.convergence != nil, let last = history.last, last.since > earliest { return }
    for (i, entry) in history.enumerated().reversed() {
      if isRight(entry.locators) { return }
      if entry.since <= earliest { break }
      // Before its beginning nobody had it.
      if i == 0, isRight([]) { return }
    }
    fail(
      "a packet to \(destination) went by \(mapping.eid) \(mapping.target), which has not been true since \(earliest - Simulation.start)")
  }

  /// What must hold at any time.
  func checkInvariants() {
    for (i, xtr) in xtrs.enumerated() {
      if !xtr.traffic.isComplete(xtr.waiting) { fail("xTR \(i): a packet is unaccounted for: \(xtr.traffic)") }
      for wrong in xtr.prober.checkInvariants() + xtr.log.violations.prefix(3) { fail("xTR \(i): \(wrong)") }
    }
    for (i, server) in servers.enumerated() where server.isRunning {
      for wrong in server.server.checkInvariants() { fail("map-server \(i): \(wrong)") }
    }
  }

  /// Runs to the end, checks at it, and reports.
  func run(_ end: Duration) {
    simulation.run(until: end)
    checkInvariants()
    for failure in failures { Issue.record("\(failure)") }
  }
}
