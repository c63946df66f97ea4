// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Testing
import Wire

@testable import xtr

@Suite struct NonceStoreTests {
  private static let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
  private static let eid = EIDPrefix(InstanceID(truncating: 7), IPPrefix(masking: .v6(IPv6Address(high: 1, low: 0)), length: 64))

  private func withPath(_ body: (String) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "xtr-nonces-\(UUID().uuidString).db"
    defer { for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
    try body(path)
  }

  @Test func `C8 C12 the next start begins above every nonce that was used`() throws {
    try withPath { path in
      var store = try NonceStore(path: path, log: Self.log)
      #expect(store.registrationFloor == 0 && store.subscriptionFloors.isEmpty)
      for nonce in [UInt64(5), 6, 5 + NonceStore.stride, 4 + 3 * NonceStore.stride] {
        store.noteRegistration(nonce)
        store.note(subscriptions: [(Self.eid, nonce * 2)])
        store = try NonceStore(path: path, log: Self.log)
        #expect(store.registrationFloor > nonce && store.registrationFloor <= nonce + NonceStore.stride)
        #expect((store.subscriptionFloors[Self.eid] ?? 0) > nonce * 2)
      }
      store.noteRegistration(.max - 1)
      #expect(try NonceStore(path: path, log: Self.log).registrationFloor == .max)
    }
  }

  private static func eid(_ number: Int) -> EIDPrefix {
    EIDPrefix(InstanceID(truncating: 7), IPPrefix(host: .v4(IPv4Address(rawValue: 0x0A00_0000 + UInt32(number)))))
  }

  @Test func `C12 a thousand subscriptions that begin are one transaction`() throws {
    try withPath { path in
      let store = try NonceStore(path: path, log: Self.log)
      // The write-ahead log has a frame for each page that a transaction changes: a transaction for each row would be a thousand at least.
      let before = try Data(contentsOf: URL(fileURLWithPath: path + "-wal")).count
      store.note(subscriptions: (0..<1000).map { (Self.eid($0), UInt64($0)) })
      let frames = (try Data(contentsOf: URL(fileURLWithPath: path + "-wal")).count - before) / 4096
      #expect(frames > 0 && frames < 40)
      let floors = try NonceStore(path: path, log: Self.log).subscriptionFloors
      #expect(floors.count == 1000 && floors[Self.eid(999)] == 999 + NonceStore.stride)
    }
  }

  @Test func `C12 subscriptions that are gone are forgotten at the next start, others and registrations are not`() throws {
    try withPath { path in
      var store = try NonceStore(path: path, log: Self.log)
      store.noteRegistration(5)
      store.note(subscriptions: (0..<10).map { (Self.eid($0), 100) })
      for _ in 0..<2 {
        store.keep(subscriptions: [Self.eid(3), Self.eid(77)])
        #expect(store.subscriptionFloors == [Self.eid(3): 100 + NonceStore.stride])
        #expect(store.registrationFloor == 5 + NonceStore.stride)
        store = try NonceStore(path: path, log: Self.log)
      }
    }
  }

  @Test func `names that somebody has written in two ways, or that are none, do no harm`() throws {
    try withPath { path in
      _ = try NonceStore(path: path, log: Self.log)
      let file = try SQLiteFile(path: path)
      let names = ["7 10.0.0.1/32", "07 10.0.0.1/32", "7  10.0.0.1/32", "nonsense", "99999999 10.0.0.0/8", ""]
      for (i, name) in names.enumerated() {
        try file.commit([SQLiteStatement("INSERT INTO nonces VALUES (?, ?)", .text(name), .integer(Int64(i + 1)))])
      }
      let store = try NonceStore(path: path, log: Self.log)
      #expect(store.subscriptionFloors == [Self.eid(1): 3])
      store.keep(subscriptions: [Self.eid(1)])
      #expect(store.subscriptionFloors == [Self.eid(1): 3], "the greater one is kept")
      store.keep(subscriptions: [])
      #expect(try NonceStore(path: path, log: Self.log).subscriptionFloors.isEmpty)
    }
  }

  @Test func `a file that is no database is refused with its name`() throws {
    try withPath { path in
      try Data(repeating: 0x5A, count: 4096).write(to: URL(fileURLWithPath: path))
      let error = #expect(throws: SQLiteError.self) { try NonceStore(path: path, log: Self.log) }
      #expect(error?.description.contains(path) == true)
    }
  }
}
