// SPDX-License-Identifier: Apache-2.0
//
// The time that people set. Only what has to grow from one start of the program to the next is made from it: nonces.

import Glibc

enum WallClock {
  /// Until 2136.
  static var secondsSince2000: UInt32 { UInt32(truncatingIfNeeded: max(0, time(nil) - 946_684_800)) }
}
