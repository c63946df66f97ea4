// SPDX-License-Identifier: Apache-2.0
//
// Which prefixes another lies in, against a plain search.

import MapCache
import TestSupport
import Testing
import Wire

@Suite struct EIDPrefixSetTests {
  @Test(arguments: [1, 2, 3] as [UInt64])
  func `those that cover a prefix are found, the longest first, in its instance and family only`(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    // Few addresses and instances, so that most prefixes are nested.
    func prefix() -> EIDPrefix {
      let bits = UInt32(truncatingIfNeeded: random.next()) & 0x8081_8181
      let address: IPAddress =
        random.next() & 1 == 0 ? .v4(IPv4Address(rawValue: bits)) : .v6(IPv6Address(high: UInt64(bits) << 32, low: UInt64(bits)))
      let length = random.below(address.family.bitWidth + 1)
      return EIDPrefix(InstanceID(truncating: UInt32(random.below(2))), IPPrefix(masking: address, length: length))
    }
    var found = 0
    for _ in 0..<200 {
      let members = Set((0..<random.below(20)).map { _ in prefix() })
      let set = EIDPrefixSet(members)
      for eid in (0..<20).map({ _ in prefix() }) + members {
        let expected = members.filter { $0.instanceID == eid.instanceID && $0.prefix.contains(eid.prefix) }
          .sorted { $0.prefix.length > $1.prefix.length }
        #expect(set.covering(eid) == expected, "seed \(seed): \(eid) in \(members)")
        found += expected.count
      }
    }
    #expect(found > 200)
  }
}
