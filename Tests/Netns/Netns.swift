// SPDX-License-Identifier: Apache-2.0
//
// The whole router in network namespaces, seen from outside only: its binary, its configuration, its control socket, and what
// travels on the links. All suites are parts of one of two, the forwarding's and the mapping system's, which may run beside each other: most
// of a test's time is waiting. Within each, one test has two cores' worth of routers, and the next one waits for it.
//
// The binary is $XTR_BINARY, or `xtr` beside the test program.

import Glibc
import Lab
import Testing
import Wire

/// nil: here the tests can run; else why not.
let whyNot: String? = {
  if geteuid() != 0 { return "network namespaces need root" }
  do {
    let lab = try Lab(needing: ["ip", "ethtool", "ping", "sha256sum"])
    defer { lab.tearDown() }
    _ = try lab.namespace("probe")
  } catch {
    return "\(error)"
  }
  return access(binaryUnderTest, X_OK) == 0 ? nil : "\(binaryUnderTest) is not there: swift build --product xtr"
}()

let binaryUnderTest: String = {
  if let path = getenv("XTR_BINARY") { return String(cString: path) }
  var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
  let count = max(0, readlink("/proc/self/exe", &buffer, buffer.count))
  let own = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  for directory in [String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)]), ".build/debug"] {
    if access("\(directory)/xtr", X_OK) == 0 { return "\(directory)/xtr" }
  }
  return ".build/debug/xtr"
}()

/// What the routers do with packets and with the kernel's word.
@Suite(.serialized, .enabled(if: whyNot == nil, "\(whyNot ?? "")")) enum Netns {}

/// What they and a map-server say to each other; the demo, and what waits for timers.
@Suite(.serialized, .enabled(if: whyNot == nil, "\(whyNot ?? "")")) enum MappingSystemNetns {}

/// Two sites with a running router each.
struct TestBed {
  let lab: Lab
  let sites: TwoSites
  let a: RouterProcess
  let b: RouterProcess

  var routers: [RouterProcess] { [a, b] }

  /// What a test wants different from the usual.
  struct Options {
    var queues = 1
    var rlocFamily = AddressFamily.ipv4
    var coreMTU = TwoSites.coreMTU
    /// Adds to the topology before the routers start.
    var prepare: (TwoSites) throws -> Void = { _ in }
    /// Changes a site's configuration before it is written.
    var configure: (inout RouterConfiguration, Site) -> Void = { _, _ in }
  }

  /// Build, start both routers, run `body`, hold the routers to their invariants, remove everything. When something failed the routers'
  /// logs are part of the failure.
  static func run(_ options: Options = Options(), _ body: (TestBed) throws -> Void) throws {
    Interruption.install()
    let lab = try Lab()
    defer {
      lab.tearDown()
      #expect(lab.remainders() == [])
    }
    let bed = try TestBed(lab, options)
    defer {
      for router in bed.routers { router.signal(SIGTERM) }
      for router in bed.routers { router.stop() }
    }
    do {
      for router in bed.routers { try router.start() }
      for router in bed.routers { try router.waitUntilForwarding() }
      try body(bed)
    } catch {
      Issue.record("\(error)\n--- xtrA\n\(bed.a.log)\n--- xtrB\n\(bed.b.log)")
      return
    }
    for router in bed.routers { try expectConserved(router) }
  }

  private init(_ lab: Lab, _ options: Options) throws {
    self.lab = lab
    sites = try TwoSites(in: lab, queues: options.queues, coreMTU: options.coreMTU)
    try options.prepare(sites)
    let pairs = [(sites.siteA, sites.siteB), (sites.siteB, sites.siteA)]
    let routers = try pairs.map { site, remote in
      let router = RouterProcess(site.router.name, in: site.router, binary: binaryUnderTest, directory: lab.directory)
      try router.write(Self.configuration(of: router, site, remote, options))
      return router
    }
    (a, b) = (routers[0], routers[1])
  }

  /// The usual configuration: everything of the other site, statically, over `rlocFamily`.
  static func configuration(
    of router: RouterProcess, _ site: Site, _ remote: Site, _ options: Options = Options()
  ) -> RouterConfiguration {
    var configuration = RouterConfiguration(site: site, controlSocket: router.controlSocket)
    configuration.mappings = RouterConfiguration.mappings(to: remote, over: options.rlocFamily)
    options.configure(&configuration, site)
    return configuration
  }

  /// A moment without traffic: every packet has an outcome, every frame an owner.
  static func expectConserved(_ router: RouterProcess, _ location: SourceLocation = #_sourceLocation) throws {
    guard router.process?.isRunning == true else { return }
    let status = try router.quietStatus()
    #expect(status.packetsConserved, "\(router.name): \(status.totals)", sourceLocation: location)
    #expect(status.framesConserved, "\(router.name): \(status.workers.map(\.frames))", sourceLocation: location)
  }

  // MARK: Short ways to say things

  var hostA1: Namespace { sites.siteA.hosts[0] }
  var hostA2: Namespace { sites.siteA.hosts[1] }
  var hostB1: Namespace { sites.siteB.hosts[0] }
  var hostB2: Namespace { sites.siteB.hosts[1] }

  /// Site A's host of `instance` to site B's.
  func flow(_ family: AddressFamily, instance: Int = 1) -> UDPFlow {
    var flow = UDPFlow(from: sites.siteA.hosts[instance - 1], to: sites.siteB.hosts[instance - 1], destination: sites.siteB.host(family))
    flow.packetsPerSecond = 4000
    flow.duration = .milliseconds(300)
    return flow
  }

  func ping(_ family: AddressFamily, instance: Int = 1, count: Int = 3) throws -> Ping.Result {
    try Ping(to: sites.siteB.host(family), count: count).run(from: sites.siteA.hosts[instance - 1])
  }

  /// Both directions of both families have carried packets: neighbours are known everywhere.
  func warmUp() throws {
    for family in AddressFamily.allCases {
      for instance in [1, 2] {
        var ping = Ping(to: sites.siteB.host(family), count: 2)
        ping.patience = .seconds(3)
        let result = try ping.run(from: sites.siteA.hosts[instance - 1])
        try #require(result.received > 0, "\(result.output)")
      }
    }
  }

  /// What arrives at the core from site A's router.
  func tapFromA() throws -> PacketSocket { try PacketSocket(in: sites.core, interface: sites.siteA.coreSideInterface) }

  /// A frame as the core would hand it to site B's router.
  func injectToB(_ packet: [UInt8], through socket: PacketSocket) throws {
    let destination = try sites.siteB.router.macAddress(of: sites.siteB.coreInterface)
    let source = try sites.core.macAddress(of: sites.siteB.coreSideInterface)
    try socket.send(FrameBuilder.frame(to: destination, from: source, ip: packet))
  }
}

extension RouterProcess {
  /// Packets dropped for reasons whose name contains `text`.
  func dropped(_ text: String) throws -> UInt64 { try drops().filter { $0.reason.contains(text) }.reduce(0) { $0 + $1.packets } }
}

extension RouterProcess {
  /// KiB of memory that the running program has.
  func residentKilobytes() throws -> Int {
    let process = try #require(process)
    let status = try ChildProcess.run(["cat", "/proc/\(process.identifier)/status"])
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
    return try #require(line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
  }
}
