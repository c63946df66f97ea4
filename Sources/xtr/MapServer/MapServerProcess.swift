// SPDX-License-Identifier: Apache-2.0
//
// The running map-server: MapServer's state machine with sockets, a clock, a file and a control socket around it, all on one event loop.
// `runMapServer` starts and ends it; MapServerProcess+Control answers the control socket.

import CLinux
import ControlAPI
import ControlPlane
import Glibc
import Logging
import NIOCore
import NIOPosix
import Wire

/// Thread: the event loop given to init, which is its executor.
actor MapServerProcess {
  nonisolated let eventLoop: any EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
  private nonisolated let executor: any NIOSerialEventLoopExecutor

  let log: Logger
  let file: String
  private var configuration: MapServerConfiguration
  var server: MapServer
  private(set) var sockets: ControlSockets?
  private let kernel: KernelView
  /// Whether what we know of the kernel may be old.
  private var isKernelViewStale = false
  private var store: RegistrationStore?
  private let signals: SignalCounter
  private var watcher: DescriptorWatcher?
  private var ticks: RepeatedTask?
  private var tickCount = 0
  /// Whether another turn of `time` is on its way.
  private var isGoingOn = false
  private(set) var received: UInt64 = 0
  /// Finished when somebody wants the server to end.
  nonisolated let ended: AsyncStream<Void>
  private nonisolated let endedContinuation: AsyncStream<Void>.Continuation

  /// Rows of refreshed registrations that are taken over at a time; each costs a few microseconds.
  private static let touchedRowLimit = 4096

  /// Reads the kernel's addresses. Nothing is answered before `start`.
  init(
    _ configuration: MapServerConfiguration, file: String, signals: SignalCounter,
    eventLoop: any EventLoop & NIOSerialEventLoopExecutor, log: Logger
  ) throws {
    self.eventLoop = eventLoop
    executor = eventLoop
    self.log = log
    self.file = file
    self.configuration = configuration
    self.signals = signals
    (ended, endedContinuation) = AsyncStream.makeStream()
    kernel = try KernelView(following: [])
    var settings = MapServerSettings(families: [])
    if let perSecond = configuration.repliesPerSecond { settings.repliesPerSecond = perSecond }
    server = MapServer(settings: settings, sites: configuration.sites.map(\.served), nonces: NonceSource())
  }

  /// Takes back what was registered before, then listens.
  func start() throws {
    if let path = configuration.stateFile { try restore(path) }
    let sockets = ControlSockets(eventLoop: eventLoop, log: log) { [self] bytes, arrival in
      assumeIsolated { $0.receive(bytes, arrival) }
    }
    self.sockets = sockets
    listen()
    guard !sockets.addresses.isEmpty else {
      throw CommandFailure.failed("no address to listen on: end whoever has UDP port \(LISPPort.control), or name addresses with `listen`")
    }
    try watch()
    let addresses = sockets.addresses.map(\.description).joined(separator: ", ")
    log.notice("map-server on \(addresses): \(configuration.sites.count) sites, \(server.registrationCount) EID-prefixes registered")
  }

  /// Ends `ended`: whoever runs the server then calls `stop`.
  func requestEnd() { endedContinuation.finish() }

  /// Closes the sockets and writes what is left.
  func stop() async {
    ticks?.cancel()
    watcher?.stop()
    sockets?.close()
    sockets = nil  // what is on its way to the event loop binds them no more
    keepTouched(limit: .max)
    try? await store?.close().get()
    log.notice("stopped")
  }

  private func restore(_ path: String) throws {
    let store = try RegistrationStore(path: path, eventLoop: eventLoop, log: log)
    self.store = store
    let now = ContinuousClock.now
    try store.load { row in if !server.restore(row, now: now) { store.remove(row.key) } }
  }

  // MARK: - Events

  private func watch() throws {
    let handlers: [CInt: @Sendable () -> Void] = [
      kernel.fileDescriptor: { [self] in assumeIsolated { $0.kernelChanged() } },
      signals.descriptor: { [self] in assumeIsolated { $0.takeSignals() } },
    ]
    guard let watcher = DescriptorWatcher(handlers, eventLoop: eventLoop) else {
      throw CommandFailure.failed("no file descriptor or thread left: raise the limits (ulimit -n, ulimit -u)")
    }
    self.watcher = watcher
    ticks = eventLoop.scheduleRepeatedTask(initialDelay: .milliseconds(100), delay: .milliseconds(100)) { [self] _ in
      assumeIsolated { $0.tick() }
    }
  }

  private func receive(_ bytes: [UInt8], _ arrival: Arrival) {
    received &+= 1
    perform(server.receive(bytes, arrival, now: .now))
  }

  private func perform(_ actions: [MapServerAction]) {
    for action in actions {
      switch action {
      case .send(let datagram): sockets?.send(datagram)
      case .store(let row): store?.put(row)
      case .forget(let key): store?.remove(key)
      case .log(let event): log.warning("\(event)")
      }
    }
  }

  /// Ten times a second: what time asks of the server, and what has changed is written. Every five seconds: what was only refreshed.
  private func tick() {
    tickCount += 1
    time()
    if isKernelViewStale { resynchronise() }
    if tickCount % 50 == 0 {
      keepTouched(limit: Self.touchedRowLimit)
      listen()
    }
    store?.flush()
  }

  /// One turn of the server's own work; more turns follow while something is due, with room for others in between.
  private func time() {
    let now = ContinuousClock.now
    perform(server.tick(now))
    guard !isGoingOn, let next = server.nextDeadline, next <= now else { return }
    isGoingOn = true
    eventLoop.execute { [self] in
      assumeIsolated {
        $0.isGoingOn = false
        $0.time()
      }
    }
  }

  private func keepTouched(limit: Int) {
    guard let store else { return }
    let rows = server.touchedRows(limit: limit, now: .now)
    for row in rows { store.put(row) }
    guard rows.count >= limit else { return }
    eventLoop.execute { [self] in assumeIsolated { $0.keepTouched(limit: limit) } }
  }

  private func kernelChanged() {
    do {
      repeat { _ = try kernel.update() } while kernel.hasMore
    } catch {
      log.error("following the kernel: \(error); everything is read again")
      isKernelViewStale = true
    }
    listen()
  }

  /// After an error in following: loads everything, until that succeeds.
  private func resynchronise() {
    do {
      _ = try kernel.resynchronise()
      isKernelViewStale = false
    } catch {
      log.error("reading the kernel's state: \(error)")
    }
    listen()
  }

  /// Binds the addresses that are there, and tells the server of which families they are.
  private func listen() {
    guard let sockets else { return }
    sockets.listen(on: configuration.listen ?? kernel.globalAddresses())
    server.setFamilies(Set(sockets.addresses.map(\.family)))
  }

  /// SIGTERM and SIGINT end the server, SIGHUP makes it read its file again.
  private func takeSignals() {
    for signal in signals.take() {
      if signal != SIGHUP {
        requestEnd()
      } else {
        do {
          try reload()
        } catch {
          log.error("\(file) is not applied, the server goes on as it was: \(error)")
        }
      }
    }
  }

  /// Takes the sites of the file as it is now; what they may not register any more is gone.
  func reload() throws {
    let new = try MapServerConfiguration.load(file: file)
    if new.isFixed(otherThan: configuration) {
      log.warning("\(file): state, replies-per-second, control-socket, control-group and log-level take effect at the next start")
    }
    configuration = new
    perform(server.replaceSites(new.sites.map(\.served), now: .now))
    listen()
    log.notice("\(file): applied")
  }
}

extension MapServerConfiguration {
  /// Whether something is different that is fixed at start.
  fileprivate func isFixed(otherThan old: Self) -> Bool {
    stateFile != old.stateFile || repliesPerSecond != old.repliesPerSecond || controlSocket != old.controlSocket
      || controlGroup != old.controlGroup || logLevel != old.logLevel
  }
}

extension MapServerConfiguration.Site {
  /// As the state machine takes it.
  fileprivate var served: MapServerSite {
    var site = MapServerSite(
      name: name, keys: keys, allowed: prefixes.map { .init($0.eid, acceptsMoreSpecifics: $0.acceptsMoreSpecifics) })
    site.forcesProxyReply = proxyReply
    site.subscribers = subscribers
    site.requiresIncreasingNonces = increasingNonces
    return site
  }
}
