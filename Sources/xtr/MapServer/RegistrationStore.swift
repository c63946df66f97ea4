// SPDX-License-Identifier: Apache-2.0
//
// The map-server's memory across restarts. Changes are gathered on the event loop and written by a thread of its own, a transaction at a time, so
// that no answer waits for a disk. What the last moment before a kill gathered is lost: the sites register it again within a minute.

import Logging
import NIOCore
import NIOPosix

/// Thread: the event loop given to init, except where said.
final class RegistrationStore {
  private let eventLoop: any EventLoop
  private let writer: MultiThreadedEventLoopGroup
  private let file: NIOLoopBoundBox<FileBox>
  private let log: Logger
  /// What is to be written: nil removes the row.
  private var pending: [Key: [UInt8]?] = [:]
  private var isWriting = false
  /// The last failure, which is logged once until a write succeeds.
  private var failure: String?

  private struct Key: Hashable {
    var kind: UInt8
    var key: [UInt8]
  }

  /// Lets the file be used by one thread and closed on another's order.
  private final class FileBox {
    var file: SQLiteFile?
    init(_ file: consuming SQLiteFile) { self.file = consume file }
  }

  /// Opens `path`; hands every row that is there to `row`.
  init(path: String, eventLoop: any EventLoop, log: Logger, row: (StoredRow) -> Void) throws(SQLiteError) {
    self.eventLoop = eventLoop
    self.log = log
    let opened = try SQLiteFile(path: path)
    try opened.forEach(row)
    writer = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    file = NIOLoopBoundBox.makeBoxSendingValue(FileBox(opened), eventLoop: writer.next())
  }

  func put(_ row: StoredRow) { pending[Key(kind: row.kind, key: row.key)] = .some(row.value) }

  func delete(kind: UInt8, key: [UInt8]) { pending[Key(kind: kind, key: key)] = .some(nil) }

  /// Begins to write what has gathered, unless a write is under way. Called a few times a second.
  func flush() {
    guard !isWriting, !pending.isEmpty else { return }
    isWriting = true
    let batch = pending
    pending = [:]
    let written = file._eventLoop.submit { [file] in try Self.write(batch, to: file.value) }
    written.hop(to: eventLoop).assumeIsolated().whenComplete { [self] in finished($0, batch) }
  }
}
