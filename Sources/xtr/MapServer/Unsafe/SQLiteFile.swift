// SPDX-License-Identifier: Apache-2.0
//
// A table of rows in a SQLite file: what a map-server has to know again after a restart. Written in transactions that are on the disk when
// they return; a torn one is as if it had never been. RegistrationStore is its only user.

import CSQLite

/// What a call of SQLite's said.
struct SQLiteError: Error, CustomStringConvertible {
  var doing: String
  var message: String
  var description: String { "\(doing): \(message)" }
}

/// A row; the meaning of its bytes is the caller's.
struct StoredRow: Hashable, Sendable {
  /// Of what the row is; keys of different kinds do not collide.
  var kind: UInt8
  var key: [UInt8]
  var value: [UInt8]
}

/// An open file. Thread: one at a time, whichever.
final class SQLiteFile: @unchecked Sendable {
  // SAFETY (S1): `database` and the statements are open from init to deinit, and finalised in the opposite order.
  private let database: OpaquePointer
  private let put: OpaquePointer
  private let delete: OpaquePointer

  /// Opens or makes the file. The write-ahead log is written through at each commit.
  init(path: String) throws(SQLiteError) {
    var opened: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
    guard sqlite3_open_v2(path, &opened, flags, nil) == SQLITE_OK, let opened else {
      let error = SQLiteError(doing: "opening \(path)", message: Self.message(opened))
      sqlite3_close(opened)
      throw error
    }
    database = opened
    do throws(SQLiteError) {
      sqlite3_busy_timeout(opened, 2000)
      try Self.execute(opened, "PRAGMA journal_mode = WAL")
      try Self.execute(opened, "PRAGMA synchronous = FULL")
      try Self.execute(
        opened, "CREATE TABLE IF NOT EXISTS rows (kind INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID")
      put = try Self.prepare(opened, "INSERT INTO rows VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3")
      delete = try Self.prepare(opened, "DELETE FROM rows WHERE kind = ?1 AND key = ?2")
    } catch {
      sqlite3_close_v2(opened)
      throw error
    }
  }

  deinit {
    sqlite3_finalize(put)
    sqlite3_finalize(delete)
    sqlite3_close(database)
  }

  /// Writes and removes rows; all of them or, when it throws, none.
  func commit(put rows: some Collection<StoredRow>, delete keys: some Collection<(kind: UInt8, key: [UInt8])>) throws(SQLiteError) {
    try Self.execute(database, "BEGIN IMMEDIATE")
    do throws(SQLiteError) {
      for key in keys { try step(delete, key.kind, key.key, nil) }
      for row in rows { try step(put, row.kind, row.key, row.value) }
      try Self.execute(database, "COMMIT")
    } catch {
      _ = sqlite3_exec(database, "ROLLBACK", nil, nil, nil)
      throw error
    }
  }

  /// Hands every row to `body`, in no order.
  func forEach(_ body: (StoredRow) -> Void) throws(SQLiteError) {
    let select = try Self.prepare(database, "SELECT kind, key, value FROM rows")
    defer { sqlite3_finalize(select) }
    while true {
      switch sqlite3_step(select) {
      case SQLITE_ROW:
        body(
          StoredRow(kind: UInt8(truncatingIfNeeded: sqlite3_column_int(select, 0)), key: Self.blob(select, 1), value: Self.blob(select, 2)))
      case SQLITE_DONE: return
      default: throw SQLiteError(doing: "reading", message: Self.message(database))
      }
    }
  }

  private func step(_ statement: OpaquePointer, _ kind: UInt8, _ key: [UInt8], _ value: [UInt8]?) throws(SQLiteError) {
    sqlite3_bind_int(statement, 1, Int32(kind))
    Self.bind(statement, 2, key)
    if let value { Self.bind(statement, 3, value) }
    let code = sqlite3_step(statement)
    sqlite3_reset(statement)
    sqlite3_clear_bindings(statement)
    guard code == SQLITE_DONE else { throw SQLiteError(doing: "writing", message: Self.message(database)) }
  }

  private static func bind(_ statement: OpaquePointer, _ index: Int32, _ bytes: [UInt8]) {
    // SQLITE_TRANSIENT: SQLite copies before the call returns. SAFETY: the bytes live that long.
    let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    _ = bytes.withUnsafeBytes { sqlite3_bind_blob(statement, index, $0.baseAddress, Int32(clamping: $0.count), transient) }
  }

  private static func blob(_ statement: OpaquePointer, _ column: Int32) -> [UInt8] {
    // SAFETY: valid until the next step; copied here.
    guard let bytes = sqlite3_column_blob(statement, column) else { return [] }
    return Array(UnsafeRawBufferPointer(start: bytes, count: Int(sqlite3_column_bytes(statement, column))))
  }

  private static func execute(_ database: OpaquePointer, _ sql: String) throws(SQLiteError) {
    guard sqlite3_exec(database, sql, nil, nil, nil) == SQLITE_OK else { throw SQLiteError(doing: sql, message: message(database)) }
  }

  private static func prepare(_ database: OpaquePointer, _ sql: String) throws(SQLiteError) -> OpaquePointer {
    var statement: OpaquePointer?
    guard sqlite3_prepare_v2(database, sql, -1, &statement, nil) == SQLITE_OK, let statement else {
      throw SQLiteError(doing: sql, message: message(database))
    }
    return statement
  }

  private static func message(_ database: OpaquePointer?) -> String {
    database.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
  }
}
