// SPDX-License-Identifier: Apache-2.0
//
// One instance, one EID family, one RLOC family: ping, TCP and UDP from site A to site B, and the proof by three independent counters
// (router A's, the core kernel's, router B's) that the packets went encapsulated and over this RLOC family.

import Lab
import Wire

struct DemoExchange {
  let instance: Int
  let eidFamily: AddressFamily
  let rlocFamily: AddressFamily
  let lab: DemoLab
  let size: DemoSize

  var title: String { "instance \(instance), \(eidFamily.title) EIDs over \(rlocFamily.title) RLOCs" }

  /// What the three see, at one moment.
  private struct Counters {
    var encapsulated: UInt64
    var decapsulated: UInt64
    var carried: [AddressFamily: Int]
  }

  func run(_ payload: Payload) throws -> DemoReport.Exchange {
    var row = DemoReport.Exchange(instance: instance, eidFamily: eidFamily.title, rlocFamily: rlocFamily.title)
    let before = try counters()
    let (sender, receiver) = (lab.sites.siteA.hosts[instance - 1], lab.sites.siteB.hosts[instance - 1])
    let destination = lab.sites.siteB.host(eidFamily)

    try row.note("ping") { row in
      let ping = try Ping(to: destination, count: size.pings).run(from: sender)
      row.ping = .init(sent: ping.sent, received: ping.received, averageMilliseconds: ping.averageMilliseconds)
      return ping.isComplete ? nil : "\(ping.received) of \(ping.sent) echo requests answered"
    }
    try row.note("TCP") { row in
      var transfer = TCPTransfer(from: sender, to: receiver, destination: destination, payload: payload)
      transfer.limit = .seconds(15)
      let result = try transfer.run()
      row.tcp = .init(
        bytes: result.byteCount, megabitsPerSecond: result.megabitsPerSecond, sha256Sent: result.sentDigest,
        sha256Received: result.receivedDigest)
      return result.isIntact ? nil : "the received bytes have another SHA-256"
    }
    try row.note("UDP") { row in
      var flow = UDPFlow(from: sender, to: receiver, destination: destination)
      flow.packetsPerSecond = size.packetsPerSecond
      flow.duration = size.udpDuration
      flow.flows = 4
      let result = try flow.run()
      row.udp = .init(
        sent: result.sent, received: result.received, lost: result.lost, reordered: result.reordered, duplicated: result.duplicated,
        damaged: result.damaged, packetsPerSecond: result.packetsPerSecond)
      return result.isClean
        ? nil
        : "\(result.lost) lost, \(result.reordered) reordered, \(result.duplicated) doubled, \(result.damaged) damaged of \(result.sent)"
    }
    let after = try counters()
    try row.note("LISP") { row in proof(&row, before, after) }
    return row
  }

  private func counters() throws -> Counters {
    let (a, b) = (try lab.routers[0].quietStatus(), try lab.routers[1].quietStatus())
    var carried: [AddressFamily: Int] = [:]
    for family in AddressFamily.allCases { carried[family] = try lab.sites.core.forwardedPackets(family) }
    return Counters(encapsulated: a.totals.encapsulated, decapsulated: b.totals.decapsulated, carried: carried)
  }

  /// nil when everything that was surely sent was encapsulated at A, carried by the core in this family, and decapsulated at B.
  private func proof(_ row: inout DemoReport.Exchange, _ before: Counters, _ after: Counters) -> String? {
    let other: AddressFamily = rlocFamily == .ipv4 ? .ipv6 : .ipv4
    let carried = (after.carried[rlocFamily] ?? 0) - (before.carried[rlocFamily] ?? 0)
    let carriedOtherwise = (after.carried[other] ?? 0) - (before.carried[other] ?? 0)
    row.encapsulated = after.encapsulated - before.encapsulated
    row.decapsulated = after.decapsulated - before.decapsulated
    row.carriedByCore = carried
    let sent = UInt64(row.udp?.sent ?? 0)
    if row.encapsulated < sent { return "only \(row.encapsulated) of more than \(sent) packets were encapsulated" }
    if row.decapsulated < UInt64(row.udp?.received ?? 0) { return "only \(row.decapsulated) of \(sent) packets were decapsulated" }
    if UInt64(carried) < sent { return "the core carried only \(carried) \(rlocFamily.title) packets" }
    // A few are what the sites tell each other: solicitations go to the RLOCs from before the change.
    if UInt64(carriedOtherwise) * 100 > sent { return "the core carried \(carriedOtherwise) packets by \(other.title)" }
    return nil
  }
}

extension AddressFamily {
  var title: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
