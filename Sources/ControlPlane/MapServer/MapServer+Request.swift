// SPDX-License-Identifier: Apache-2.0
//
// Map-Requests that come in an Encapsulated Control Message (RFC 9301 5.8, 8.3, 8.4): the Map-Resolver, and the Map-Server behind it.
//
// The Map-Reply goes to the first ITR-RLOC of a family that we can send to, to the source port of the inner UDP header. It leaves from
// the address that was asked where that is of the same family. A request with several records gets its records in as few Map-Replies as
// hold them.
//
// What is not ours to answer goes on to an ETR as it came, in a new outer header with the E bit; of several records each ETR gets its own
// one.

import Wire

extension MapServer {
  mutating func request(_ encapsulated: EncapsulatedControlMessage, _ arrival: Arrival, _ now: Instant) -> Refusal? {
    // One that is for an ETR may be what we forwarded, to an ETR with an address of ours: it must not go round.
    guard !encapsulated.flags.contains(.toETR) else { return .notForUs }
    guard let first = encapsulated.message.first else { return .malformed }
    guard ControlMessageType(rawValue: first >> 4) != nil else { return .unknownType }
    guard let message = try? ControlMessage(parsing: encapsulated.message), encapsulated.sourcePort != 0 else { return .malformed }
    guard case .mapRequest(let request) = message, request.flags.isDisjoint(with: [.probe, .solicit]) else { return .notForUs }
    let eids = request.records.compactMap(\.eidPrefix)
    guard !eids.isEmpty, eids.count == request.records.count else { return .badRecord }
    if request.unsubscribes, let identity = request.identity { return unsubscribe(eids, request, identity, arrival) }
    let itrRLOCs = usableRLOCs(request)
    guard let itr = itrRLOCs.first else { return .badLocator }

    var records: [[UInt8]] = []
    var refusal: Refusal?
    for (eid, asked) in zip(eids, request.records) {
      if asked.subscribes, let identity = request.identity {
        switch subscribe(to: eid, request, identity, itrRLOCs, now) {
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
      case .askETR(let entry): forward(encapsulated, request, asked, to: entry)
      }
    }
    reply(records, nonce: request.nonce, to: Endpoint(itr, port: encapsulated.sourcePort), arrival)
    return refusal
  }

  /// ITR-RLOCs that we can send to, at most four.
  private func usableRLOCs(_ request: MapRequest) -> [IPAddress] {
    var usable: [IPAddress] = []
    for rloc in request.itrRLOCs {
      guard let address = rloc.locatorIP, settings.families.contains(address.family), !address.isBadLocator else { continue }
      usable.append(address)
      if usable.count == 4 { break }
    }
    return usable
  }

  private mutating func reply(_ records: [[UInt8]], nonce: UInt64, to destination: Endpoint, _ arrival: Arrival) {
    let source = arrival.to.family == destination.address.family ? arrival.to : nil
    var start = 0
    while start < records.count {
      var end = start + 1
      var byteCount = records[start].count
      while end < records.count, end - start < 255, byteCount + records[end].count <= Self.recordByteLimit {
        byteCount += records[end].count
        end += 1
      }
      counters.repliesSent += 1
      send(MapReply.bytes(nonce: nonce, encodedRecords: records[start..<end]), to: destination, from: source)
      start = end
    }
  }

  private mutating func forward(
    _ encapsulated: EncapsulatedControlMessage, _ request: MapRequest, _ record: MapRequest.Record, to entry: RegisteredPrefix
  ) {
    guard let etr = etr(of: entry) else { return }
    var forwarded = encapsulated
    forwarded.flags = .toETR
    if request.records.count > 1 {
      var one = request
      one.records = [record]
      forwarded.message = ControlMessage.mapRequest(one).bytes
    }
    counters.requestsForwarded += 1
    send(ControlMessage.encapsulated(forwarded).bytes, to: etr)
  }
}
