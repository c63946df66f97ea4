// SPDX-License-Identifier: Apache-2.0
//
// What to do with packets for a destination, and which locator each flow takes. Mappings with the same locators share a set.
//
// The share-out. 256 buckets; a flow's hash names its bucket, the bucket names the locator. Every (bucket, locator) pair has a
// pseudo-random draw, and among several locators the one with the best draw in proportion to its weight gets the bucket
// (weighted rendezvous). First all locators of the priority share the buckets, corrected to the exact apportionment of the
// weights; then the buckets of those that cannot be used go, each by itself, to the best draw among the others. So when one
// locator fails only its flows move, whatever failed before, and when it returns they return (rule E14).

import Glibc
import Wire

/// The position of a template, a set: what other tables refer to. Contents behind a handle may be replaced at any time.
public typealias TemplateHandle = UInt32
public typealias SetHandle = UInt32

/// What happens to a packet whose destination has this set.
public enum ForwardingAction: UInt8, Sendable {
  /// To a locator. Without any usable one: dropped.
  case encapsulate = 1
  /// One of our own EIDs. From the core: delivered; a template names the host if it is resolved. From the site: the kernel's.
  case local
  case nativeForward
  case sendMapRequest
  case drop
  case policyDenied
  case authenticationFailure
}

/// One locator of a set.
public struct LocatorChoice: Hashable, Sendable {
  /// Position in the mapping's canonical order; offset of its counter.
  public var ordinal: UInt8
  public var template: TemplateHandle
  /// 0…100 (RFC 9301 5.4). All 0 means equal shares.
  public var weight: UInt8
  /// Reachable, and we have an RLOC of its family.
  public var isUsable: Bool

  public init(ordinal: UInt8, template: TemplateHandle, weight: UInt8, isUsable: Bool = true) {
    self.ordinal = ordinal
    self.template = template
    self.weight = weight
    self.isUsable = isUsable
  }
}

/// An action and the locators it may use: all of the best priority that has a usable one.
public struct LocatorSet: Hashable, Sendable {
  public var action: ForwardingAction
  public var choices: [LocatorChoice]

  public init(_ action: ForwardingAction, _ choices: [LocatorChoice] = []) {
    self.action = action
    self.choices = choices
  }

  public static let bucketCount = 256

  /// The position in `choices` for every bucket: 256, or one when there is one choice, or none when nothing is usable.
  public func buckets() -> [Int] {
    let usable = choices.indices.filter { choices[$0].isUsable }
    guard let first = usable.first else { return [] }
    if choices.count == 1 { return [first] }
    let shares = self.shares()
    var owner = (0..<Self.bucketCount).map { best($0, of: choices.indices, shares) }
    apportion(&owner, shares)
    return owner.enumerated().map { bucket, owner in
      choices[owner].isUsable ? owner : best(bucket, of: usable, shares)
    }
  }

  /// Each choice's part of the whole.
  private func shares() -> [Double] {
    let total = choices.reduce(0) { $0 + Int($1.weight) }
    return choices.map { total == 0 ? 1 / Double(choices.count) : Double($0.weight) / Double(total) }
  }

  private func best(_ bucket: Int, of candidates: some Sequence<Int>, _ shares: [Double]) -> Int {
    candidates.max { draw(bucket, $0, shares) < draw(bucket, $1, shares) } ?? 0
  }

  /// Higher wins; P(win) is the share. A weight of 0 among others wins only where nothing else is left.
  private func draw(_ bucket: Int, _ choice: Int, _ shares: [Double]) -> Double {
    let ordinal = Int(choices[choice].ordinal)
    let luck = ordinal < Self.luck.count ? Self.luck[ordinal][bucket] : Self.luck(ordinal, bucket)
    return (shares[choice] + 1e-12) * luck
  }

  /// −1 / ln(u) for a u in (0, 1) that depends on bucket and ordinal alone.
  private static func luck(_ ordinal: Int, _ bucket: Int) -> Double {
    var x = (UInt64(bucket) << 32 | UInt64(ordinal)) &* 0x9E37_79B9_7F4A_7C15
    x = (x ^ x >> 30) &* 0xBF58_476D_1CE4_E5B9
    x = (x ^ x >> 27) &* 0x94D0_49BB_1331_11EB
    x ^= x >> 31
    return -1 / log((Double(x >> 11) + 0.5) / Double(UInt64(1) << 53))
  }

  private static let luck: [[Double]] = (0..<16).map { ordinal in (0..<bucketCount).map { luck(ordinal, $0) } }

  /// Moves buckets from choices that have too many to those that lack some, in bucket order, until every count is exact.
  private func apportion(_ owner: inout [Int], _ shares: [Double]) {
    let target = Self.apportionment(shares)
    var surplus = target.map { -$0 }
    for choice in owner { surplus[choice] += 1 }
    for bucket in owner.indices where surplus[owner[bucket]] > 0 {
      guard let needy = surplus.firstIndex(where: { $0 < 0 }) else { return }
      surplus[owner[bucket]] -= 1
      surplus[needy] += 1
      owner[bucket] = needy
    }
  }

  /// Largest remainders, summing to the bucket count.
  static func apportionment(_ shares: [Double]) -> [Int] {
    let exact = shares.map { $0 * Double(bucketCount) }
    var target = exact.map { Int($0) }
    let byRemainder = exact.indices.sorted {
      (exact[$0] - Double(target[$0]), $1) > (exact[$1] - Double(target[$1]), $0)
    }
    for choice in byRemainder.prefix(bucketCount - target.reduce(0, +)) { target[choice] += 1 }
    return target
  }
}
