// SPDX-License-Identifier: Apache-2.0
//
// From configuration to running router and back: `xtr run` calls it. Everything that was taken is given back on every way out.

import DataPlane
import Glibc
import Logging
import Netlink
import NIOCore
import NIOPosix
import XDP

/// Runs until SIGTERM, SIGINT or `drain`; returns when everything is detached and restored.
func runRouter(_ configuration: Configuration, file: String, log: Logger) async throws(CommandFailure) {
  let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  guard let eventLoop = group.next() as? any EventLoop & NIOSerialEventLoopExecutor else {
    throw .failed("the event loop is not an executor")
  }
  guard let signals = SignalCounter([SIGTERM, SIGINT, SIGHUP]) else {
    throw .failed("no file descriptor left: raise the limit (ulimit -n)")
  }
  do {
    let router = try await eventLoop.submit { try Box(Router(configuration, file: file, signals: signals, eventLoop: eventLoop, log: log)) }
      .get().router
    try await run(router, configuration, log)
  } catch {
    throw CommandFailure(running: error)
  }
  try? await group.shutdownGracefully()
}

/// Starts, listens, waits for the end, stops.
private func run(_ router: Router, _ configuration: Configuration, _ log: Logger) async throws {
  do {
    let server = try await ControlServer.start(
      path: configuration.router.controlSocket, group: configuration.router.controlGroup, service: router,
      eventLoop: router.eventLoop, log: log)
    await router.attach(server)
    do { try await router.start() } catch {
      await server.close()
      throw error
    }
    for await _ in router.ended {}
    log.notice("stopping")
    await router.withdraw()
    await server.close()
  } catch {
    await router.stop()
    throw error
  }
  await router.stop()
}

/// Lets an actor that must be made on its own thread be returned from there.
private struct Box: Sendable {
  let router: Router
  init(_ router: Router) { self.router = router }
}

extension CommandFailure {
  /// Whatever a part of the router throws, as the command's failure.
  fileprivate init(running error: any Error) {
    switch error {
    case let failure as CommandFailure: self = failure
    case let error as XDPError where error.isImpossibleHere: self = .impossibleHere("\(error)")
    case let error as NetlinkError where error.isImpossibleHere: self = .impossibleHere("\(error)")
    case let errors as ConfigurationErrors: self = CommandFailure(errors)
    default: self = .failed("\(error)")
    }
  }
}
