// SPDX-License-Identifier: Apache-2.0
//
// Two or three sites that know of each other only what a map-server in the core says: the rig of the suites about the mapping system. Their
// configurations can be changed while they run, as an operator would: the file, then SIGHUP.
//
//     hostA1 ─── xtrA ─── core, map-server ─── xtrB ─── eth0 hostB1
//                           └ 203.0.113.1 ──── xtrC ─── eth1 ┘          with `hasThirdSite`
//
// Site C is a second home for hostB1: 203.0.113.2 and 2001:db8:c::2 are its RLOCs, and the host has its address on both links. What it may
// register is the map-server's site B's.

import ControlAPI
import Glibc
import Lab
import Testing
import Wire

struct MappingSystemLab {
  /// What a test wants different from the usual.
  struct Options {
    var hasThirdSite = false
    /// Whether the programs have a wall clock that a test can set.
    var hasSteppedClock = false
    /// The sites' RLOCs, and the address of the map-server that they are given.
    var rlocFamily = AddressFamily.ipv4
    var serverFamily = AddressFamily.ipv4
    /// Whether the routers run when the body begins.
    var startsRouters = true
    /// Changes the map-server's file; `directory` is the lab's.
    var configureServer: (inout MapServerFile, _ directory: String) -> Void = { _, _ in }
    /// Changes a site's configuration before it is written, here and at every `apply`.
    var configure: (inout SiteSettings) -> Void = { _ in }
  }

  /// One site's configuration in parts.
  struct SiteSettings {
    let letter: String
    let rlocs: [AddressFamily: IPAddress]
    var router: RouterConfiguration
    var server: String
    var key: String
    /// Of [mapping-system].
    var lines: [String] = []
    /// Of [[mapping-system.map-server]].
    var serverLines: [String] = []
    var subscriptions: [(instance: UInt32, prefix: String)] = []

    var text: String {
      var router = router
      router.use(mapServer: server, key: key, lines: lines)
      router.lines += serverLines
      for eid in subscriptions {
        router.lines += ["[[mapping-system.subscription]]", "instance-id = \(eid.instance)", "eid-prefix = \"\(eid.prefix)\""]
      }
      return router.text
    }

    /// The site's RLOC of `family` is preferred, the other one is there for when it fails.
    mutating func prefer(_ family: AddressFamily) {
      let rlocs = rlocs.map { "{ address = \"\($0.value)\", priority = \($0.key == family ? 1 : 2) }" }.joined(separator: ", ")
      for prefix in router.database {
        router.lines += ["[[database]]", "instance-id = \(prefix.instance)", "eid-prefix = \"\(prefix.prefix)\"", "rlocs = [\(rlocs)]"]
      }
      router.database = []
    }
  }

  /// Whether a program that a test needs is installed.
  static func has(_ program: String) -> Bool { (try? ChildProcess.run(["sh", "-c", "command -v \(program)"])) != nil }

  static let thirdRLOCs: [AddressFamily: IPAddress] = [
    .ipv4: .v4(IPv4Address(203, 0, 113, 2)), .ipv6: .v6(IPv6Address(high: 0x2001_0DB8_000C_0000, low: 2)),
  ]

  let lab: Lab
  let sites: TwoSites
  let server: RouterProcess
  /// By letter.
  let routers: [String: RouterProcess]
  /// Where the options say so.
  let clock: SteppedClock?
  private let options: Options

  // MARK: - Life

  static func run(_ options: Options = Options(), _ body: (MappingSystemLab) throws -> Void) throws {
    Interruption.install()
    let lab = try Lab()
    defer {
      lab.tearDown()
      #expect(lab.remainders() == [])
    }
    let bed = try MappingSystemLab(lab, options)
    defer {
      // At once, and the map-server after them: they wait for its word that they are withdrawn.
      for router in bed.routers.values { router.signal(SIGTERM) }
      for process in bed.processes { process.stop() }
      bed.clock?.remove()
    }
    do {
      try bed.start()
      try body(bed)
    } catch {
      Issue.record("\(error)\n\(bed.processes.map { "--- \($0.name)\n\($0.log)" }.joined(separator: "\n"))")
      return
    }
    for router in bed.routers.values { try TestBed.expectConserved(router) }
  }

