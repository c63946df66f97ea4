// SPDX-License-Identifier: Apache-2.0
//
// The xTRs that have registered something, and the last nonce of each under each key: what tells a replay (RFC 9301 5.6).
//
// An xTR is its xTR-ID and site-ID where it gives them, and its source address otherwise. What a source address proves is little: a
// recorded Map-Register without an xTR-ID that is sent again from another address is another xTR's. Sites that care configure their xTRs
// with IDs, which the authentication covers.
//
// A nonce that is not greater than the last one is a replay. An xTR whose counter went back, because its clock did or its state was lost,
// is refused until the counter is beyond that point again; the RFC's way out is a new key, under which nonces begin anew. An exact copy
// of the last accepted message is most often a retransmission whose Map-Notify was lost: it changes nothing, and is notified again.
//
// An xTR is remembered when it has nothing registered any more, for otherwise its last messages could be sent again. A site that has as
// many as it may have gets no more.

import Wire

/// What a Map-Server tells an xTR of a site from others by.
public enum XTRName: Hashable, Sendable, CustomStringConvertible {
  case id(XTRIdentity)
  /// Of one without an xTR-ID: where its Map-Registers come from.
  case address(IPAddress)

  public var description: String {
    switch self {
    case .id(let identity): "\(identity)"
    case .address(let address): "\(address)"
    }
  }
}

/// An xTR of a site.
struct RegisteringXTR: Sendable {

  /// The last nonce under a key.
  struct LastNonce: Hashable, Sendable {
    var keyID: UInt8
    var algorithm: AuthenticationAlgorithm
    var nonce: UInt64
    /// The beginning of the authentication data: another message under the same nonce is not a copy.
    var code: UInt64
  }

  var site: SiteTable.Number
  var name: XTRName
  /// Where its last Map-Register came from.
  var source: IPAddress
  /// The one of the last Map-Register last.
  var nonces: [LastNonce] = []
  /// Whether the caller has yet to be given the row with the new nonce.
  var isTouched = false

  var identity: XTRIdentity? {
    switch name {
    case .id(let identity): identity
    case .address: nil
    }
  }
}

/// xTRs by number. Thread: slow path.
struct XTRTable: Sendable {
  private struct Key: Hashable, Sendable {
    var site: SiteTable.Number
    var name: XTRName
  }

  private var numbers: [Key: UInt32] = [:]
  private var byIdentity: [XTRIdentity: UInt32] = [:]
  private var xtrs: ContiguousArray<RegisteringXTR?> = []
  private var free: [UInt32] = []
  private var countBySite: [SiteTable.Number: Int] = [:]

  var count: Int { numbers.count }

  subscript(_ number: UInt32) -> RegisteringXTR? {
    get { xtrs[Int(number)] }
    set { xtrs[Int(number)] = newValue }
  }

  func number(_ name: XTRName, of site: SiteTable.Number) -> UInt32? { numbers[Key(site: site, name: name)] }

  /// The xTR of this identity that registered last under it, of whichever site.
  func number(of identity: XTRIdentity) -> UInt32? { byIdentity[identity] }

  /// All numbers in use, in no order.
  var all: [UInt32] { Array(numbers.values) }

  /// The number of an xTR, which is added if it is new; nil when its site has `limit` of them already.
  mutating func add(_ xtr: RegisteringXTR, limit: Int) -> UInt32? {
    if let known = number(xtr.name, of: xtr.site) { return known }
    guard countBySite[xtr.site, default: 0] < limit else { return nil }
    let number: UInt32
    if let last = free.popLast() {
      number = last
      xtrs[Int(number)] = xtr
    } else {
      number = UInt32(xtrs.count)
      xtrs.append(xtr)
    }
    numbers[Key(site: xtr.site, name: xtr.name)] = number
    if let identity = xtr.identity { byIdentity[identity] = number }
    countBySite[xtr.site, default: 0] += 1
    return number
  }

  mutating func remove(_ number: UInt32) {
    guard let xtr = xtrs[Int(number)] else { return }
    xtrs[Int(number)] = nil
    numbers[Key(site: xtr.site, name: xtr.name)] = nil
    if let identity = xtr.identity, byIdentity[identity] == number { byIdentity[identity] = nil }
    countBySite[xtr.site, default: 1] -= 1
    free.append(number)
  }

  // MARK: - Nonces

  enum Freshness {
    case new
    /// The last message once more.
    case copy
    case replay
  }

  /// What a nonce under a key says of the message. The message has been authenticated.
  func freshness(of nonce: RegisteringXTR.LastNonce, from number: UInt32) -> Freshness {
    guard let last = xtrs[Int(number)]?.nonces.first(where: { $0.keyID == nonce.keyID && $0.algorithm == nonce.algorithm }) else {
      return .new
    }
    if nonce.nonce > last.nonce { return .new }
    return nonce.nonce == last.nonce && nonce.code == last.code ? .copy : .replay
  }

  /// Remembers the message as its xTR's last one.
  mutating func accept(_ nonce: RegisteringXTR.LastNonce, from number: UInt32, source: IPAddress) {
    guard var xtr = xtrs[Int(number)] else { return }
    xtrs[Int(number)] = nil
    xtr.nonces.removeAll { $0.keyID == nonce.keyID && $0.algorithm == nonce.algorithm }
    xtr.nonces.append(nonce)
    xtr.source = source
    if let identity = xtr.identity { byIdentity[identity] = number }
    xtrs[Int(number)] = xtr
  }

  /// Forgets the nonces that `isVoid` is true of, with the site they belong to.
  mutating func forgetNonces(where isVoid: (SiteTable.Number, RegisteringXTR.LastNonce) -> Bool) {
    for i in xtrs.indices {
      guard let site = xtrs[i]?.site else { continue }
      xtrs[i]?.nonces.removeAll { isVoid(site, $0) }
    }
  }
}
