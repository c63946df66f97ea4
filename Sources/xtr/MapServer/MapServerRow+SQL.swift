// SPDX-License-Identifier: Apache-2.0
//
// A map-server's rows as rows of SQL tables, which an operator can read with `sqlite3`. Times are a StateClock's, about seconds since 1970:
// `MapServerRow` counts from now.
//
//     registrations   instance, prefix, site, xtr → record (as on the wire), flags, since, expires
//     xtrs            site, xtr → source, nonces
//     subscriptions   instance, prefix, xtr → site, itr_rlocs, nonce
//     clock           one row: boot, offset, last

import ControlPlane
import Wire

extension MapServerRow {
  /// Which tables these are, as the file's user_version; a file of another number is not ours to read.
  static let schemaVersion: Int64 = 1
  /// What makes the tables.
  static let schema = [
    """
    CREATE TABLE IF NOT EXISTS registrations (
      instance INTEGER, prefix TEXT, site TEXT, xtr TEXT, record BLOB NOT NULL, flags INTEGER NOT NULL, since INTEGER NOT NULL,
      expires INTEGER NOT NULL, PRIMARY KEY (instance, prefix, site, xtr)) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS xtrs (site TEXT, xtr TEXT, source TEXT NOT NULL, nonces TEXT NOT NULL, PRIMARY KEY (site, xtr)) WITHOUT ROWID",
    """
    CREATE TABLE IF NOT EXISTS subscriptions (
      instance INTEGER, prefix TEXT, xtr TEXT, site TEXT NOT NULL, itr_rlocs TEXT NOT NULL, nonce INTEGER NOT NULL,
      PRIMARY KEY (instance, prefix, xtr)) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY, boot TEXT NOT NULL, offset INTEGER NOT NULL, last INTEGER NOT NULL)",
  ]

  fileprivate enum Flag {
    static let proxy: Int64 = 1
    static let merges: Int64 = 2
    static let usesTTL: Int64 = 4
  }

  /// Puts the row into its table.
  func statement(at now: Int64) -> SQLiteStatement {
    switch self {
    case .registration(let row):
      let flags = (row.wantsProxyReply ? Flag.proxy : 0) | (row.merges ? Flag.merges : 0) | (row.usesTTL ? Flag.usesTTL : 0)
      return SQLiteStatement(
        "INSERT OR REPLACE INTO registrations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row.eid.instance, row.eid.text, .text(row.site),
        .text(row.xtr.stored), .blob(row.record), .integer(flags), .integer(now - row.age.components.seconds),
        .integer(now + row.expiresIn.components.seconds))
    case .xtr(let row):
      return SQLiteStatement(
        "INSERT OR REPLACE INTO xtrs VALUES (?, ?, ?, ?)", .text(row.site), .text(row.name.stored), .text("\(row.source)"),
        .text(row.nonces.map(\.stored).joined(separator: " ")))
    case .subscription(let row):
      return SQLiteStatement(
        "INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?, ?, ?, ?)", row.eid.instance, row.eid.text,
        .text(XTRName.id(row.xtr).stored), .text(row.site), .text(row.itrRLOCs.map(\.description).joined(separator: " ")),
        .integer(Int64(bitPattern: row.nonce)))
    }
  }

  /// Every row that is there; what is no row of ours is left out.
  static func all(in file: SQLiteFile, at now: Int64, _ body: (MapServerRow) -> Void) throws(SQLiteError) {
    // Nonces come before what they protect.
    try file.query(SQLiteStatement("SELECT site, xtr, source, nonces FROM xtrs")) { XTR(columns: $0).map { body(.xtr($0)) } }
    try file.query(SQLiteStatement("SELECT instance, prefix, site, xtr, record, flags, since, expires FROM registrations")) {
      Registration(columns: $0, now).map { body(.registration($0)) }
    }
    try file.query(SQLiteStatement("SELECT instance, prefix, xtr, site, itr_rlocs, nonce FROM subscriptions")) {
      Subscription(columns: $0).map { body(.subscription($0)) }
    }
  }
}

extension StateClock.Kept {
  var statement: SQLiteStatement {
    SQLiteStatement("INSERT OR REPLACE INTO clock VALUES (0, ?, ?, ?)", .text(boot), .integer(offset), .integer(last))
  }

  /// nil when the file has none, or one that cannot be.
  init?(from file: SQLiteFile) throws(SQLiteError) {
    var found: Self?
    try file.query(SQLiteStatement("SELECT boot, offset, last FROM clock WHERE id = 0")) { columns in
      guard case .text(let boot) = columns[0], case .integer(let offset) = columns[1], case .integer(let last) = columns[2],
        Self.plausible.contains(offset), Self.plausible.contains(last)
      else { return }
      found = Self(boot: boot, offset: offset, last: last)
    }
    guard let found else { return nil }
    self = found
  }

