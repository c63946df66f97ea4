// SPDX-License-Identifier: Apache-2.0
//
// Who wants to be told of which mappings (RFC 9437). A subscription is an xTR's to an EID-prefix, the one whose mapping answered its
// Map-Request; it also covers what is more specific. It is there until the xTR ends it, or does not acknowledge, or its site is gone;
// that the prefix is registered no more does not end it: the xTR is told when it is again.

import MapCache
import Wire

/// One xTR's subscription to one EID-prefix.
struct Subscription: Sendable {
  var eid: EIDPrefix
  var xtr: XTRIdentity
  /// Whose key it is told with.
  var site: SiteTable.Number
  /// Of families that we can send to; not empty.
  var itrRLOCs: [IPAddress]
  /// The last one: of the Map-Request, then one more for each publication (RFC 9437 sections 5, 6).
  var nonce: UInt64
  /// Its position among the subscriptions to the prefix.
  fileprivate var position = 0

  init(eid: EIDPrefix, xtr: XTRIdentity, site: SiteTable.Number, itrRLOCs: [IPAddress], nonce: UInt64) {
    (self.eid, self.xtr, self.site, self.itrRLOCs, self.nonce) = (eid, xtr, site, itrRLOCs, nonce)
  }
}

/// Subscriptions by EID-prefix and xTR. Thread: slow path.
struct SubscriptionTable: Sendable {
  typealias Slot = UInt32

  private struct Key: Hashable, Sendable {
    var eid: EIDPrefix
    var xtr: XTRIdentity
  }

  private var all: ContiguousArray<Subscription?> = []
  private var free: [Slot] = []
  private var byKey: [Key: Slot] = [:]
  /// EID-prefixes with positions in `groups`.
  private var prefixes = PrefixTrie()
  private var groups: [[Slot]] = []
  private var freeGroups: [UInt32] = []

  var count: Int { byKey.count }
  /// All slots in use, in no order.
  var slots: [Slot] { Array(byKey.values) }

  subscript(_ slot: Slot) -> Subscription? { Int(slot) < all.count ? all[Int(slot)] : nil }

  func slot(_ eid: EIDPrefix, _ xtr: XTRIdentity) -> Slot? { byKey[Key(eid: eid, xtr: xtr)] }

  /// The subscriptions that a change of `eid` concerns: to the prefix, and to those around it.
  func concerned(by eid: EIDPrefix) -> [Slot] {
    guard !byKey.isEmpty else { return [] }
    return prefixes.covering(eid).flatMap { groups[Int($0.value)] }
  }

  /// Adds a subscription, or replaces the xTR's earlier one to the prefix.
  mutating func put(_ subscription: Subscription) -> Slot {
    let key = Key(eid: subscription.eid, xtr: subscription.xtr)
    if let slot = byKey[key], let old = all[Int(slot)] {
      var new = subscription
      new.position = old.position
      all[Int(slot)] = new
      return slot
    }
    let group = group(of: subscription.eid)
    var new = subscription
    new.position = groups[group].count
    let slot: Slot
    if let last = free.popLast() {
      slot = last
      all[Int(slot)] = new
    } else {
      slot = Slot(all.count)
      all.append(new)
    }
    groups[group].append(slot)
    byKey[key] = slot
    return slot
  }

  /// Takes the next nonce for a publication.
  mutating func nextNonce(_ slot: Slot) -> UInt64 {
    guard var subscription = all[Int(slot)] else { return 0 }
    subscription.nonce &+= 1
    all[Int(slot)] = subscription
    return subscription.nonce
  }

  mutating func remove(_ slot: Slot) {
    guard let old = all[Int(slot)], let group = prefixes[old.eid].map(Int.init) else { return }
    all[Int(slot)] = nil
    free.append(slot)
    byKey[Key(eid: old.eid, xtr: old.xtr)] = nil
    let last = groups[group].removeLast()
    if last != slot {
      groups[group][old.position] = last
      all[Int(last)]?.position = old.position
    }
    guard groups[group].isEmpty else { return }
    prefixes.remove(old.eid)
    freeGroups.append(UInt32(group))
  }

  private mutating func group(of eid: EIDPrefix) -> Int {
    if let group = prefixes[eid] { return Int(group) }
    let group = freeGroups.popLast() ?? UInt32(groups.count)
    if Int(group) == groups.count { groups.append([]) }
    prefixes.insert(eid, group)
    return Int(group)
  }
}
