// SPDX-License-Identifier: Apache-2.0
//
// The mappings a router knows, and where each came from. Pure bookkeeping: the router compiles every change into the
// forwarding state.

import Wire

/// The map-cache. Thread: slow path.
public struct MapCache {
  private var entries: [EIDPrefix: Mapping] = [:]
  /// Those that expire.
  private var deadlines: [EIDPrefix: ContinuousClock.Instant] = [:]
  /// All prefixes in ascending order; nil when something was added or removed since it was made.
  private var order: [EIDPrefix]?

  public init() {}

  public var count: Int { entries.count }
  public subscript(eid: EIDPrefix) -> Mapping? { entries[eid] }

  /// Adds or replaces; returns what was there.
  @discardableResult
  public mutating func set(_ mapping: Mapping) -> Mapping? {
    let old = entries.updateValue(mapping, forKey: mapping.eid)
    deadlines[mapping.eid] = mapping.deadline
    if old == nil { order = nil }
    return old
  }

  /// Removes; returns what was there.
  @discardableResult
  public mutating func remove(_ eid: EIDPrefix) -> Mapping? {
    guard let old = entries.removeValue(forKey: eid) else { return nil }
    deadlines[eid] = nil
    order = nil
    return old
  }

  /// The prefixes whose mappings satisfy `condition`, in no order.
  public func prefixes(where condition: (Mapping) -> Bool) -> [EIDPrefix] {
    entries.values.lazy.filter(condition).map(\.eid)
  }

  /// The mapping of the longest prefix that covers `prefix`.
  public func longestMatch(_ prefix: EIDPrefix) -> Mapping? {
    for length in stride(from: prefix.prefix.length, through: 0, by: -1) {
      let covering = EIDPrefix(prefix.instanceID, IPPrefix(masking: prefix.prefix.address, length: length))
      if let mapping = entries[covering] { return mapping }
    }
    return nil
  }

  /// At most `limit` mappings after `after` in ascending order, of one instance or of all.
  public mutating func page(after: EIDPrefix?, limit: Int, in instance: InstanceID?) -> (mappings: [Mapping], next: EIDPrefix?) {
    let order = self.order ?? entries.keys.sorted()
    self.order = order
    var i = after.map { order.firstIndex(after: $0) } ?? instance.map { order.firstIndex(notBefore: $0) } ?? 0
    var page: [Mapping] = []
    while i < order.count, page.count < limit {
      let eid = order[i]
      i += 1
      if let instance, eid.instanceID != instance {
        if eid.instanceID > instance { return (page, nil) }
        continue
      }
      if let mapping = entries[eid] { page.append(mapping) }
    }
    return (page, i < order.count ? page.last?.eid : nil)
  }

  /// The prefixes whose time is over.
  public func expired(at now: ContinuousClock.Instant) -> [EIDPrefix] {
    deadlines.filter { $0.value <= now }.map(\.key)
  }
}

extension [EIDPrefix] {
  /// The first position whose element is greater than `prefix`, in a sorted array.
  fileprivate func firstIndex(after prefix: EIDPrefix) -> Int { partition { $0 <= prefix } }

  /// The first position whose element is of `instance` or a later one.
  fileprivate func firstIndex(notBefore instance: InstanceID) -> Int { partition { $0.instanceID < instance } }

  /// Binary search: how many leading elements satisfy `condition`.
  private func partition(_ condition: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if condition(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
