// SPDX-License-Identifier: Apache-2.0
//
// Map-Requests that come in an Encapsulated Control Message (RFC 9301 5.8, 8.3, 8.4): the Map-Resolver, and the Map-Server behind it.
//
// The Map-Reply goes to the ITR-RLOC that the question came from, or else to the first one of a family that we can send to; to the source
// port of the inner UDP header. It leaves from the address that was asked where that is of the same family. A request with several records
// gets its records in as few Map-Replies as hold them.
//
// Nobody proves an ITR-RLOC to be its own, and a reply can be ten times longer than its question. RFC 9301 5.4 wants replies limited, and
// recommends one in 3 seconds to an RLOC; an ITR that resolves a network's traffic needs thousands. So free are the replies to where the
// question came from that are at most three times as long as it (ReplyLimiter). All others have a bucket for each address: those to another
// address than the asker's, whom we would hit for anyone, and the long ones. The first confirmation of a subscription to another address
// than the asker's counts, too.
//
// What is not ours to answer goes on to an ETR as it came, in a new outer header with the E bit; of several records each ETR gets its own
// one. That goes where an authenticated Map-Register says, and is no longer than the question, so it has no limit; where one question
// becomes several it has that of the ETR's address.

import Wire

extension MapServer {
  /// `byteCount`: of the whole message.
  mutating func request(
    _ encapsulated: EncapsulatedControlMessage, byteCount: Int, _ arrival: Arrival, _ now: Instant
  ) -> Refusal? {
    // One that is for an ETR may be what we forwarded, to an ETR with an address of ours: it must not go round.
    guard !encapsulated.flags.contains(.toETR) else { return .notForUs }
    guard let first = encapsulated.message.first else { return .malformed }
    guard ControlMessageType(rawValue: first >> 4) != nil else { return .unknownType }
    guard let message = try? ControlMessage(parsing: encapsulated.message), encapsulated.sourcePort != 0,
      encapsulated.sourcePort != LISPPort.data  // the reply would be taken for a packet (section 5.8)
    else { return .malformed }
    guard case .mapRequest(let request) = message, request.flags.isDisjoint(with: [.probe, .solicit]) else { return .notForUs }
    let eids = request.records.compactMap(\.eidPrefix)
    guard !eids.isEmpty, eids.count == request.records.count else { return .badRecord }
    if request.unsubscribes, let identity = request.identity { return unsubscribe(eids, request, identity, arrival) }
    let itrRLOCs = usableRLOCs(request, asker: arrival.from.address)
    guard let itr = itrRLOCs.first else { return .badLocator }
    let (records, refusal) = answers(to: request, about: eids, encapsulated, itrRLOCs, arrival, now)
    let destination = Endpoint(itr, port: encapsulated.sourcePort)
    let held = reply(records, nonce: request.nonce, to: destination, arrival, askedIn: byteCount, now)
    return refusal ?? held
  }

  /// Encoded records for the Map-Reply, and why others are not among them. What is not answered by one is done.
  private mutating func answers(
    to request: MapRequest, about eids: [EIDPrefix], _ encapsulated: EncapsulatedControlMessage, _ itrRLOCs: [IPAddress],
    _ arrival: Arrival, _ now: Instant
  ) -> (records: [[UInt8]], refusal: Refusal?) {
    var records: [[UInt8]] = []
    var refusal: Refusal?
    for (eid, asked) in zip(eids, request.records) {
      if asked.subscribes, let identity = request.identity {
        switch subscribe(to: eid, request, identity, itrRLOCs, arrival, now) {
        case .subscribed: continue
        case .refused(let reason):
          refusal = reason
          continue
        case .notPossible: break
        }
      }
      switch answer(eid) {
      case .positive(let found): records += found
      case .negative(let record):
        counters.negativeRecordsSent += 1
        records.append(MapServerRecord.bytes(record))
      case .askETR(let entry): refusal = forward(encapsulated, request, asked, to: entry, now) ?? refusal
      }
    }
    return (records, refusal)
  }

  /// ITR-RLOCs that we can send to, at most four; the one that the question came from first.
  private func usableRLOCs(_ request: MapRequest, asker: IPAddress) -> [IPAddress] {
    var usable = request.itrRLOCs.compactMap(\.locatorIP).filter { settings.families.contains($0.family) && !$0.isBadLocator }
    if let own = usable.firstIndex(of: asker) { usable.swapAt(own, 0) }
    return Array(usable.prefix(4))
  }

  private mutating func reply(
    _ records: [[UInt8]], nonce: UInt64, to destination: Endpoint, _ arrival: Arrival, askedIn byteCount: Int, _ now: Instant
  ) -> Refusal? {
    var free = destination.address == arrival.from.address ? ReplyLimiter.freeAmplification * byteCount : 0
    let source = arrival.to.family == destination.address.family ? arrival.to : nil
    var start = 0
    while start < records.count {
      var end = start + 1
      var byteCount = records[start].count
      while end < records.count, end - start < 255, byteCount + records[end].count <= Self.recordByteLimit {
        byteCount += records[end].count
        end += 1
      }
      let payload = MapReply.bytes(nonce: nonce, encodedRecords: records[start..<end])
      free -= payload.count
      guard free >= 0 || replyLimiter.allows(destination.address, now: now) else { return .tooOften }
      counters.repliesSent += 1
      send(payload, to: destination, from: source)
      start = end
    }
    return nil
  }

  private mutating func forward(
    _ encapsulated: EncapsulatedControlMessage, _ request: MapRequest, _ record: MapRequest.Record, to entry: RegisteredPrefix,
    _ now: Instant
  ) -> Refusal? {
    guard let etr = etr(of: entry, turn: Int(registrations.nextTurn(entry.eid))) else { return nil }
    var forwarded = encapsulated
    forwarded.flags = .toETR
    if request.records.count > 1 {
      guard replyLimiter.allows(etr.address, now: now) else { return .tooOften }
      var one = request
      one.records = [record]
      forwarded.message = ControlMessage.mapRequest(one).bytes
    }
    counters.requestsForwarded += 1
    send(ControlMessage.encapsulated(forwarded).bytes, to: etr)
    return nil
  }
}
