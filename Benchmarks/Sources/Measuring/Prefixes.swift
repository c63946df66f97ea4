// SPDX-License-Identifier: Apache-2.0
//
// The prefixes that are measured with: a real table when there is one, else random prefixes with the same numbers of each length.

import Glibc
import Wire

public struct Prefixes {
  public var ipv4: [IPPrefix] = []
  public var ipv6: [IPPrefix] = []
  /// In words, for the report.
  public let source: String

  /// Where a real table stands beside the project, if at all.
  private static let realTable = "../../shared/data/bgp-prefixes.txt.gz"

  /// The real table, from `path` or from where it would be; without it random prefixes of the same lengths.
  public static func internet(path: String? = nil) -> Prefixes { Prefixes(path: path ?? realTable) ?? Prefixes(seed: 1) }

  /// From a gzipped file with one prefix per line; nil when it cannot be read.
  private init?(path: String) {
    guard access(path, R_OK) == 0, let file = popen("gzip -dc '\(path)'", "r") else { return nil }
    defer { pclose(file) }
    source = "the prefixes of \(path)"
    var line = [CChar](repeating: 0, count: 128)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 > 0x20 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if let prefix = try? IPPrefix(parsing: text), prefix.length > 0 { add(prefix) }
    }
    guard !ipv4.isEmpty, !ipv6.isEmpty else { return nil }
  }

  /// As many of each length as in an Internet table of 2026; unicast, IPv6 under 60 random blocks of 24 bits.
  private init(seed: UInt64) {
    source = "random prefixes, as many of each length as in an Internet table of 2026"
    var random = SplitMix64(seed: seed)
    let blocks = (0..<60).map { _ in 0x2000_0000_0000_0000 | (random.next() >> 3 & ~(.max >> 24)) }
    for (length, count) in Self.ipv4Lengths {
      for _ in 0..<count {
        let address = IPv4Address(rawValue: UInt32(random.next() % 223 + 1) << 24 | UInt32(truncatingIfNeeded: random.next()) >> 8)
        ipv4.append(IPPrefix(masking: .v4(address), length: length))
      }
    }
    for (length, count) in Self.ipv6Lengths {
      for _ in 0..<count {
        let high = blocks[Int(random.next() % 60)] | random.next() >> 24
        ipv6.append(IPPrefix(masking: .v6(IPv6Address(high: high, low: random.next())), length: length))
      }
    }
    ipv4 = Array(Set(ipv4)).sorted()
    ipv6 = Array(Set(ipv6)).sorted()
  }

  /// `count` random prefixes of each family: IPv4 of 16 to 32 bits, IPv6 of 29 to 64.
  public init(random count: Int, seed: UInt64) {
    source = "\(count) random prefixes"
    var random = SplitMix64(seed: seed)
    for _ in 0..<count {
      let (bits, dice) = (random.next(), random.next())
      ipv4.append(IPPrefix(masking: .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: bits))), length: 16 + Int(dice % 17)))
      ipv6.append(IPPrefix(masking: .v6(IPv6Address(high: bits >> 3 | 1 << 61, low: dice)), length: 29 + Int(dice >> 32 % 36)))
    }
  }

  /// `count` of each family, by lot.
  public func sample(_ count: Int, seed: UInt64) -> Prefixes {
    var random = SplitMix64(seed: seed)
    var sample = self
    sample.ipv4 = Array(ipv4.shuffled(using: &random).prefix(count))
    sample.ipv6 = Array(ipv6.shuffled(using: &random).prefix(count))
    return sample
  }

  private mutating func add(_ prefix: IPPrefix) {
    switch prefix.family {
    case .ipv4: ipv4.append(prefix)
    case .ipv6: ipv6.append(prefix)
    }
  }

  private static let ipv4Lengths = [
    8: 16, 9: 13, 10: 38, 11: 103, 12: 299, 13: 581, 14: 1203, 15: 2100, 16: 13490, 17: 8235, 18: 13798, 19: 24870, 20: 42611,
    21: 50750, 22: 108_623, 23: 96510, 24: 537_698, 25: 20, 26: 3, 27: 11, 28: 18, 29: 17, 30: 3, 31: 3, 32: 886,
  ]

  private static let ipv6Lengths = [
    20: 16, 24: 30, 26: 15, 27: 20, 28: 193, 29: 4371, 30: 650, 31: 284, 32: 22548, 33: 2926, 34: 2603, 35: 1043, 36: 5996, 37: 880,
    38: 1617, 39: 1377, 40: 13418, 41: 903, 42: 2301, 43: 1001, 44: 14365, 45: 1553, 46: 3039, 47: 3153, 48: 75488, 49: 11, 56: 24,
    58: 20, 64: 184, 124: 4, 125: 9, 126: 19, 127: 42, 128: 6,
  ]
}
