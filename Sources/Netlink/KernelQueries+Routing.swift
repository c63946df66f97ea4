// SPDX-License-Identifier: Apache-2.0
//
// Where would the kernel send a packet? Asked by the slow path for the outer next hop of every RLOC and the inner next hop of
// local EIDs.

import CLinux
import Glibc
import Wire

extension KernelQueries {
  /// RTM_F_LOOKUP_TABLE: answer with the table the route was found in. IPv6 always does, and refuses the flag.
  private static let flagLookupTable: UInt32 = 0x1000

  /// The kernel's own decision for a packet to `destination`, policy rules and multipath included.
  ///
  /// With `source`, rules and multipath hashes that depend on it are honoured. With `incomingInterface` the answer is that
  /// for a packet to be forwarded which came in there: given an exception device, the one of its routing table.
  /// `outgoingInterface` pins the interface (link-local destinations need it). "No route", "unreachable", "prohibit" and
  /// "blackhole" are answers; throws only when the question itself could not be asked.
  public func lookup(
    destination: IPAddress, source: IPAddress? = nil, incomingInterface: UInt32? = nil, outgoingInterface: UInt32? = nil
  ) throws(NetlinkError) -> RouteAnswer {
    var source = source
    // An IPv4 packet that comes in from 0.0.0.0 is martian: any other address does where the caller names none.
    if incomingInterface != nil, source == nil, destination.family == .ipv4 { source = destination }
    let purpose = "looking up the route to \(destination)"
    if let source, source.family != destination.family {
      throw .refused(purpose: purpose, errno: EAFNOSUPPORT, reason: "source \(source) is of the other family")
    }
    var request = NetlinkRequest(
      purpose, type: Int(RTM_GETROUTE), flags: 0,
      header: [
        destination.family.kernelValue, UInt8(destination.family.bitWidth),
        source == nil ? 0 : UInt8(destination.family.bitWidth), 0, 0, 0, 0, 0,
      ] + (destination.family == .ipv4 ? Self.flagLookupTable : 0).hostBytes)
    request.attribute(Int(RTA_DST.rawValue), address: destination)
    if let source { request.attribute(Int(RTA_SRC.rawValue), address: source) }
    if let incomingInterface { request.attribute(Int(RTA_IIF.rawValue), number: incomingInterface) }
    if let outgoingInterface { request.attribute(Int(RTA_OIF.rawValue), number: outgoingInterface) }
    let answer: RouteAnswer?
    do {
      answer = try ask(request, RouteAnswer.init)
    } catch {
      // The same codes with an explanation say that the question was wrong.
      if case .refused(_, let errno, nil) = error, let answer = RouteAnswer(errno: errno) { return answer }
      throw error
    }
    guard let answer else { throw .noAnswer(purpose: purpose) }
    return answer
  }

  /// What a next-hop object resolves to; empty for a blackhole or one that is gone. A group's members are asked for one
  /// by one (groups hold no groups that forward).
  func nextHops(ofObject id: UInt32) throws(NetlinkError) -> [NextHop] {
    guard let object = try nextHopObject(id) else { return [] }
    if object.members.isEmpty { return object.fields.nextHop.map { [$0] } ?? [] }
    var result: [NextHop] = []
    for member in object.members {
      guard var fields = try nextHopObject(member.id)?.fields else { continue }
      fields.weight = member.weight
      if let hop = fields.nextHop { result.append(hop) }
    }
    return result
  }

  /// nil when it is gone.
  private func nextHopObject(_ id: UInt32) throws(NetlinkError) -> NextHopObject? {
    var request = NetlinkRequest(
      "asking for next-hop object \(id)", type: Int(RTM_GETNEXTHOP), flags: 0,
      header: [UInt8](repeating: 0, count: NextHopObject.headerByteCount))
    request.attribute(Int(NHA_ID), number: id)
    do {
      return try ask(request, NextHopObject.init)
    } catch {
      if error.errno == ENOENT { return nil }
      throw error
    }
  }
}
