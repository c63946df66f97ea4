// SPDX-License-Identifier: Apache-2.0
//
// The map-server's memory across restarts. Changes are gathered on the event loop and written by a thread of its own, a transaction at a time, so
// that no answer waits for a disk. What the last moment before a kill gathered is lost: the sites register it again within a minute.

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
  private let log: Logger
  /// What is to be written: nil removes the row.
  private var pending: [Key: [UInt8]?] = [:]
  private var isWriting = false
  /// Whether the last write failed: told of once, until one succeeds.
  private var isFailing = false

  private struct Key: Hashable {
    var kind: UInt8
    var key: [UInt8]
  }

  /// Opens `path`; hands every row that is there to `row`.
  init(path: String, eventLoop: any EventLoop, log: Logger, row: (StoredRow) -> Void) throws(SQLiteError) {
    self.eventLoop = eventLoop
    self.log = log
    file = try SQLiteFile(path: path)
    try file.forEach(row)
    writers = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    writer = writers.next()
  }

  func put(_ row: StoredRow) { pending[Key(kind: row.kind, key: row.key)] = .some(row.value) }

  func delete(kind: UInt8, key: [UInt8]) { pending[Key(kind: kind, key: key)] = .some(nil) }

  /// Begins to write what has gathered, unless a write is under way. Called a few times a second.
  func flush() {
    guard !isWriting, !pending.isEmpty else { return }
    isWriting = true
    let batch = pending
    pending = [:]
    writer.submit { [file] in try Self.write(batch, to: file) }
      .hop(to: eventLoop).assumeIsolated().whenComplete { [self] in finished($0, batch) }
  }

  /// Writes what is left, after a write that is under way, and ends the writer.
  func close() -> EventLoopFuture<Void> {
    let batch = pending
    pending = [:]
    let done = eventLoop.makePromise(of: Void.self)
    writer.submit { [file] in try Self.write(batch, to: file) }
      .hop(to: eventLoop).assumeIsolated().whenComplete { [self] result in
        if case .failure(let error) = result { log.error("state: \(error): the last changes are lost") }
        writers.shutdownGracefully { _ in done.succeed() }
      }
    return done.futureResult
  }

  private func finished(_ result: Result<Void, any Error>, _ batch: [Key: [UInt8]?]) {
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

  private static func write(_ batch: [Key: [UInt8]?], to file: SQLiteFile) throws(SQLiteError) {
    let rows = batch.compactMap { key, value in value.map { StoredRow(kind: key.kind, key: key.key, value: $0) } }
    let gone = batch.filter { $0.value == nil }.map { (kind: $0.key.kind, key: $0.key.key) }
    try file.commit(put: rows, delete: gone)
  }
}
