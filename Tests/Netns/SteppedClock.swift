// SPDX-License-Identifier: Apache-2.0
//
// A wall clock for the programs of a lab that a test sets as it likes while they run; the machine's own stays as it is. libfaketime stands
// between the program and the C library, and adds to each answer what is in a file. Clocks that nobody can set are left alone.

import Foundation
import Lab

struct SteppedClock {
  /// Where Debian's libfaketime is; nil: not here.
  static let library: String? = {
    var found = glob_t()
    defer { globfree(&found) }
    guard glob("/usr/lib/*/faketime/libfaketimeMT.so.1", 0, nil, &found) == 0, let path = found.gl_pathv?[0] else { return nil }
    return String(cString: path)
  }()

  /// Seconds to add.
  private let file: String
  /// A semaphore and a piece of memory of libfaketime's. Without them in its environment it makes some for each process, changes the
  /// environment to say so, and with that loses Swift the way to the program's arguments.
  private let shared: String

  init(in directory: String) throws {
    file = "\(directory)/clock"
    shared = try ChildProcess.run(["env", "LD_PRELOAD=\(Self.library ?? "")", "sh", "-c", "printf %s \"$FAKETIME_SHARED\""])
    try set(by: 0)
  }

  /// When no program uses it any more.
  func remove() {
    for (name, prefix) in zip(shared.split(separator: " "), ["/dev/shm/sem.", "/dev/shm/"]) { unlink("\(prefix)\(name.dropFirst())") }
  }

  /// What a program is started through to have this clock.
  var launcher: [String] {
    [
      "env", "LD_PRELOAD=\(Self.library ?? "")", "FAKETIME_SHARED=\(shared)", "FAKETIME_TIMESTAMP_FILE=\(file)", "FAKETIME_NO_CACHE=1",
      "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1",
    ]
  }

  /// From now on the programs' wall clock is that many seconds from the machine's.
  func set(by seconds: Int) throws {
    // Renamed into its place: nobody reads a half one.
    try "\(seconds < 0 ? "-" : "+")\(abs(seconds))\n".write(toFile: file, atomically: true, encoding: .utf8)
  }

  /// How many seconds the clock of who wrote this log was from the machine's when it wrote its last line, if that was now.
  static func offset(inLastLineOf log: String) -> Int? {
    guard let stamp = log.split(separator: "\n").last?.split(separator: " ").first else { return nil }
    return (try? Date(String(stamp), strategy: .iso8601)).map { Int($0.timeIntervalSinceNow.rounded()) }
  }
}
