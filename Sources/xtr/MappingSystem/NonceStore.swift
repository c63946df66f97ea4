// SPDX-License-Identifier: Apache-2.0
//
// Nonces that have to grow from one start of the router to the next, whatever its clock does (RFC 9301 5.6, RFC 9437 7.1): the registrar's, and one
// for each subscription. What is on the disk is a number that none of this run's has reached yet; it moves in strides, so that hardly any
// message waits for a disk.

import ControlPlane
import Logging
import Wire

/// Thread: the event loop.
final class NonceStore {
  /// Messages between two writes.
  static let stride: UInt64 = 1 << 16

  private let file: SQLiteFile
  private let log: Logger
  /// What is on the disk.
  private var bounds: [String: UInt64] = [:]

  /// Opens `path`, or makes it.
  init(path: String, log: Logger) throws(SQLiteError) {
    self.log = log
    file = try SQLiteFile(path: path)
    try file.execute("CREATE TABLE IF NOT EXISTS nonces (name TEXT PRIMARY KEY, bound INTEGER NOT NULL) WITHOUT ROWID")
    var found: [String: UInt64] = [:]
    try file.query(SQLiteStatement("SELECT name, bound FROM nonces")) { columns in
      if case .text(let name) = columns[0], case .integer(let bound) = columns[1] { found[name] = UInt64(bitPattern: bound) }
    }
    bounds = found
  }

  /// Above every nonce that an earlier run used for registrations; 0 if there was none.
  var registrationFloor: UInt64 { bounds[Self.registrations] ?? 0 }

  /// The same for each subscription. Of an EID-prefix that somebody has written in two ways, the greater one.
  var subscriptionFloors: [EIDPrefix: UInt64] {
    Dictionary(bounds.compactMap { name, bound in EIDPrefix(storedName: name).map { ($0, bound) } }, uniquingKeysWith: max)
  }

  /// Registrations have come to this nonce.
  func noteRegistration(_ nonce: UInt64) { note([(Self.registrations, nonce)]) }

  /// Subscriptions have come to these nonces; before they are sent. One transaction, whatever their number.
  func note(subscriptions: [(eid: EIDPrefix, nonce: UInt64)]) { note(subscriptions.map { ($0.eid.storedName, $0.nonce) }) }

  /// Forgets the subscriptions that are none of these: of an earlier run, whose file would otherwise only grow. Called at the start, when
  /// those that ended have long been ended at the map-server, too.
  func keep(subscriptions: [EIDPrefix]) {
    let kept = Set(subscriptions.map(\.storedName) + [Self.registrations])
    let gone = bounds.keys.filter { !kept.contains($0) && EIDPrefix(storedName: $0).map { !subscriptions.contains($0) } ?? true }
    write(gone.map { SQLiteStatement("DELETE FROM nonces WHERE name = ?", .text($0)) })
    for name in gone { bounds[name] = nil }
  }

  private static let registrations = "registrations"

  private func note(_ nonces: [(name: String, nonce: UInt64)]) {
    let reached = nonces.filter { $0.nonce >= bounds[$0.name] ?? 0 }
    // Also where the write fails: tried again after a stride, not with every message.
    for (name, nonce) in reached { bounds[name] = nonce.addingReportingOverflow(Self.stride).overflow ? .max : nonce + Self.stride }
    write(
      Set(reached.map(\.name)).map { name in
        SQLiteStatement(
          "INSERT OR REPLACE INTO nonces VALUES (?, ?)", .text(name), .integer(Int64(bitPattern: bounds[name] ?? 0)))
      })
  }

  private func write(_ statements: [SQLiteStatement]) {
    guard !statements.isEmpty else { return }
    do throws(SQLiteError) {
      try file.commit(statements)
    } catch {
      log.error("state: \(error): after a restart with the clock set back, map-servers would take our messages for old ones")
    }
  }
}

extension EIDPrefix {
  fileprivate var storedName: String { "\(instanceID) \(prefix)" }

  fileprivate init?(storedName name: String) {
    let parts = name.split(separator: " ")
    guard parts.count == 2, let number = UInt32(parts[0]), let instance = InstanceID(number),
      let prefix = try? IPPrefix(parsing: String(parts[1]))
    else { return nil }
    self.init(instance, prefix)
  }
}
