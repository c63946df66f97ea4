// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import Foundation
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import xtr

@Suite struct RegistrationStoreTests {
  private func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = NSTemporaryDirectory() + "xtr-store-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await body(folder)
  }

  // MARK: - The file

  private static let table = "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b TEXT, c BLOB)"
  private static func insert(_ i: Int64) -> SQLiteStatement {
    SQLiteStatement(
      "INSERT OR REPLACE INTO t VALUES (?, ?, ?)", .integer(i), i % 2 == 0 ? .null : .text("row \(i)"), .blob([UInt8(i & 0xFF), 0]))
  }

  private static func rows(_ path: String) throws -> [[SQLiteValue]] {
    var rows: [[SQLiteValue]] = []
    try SQLiteFile(path: path).query(SQLiteStatement("SELECT * FROM t ORDER BY a")) { rows.append($0) }
    return rows
  }

  @Test func `what was committed is there again, what failed is not`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      do {
        let file = try SQLiteFile(path: path)
        try file.execute(Self.table)
        try file.commit((0..<100).map(Self.insert))
        #expect(throws: SQLiteError.self) {
          try file.commit([Self.insert(200), SQLiteStatement("INSERT INTO t VALUES (?, NULL, NULL)", .integer(5))])
        }
        try file.commit([SQLiteStatement("DELETE FROM t WHERE a = ?", .integer(7))])
      }
      let found = try Self.rows(path)
      #expect(found.count == 99)
      #expect(found[0] == [.integer(0), .null, .blob([0, 0])] && found[1] == [.integer(1), .text("row 1"), .blob([1, 0])])
    }
  }

  @Test func `a file whose end was torn off by a crash opens with the transactions before`() async throws {
    try await withFolder { folder in
      let (path, copy) = (folder + "/state.db", folder + "/torn.db")
      let file = try SQLiteFile(path: path)
      try file.execute(Self.table)
      try file.commit((0..<10).map(Self.insert))
      let whole = try Data(contentsOf: URL(fileURLWithPath: path + "-wal")).count
      try file.commit((10..<2000).map(Self.insert))
      // What a machine that lost its power in the second transaction has on its disk, for many places where it may have stopped.
      let log = try Data(contentsOf: URL(fileURLWithPath: path + "-wal"))
      #expect(log.count > whole + 10_000)
      for end in stride(from: whole, to: log.count - 1, by: 1009) {
        for leftover in ["", "-shm"] { try? FileManager.default.removeItem(atPath: copy + leftover) }
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        try log.prefix(end).write(to: URL(fileURLWithPath: copy + "-wal"))
        #expect(try Self.rows(copy).count == 10, "cut at \(end)")
      }
      withExtendedLifetime(file) {}
    }
  }

  @Test func `a file that is no database of ours is refused with its name`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      try Data(repeating: 0x5A, count: 4096).write(to: URL(fileURLWithPath: path))
      let garbage = #expect(throws: SQLiteError.self) { try SQLiteFile(path: path) }
      #expect(garbage?.description.contains("state.db") == true)
      let missing = #expect(throws: SQLiteError.self) { try SQLiteFile(path: folder + "/nowhere/state.db") }
      #expect(missing?.description.contains("nowhere/state.db") == true)
      let newer = folder + "/newer.db"
      try SQLiteFile(path: newer).execute("PRAGMA user_version = 99")
      let error = try await withStore(newer) { _ in } as? SQLiteError
      #expect(error?.description.contains("another version") == true)
    }
  }

  // MARK: - The store

  private static let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  /// Opens a store on an event loop of its own, and closes it. Returns the error of opening.
  @discardableResult
  private func withStore(_ path: String, _ body: @escaping @Sendable (RegistrationStore) throws -> Void) async throws -> (any Error)? {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    var failure: (any Error)?
    do {
      try await loop.flatSubmit { () -> EventLoopFuture<Void> in
        do {
          let store = try RegistrationStore(path: path, eventLoop: loop, log: Self.log)
          try body(store)
          return store.close()
        } catch {
          return loop.makeFailedFuture(error)
        }
      }.get()
    } catch {
      failure = error
    }
    try await group.shutdownGracefully()
    return failure
  }

  private static let eid = EIDPrefix(InstanceID(truncating: 7), IPPrefix(masking: .v4(IPv4Address(10, 1, 0, 0)), length: 16))
  private static let identity = XTRIdentity(xtrIDHigh: .max, xtrIDLow: 1, siteID: 2)

  private static func registration(_ xtr: XTRName, flags: Bool = true) -> MapServerRow {
    .registration(
      .init(
        eid: eid, site: "berlin", xtr: xtr, wantsProxyReply: flags, merges: !flags, usesTTL: flags, record: [1, 2, 3], age: .seconds(60),
        expiresIn: .seconds(120)))
  }

  private static let rows: [MapServerRow] = [
    registration(.id(identity)), registration(.address(.v4(IPv4Address(192, 0, 2, 1))), flags: false),
    .xtr(
      .init(
        site: "berlin", name: .id(identity), source: .v6(IPv6Address(high: 1, low: 2)),
        nonces: [.init(keyID: 1, algorithmID: 2, nonce: .max, code: 5), .init(keyID: 0, algorithmID: 3, nonce: 1, code: .max)])),
    .xtr(.init(site: "rome", name: .address(.v4(IPv4Address(192, 0, 2, 9))), source: .v4(IPv4Address(192, 0, 2, 9)), nonces: [])),
    .subscription(
      .init(
        eid: eid, xtr: identity, site: "rome", itrRLOCs: [.v4(IPv4Address(192, 0, 2, 9)), .v6(IPv6Address(high: 3, low: 4))], nonce: .max)),
  ]

  @Test func `rows of every kind come back as they were, but for the passing of time`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      try await withStore(path) { store in for row in Self.rows { store.put(row) } }
      try await withStore(path) { store in
        var found: [MapServerRow.Key: MapServerRow] = [:]
        try store.load { found[$0.key] = $0 }
        #expect(found.count == Self.rows.count)
        for row in Self.rows {
          guard case .registration(let old) = row, case .registration(let new)? = found[row.key] else {
            #expect(found[row.key] == row)
            continue
          }
          #expect((60...70).contains(new.age.components.seconds) && (110...120).contains(new.expiresIn.components.seconds))
          var same = new
          (same.age, same.expiresIn) = (old.age, old.expiresIn)
          #expect(same == old)
        }
      }
    }
  }

  @Test func `the store writes the last word about each row`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      try await withStore(path) { store in
        for row in Self.rows { store.put(row) }
        store.flush()
        // While the first write is under way.
        store.put(Self.registration(.id(Self.identity), flags: false))
        store.remove(Self.rows[1].key)
        store.remove(Self.rows[4].key)
        store.flush()
      }
      try await withStore(path) { store in
        var found: [MapServerRow.Key: MapServerRow] = [:]
        try store.load { found[$0.key] = $0 }
        #expect(Set(found.keys) == Set(Self.rows.map(\.key)).subtracting([Self.rows[1].key, Self.rows[4].key]))
        guard case .registration(let row)? = found[Self.rows[0].key] else { return #expect(Bool(false), "the registration is gone") }
        #expect(row.merges && !row.wantsProxyReply)
      }
    }
  }

  @Test func `times that somebody has spoilt are as long ago as can be`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      try await withStore(path) { store in store.put(Self.rows[0]) }
      try SQLiteFile(path: path).execute("UPDATE registrations SET since = \(Int64.min), expires = \(Int64.min)")
      try SQLiteFile(path: path).execute("UPDATE clock SET started = \(Int64.max)")
      try await withStore(path) { store in
        var ages: [Int64] = []
        try store.load { row in
          guard case .registration(let row) = row else { return }
          ages += [row.age.components.seconds, -row.expiresIn.components.seconds]
        }
        #expect(ages.count == 2 && ages.allSatisfy { abs($0 - WallClock.secondsSince1970) < 60 })
      }
    }
  }

  @Test func `a row that somebody has spoilt is left out`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      try await withStore(path) { store in for row in Self.rows { store.put(row) } }
      let file = try SQLiteFile(path: path)
      try file.execute("UPDATE registrations SET prefix = 'nonsense'")
      try file.execute("UPDATE xtrs SET source = x'00'")
      try file.execute("UPDATE subscriptions SET instance = -1")
      try await withStore(path) { store in
        var count = 0
        try store.load { _ in count += 1 }
        #expect(count == 0)
      }
    }
  }
}
