// SPDX-License-Identifier: Apache-2.0
//
// The clock that a map-server's rows are dated with. RegistrationStore asks it.
//
// A row says until when a registration lasts, and a server that comes back has to know how much of that is left. The wall clock does not
// know: set an hour forward, it ends every registration, and set a day back, it lets those of dead routers live for a day. The time since
// the machine started is set by nobody, but means nothing after the next start. So the file keeps which start of the machine it was and
// what the wall clock said of it, and every later server of that start counts from there. After another start of the machine the wall
// clock is all there is; then MapServer.restore bounds what it can do wrong.
//
//     clock       boot → started (seconds since 1970)

import Glibc

/// Thread: any.
struct RowClock: Sendable {
  static let schema = "CREATE TABLE IF NOT EXISTS clock (boot TEXT NOT NULL, started INTEGER NOT NULL)"

  /// What somebody has not spoilt: until the year 36 812.
  private static let plausible = 0...Int64(1) << 40

  /// When the machine started, in seconds since 1970, as far as the wall clock knew when the file was first used.
  private let started: Int64

  /// Takes the clock of an earlier server from `file`, or begins with the wall clock and leaves that to the next one. `boot` names this
  /// start of the machine; without a name the wall clock at the start of this process is all that is known.
  init(in file: SQLiteFile, boot: String? = Self.boot, wallTime: Int64 = WallClock.secondsSince1970) throws(SQLiteError) {
    var known: Int64?
    if let boot {
      try file.query(SQLiteStatement("SELECT started FROM clock WHERE boot = ?", .text(boot))) {
        if case .integer(let started)? = $0.first, Self.plausible.contains(started) { known = started }
      }
    }
    started = known ?? wallTime - Self.secondsSinceBoot
    guard let boot, known == nil else { return }
    // Where the disk is full, the next server begins with the wall clock, too.
    try? file.commit([
      SQLiteStatement("DELETE FROM clock"), SQLiteStatement("INSERT INTO clock VALUES (?, ?)", .text(boot), .integer(started)),
    ])
  }

  /// Seconds since 1970, as they passed.
  var now: Int64 { started + Self.secondsSinceBoot }

  /// Sleep of the machine counts.
  private static var secondsSinceBoot: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Int64(time.tv_sec)
  }

  /// The kernel's name for this start of the machine.
  static let boot: String? = {
    guard let file = fopen("/proc/sys/kernel/random/boot_id", "r") else { return nil }
    defer { fclose(file) }
    var text = [UInt8](repeating: 0, count: 36)
    return fread(&text, 1, text.count, file) == text.count ? String(decoding: text, as: UTF8.self) : nil
  }()
}
