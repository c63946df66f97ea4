// SPDX-License-Identifier: Apache-2.0
//
// Answers Map-Requests for our own EIDs (RFC 9301 5.3–5.5, 7.1): those that a Map-Server forwards to us, encapsulated; those that come
// straight; those that somebody's solicitation invoked; and probes of our RLOCs. The router hands it what came in and sends what it gives.
//
//     Map-Request with   from            the Map-Reply goes
//     P                  a probing ITR   to where the probe came from, from the address that was probed
//     S                  an ETR          nowhere: it solicits, and the solicitor looks after it
//     D                  anyone          nowhere: the sender wants none
//     none of these      anyone          to the first ITR-RLOC that can be reached from here, at the source port of the request
//
// An EID that is not ours gets no negative reply, though the RFC does not forbid one: only the mapping system knows whether the EID is
// someone else's, and a Map-Server with an old registration would have us declare the EID's death. The ITR asks again and elsewhere.

import Wire

/// What the responder wants done.
public enum SiteAction: Hashable, Sendable {
  case send(Datagram)
  /// A solicit-map-request came, for the solicitor to judge.
  case solicited(MapRequest, Arrival)
  /// A Map-Request that somebody sends because we solicited it; for the solicitor, too. Whether it is answered is said by other actions.
  case invoked(MapRequest)
  /// The message was not obeyed; to be counted.
  case refused(Refusal)
}

/// The responder. Thread: slow path.
public struct SiteResponder: Sendable {
  /// Of a reply, in bytes of UDP payload.
  static let messageByteCount = Registrar.messageByteCount
  /// Without records.
  static let overhead = 12

  /// E: whether replies say that we do echo-nonce.
  public var echoNonceCapable: Bool
  private var limiter: ReplyLimiter
  /// Of answers to probes that are long: what others have us send to an ITR must not make it think that we are down.
  private var probeLimiter: ReplyLimiter

  /// `repliesPerSecond` and `burst`, both at least 1: what one destination may get; see ReplyLimiter.
  public init(
    echoNonceCapable: Bool = false, repliesPerSecond: Int = 200, burst: Int = 1000, random: NonceSource = NonceSource()
  ) {
    var random = random
    self.echoNonceCapable = echoNonceCapable
    limiter = ReplyLimiter(perSecond: repliesPerSecond, burst: burst, random: &random)
    probeLimiter = ReplyLimiter(perSecond: repliesPerSecond, burst: burst, random: &random)
  }

  // MARK: - What comes in

  /// An Encapsulated Control Message from a Map-Server. The bit that says so (E, to an ETR) is not asked for: older servers do not set it.
  public mutating func receive(
    _ message: EncapsulatedControlMessage, _ arrival: Arrival, _ database: SiteDatabase, now: Instant
  ) -> [SiteAction] {
    guard let inner = try? ControlMessage(parsing: message.message) else { return [.refused(.malformed)] }
    // A probe in an ECM would be answered for a path that it did not take; section 5.2 forbids it. An SMR goes from xTR to xTR.
    guard case .mapRequest(let request) = inner, request.flags.isDisjoint(with: [.probe, .solicit]) else { return [.refused(.notForUs)] }
    return heard(request) + answer(request, port: message.sourcePort, asker: nil, database, now)
  }

  /// A Map-Request that came as it is.
  public mutating func receive(_ request: MapRequest, _ arrival: Arrival, _ database: SiteDatabase, now: Instant) -> [SiteAction] {
    if request.flags.contains(.probe) { return answerProbe(request, arrival, database, now) }
    if request.flags.contains(.solicit) { return [.solicited(request, arrival)] }
    return heard(request) + answer(request, port: arrival.from.port, asker: arrival.from.address, database, now)
  }

  private func heard(_ request: MapRequest) -> [SiteAction] { request.flags.contains(.invokedBySolicit) ? [.invoked(request)] : [] }

  // MARK: - Answers

