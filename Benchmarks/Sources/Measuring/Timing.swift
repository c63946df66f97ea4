// SPDX-License-Identifier: Apache-2.0
//
// Time, samples of it, and what the machine's clock does meanwhile.

import CMeasuring
import Glibc

/// Of some samples: the least and the median of the samples.
public struct Timing {
  public var minimum: Double
  public var median: Double

  public init(_ samples: [Double]) {
    let sorted = samples.sorted()
    minimum = sorted[0]
    median = sorted[sorted.count / 2]
  }
}

/// Nanoseconds of the monotonic clock.
public func now() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Keeps the calling thread on one CPU; false when that is not possible.
@discardableResult
public func pin(to cpu: Int) -> Bool { cmeasuring_pin(Int32(cpu)) }

/// A fixed piece of work on registers: nanoseconds per step of four cycles, the smallest and the median of 41 runs. A machine
/// that shares its cores with others is slower at times; the pair before and after a measurement tells.
public struct Calibration {
  public let minimum: Double
  public let median: Double

  public init() {
    let steps: UInt64 = 1_000_000
    let samples = (0..<41).map { _ in
      let start = now()
      _ = cmeasuring_calibrate(steps)
      return Double(now() - start) / Double(steps)
    }.sorted()
    (minimum, median) = (samples[0], samples[samples.count / 2])
  }

  /// The clock, if a step is four cycles.
  public var gigahertz: Double { 4 / minimum }

  public var json: String { "{\"min\": \(thousandths(minimum)), \"median\": \(thousandths(median))}" }
}