  private init(_ lab: Lab, _ options: Options) throws {
    self.lab = lab
    self.options = options
    sites = try TwoSites(in: lab)
    var namespaces = ["A": sites.siteA.router, "B": sites.siteB.router]
    if options.hasThirdSite { namespaces["C"] = try Self.addThirdSite(to: sites) }
    let clock = options.hasSteppedClock ? try SteppedClock(in: lab.directory) : nil
    self.clock = clock
    func process(_ name: String, _ namespace: Namespace, _ role: RouterProcess.Role) -> RouterProcess {
      RouterProcess(
        name, in: namespace, binary: binaryUnderTest, directory: lab.directory, role: role, launcher: clock?.launcher ?? [])
    }
    server = process("map-server", sites.core, .mapServer)
    routers = namespaces.mapValues { process($0.name, $0, .router) }
    try configureServer()
    for letter in routers.keys { try apply(letter) }
  }

  private static func addThirdSite(to sites: TwoSites) throws -> Namespace {
    let router = try sites.lab.namespace("xtrC")
    try router.set("net/ipv4/ip_forward", "1")
    try router.set("net/ipv6/conf/all/forwarding", "1")
    try sites.lab.connect(
      LinkEnd(sites.core, "xtrC", addresses: ["203.0.113.1/24", "2001:db8:c::1/64"]),
      LinkEnd(router, "core", addresses: ["203.0.113.2/24", "2001:db8:c::2/64"], offloads: .untouched), mtu: TwoSites.coreMTU)
    for gateway in ["203.0.113.1", "2001:db8:c::1"] { try router.ip("route add default via \(gateway)") }
    let site = sites.siteB
    try sites.lab.connect(
      LinkEnd(
        site.hosts[0], "eth1", addresses: AddressFamily.allCases.map { "\(site.host($0))/\($0.linkPrefixLength)" }, prefixRoutes: false),
      LinkEnd(
        router, "site1", addresses: AddressFamily.allCases.map { "\(site.gateway($0, instance: 1))/\($0.linkPrefixLength)" },
        offloads: .untouched))
    return router
  }

  private func start() throws {
    try server.start()
    try server.waitUntilForwarding()
    guard options.startsRouters else { return }
    try startRouters()
    for letter in routers.keys.sorted() { try waitUntilRegistered(letter) }
  }

  /// They forward; whether they are registered is another matter. Neighbours are known, so that the first packet has nobody to wait for but
  /// the mapping system.
  func startRouters() throws {
    for router in routers.values { try router.start() }
    for router in routers.values { try router.waitUntilForwarding() }
    for site in [sites.siteA, sites.siteB] {
      for family in AddressFamily.allCases {
        guard let gateway = IPAddress(site.gateway(family, instance: 1)) else { continue }
        try #require(try Ping(to: gateway, count: 1).run(from: site.hosts[0]).isComplete)
      }
    }
  }

  /// Ends the map-server this way and starts it again.
  func restartServer(by signal: Int32) throws {
    server.signal(signal)
    try eventually("the end of the map-server") { server.process?.isRunning != true }
    try server.start()
    try server.waitUntilForwarding()
  }

  var processes: [RouterProcess] { routers.sorted { $0.key < $1.key }.map(\.value) + [server] }
  var a: RouterProcess { router("A") }
  var b: RouterProcess { router("B") }

  func router(_ letter: String) -> RouterProcess {
    guard let router = routers[letter] else { preconditionFailure("the lab has no site \(letter)") }
    return router
  }

  // MARK: - Configurations

  /// Writes the map-server's file, with a change of this moment; a running one takes it.
  func configureServer(_ change: (inout MapServerFile) -> Void = { _ in }) throws {
    var file = MapServerFile(for: sites, controlSocket: server.controlSocket)
    options.configureServer(&file, lab.directory)
    change(&file)
    try server.write(text: file.text)
    server.signal(SIGHUP)
  }

  /// Writes a site's file, with a change of this moment; a running router takes it.
  func apply(_ letter: String, _ change: (inout SiteSettings) -> Void = { _ in }) throws {
    var settings = usual(letter)
    options.configure(&settings)
    change(&settings)
    try router(letter).write(text: settings.text)
    router(letter).signal(SIGHUP)
  }

