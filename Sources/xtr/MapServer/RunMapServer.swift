// SPDX-License-Identifier: Apache-2.0
//
// From configuration to running map-server and back: `xtr map-server` calls it.

import Glibc
import Logging
import NIOCore
import NIOPosix

/// Runs until SIGTERM, SIGINT or `drain`; returns when everything is written.
func runMapServer(_ configuration: MapServerConfiguration, file: String, log: Logger) async throws(CommandFailure) {
  let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  guard let eventLoop = group.next() as? any EventLoop & NIOSerialEventLoopExecutor else {
    throw .failed("the event loop is not an executor")
  }
  guard let signals = SignalCounter([SIGTERM, SIGINT, SIGHUP]) else {
    throw .failed("no file descriptor left: raise the limit (ulimit -n)")
  }
  do {
    let process = try await eventLoop.submit {
      try NIOLoopBound(MapServerProcess(configuration, file: file, signals: signals, eventLoop: eventLoop, log: log), eventLoop: eventLoop)
    }.map(\.value).get()
    try await run(process, configuration, log)
  } catch let failure as CommandFailure {
    throw failure
  } catch {
    throw .failed("\(error)")
  }
  try? await group.shutdownGracefully()
}

/// Starts, listens, waits for the end, stops.
private func run(_ process: MapServerProcess, _ configuration: MapServerConfiguration, _ log: Logger) async throws {
  try await process.start()
  do {
    let control = try await ControlServer.start(
      path: configuration.controlSocket, group: configuration.controlGroup, service: process, eventLoop: process.eventLoop, log: log)
    for await _ in process.ended {}
    log.notice("stopping")
    await control.close()
  } catch {
    await process.stop()
    throw error
  }
  await process.stop()
}
