// SPDX-License-Identifier: Apache-2.0
//
// The running router: everything of the slow path, on one event loop. It owns the data plane, the map-cache, the view of the
// kernel and the exception path, and brings changes from any of them into the forwarding state. RunRouter starts and ends it;
// Router+Control answers the control socket, Router+Status makes what `show` prints.

import CLinux
import ControlAPI
import ControlPlane
import DataPlane
import Logging
import MapCache
import Netlink
import NIOCore
import NIOPosix
import Wire

/// Thread: the event loop given to init, which is its executor.
actor Router {
  nonisolated let eventLoop: any EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
  private nonisolated let executor: any NIOSerialEventLoopExecutor

  let log: Logger
  let file: String
  var configuration: Configuration
  var state = RouterState.starting
  let startedAt = ContinuousClock.now

  let dataPlane: DataPlaneSetup
  let kernel: KernelView
  let underlay: Underlay
  let compiler: ForwardingCompiler
  let site: Site
  let exceptions: ExceptionPath
  let mapCache = MapCache()
  let locators = LocatorWatch()
  let hints = HintState()
  let unreachables: UnreachableListener
  /// nil: mappings are static or come over the control socket.
  var mappingSystem: MappingSystem?
  /// Of each probed locator.
  var probedPrefixes = LocatorPrefixes()
  /// When the log last said that a mapping of the mapping system found no room.
  var fullTableReportedAt: ContinuousClock.Instant?
  /// Addresses that have been RLOCs of ours since the start.
  var everOwnRLOCs: Set<IPAddress> = []
  var server: ControlServer?
  var meter = BusyMeter()
  var peers = Peers()
  private let signals: SignalCounter
  private var watcher: DescriptorWatcher?
  private var ticks: RepeatedTask?
  private var tickCount = 0
  private var isKernelViewStale = false
  /// Whether the removal of expired mappings goes on by itself.
  var isExpiring = false
  /// Finished when somebody wants the router to end.
  nonisolated let ended: AsyncStream<Void>
  private nonisolated let endedContinuation: AsyncStream<Void>.Continuation

  /// Takes the interfaces, reads the kernel, starts the workers. Nothing is forwarded before `start`.
  init(
    _ configuration: Configuration, file: String, signals: SignalCounter, eventLoop: any EventLoop & NIOSerialEventLoopExecutor,
    log: Logger
  ) throws {
    self.signals = signals
    self.eventLoop = eventLoop
    executor = eventLoop
    self.log = log
    self.file = file
    self.configuration = configuration
    (ended, endedContinuation) = AsyncStream.makeStream()
    dataPlane = try DataPlaneSetup(configuration, log: log)
    let ports = dataPlane.ports
    let tables = Self.tables(configuration)
    do {
      kernel = try KernelView(following: Set(ports.filter { $0.configuration.role.facesSite }.map(\.index)))
      underlay = Underlay(kernel: kernel, ports: ports)
      unreachables = try UnreachableListener()
      exceptions = try ExceptionPath(root: dataPlane.publisher.root, kernel: kernel, ports: ports, tables: tables)
    } catch {
      dataPlane.quiesce()
      dataPlane.release()
      throw error
    }
    let workers = { [dataPlane, exceptions] in dataPlane.workers.map(\.counters) + [exceptions.counters] }
    compiler = ForwardingCompiler(publisher: dataPlane.publisher, underlay: underlay, kernel: kernel, workers: workers)
    site = Site(kernel: kernel, ports: ports, compiler: compiler)
    site.tables = tables
  }

  static func tables(_ configuration: Configuration) -> [InstanceID: UInt32] {
    Dictionary(configuration.instances.map { ($0.id, $0.table) }) { $1 }
  }

  /// Compiles everything, lets traffic in, listens for events.
  func start() throws {
    for warning in exceptions.warnings { log.warning("\(warning)") }
    exceptions.onMiss = { [self] instance, eid, source in
      assumeIsolated { $0.server?.publish(.miss(instanceID: instance, eid: eid, source: source)) }
    }
    exceptions.isOwnEID = { [self] instance, address in
      assumeIsolated { $0.site.isOwn(EIDPrefix(instance, IPPrefix(host: address)), hiddenBy: $0.mapCache) }
    }
    exceptions.areMissesWanted = { [self] in assumeIsolated { $0.server?.watchedKinds.contains(.miss) ?? false } }
    for port in dataPlane.ports { dataPlane.publisher.setPort(port.number, port.state) }
    dataPlane.publisher.setSettings(configuration.engineSettings)
    try refreshAddresses()
    site.database = configuration.database.map(\.eid)
    try site.refresh(hiddenBy: mapCache)
    try setMappings(configuration.mappings, source: .configuration)
    compiler.publish()
    try applyRules()
    try startMappingSystem()
    try watch()
    state = .forwarding
    log.notice(
      "forwarding: \(mapCache.count) mappings, \(configuration.database.count) local EID-prefixes, \(dataPlane.workers.count) workers")
  }

  /// Takes the control server after it listens.
  func attach(_ server: ControlServer) { self.server = server }

  /// Ends `ended`: whoever runs the router then calls `stop`.
  func requestEnd() { endedContinuation.finish() }

  /// Detaches, drains, restores. The control server is closed by then.
  func stop() {
    state = .draining
    ticks?.cancel()
    watcher?.stop()
    dataPlane.quiesce()
    while takePunts() {}
    mappingSystem?.close()
    exceptions.close()
    dataPlane.release()
    log.notice("stopped: detached, drained, interfaces restored")
  }

  // MARK: - Events

  private func watch() throws {
    var handlers: [CInt: @Sendable () -> Void] = [
      kernel.fileDescriptor: { [self] in assumeIsolated { $0.kernelChanged() } },
      dataPlane.puntDescriptor: { [self] in assumeIsolated { $0.punted() } },
      signals.descriptor: { [self] in assumeIsolated { $0.takeSignals() } },
    ]
    for descriptor in exceptions.fileDescriptors {
      handlers[descriptor] = { [self] in assumeIsolated { $0.exceptions.drainIncoming() } }
    }
    for descriptor in unreachables.fileDescriptors {
      handlers[descriptor] = { [self] in assumeIsolated { $0.heardUnreachable() } }
    }
    guard let watcher = DescriptorWatcher(handlers, eventLoop: eventLoop) else {
      throw CommandFailure.failed("no file descriptor or thread left: raise the limits (ulimit -n, ulimit -u)")
    }
    self.watcher = watcher
    ticks = eventLoop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) { [self] _ in
      assumeIsolated { $0.tick() }
    }
  }

  /// Packets that are taken of a worker at once, and how often in a turn of the event loop.
  private static let punts = (atOnce: 16, times: 16)

  /// Packets that the workers could not finish. Bounded, so that a storm of them cannot keep the event loop from the rest, and in small parts: a
  /// worker that has to share its core with us waits no longer than its rings last. Returns whether there may be more.
  private func takePunts() -> Bool {
    for _ in 0..<Self.punts.times {
      var more = false
      for worker in dataPlane.workers {
        if worker.puntRing.pop(limit: Self.punts.atOnce, { exceptions.handle($0) }) == Self.punts.atOnce { more = true }
      }
      guard more else { return false }
      sched_yield()
    }
    return true
  }

  private func punted() {
    var value: eventfd_t = 0
    _ = eventfd_read(dataPlane.puntDescriptor, &value)
    if takePunts() { _ = eventfd_write(dataPlane.puntDescriptor, 1) }
  }

  /// Ten times a second: what waits for workers, what packets tell of locators; once a second: expiry and busy share; every five: neighbours in use, peers.
  private func tick() {
    tickCount += 1
    if dataPlane.publisher.isWaiting { dataPlane.publisher.reclaim() }
    mappingSystem?.time()
    takeHints()
    guard tickCount % 10 == 0 else { return }
    locators.tick(now: .now)
    if let failure = compiler.takeLookupFailure() {
      log.error("asking for the way to an RLOC: \(failure); asked again")
      isKernelViewStale = true
    }
    if isKernelViewStale { resynchronise() }
    meter.update(dataPlane.workers.map(\.counters))
    expireMappings()
    resolveNeighbours(areStaleDue: tickCount % 50 == 0)
    if tickCount % 50 == 0 {
      exceptions.reapplySettings()
      mappingSystem?.sockets?.retry()
      lookForPeers()
    }
  }

  /// Rule D16: who has sent data since the last look.
  func lookForPeers() {
    let now = ContinuousClock.now
    for worker in dataPlane.workers {
      for peer in worker.counters.peers.takeRecent() {
        peers.note(peer, now: now)
        hints.echo.heard(peer, now: now)
      }
    }
  }

  /// A neighbour that failed or was forgotten is asked for once a second. And as the fast path does not tell the kernel that a
  /// neighbour answers, the kernel is asked now and then to verify those it has not heard of: one that moved or died is noticed.
  private func resolveNeighbours(areStaleDue: Bool) {
    for key in compiler.nextHopsInUse() {
      switch kernel.neighbours[key]?.state {
      case .failed, nil: kernel.resolve(key)
      case .stale where areStaleDue: kernel.resolve(key)
      default: break
      }
    }
  }

  /// SIGTERM and SIGINT end the router, SIGHUP makes it read its file again.
  private func takeSignals() {
    for signal in signals.take() {
      if signal != SIGHUP {
        requestEnd()
      } else {
        do {
          for what in try reload() { log.warning("\(file): \(what) takes effect at the next start") }
          log.notice("\(file): applied")
        } catch {
          log.error("\(file) is not applied, the router goes on as it was: \(error)")
        }
      }
    }
  }

  // MARK: - The kernel

  private func kernelChanged() {
    do {
      repeat {
        let changes = try kernel.update()
        if !changes.isEmpty { try take(changes) }
      } while kernel.hasMore
    } catch {
      log.error("following the kernel: \(error); everything is read again")
      isKernelViewStale = true
    }
  }

  /// After an error in following: load everything and take it in, until that succeeds.
  private func resynchronise() {
    do {
      try take(try kernel.resynchronise())
      isKernelViewStale = false
    } catch {
      log.error("reading the kernel's state: \(error)")
    }
  }

  private func take(_ changes: KernelChanges) throws {
    if !changes.links.isEmpty || changes.resynchronised { takeLinks() }
    let addresses = changes.addresses || changes.resynchronised || !changes.links.isEmpty
    if addresses { try refreshAddresses() }
    let all = addresses || changes.routes
    report(compiler.refreshRLOCs(behind: all ? nil : changes.neighbours))
    if all || changes.neighbours.contains(where: { site.sitePort($0.interfaceIndex) != nil }) {
      compiler.refreshHosts(template: site.template)
      try site.refresh(hiddenBy: mapCache)
    }
    compiler.publish()
    if addresses { try applyRules() }
    if addresses { refreshRegistrations() }
    tellNeighbours(changes.neighbours)
  }

  /// MAC address, MTU and state of our ports.
  private func takeLinks() {
    for port in dataPlane.ports {
      guard let link = kernel.links[port.index] else {
        if port.isUp { log.error("\(port.name) is gone: its packets are dropped until the router is restarted with it") }
        port.isUp = false
        continue
      }
      let isUp = link.isUp && link.isLowerUp
      if isUp != port.isUp { log.notice("\(port.name) is \(isUp ? "up" : "down")") }
      port.isUp = isUp
      port.mtu = link.mtu
      port.macAddress = link.macAddress ?? port.macAddress
    }
  }

  /// Our RLOCs; the engine refuses as outer source as many of them as it has room for.
  func refreshAddresses() throws {
    underlay.refreshOwnRLOCs()
    let own = Set(underlay.ownRLOCs).sorted()
    let kept = AddressFamily.allCases.flatMap { family in own.filter { $0.family == family }.prefix(ForwardingPublisher.maximumRLOCs) }
    if kept.count < own.count {
      log.warning("only \(ForwardingPublisher.maximumRLOCs) RLOCs of a family are refused as foreign sources: name fewer with `rlocs`")
    }
    try dataPlane.publisher.setOwnRLOCs(kept)
  }

  /// Brings the steering programs to what is ours now.
  func applyRules() throws {
    let rlocs = Set(underlay.ownRLOCs)
    for port in dataPlane.ports where kernel.links[port.index] != nil {
      try port.apply(port.rules(database: site.database, rlocs: rlocs, ownAddresses: kernel.allAddresses))
    }
  }

  func report(_ turned: [(address: IPAddress, path: RLOCPath)]) {
    for (address, path) in turned {
      let isUsable = path.quality == .good
      log.notice("RLOC \(address) is \(isUsable ? "usable" : "unusable: \(path.state.rawValue)")")
      // What probes have found while there was no way to it says nothing now.
      if isUsable { mappingSystem?.prober.probeNow(address, now: .now) }
      server?.publish(isUsable ? .reach(address) : .badreach(address, reason: path.state.rawValue))
    }
  }

  private func tellNeighbours(_ keys: Set<NextHopKey>) {
    guard let server, server.watchedKinds.contains(.neighbour) else { return }
    let users = compiler.nextHopUsers()
    for key in keys { if let usedBy = users[key] { server.publish(.neighbour(neighbourStatus(key, usedBy: usedBy))) } }
  }
}

extension Configuration {
  var engineSettings: EngineSettings {
    var settings = EngineSettings()
    settings.copiesECN = encapsulation.ecn == .normal
    settings.computesUDPChecksum = encapsulation.udpChecksum == .compute
    settings.verifiesUDPChecksum = decapsulation.verifyUDPChecksum
    settings.copiesDSCP = decapsulation.dscp == .copyOuter
    settings.notesStatusBits = locatorHints.usesStatusBits
    settings.exchangesNonces = locatorHints.usesEchoNonce
    return settings
  }
}
