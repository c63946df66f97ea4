// SPDX-License-Identifier: Apache-2.0
//
// All tables with the same prefixes and the same addresses, in turn.

import CDPDK
import Measuring
import Wire

enum Contestant: String, CaseIterable {
  case ours = "PrefixTable"
  case lpm = "rte_lpm bulk"
  case lpmX4 = "rte_lpm x4"
  case fib = "rte_fib scalar"
  case fibVector = "rte_fib AVX-512"
  case ours6 = "PrefixTable, IPv6"
  case fib6 = "rte_fib6 scalar"
  case fib6Vector = "rte_fib6 AVX-512"

  var isIPv6: Bool { self == .ours6 || self == .fib6 || self == .fib6Vector }
  var isOurs: Bool { self == .ours || self == .ours6 }

  var lookup: dpdk_lookup {
    switch self {
    case .ours, .ours6, .lpm: DPDK_LPM_BULK
    case .lpmX4: DPDK_LPM_X4
    case .fib: DPDK_FIB_SCALAR
    case .fibVector: DPDK_FIB_AVX512
    case .fib6: DPDK_FIB6_SCALAR
    case .fib6Vector: DPDK_FIB6_AVX512
    }
  }
}

struct BenchmarkFailure: Error, CustomStringConvertible { var description: String }

struct Race: ~Copyable {
  var ours: OurTable
  /// Those that this processor and this DPDK can run.
  let contestants: [Contestant]

  init(_ prefixes: Prefixes) throws {
    try Self.fill(prefixes)
    let table = try OurTable(prefixes)
    contestants = Contestant.allCases.filter { $0.isOurs || dpdk_select($0.lookup) }
    ours = table
  }

  /// Fills DPDK's tables. rte_lpm searches its rules from end to end at each addition: that takes minutes.
  private static func fill(_ prefixes: Prefixes) throws {
    guard dpdk_start(), dpdk_create(prefixes.ipv4.count, prefixes.ipv6.count) else {
      throw BenchmarkFailure(description: "DPDK does not start: it needs 5 GB of memory")
    }
    for (i, prefix) in prefixes.ipv4.enumerated() {
      if i % 50000 == 0 { progress("filling rte_lpm and rte_fib: \(i) of \(prefixes.ipv4.count)") }
      let address = UInt32(prefix.address.leftAligned.high >> 32)
      guard dpdk_add_ipv4(address, UInt8(prefix.length), UInt32(i + 1)) else { throw BenchmarkFailure(description: "DPDK: \(prefix)") }
    }
    progress("")
    for (i, prefix) in prefixes.ipv6.enumerated() {
      let bits = prefix.address.leftAligned
      let octets = [bits.high, bits.low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) } }
      guard dpdk_add_ipv6(octets, UInt8(prefix.length), UInt32(i + 1)) else { throw BenchmarkFailure(description: "DPDK: \(prefix)") }
    }
  }

  private mutating func run(
    _ contestant: Contestant, _ addresses: borrowing Addresses, _ range: Range<Int>, all: UnsafeMutablePointer<UInt32>? = nil
  ) {
    addresses.withPointers { ipv4, wireIPv4, wireIPv6 in
      switch contestant {
      case .ours: _ = ours.lookUp(ipv4: wireIPv4 + range.lowerBound, count: range.count, all: all)
      case .ours6: _ = ours.lookUp(ipv6: wireIPv6 + range.lowerBound, count: range.count, all: all)
      case .fib6, .fib6Vector:
        let octets = UnsafeRawPointer(wireIPv6 + range.lowerBound).assumingMemoryBound(to: dpdk_ipv6.self)
        dpdk_look_up_ipv6(contestant.lookup, octets, range.count, all)
      default: dpdk_look_up_ipv4(contestant.lookup, ipv4 + range.lowerBound, range.count, all)
      }
    }
  }

  /// Throws unless all give the same answers.
  mutating func compare(_ addresses: borrowing Addresses) throws {
    var expected = [UInt32](repeating: 0, count: Addresses.count)
    var answers = expected
    for contestant in contestants {
      _ = contestant.isOurs || dpdk_select(contestant.lookup)
      run(contestant, addresses, 0..<Addresses.count, all: &answers)
      if contestant.isOurs { expected = answers }
      // rte_lpm keeps 24 bits.
      guard let wrong = answers.indices.first(where: { answers[$0] != expected[$0] }) else { continue }
      throw BenchmarkFailure(description: "\(contestant.rawValue) answers \(answers[wrong]) where \(expected[wrong]) is expected")
    }
  }

  /// Nanoseconds per lookup of each, round by round.
  mutating func measure(_ addresses: borrowing Addresses, rounds: Int) -> [Contestant: [Double]] {
    var samples: [Contestant: [Double]] = [:]
    let half = Addresses.count / 2
    for _ in 0..<rounds {
      for contestant in contestants {
        _ = contestant.isOurs || dpdk_select(contestant.lookup)
        // The first half brings the tables back into the caches, as far as they fit: the others have emptied them. The second is timed.
        run(contestant, addresses, 0..<half)
        let start = now()
        run(contestant, addresses, half..<2 * half)
        samples[contestant, default: []].append(Double(now() - start) / Double(half))
      }
    }
    return samples
  }
}

extension Contestant {
  /// Ours, and whom it is compared with: what the bar names, then all there is.
  static let comparisons: [(ours: Contestant, others: [Contestant])] = [
    (.ours, [.lpm, .fib, .fibVector]), (.ours, [.lpmX4]), (.ours6, [.fib6]), (.ours6, [.fib6Vector]),
  ]

  /// What ours is compared with: the fastest, by the median, of these.
  static func fastest(of candidates: [Contestant], in samples: [Contestant: [Double]]) -> Contestant? {
    candidates.filter { samples[$0] != nil }.min { Timing(samples[$0] ?? []).median < Timing(samples[$1] ?? []).median }
  }
}
