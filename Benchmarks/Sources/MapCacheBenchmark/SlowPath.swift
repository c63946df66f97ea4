// SPDX-License-Identifier: Apache-2.0
//
// What the router's slow path keeps of mappings: the map-cache, and the forwarding state that it is compiled into. As in Router and
// ForwardingCompiler, which belong to the program and cannot be had here; without workers, so that whatever is replaced is freed at once.

import DataPlane
import MapCache
import Wire

struct SlowPath {
  let cache: MapCache
  let publisher: ForwardingPublisher
  private var sets: [Mapping.Target: SetHandle] = [:]
  private var nextCounter: UInt32 = 1

  /// As the router removes expired mappings: so long a slice, then a publication.
  static let slice = Duration.microseconds(300)

  init(maximumLearned: Int) throws {
    cache = MapCache(limits: MapCache.Limits(maximumLearned: maximumLearned))
    publisher = try ForwardingPublisher()
  }

  mutating func set(_ mapping: Mapping) throws {
    cache.set(mapping)
    guard case .locators(let locators) = mapping.target else { return }
    let set = try sets[mapping.target] ?? publisher.addSet(LocatorSet(.encapsulate, try locators.indices.map(choice)))
    sets[mapping.target] = set
    try publisher.setMapping(mapping.eid, set: set, counters: nextCounter)
    nextCounter += UInt32(locators.count)
  }

  private func choice(_ ordinal: Int) throws -> LocatorChoice {
    let nowhere = HeaderTemplate(tunnel: nil, port: 0, sourceMAC: MACAddress(rawValue: 0), destinationMAC: nil, mtu: 0)
    return LocatorChoice(ordinal: UInt8(ordinal), template: try publisher.addTemplate(nowhere), weight: 1, isUsable: false)
  }

  /// Removes what has expired until the slice is over; says how many, and whether there are more.
  mutating func expire(at now: ContinuousClock.Instant) throws -> (count: Int, isDone: Bool) {
    let end = ContinuousClock.now + Self.slice
    var count = 0
    while let mapping = cache.firstDue(at: now) {
      try publisher.removeMapping(mapping.eid)
      cache.remove(mapping.eid)
      count += 1
      guard ContinuousClock.now < end else { break }
    }
    publisher.publish()
    return (count, cache.firstDue(at: now) == nil)
  }
}
