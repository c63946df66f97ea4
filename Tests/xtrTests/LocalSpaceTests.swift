// SPDX-License-Identifier: Apache-2.0
//
// Which of our own EID-prefixes the compiler tells the engine not to look into: never one that a mapping lies in.

import MapCache
import Netlink
import TestSupport
import Testing
import Wire

@testable import DataPlane
@testable import xtr

@Suite struct LocalSpaceTests {
  private static func eid(_ text: String) throws -> EIDPrefix { EIDPrefix(.zero, try IPPrefix(parsing: text)) }

  /// Nested, equal and beside each other.
  private static let databases = ["10.1.0.0/16", "10.1.4.0/24", "10.2.0.0/16", "10.1.4.5/32", "2001:db8:a::/48", "2001:db8:a:1::/64"]
  private static let mappings =
    databases + ["10.0.0.0/8", "10.1.4.7/32", "10.1.4.0/28", "10.3.0.0/16", "10.2.255.0/24", "2001:db8::/32", "2001:db8:a:1::1/128"]

  @Test(arguments: [1, 2, 3] as [UInt64])
  func `after any changes the spaces are our prefixes without a mapping in them`(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let publisher = try ForwardingPublisher(mappingCapacity: 1 << 12, handleCapacity: 1 << 12)
    let kernel = try KernelView(following: [])
    let compiler = ForwardingCompiler(publisher: publisher, underlay: Underlay(kernel: kernel, ports: []), kernel: kernel, workers: { [] })
    var own: Set<EIDPrefix> = []
    var mapped: Set<EIDPrefix> = []
    var seen = Set<Int>()
    for _ in 0..<2000 {
      let eid = try Self.eid(Self.mappings[random.below(Self.mappings.count)])
      switch random.below(6) {
      case 0:
        own = Set(try Self.databases.filter { _ in random.next() & 1 == 0 }.map(Self.eid))
        let wanted = own.map { ($0, ForwardingCompiler.Local(nextHop: nil, database: $0)) }
        try compiler.setLocals(
          Dictionary(uniqueKeysWithValues: wanted), mappingsWithin: { own in mapped.count { own.prefix.contains($0.prefix) } },
          template: { _ in nil })
      case 1, 2:
        try compiler.set(eid, random.next() & 1 == 0 ? .negative(.drop) : .negative(.nativeForward))
        mapped.insert(eid)
      default:
        try compiler.remove(eid)
        mapped.remove(eid)
      }
      compiler.publish()
      func contains(_ wide: EIDPrefix, _ narrow: EIDPrefix) -> Bool { wide.prefix.contains(narrow.prefix) }
      let whole = own.filter { prefix in prefix.prefix.length <= 64 && !mapped.contains { contains(prefix, $0) } }
      let state = publisher.root.current
      for prefix in try Set(own).union(Self.mappings.map(Self.eid)) {
        let high = prefix.prefix.address.leftAligned.high
        let (family, octets): (UInt32, UInt64) =
          prefix.prefix.family == .ipv4 ? (4, UInt64(UInt32(truncatingIfNeeded: high >> 32).bigEndian)) : (6, high.bigEndian)
        let address = EIDPrefix(.zero, IPPrefix(host: prefix.prefix.address))
        let expected = whole.contains { contains($0, address) }
        #expect((state.localSpace(0, family: family, octets) != nil) == expected, "seed \(seed): \(prefix), own \(own), mapped \(mapped)")
      }
      seen.insert(whole.count)
    }
    #expect(seen.count > 3)
  }
}
