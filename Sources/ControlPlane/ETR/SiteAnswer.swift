// SPDX-License-Identifier: Apache-2.0
//
// Which records answer a question about one of our EIDs (RFC 9301 5.5). An ITR that caches a prefix sends by it what belongs to a more
// specific prefix that it does not know. So the longest match goes out together with everything of ours that it covers. Where that is more
// than a datagram holds, we answer instead for the widest part of the longest match that has the EID and nothing more specific:
//
//     10.0.0.0/8 and a hundred /24 in 10.1.0.0/16; asked for 10.200.0.1:          10.128.0.0/9, with the locators of 10.0.0.0/8

import Wire

extension SiteDatabase {
  /// The records that answer for `eid`, within `byteCount` bytes unless a single one needs more; empty if `eid` is not ours.
  func answer(for eid: EIDPrefix, byteCount: Int) -> [EIDRecord] {
    guard let own = longestMatch(eid) else { return [] }
    let parts = prefixes(within: own)
    // An IPv4 prefix and one IPv4 locator: no record is shorter.
    let shortestRecord = 28
    if parts.count == 1 || parts.count <= byteCount / shortestRecord {
      let records = parts.map(record)
      if parts.count == 1 || records.reduce(0, { $0 + $1.byteCount }) <= byteCount { return records }
    }
    if let hole = hole(around: eid, in: own) { return [record(hole, like: own)] }
    // Prefixes of ours lie in `eid`: nothing answers for all of it. A host has a hole, or a record of its own.
    return answer(for: EIDPrefix(eid.instanceID, IPPrefix(host: eid.prefix.address)), byteCount: byteCount)
  }

  /// The widest prefix within `own`, other than that, which covers `eid` and none of ours.
  private func hole(around eid: EIDPrefix, in own: EIDPrefix) -> EIDPrefix? {
    guard own.prefix.length < eid.prefix.length else { return nil }
    return (own.prefix.length + 1...eid.prefix.length).lazy
      .map { EIDPrefix(eid.instanceID, IPPrefix(masking: eid.prefix.address, length: $0)) }
      .first { self.prefixes(within: $0).isEmpty }
  }
}
