// SPDX-License-Identifier: Apache-2.0

import Testing
import TestSupport

@testable import xtr

@Suite struct StateClockTests {
  /// A machine with a clock that nobody sets, one that everybody does, and a boot.
  private struct Machine {
    var uptime: Int64 = 1000
    var wall: Int64 = 1_800_000_000
    var boot = "boot 1"

    func start(_ kept: StateClock.Kept?) -> StateClock {
      StateClock(kept, boot: boot, secondsSinceBoot: uptime, secondsSince1970: wall)
    }
    mutating func pass(_ seconds: Int64) {
      uptime += seconds
      wall += seconds
    }
    mutating func reboot(off seconds: Int64) {
      (uptime, wall, boot) = (10, wall + seconds + 10, boot + "'")
    }
  }

  @Test func `C11 a new file begins at the time of the wall clock`() {
    let machine = Machine()
    #expect(machine.start(nil).time(secondsSinceBoot: machine.uptime) == machine.wall)
  }

  @Test(arguments: [-365 * 86_400, -3600, 3600, 365 * 86_400] as [Int64])
  func `C11 a step of the wall clock neither lengthens nor shortens what is left`(_ step: Int64) {
    var machine = Machine()
    let clock = machine.start(nil)
    let written = clock.kept(secondsSinceBoot: machine.uptime)
    machine.wall += step
    machine.pass(30)
    #expect(clock.time(secondsSinceBoot: machine.uptime) - written.last == 30, "while it runs")
    let restarted = machine.start(written)
    #expect(restarted.time(secondsSinceBoot: machine.uptime) - written.last == 30, "after a restart")
    let again = restarted.kept(secondsSinceBoot: machine.uptime)
    machine.wall -= 2 * step
    machine.pass(40)
    #expect(machine.start(again).time(secondsSinceBoot: machine.uptime) - written.last == 70, "after another one")
  }

  @Test func `C11 after a reboot the wall clock says how long the machine was off, unless it went back`() {
    var machine = Machine()
    let written = machine.start(nil).kept(secondsSinceBoot: machine.uptime)
    machine.reboot(off: 300)
    #expect(machine.start(written).time(secondsSinceBoot: machine.uptime) - written.last == 310)
    machine.wall = 0
    #expect(machine.start(written).time(secondsSinceBoot: machine.uptime) - written.last == 10, "what has passed since the boot, at least")
  }

  @Test func `a boot whose identity is not known is like no other`() {
    var machine = Machine()
    machine.boot = ""
    let written = machine.start(nil).kept(secondsSinceBoot: machine.uptime)
    machine.uptime = 5
    machine.wall += 60
    #expect(machine.start(written).time(secondsSinceBoot: machine.uptime) - written.last == 60)
  }

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `C11 the time in the file never goes back, whatever becomes of clock, server and machine`(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var machine = Machine()
    var clock = machine.start(nil)
    var kept = clock.kept(secondsSinceBoot: machine.uptime)
    for _ in 0..<500 {
      switch random.below(5) {
      case 0: machine.wall += Int64(random.below(2_000_000)) - 1_000_000
      case 1: clock = machine.start(kept)
      case 2:
        machine.reboot(off: Int64(random.below(1000)))
        clock = machine.start(kept)
      default: machine.pass(Int64(random.below(100)))
      }
      let now = clock.kept(secondsSinceBoot: machine.uptime)
      #expect(now.last >= kept.last)
      kept = now
    }
  }
}