  /// `asker`: where the request came from, if not from a Map-Server.
  private mutating func answer(
    _ request: MapRequest, port: UInt16, asker: IPAddress?, _ database: SiteDatabase, _ now: Instant
  ) -> [SiteAction] {
    if request.flags.contains(.dontMapReply) { return [] }
    // At the data port of the ITR, the reply would be taken for a packet (section 5.8).
    guard port != 0, port != LISPPort.data else { return [.refused(.malformed)] }
    let destination = request.itrRLOCs.lazy.compactMap(\.locatorIP).first {
      $0.canBeLocator && database.localFamilies.contains($0.family)
    }
    guard let destination else { return [.refused(.badLocator)] }
    let asked = request.records.compactMap(\.eidPrefix)
    guard !asked.isEmpty else { return [.refused(.badRecord)] }
    return reply(request, asked, to: Endpoint(destination, port: port), asker: asker, probed: nil, database, now)
  }

  /// lispers.net's first probe of a locator asks for no EID, and has ours for its source EID.
  private mutating func answerProbe(_ request: MapRequest, _ arrival: Arrival, _ database: SiteDatabase, _ now: Instant) -> [SiteAction] {
    guard arrival.from.port != 0, arrival.from.port != LISPPort.data else { return [.refused(.malformed)] }
    guard arrival.from.address.canBeLocator else { return [.refused(.badLocator)] }
    var asked = request.records.compactMap(\.eidPrefix)
    if asked.isEmpty, let (instance, address) = request.sourceEID.ipInInstance { asked = [EIDPrefix(instance, IPPrefix(host: address))] }
    guard !asked.isEmpty else { return [.refused(.badRecord)] }
    return reply(request, asked, to: arrival.from, asker: arrival.from.address, probed: arrival.to, database, now)
  }

  /// `probed`: the address that the reply to a probe leaves from.
  private mutating func reply(
    _ request: MapRequest, _ asked: [EIDPrefix], to destination: Endpoint, asker: IPAddress?, probed: IPAddress?,
    _ database: SiteDatabase, _ now: Instant
  ) -> [SiteAction] {
    var records = Self.records(for: asked, database)
    guard !records.isEmpty else { return [.refused(.notForUs)] }
    if let probed { for i in records.indices { records[i].mark(probed: probed) } }
    var flags: MapReply.Flags = []
    if probed != nil { flags.insert(.probe) }
    if echoNonceCapable { flags.insert(.echoNonceCapable) }
    let datagram = Datagram(.mapReply(MapReply(nonce: request.nonce, flags: flags, records: records)), to: destination, from: probed)
    return allows(datagram, answering: request, of: asker, now) ? [.send(datagram)] : [.refused(.tooMany)]
  }

  /// See ReplyLimiter.
  private mutating func allows(_ reply: Datagram, answering request: MapRequest, of asker: IPAddress?, _ now: Instant) -> Bool {
    if reply.destination.address == asker,
      reply.payload.count <= ReplyLimiter.freeAmplification * ControlMessage.mapRequest(request).bytes.count
    {
      return true
    }
    return request.flags.contains(.probe)
      ? probeLimiter.allows(reply.destination.address, now: now) : limiter.allows(reply.destination.address, now: now)
  }

  /// Each once, the EIDs that are not ours left out, and those for which there is no room any more: their ITR has to ask again. Senders ask
  /// for one EID (section 5.3).
  private static func records(for asked: [EIDPrefix], _ database: SiteDatabase) -> [EIDRecord] {
    var records: [EIDRecord] = []
    var room = messageByteCount - overhead
    for eid in asked {
      let more = database.answer(for: eid, byteCount: messageByteCount - overhead).filter { !records.contains($0) }
      let need = more.reduce(0) { $0 + $1.byteCount }
      guard records.isEmpty || need <= room else { break }
      records += more
      room -= need
    }
    return records
  }
}

extension EIDRecord {
  /// Sets the p bit of the locator that was probed.
  fileprivate mutating func mark(probed: IPAddress) {
    for i in locators.indices where locators[i].address == .ip(probed) { locators[i].flags.insert(.probed) }
  }
}
