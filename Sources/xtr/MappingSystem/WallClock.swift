// SPDX-License-Identifier: Apache-2.0
//
// The time that people set. Only what has to be told from one start of the program to the next is made from it: nonces, which have to grow, and
// where a map-server's StateClock begins.

import Glibc

enum WallClock {
  /// Until 2136.
  static var secondsSince2000: UInt32 { UInt32(truncatingIfNeeded: max(0, secondsSince1970 - 946_684_800)) }

  static var secondsSince1970: Int64 { Int64(time(nil)) }
}
