// SPDX-License-Identifier: Apache-2.0
//
// How many Map-Replies one address gets. A Map-Request names in its ITR-RLOCs where the reply goes, unverified, and a reply can be twenty
// times longer: without a limit anyone could point us at anyone.
//
// RFC 9301 5.4 asks for a limit and recommends one reply in 3 seconds to each RLOC. An ITR that resolves two of our EIDs at once would lose
// the second that way, so ours is a bucket: 1000 replies at once and 200 per second by default.
//
// Free are the replies to where the question came from that are at most three times as long as it (the factor of RFC 9000 8.1): who can
// forge that address gains next to nothing by going through us. So nobody else can use up what an asker may have.
//
// The table has 4096 buckets and an address has its bucket by a keyed hash. Two addresses may share one; a flood from invented addresses
// drains them all, and costs no memory.

import Wire

struct ReplyLimiter: Sendable {
  /// How many times longer than its question an answer to the asker may be that is not limited.
  static let freeAmplification = 3
  static let bucketCount = 4096

  private let rate: RateLimit.Rate
  /// Of each bucket.
  private var fullAt: [Instant?]
  private let hashKey: UInt64

  init(perSecond: Int, burst: Int, random: inout NonceSource) {
    rate = RateLimit.Rate(perSecond: perSecond, burst: burst)
    fullAt = Array(repeating: nil, count: Self.bucketCount)
    hashKey = random.next()
  }

  /// Whether `address` may have one more; if so, it has had it. O(1).
  mutating func allows(_ address: IPAddress, now: Instant) -> Bool {
    rate.take(&fullAt[bucket(of: address)], now)
  }

  /// Two rounds of SplitMix64's mixing, keyed.
  func bucket(of address: IPAddress) -> Int {
    let bits = address.leftAligned
    return Int(Self.mix(Self.mix(bits.high ^ hashKey) ^ bits.low &+ hashKey) % UInt64(Self.bucketCount))
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
