// SPDX-License-Identifier: Apache-2.0
//
// What is measured: the direction, the families, the sizes, the number of prefixes. `Case.all` is the order of the table.

import Measuring

/// One row of the table.
struct Case {
  enum Direction: String, CaseIterable { case encap, decap }
  /// Inner over outer.
  enum Families: String, CaseIterable {
    case v4v4 = "v4/v4"
    case v6v4 = "v6/v4"
    case v4v6 = "v4/v6"

    var innerIsIPv6: Bool { self == .v6v4 }
    var outerIsIPv6: Bool { self == .v4v6 }
  }
  enum Sizes: String, CaseIterable { case small = "64", imix = "imix" }

  var direction: Direction
  var families: Families
  var sizes: Sizes
  var prefixCount: Int
  /// The table of the Internet instead of random prefixes; `prefixCount` is then 0. Its locator sets are shared, a thousand in all.
  var isInternet = false
  /// Encapsulation: that many hosts of the site send, each with an entry of its own; 0: hosts under one prefix.
  var hostCount = 0

  var name: String {
    "engine/\(direction.rawValue)/\(families.rawValue)/\(sizes.rawValue)/" + (isInternet ? "internet" : "\(prefixCount)")
      + (hostCount > 0 ? "/\(hostCount)-hosts" : "")
  }

  static var all: [Case] { matrix + withHosts + withInternet }

  private static var withInternet: [Case] {
    [Families.v4v4, .v6v4].map { Case(direction: .encap, families: $0, sizes: .small, prefixCount: 0, isInternet: true) }
  }

  private static var withHosts: [Case] {
    [Families.v4v4, .v6v4].flatMap { families in
      [16, 200, 2000].map { Case(direction: .encap, families: families, sizes: .small, prefixCount: 1, hostCount: $0) }
    }
  }

  private static var matrix: [Case] {
    Direction.allCases.flatMap { direction in
      Families.allCases.flatMap { families in
        Sizes.allCases.flatMap { sizes in
          [1, 10_000].map { Case(direction: direction, families: families, sizes: sizes, prefixCount: $0) }
        }
      }
    }
  }

  /// Bytes of the inner Ethernet frame, without the 4 of the check sequence: 64 (78 where IPv6 does not fit into 64), or the
  /// mix of 28 × 64, 16 × 570, 4 × 1518.
  func innerFrameByteCount(_ random: inout SplitMix64) -> Int {
    let small = (families.innerIsIPv6 ? 78 : 64) - 4
    guard sizes == .imix else { return small }
    switch random.next() % 48 {
    case 0..<28: return small
    case 28..<44: return 570 - 4
    default: return 1518 - 4
    }
  }
}
