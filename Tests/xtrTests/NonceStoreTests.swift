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
        store.noteSubscription(Self.eid, nonce * 2)
        store = try NonceStore(path: path, log: Self.log)
        #expect(store.registrationFloor > nonce && store.registrationFloor <= nonce + NonceStore.stride)
        #expect((store.subscriptionFloors[Self.eid] ?? 0) > nonce * 2)
      }
      store.noteRegistration(.max - 1)
      #expect(try NonceStore(path: path, log: Self.log).registrationFloor == .max)
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
