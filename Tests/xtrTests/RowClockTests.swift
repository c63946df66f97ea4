// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import xtr

@Suite struct RowClockTests {
  private static let today: Int64 = 1_800_000_000

  private func withFile(_ body: (SQLiteFile) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "xtr-clock-\(UUID().uuidString).db"
    defer { for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
    let file = try SQLiteFile(path: path)
    try file.execute(RowClock.schema)
    try body(file)
  }

  @Test(arguments: [Int64(3600), -86_400]) func `a clock that was set between two servers is the old one for both`(step: Int64) throws {
    try withFile { file in
      let first = try RowClock(in: file, boot: "one", wallTime: Self.today)
      let second = try RowClock(in: file, boot: "one", wallTime: Self.today + step)
      #expect(abs(first.now - Self.today) <= 2 && abs(second.now - first.now) <= 2)
    }
  }

  @Test func `after another start of the machine the wall clock counts, and stays`() throws {
    try withFile { file in
      _ = try RowClock(in: file, boot: "one", wallTime: Self.today)
      for wallTime in [Self.today + 500, Self.today + 9000] {
        let clock = try RowClock(in: file, boot: "two", wallTime: wallTime)
        #expect(abs(clock.now - Self.today - 500) <= 2)
      }
      let again = try RowClock(in: file, boot: "one", wallTime: Self.today + 700)
      #expect(abs(again.now - Self.today - 700) <= 2, "an old start does not come back")
    }
  }

  @Test func `a machine that does not name its starts has the wall clock alone`() throws {
    try withFile { file in
      for wallTime in [Self.today, Self.today + 3600] {
        let clock = try RowClock(in: file, boot: nil, wallTime: wallTime)
        #expect(abs(clock.now - wallTime) <= 2)
      }
    }
  }

  @Test func `this machine names its starts`() { #expect(RowClock.boot?.count == 36) }
}