  private func usual(_ letter: String) -> SiteSettings {
    let site = sites.site(letter)
    var configuration = RouterConfiguration(site: site, controlSocket: router(letter).controlSocket)
    let rlocs = letter == "C" ? Self.thirdRLOCs : [.ipv4: site.rloc(.ipv4), .ipv6: site.rloc(.ipv6)]
    var server = site.coreGateway(options.serverFamily)
    if letter == "C" {
      configuration.interfaces = configuration.interfaces.filter { $0.name != "site2" }
      configuration.instances = []
      configuration.database = []
      server = options.serverFamily == .ipv4 ? "203.0.113.1" : "2001:db8:c::1"
    }
    if let rloc = rlocs[options.rlocFamily] { configuration.locators = ["\(rloc)"] }
    let key = MapServerFile.key(of: letter == "C" ? "B" : letter)
    return SiteSettings(letter: letter, rlocs: rlocs, router: configuration, server: server, key: key)
  }

  /// Runs SQL on a file of the lab, as an operator would; the rows it gives.
  @discardableResult
  func sql(_ file: String, _ statement: String) throws -> [String] {
    try ChildProcess.run(["sqlite3", "\(lab.directory)/\(file)", statement]).split(separator: "\n").map(String.init)
  }

  // MARK: - Waiting

  /// Asks until it holds; an error is an answer that says no, for a process may be on its way up or down.
  func eventually(_ what: String, within limit: Duration = .seconds(15), _ condition: () throws -> Bool) throws {
    try Interruption.wait(for: what, atMost: limit, every: .milliseconds(5)) { (try? condition()) ?? false }
  }

  func waitUntilRegistered(_ letter: String, within limit: Duration = .seconds(15)) throws {
    try eventually("the registration of site \(letter)", within: limit) {
      try router(letter).registrations().allSatisfy { $0.state == "registered" }
    }
  }

  /// Where the map-server sends those who ask for `prefix` in instance 1.
  func registeredLocators(_ prefix: String) throws -> [String] {
    try server.registered().first { $0.instanceID == 1 && $0.eidPrefix == prefix }?.locators.map(\.address) ?? []
  }

  // MARK: - Short ways to say things

  var hostA: Namespace { sites.siteA.hosts[0] }
  var hostB: Namespace { sites.siteB.hosts[0] }

  func ping(_ destination: IPAddress, count: Int = 3) throws -> Ping.Result { try Ping(to: destination, count: count).run(from: hostA) }

  func ping(_ family: AddressFamily, count: Int = 3) throws -> Ping.Result { try ping(sites.siteB.host(family), count: count) }

  /// Both sites have each other's mappings of both families.
  func warmUp() throws {
    for family in AddressFamily.allCases {
      let result = try ping(family)
      try #require(result.isComplete, "\(result.output)")
    }
  }

  /// Runs from site A's host to site B's until it is stopped.
  func traffic(_ family: AddressFamily = .ipv4, packetsPerSecond: Int = 1000) throws -> UDPFlow.Running {
    var flow = UDPFlow(from: hostA, to: hostB, destination: sites.siteB.host(family))
    (flow.packetsPerSecond, flow.duration, flow.port) = (packetsPerSecond, .seconds(120), 5003)
    let running = try flow.start()
    try eventually("traffic", within: .seconds(10)) { running.received > packetsPerSecond / 10 }
    return running
  }

  /// Stops it and waits for the last packets: on a machine that is too busy packets are late, and late is not lost.
  func finish(_ traffic: UDPFlow.Running) throws -> UDPFlow.Result { try traffic.finish(patience: .seconds(3)) }

  /// Site A's learned mapping for `prefix` in instance 1.
  func mapping(_ prefix: String) throws -> MappingEntry? {
    try a.mappings().first { $0.eid.instanceID.rawValue == 1 && "\($0.eid.prefix)" == prefix }
  }

  func requireMapping(_ prefix: String, _ location: SourceLocation = #_sourceLocation) throws -> MappingEntry {
    let mappings = try a.mappings()
    let mapping = mappings.first { $0.eid.instanceID.rawValue == 1 && "\($0.eid.prefix)" == prefix }
    return try #require(mapping, "\(prefix) among \(mappings)", sourceLocation: location)
  }
}

extension MappingEntry {
  /// The addresses of its locators; of a negative one, none.
  var rlocs: [String] {
    switch target {
    case .locators(let locators): locators.map { "\($0.locator.address)" }
    case .action: []
    }
  }

  var action: MappingAction? {
    switch target {
    case .locators: nil
    case .action(let action): action
    }
  }
}

extension [CountedReason] {
  func count(of reason: String) -> UInt64 { first { $0.reason == reason }?.count ?? 0 }
}