  /// Between -9999 and 9999, as years go.
  private static let plausible = -315_000_000_000...315_000_000_000 as ClosedRange<Int64>
}

extension MapServerRow.Key {
  /// Takes the row out of its table.
  var removal: SQLiteStatement {
    switch self {
    case .registration(let eid, let site, let xtr):
      SQLiteStatement(
        "DELETE FROM registrations WHERE instance = ? AND prefix = ? AND site = ? AND xtr = ?", eid.instance, eid.text, .text(site),
        .text(xtr.stored))
    case .xtr(let site, let xtr): SQLiteStatement("DELETE FROM xtrs WHERE site = ? AND xtr = ?", .text(site), .text(xtr.stored))
    case .subscription(let eid, let xtr):
      SQLiteStatement(
        "DELETE FROM subscriptions WHERE instance = ? AND prefix = ? AND xtr = ?", eid.instance, eid.text, .text(XTRName.id(xtr).stored))
    }
  }
}

extension MapServerRow.Registration {
  fileprivate init?(columns: [SQLiteValue], _ now: Int64) {
    guard case .text(let site) = columns[2], case .text(let xtr) = columns[3], case .blob(let record) = columns[4],
      case .integer(let flags) = columns[5], case .integer(let since) = columns[6], case .integer(let expires) = columns[7],
      let eid = EIDPrefix(columns[0], columns[1]), let xtr = XTRName(stored: xtr)
    else { return nil }
    // Whatever numbers somebody has put there.
    let (age, left) = (now.subtractingReportingOverflow(since), expires.subtractingReportingOverflow(now))
    guard !age.overflow, !left.overflow else { return nil }
    self.init(
      eid: eid, site: site, xtr: xtr, wantsProxyReply: flags & MapServerRow.Flag.proxy != 0, merges: flags & MapServerRow.Flag.merges != 0,
      usesTTL: flags & MapServerRow.Flag.usesTTL != 0, record: record,
      age: .seconds(max(0, age.partialValue)), expiresIn: .seconds(left.partialValue))
  }
}

extension MapServerRow.XTR {
  fileprivate init?(columns: [SQLiteValue]) {
    guard case .text(let site) = columns[0], case .text(let name) = columns[1], case .text(let source) = columns[2],
      case .text(let nonces) = columns[3], let name = XTRName(stored: name), let source = IPAddress(source)
    else { return nil }
    self.init(site: site, name: name, source: source, nonces: nonces.split(separator: " ").compactMap { .init(stored: $0) })
  }
}

extension MapServerRow.XTR.Nonce {
  /// Four numbers with colons between.
  fileprivate var stored: String { "\(keyID):\(algorithmID):\(nonce):\(code)" }

  fileprivate init?(stored text: Substring) {
    let parts = text.split(separator: ":").compactMap { UInt64($0) }
    guard parts.count == 4, let keyID = UInt8(exactly: parts[0]), let algorithmID = UInt8(exactly: parts[1]) else { return nil }
    self.init(keyID: keyID, algorithmID: algorithmID, nonce: parts[2], code: parts[3])
  }
}

extension MapServerRow.Subscription {
  fileprivate init?(columns: [SQLiteValue]) {
    guard case .text(let xtr) = columns[2], case .text(let site) = columns[3], case .text(let rlocs) = columns[4],
      case .integer(let nonce) = columns[5], let eid = EIDPrefix(columns[0], columns[1]), case .id(let identity) = XTRName(stored: xtr)
    else { return nil }
    self.init(
      eid: eid, xtr: identity, site: site, itrRLOCs: rlocs.split(separator: " ").compactMap { IPAddress($0) },
      nonce: UInt64(bitPattern: nonce))
  }
}

extension XTRName {
  /// An address, or "xTR-ID/site-ID" in hexadecimal and decimal digits.
  fileprivate var stored: String {
    switch self {
    case .id(let identity): "\(identity)/\(identity.siteID)"
    case .address(let address): "\(address)"
    }
  }

  fileprivate init?(stored text: String) {
    if let address = IPAddress(text) {
      self = .address(address)
      return
    }
    let parts = text.split(separator: "/")
    guard parts.count == 2, let site = UInt64(parts[1]), let identity = XTRIdentity(xtrID: parts[0], siteID: site) else { return nil }
    self = .id(identity)
  }
}

extension EIDPrefix {
  fileprivate var instance: SQLiteValue { .integer(Int64(instanceID.rawValue)) }
  fileprivate var text: SQLiteValue { .text("\(prefix)") }

  fileprivate init?(_ instance: SQLiteValue, _ prefix: SQLiteValue) {
    guard case .integer(let number) = instance, case .text(let text) = prefix, let instance = InstanceID(number),
      let prefix = try? IPPrefix(parsing: text)
    else { return nil }
    self.init(instance, prefix)
  }
}
