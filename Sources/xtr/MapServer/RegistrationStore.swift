// SPDX-License-Identifier: Apache-2.0
//
// The map-server's memory across restarts. Changes are gathered on the event loop and written by a thread of its own, a transaction at a time, so
// that no answer waits for a disk. What the last moment before a kill gathered is lost: the sites register it again within a minute.

import ControlPlane
import Logging
import NIOCore
import NIOPosix

/// Thread: the event loop given to init.
final class RegistrationStore {
  private let eventLoop: any EventLoop
  private let writers: MultiThreadedEventLoopGroup
  private let writer: any EventLoop
  /// Used by the writer's thread.
  private let file: SQLiteFile
  private let clock: StateClock
  private let log: Logger
  /// What is to be written, the last word about each row; nil removes it.
  private var pending: [MapServerRow.Key: MapServerRow?] = [:]
  private var isWriting = false
  /// Whether the last write failed: told of once, until one succeeds.
  private var isFailing = false

  /// Opens `path`, or makes it.
  init(path: String, eventLoop: any EventLoop, log: Logger) throws(SQLiteError) {
    self.eventLoop = eventLoop
    self.log = log
    file = try SQLiteFile(path: path)
    var version: Int64 = 0
    try file.query(SQLiteStatement("PRAGMA user_version")) { if case .integer(let number)? = $0.first { version = number } }
    guard version == 0 || version == MapServerRow.schemaVersion else {
      throw SQLiteError(doing: path, message: "the file is of another version of xtr (\(version)): name another one as `state`")
    }
    // Nothing is written where all is there: a server that comes back while the disk is full serves what it has.
    for statement in MapServerRow.schema { try file.execute(statement) }
    if version == 0 { try file.execute("PRAGMA user_version = \(MapServerRow.schemaVersion)") }
    clock = StateClock(try StateClock.Kept(from: file))
    writers = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    writer = writers.next()
  }

  /// Hands over every row that is there; before anything is written.
  func load(_ body: (MapServerRow) -> Void) throws(SQLiteError) { try MapServerRow.all(in: file, at: clock.now, body) }

  func put(_ row: MapServerRow) { pending[row.key] = .some(row) }

  func remove(_ key: MapServerRow.Key) { pending[key] = .some(nil) }

  /// Begins to write what has gathered, unless a write is under way. Called a few times a second.
  func flush() {
    guard !isWriting, !pending.isEmpty else { return }
    isWriting = true
    let batch = pending
    pending = [:]
    writer.submit { [file, clock] in try Self.write(batch, to: file, clock) }
      .hop(to: eventLoop).assumeIsolated().whenComplete { [self] in finished($0, batch) }
  }

  /// Writes what is left, after a write that is under way, and ends the writer.
  func close() -> EventLoopFuture<Void> {
    let batch = pending
    pending = [:]
    let done = eventLoop.makePromise(of: Void.self)
    writer.submit { [file, clock] in try Self.write(batch, to: file, clock) }
      .hop(to: eventLoop).assumeIsolated().whenComplete { [self] result in
        if case .failure(let error) = result { log.error("state: \(error): the last changes are lost") }
        writers.shutdownGracefully { _ in done.succeed() }
      }
    return done.futureResult
  }

  private func finished(_ result: Result<Void, any Error>, _ batch: [MapServerRow.Key: MapServerRow?]) {
    isWriting = false
    switch result {
    case .success:
      if isFailing { log.notice("state: written again") }
      isFailing = false
    case .failure(let error):
      if !isFailing { log.error("state: \(error): registrations would not survive a restart; tried again") }
      isFailing = true
      pending.merge(batch) { newer, _ in newer }
    }
  }

  private static func write(
    _ batch: [MapServerRow.Key: MapServerRow?], to file: SQLiteFile, _ clock: StateClock
  ) throws(SQLiteError) {
    let kept = clock.kept(secondsSinceBoot: StateClock.secondsSinceBoot)
    try file.commit([kept.statement] + batch.map { key, row in row?.statement(at: kept.last) ?? key.removal })
  }
}
