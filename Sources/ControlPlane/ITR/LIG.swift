// SPDX-License-Identifier: Apache-2.0
//
// One question to one Map-Resolver and its answer, for people: the LISP Internet Groper of RFC 6835. `xtr lig` drives it; the map-cache is not
// concerned.

import Wire

/// One question. Thread: any (a value type).
public struct LIG: Sendable {
  /// How it ended.
  public enum Result: Hashable, Sendable {
    /// The time is from the last try to the answer.
    case answered(MapReply, from: Endpoint, after: Duration, tries: Int)
    case unanswered(tries: Int)
  }

  /// RFC 6835 section 4.1 leaves the numbers to us.
  public static let maximumTries = 3
  public static let patience = Duration.seconds(2)

  private let request: MapRequest
  private let datagram: Datagram
  private let eid: EIDPrefix
  private var tries = 0
  private var lastTryAt: Instant?

  /// nil while it goes on.
  public private(set) var result: Result?

  /// Asks `resolver` for `eid`; the answer goes to `port` of the first of our RLOCs that its sender can reach. nil when we have no RLOC of
  /// the Map-Resolver's family.
  public init?(
    _ eid: IPAddress, in instance: InstanceID, resolver: IPAddress, rlocs: [IPAddress], port: UInt16 = LISPPort.control,
    random: NonceSource = .init()
  ) {
    var random = random
    let own = OwnRLOCs(rlocs)
    self.eid = EIDPrefix(instance, IPPrefix(host: eid))
    request = MapRequest(nonce: random.next(), itrRLOCs: own.itrRLOCs, records: [MapRequest.Record(self.eid)])
    guard let datagram = own.encapsulated(request, from: nil, port: port, about: eid, to: resolver) else { return nil }
    self.datagram = datagram
  }

  /// When `tick` has something to do; nil: it is over, or has not begun.
  public var nextDeadline: Instant? { result == nil ? lastTryAt.map { $0 + Self.patience } : nil }

  /// The request, at the first call and when its answer is overdue; after the last try it ends.
  public mutating func tick(now: Instant) -> Datagram? {
    guard result == nil, nextDeadline.map({ $0 <= now }) ?? true else { return nil }
    guard tries < Self.maximumTries else {
      result = .unanswered(tries: tries)
      return nil
    }
    tries += 1
    lastTryAt = now
    return datagram
  }

  /// A Map-Reply; any but the answer changes nothing and is refused.
  @discardableResult
  public mutating func receive(_ reply: MapReply, _ arrival: Arrival, now: Instant) -> Refusal? {
    guard result == nil, let lastTryAt, reply.nonce == request.nonce, !reply.flags.contains(.probe) else { return .unknownNonce }
    guard reply.records.contains(where: { $0.eidPrefix?.contains(eid) == true }) else { return .badRecord }
    result = .answered(reply, from: arrival.from, after: lastTryAt.duration(to: now), tries: tries)
    return nil
  }
}
