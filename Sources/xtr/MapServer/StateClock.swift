// SPDX-License-Identifier: Apache-2.0
//
// The clock of a map-server's state file: what its times are counted by. RegistrationStore has one.
//
// The wall clock is no clock for that. People and NTP set it: back, and every registration lives longer by so much; forward, and all are over.
// The seconds since the machine's boot are right, and end with it. So
//
//     time in the file = seconds since boot + offset
//
// and the offset is chosen once for each boot, by the first server that opens the file in it, and kept there with the boot's identity. How
// the wall clock is set afterwards is all the same. From one boot to the next only the wall clock knows how long the machine was off; it is
// believed unless it says that time went back. The times in the file are therefore near those of the wall clock, and are not them.

import Glibc

/// Thread: any (a value).
struct StateClock: Hashable, Sendable {
  /// What the file keeps of it.
  struct Kept: Hashable, Sendable {
    var boot: String
    var offset: Int64
    /// The time when it was written.
    var last: Int64
  }

  /// The identity of the machine's boot; empty: not known, and like no other.
  let boot: String
  let offset: Int64

  /// `kept`: what the file has, if it has something.
  init(_ kept: Kept?, boot: String, secondsSinceBoot: Int64, secondsSince1970: Int64) {
    self.boot = boot
    let wall = secondsSince1970 - secondsSinceBoot
    guard let kept else {
      offset = wall
      return
    }
    // In another boot, so much time has passed since `last` at least as since this one began.
    offset = kept.boot == boot && !boot.isEmpty ? kept.offset : max(wall, kept.last)
  }

  /// The time in the file.
  func time(secondsSinceBoot: Int64) -> Int64 { secondsSinceBoot + offset }

  /// What the file is to keep.
  func kept(secondsSinceBoot: Int64) -> Kept { Kept(boot: boot, offset: offset, last: time(secondsSinceBoot: secondsSinceBoot)) }
}

extension StateClock {
  /// By the machine's own clocks.
  init(_ kept: Kept?) {
    let boot = (try? InputFile.read("/proc/sys/kernel/random/boot_id")) ?? []
    let identity = String(decoding: boot.prefix { $0 > 0x20 }, as: UTF8.self)
    self.init(kept, boot: identity, secondsSinceBoot: Self.secondsSinceBoot, secondsSince1970: WallClock.secondsSince1970)
  }

  var now: Int64 { time(secondsSinceBoot: Self.secondsSinceBoot) }

  /// Also those in which the machine slept.
  static var secondsSinceBoot: Int64 {
    var now = timespec()
    clock_gettime(CLOCK_BOOTTIME, &now)
    return Int64(now.tv_sec)
  }
}
