// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import xtr

@Suite struct RegistrationStoreTests {
  private func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = NSTemporaryDirectory() + "xtr-store-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await body(folder)
  }

  private func rows(_ path: String) throws -> Set<StoredRow> {
    var rows: Set<StoredRow> = []
    try SQLiteFile(path: path).forEach { rows.insert($0) }
    return rows
  }

  private static func row(_ i: Int, _ value: UInt8 = 1) -> StoredRow {
    StoredRow(kind: UInt8(i % 3), key: [UInt8(i >> 8), UInt8(i & 0xFF)], value: [value, UInt8(i & 0xFF)])
  }

  @Test func `rows that were committed are there again, replaced and removed ones are not`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      do {
        let file = try SQLiteFile(path: path)
        try file.commit(put: (0..<1000).map { Self.row($0) }, delete: [(kind: UInt8, key: [UInt8])]())
        try file.commit(put: [Self.row(5, 9)], delete: [(kind: Self.row(6).kind, key: Self.row(6).key)])
      }
      let found = try rows(path)
      #expect(found.count == 999)
      #expect(found.contains(Self.row(5, 9)) && !found.contains(Self.row(5)) && !found.contains(Self.row(6)))
    }
  }

  @Test func `a file whose end was torn off by a crash opens with the transactions before`() async throws {
    try await withFolder { folder in
      let (path, copy) = (folder + "/state.db", folder + "/torn.db")
      let file = try SQLiteFile(path: path)
      try file.commit(put: (0..<10).map { Self.row($0) }, delete: [(kind: UInt8, key: [UInt8])]())
      let whole = try Data(contentsOf: URL(fileURLWithPath: path + "-wal")).count
      try file.commit(put: (10..<500).map { Self.row($0) }, delete: [(kind: UInt8, key: [UInt8])]())
      // What a machine that lost its power in the second transaction has on its disk, for every place where it may have stopped.
      let log = try Data(contentsOf: URL(fileURLWithPath: path + "-wal"))
      #expect(log.count > whole + 100)
      for end in stride(from: whole, to: log.count - 1, by: 1009) {
        try? FileManager.default.removeItem(atPath: copy + "-shm")
        try? FileManager.default.removeItem(atPath: copy)
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        try log.prefix(end).write(to: URL(fileURLWithPath: copy + "-wal"))
        #expect(try rows(copy) == Set((0..<10).map { Self.row($0) }), "cut at \(end)")
      }
      withExtendedLifetime(file) {}
    }
  }

  @Test func `a file that is no database is refused with its name`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      try Data(repeating: 0x5A, count: 4096).write(to: URL(fileURLWithPath: path))
      #expect(throws: SQLiteError.self) { try SQLiteFile(path: path) }
      let error = #expect(throws: SQLiteError.self) { try SQLiteFile(path: folder + "/nowhere/state.db") }
      #expect(error?.description.contains("nowhere/state.db") == true)
    }
  }

  @Test func `the store writes the last word about each row`() async throws {
    try await withFolder { folder in
      let path = folder + "/state.db"
      let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
      let loop = group.next()
      let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let store = try await loop.submit {
        let store = try RegistrationStore(path: path, eventLoop: loop, log: log) { _ in }
        for i in 0..<100 { store.put(Self.row(i)) }
        store.flush()
        // While the first write is under way.
        store.put(Self.row(7, 3))
        store.delete(kind: Self.row(8).kind, key: Self.row(8).key)
        store.flush()
        return NIOLoopBound(store, eventLoop: loop)
      }.get()
      try await loop.flatSubmit { store.value.close() }.get()
      let found = try rows(path)
      #expect(found.count == 99)
      #expect(found.contains(Self.row(7, 3)) && !found.contains(Self.row(8)))
      try await group.shutdownGracefully()
    }
  }
}
