// SPDX-License-Identifier: Apache-2.0
//
// A SQLite file: what a map-server or a router has to know again after a restart. Written in transactions that are on the disk when they
// return; a torn one is as if it had never been. RegistrationStore and NonceStore use it.

import CSQLite

/// What SQLite refused, and why.
struct SQLiteError: Error, CustomStringConvertible {
  var doing: String
  var message: String
  var description: String { "\(doing): \(message)" }
}

/// A value of a column.
enum SQLiteValue: Hashable, Sendable {
  case integer(Int64)
  case text(String)
  case blob([UInt8])
  case null
}

/// A statement and what stands for its question marks.
struct SQLiteStatement: Hashable, Sendable {
  var text: String
  var values: [SQLiteValue]

  init(_ text: String, _ values: SQLiteValue...) {
    self.text = text
    self.values = values
  }
}

/// An open file. Thread: one at a time, whichever.
final class SQLiteFile: @unchecked Sendable {
  // SAFETY (S1): the database and the prepared statements are open until deinit, which closes them in the opposite order.
  private let database: OpaquePointer
  private let path: String
  private var prepared: [String: OpaquePointer] = [:]

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
    self.path = path
    sqlite3_busy_timeout(opened, 2000)
    do throws(SQLiteError) {
      try execute("PRAGMA journal_mode = WAL")
      try execute("PRAGMA synchronous = FULL")
    } catch {
      throw SQLiteError(doing: path, message: error.message)
    }
  }

  deinit {
    for statement in prepared.values { sqlite3_finalize(statement) }
    sqlite3_close(database)
  }

  /// Carries SQL out that has no values and gives none.
  func execute(_ sql: String) throws(SQLiteError) {
    guard sqlite3_exec(database, sql, nil, nil, nil) == SQLITE_OK else { throw failure(sql) }
  }

  /// Carries the statements out; all of them or, when it throws, none.
  func commit(_ statements: some Sequence<SQLiteStatement>) throws(SQLiteError) {
    try execute("BEGIN IMMEDIATE")
    do throws(SQLiteError) {
      for statement in statements { try query(statement) { _ in } }
      try execute("COMMIT")
    } catch {
      sqlite3_exec(database, "ROLLBACK", nil, nil, nil)
      throw error
    }
  }

  /// Hands the columns of every row to `row`.
  func query(_ statement: SQLiteStatement, _ row: ([SQLiteValue]) -> Void) throws(SQLiteError) {
    let handle = try prepare(statement.text)
    defer {
      sqlite3_reset(handle)
      sqlite3_clear_bindings(handle)
    }
    for (i, value) in statement.values.enumerated() { Self.bind(handle, Int32(i + 1), value) }
    while true {
      switch sqlite3_step(handle) {
      case SQLITE_ROW: row((0..<sqlite3_column_count(handle)).map { Self.column(handle, $0) })
      case SQLITE_DONE: return
      default: throw failure(statement.text)
      }
    }
  }

  private func prepare(_ sql: String) throws(SQLiteError) -> OpaquePointer {
    if let statement = prepared[sql] { return statement }
    var statement: OpaquePointer?
    guard sqlite3_prepare_v2(database, sql, -1, &statement, nil) == SQLITE_OK, let statement else { throw failure(sql) }
    prepared[sql] = statement
    return statement
  }

  private static func bind(_ statement: OpaquePointer, _ index: Int32, _ value: SQLiteValue) {
    // SQLITE_TRANSIENT: SQLite copies before the call returns. SAFETY: the bytes live that long.
    let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    switch value {
    case .integer(let number): sqlite3_bind_int64(statement, index, number)
    case .text(let text): sqlite3_bind_text(statement, index, text, -1, transient)
    case .blob(let bytes):
      _ = bytes.withUnsafeBytes { sqlite3_bind_blob(statement, index, $0.baseAddress, Int32(clamping: $0.count), transient) }
    case .null: sqlite3_bind_null(statement, index)
    }
  }

  private static func column(_ statement: OpaquePointer, _ column: Int32) -> SQLiteValue {
    // SAFETY: what SQLite lends is valid until the next step; copied here.
    switch sqlite3_column_type(statement, column) {
    case SQLITE_INTEGER: return .integer(sqlite3_column_int64(statement, column))
    case SQLITE_TEXT: return .text(sqlite3_column_text(statement, column).map { String(cString: $0) } ?? "")
    case SQLITE_BLOB:
      guard let bytes = sqlite3_column_blob(statement, column) else { return .blob([]) }
      return .blob(Array(UnsafeRawBufferPointer(start: bytes, count: Int(sqlite3_column_bytes(statement, column)))))
    default: return .null
    }
  }

  private func failure(_ doing: String) -> SQLiteError { SQLiteError(doing: "\(path): \(doing)", message: Self.message(database)) }

  private static func message(_ database: OpaquePointer?) -> String {
    database.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
  }
}
