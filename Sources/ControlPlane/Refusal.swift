// SPDX-License-Identifier: Apache-2.0
//
// Why a control message was not obeyed (rule C10). Every message that changes nothing is counted under one of these; `xtr show` lists them.

/// A reason; raw values are what people and JSON see.
public enum Refusal: String, Sendable, CaseIterable, Hashable {
  case malformed
  case unknownType = "unknown-type"
  case notForUs = "not-for-us"
  case unknownNonce = "unknown-nonce"
  case replayed
  case wrongKey = "wrong-key"
  case unknownSite = "unknown-site"
  case eidNotAllowed = "eid-not-allowed"
  case badRecord = "bad-record"
  case badLocator = "bad-locator"
  case notSubscribed = "not-subscribed"
  case notCached = "not-cached"
  case tooMany = "too-many"
  case tooOften = "too-often"

  /// One sentence for an operator.
  public var meaning: String {
    switch self {
    case .malformed: "the message's structure is wrong: truncated, too long, or with a field that cannot be"
    case .unknownType: "the message's type is not one that we know"
    case .notForUs: "the message is of a kind that we do not answer here, or about an EID that is not ours"
    case .unknownNonce: "no outstanding request has the nonce of the reply: late, doubled or spoofed"
    case .replayed: "the nonce is not greater than the last one of its sender: an old message"
    case .wrongKey: "the authentication data does not match: the two sides have different keys"
    case .unknownSite: "no configured site has the EID-prefix of the registration"
    case .eidNotAllowed: "the site may not register that EID-prefix"
    case .badRecord: "a record's EID is no IP prefix in an instance, or its mask length does not fit"
    case .badLocator: "a locator is unspecified, loopback, multicast, broadcast or link-local (RFC 9301 5.4)"
    case .notSubscribed: "a publication for an EID-prefix that we did not subscribe to"
    case .notCached: "a solicit-map-request for an EID that is not in the map-cache"
    case .tooMany: "a bound of this machine was reached: its sender has to come again"
    case .tooOften: "its answer goes to another address than the sender's, or is much longer than it, and that address has had its share"
    }
  }
}
