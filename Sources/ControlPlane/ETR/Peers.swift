// SPDX-License-Identifier: Apache-2.0
//
// Who sent us data in the last minute (rule D16): when our mappings change, the solicitor tells them (RFC 9301 6.1). The router notes the
// outer sources that its workers saw.

import Wire

/// The RLOCs that sent us encapsulated data lately. Bounded: one that comes when the table is full of others from the last minute is
/// not remembered. Thread: slow path.
public struct Peers: Sendable {
  /// How long a peer is one (section 6.1).
  public static let lifetime: Duration = .seconds(60)

  private let capacity: Int
  private var lastSeen: [IPAddress: Instant] = [:]
  /// No entry is older than this, so that a full table is not searched for every stranger.
  private var oldest: Instant?
  /// How many notes found no room.
  public private(set) var overlookedCount = 0

  /// 4096: an SMR each, at one in 3 seconds to each, is what a change may cost.
  public init(capacity: Int = 4096) { self.capacity = capacity }

  public var count: Int { lastSeen.count }

  /// `address` sent us data. O(1), amortised.
  public mutating func note(_ address: IPAddress, now: Instant) {
    if lastSeen[address] == nil, lastSeen.count >= capacity { forget(now) }
    guard lastSeen[address] != nil || lastSeen.count < capacity else {
      overlookedCount += 1
      return
    }
    lastSeen[address] = now
    if oldest == nil { oldest = now }
  }

  /// The peers of the last minute, ascending.
  public mutating func recent(now: Instant) -> [IPAddress] {
    forget(now)
    return lastSeen.keys.sorted()
  }

  /// The same, each with the time since it was last noted.
  public mutating func ages(now: Instant) -> [(address: IPAddress, age: Duration)] {
    forget(now)
    return lastSeen.map { ($0.key, now - $0.value) }.sorted { $0.address < $1.address }
  }

  private mutating func forget(_ now: Instant) {
    guard let oldest, now - oldest > Self.lifetime else { return }
    lastSeen = lastSeen.filter { now - $0.value <= Self.lifetime }
    self.oldest = lastSeen.values.min()
  }
}
