// SPDX-License-Identifier: Apache-2.0
//
// Questions to the kernel over its own rtnetlink socket: dumps of links, addresses, neighbours and routes. Route lookups,
// neighbour probes and changes are in the extensions beside this file. Called by the slow path.

import CLinux
import Glibc
import Wire

/// Asks the kernel, one question at a time. The kernel answers within the system call, so waiting is bounded by its work.
/// Thread: slow path. It asks about the network namespace of the thread that made it.
public final class KernelQueries {
  /// How often a dump that the kernel reports as interrupted is tried again.
  private static let dumpAttempts = 8
  /// Far beyond what the kernel ever needs; reached only when it is stuck.
  private static let timeoutSeconds = 5

  private let socket: NetlinkSocket
  private var sequence: UInt32 = 0

  public init() throws(NetlinkError) {
    let purpose = "asking the kernel (rtnetlink)"
    socket = try NetlinkSocket(nonBlocking: false, purpose: purpose)
    socket.setReceiveTimeout(seconds: Self.timeoutSeconds)
    // Explanations in words, short acknowledgements, and dumps that honour their filters: all since Linux 4.20, none vital.
    for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK] {
      do { try socket.setOption(CInt(option), 1, purpose: purpose) } catch {}
    }
  }

  /// All links of the namespace.
  public func links() throws(NetlinkError) -> [Link] {
    try dump(
      NetlinkRequest(
        "listing links", type: Int(RTM_GETLINK), flags: NLM_F_DUMP,
        header: [UInt8](repeating: 0, count: Link.headerByteCount)), Link.init)
  }

  /// One link; nil when there is none of that index.
  public func link(index: UInt32) throws(NetlinkError) -> Link? {
    let request = NetlinkRequest(
      "asking for link \(index)", type: Int(RTM_GETLINK), flags: 0,
      header: [0, 0, 0, 0] + index.hostBytes + [UInt8](repeating: 0, count: 8))
    do {
      return try ask(request, Link.init)
    } catch {
      if error.errno == ENODEV { return nil }
      throw error
    }
  }

  /// All addresses of the host, both families.
  public func addresses() throws(NetlinkError) -> [AddressEntry] {
    try dump(
      NetlinkRequest(
        "listing addresses", type: Int(RTM_GETADDR), flags: NLM_F_DUMP,
        header: [UInt8](repeating: 0, count: AddressEntry.headerByteCount)), AddressEntry.init)
  }

  /// All neighbours, both families.
  public func neighbours() throws(NetlinkError) -> [Neighbour] {
    try dump(
      NetlinkRequest(
        "listing neighbours", type: Int(RTM_GETNEIGH), flags: NLM_F_DUMP,
        header: [UInt8](repeating: 0, count: Neighbour.headerByteCount)), Neighbour.init)
  }

  /// All routes of a family: of one table or of all (local and broadcast ones included), and with `interfaceIndex` only
  /// those with a next hop there. The kernel itself leaves the others out, so that a full Internet table elsewhere is not
  /// carried over.
  public func routes(
    _ family: AddressFamily, table: UInt32? = nil, interfaceIndex: UInt32? = nil
  ) throws(NetlinkError) -> [Route] {
    var request = NetlinkRequest(
      "listing routes", type: Int(RTM_GETROUTE), flags: NLM_F_DUMP,
      header: [family.kernelValue] + [UInt8](repeating: 0, count: Route.headerByteCount - 1))
    if let table { request.attribute(Int(RTA_TABLE.rawValue), number: table) }
    if let interfaceIndex { request.attribute(Int(RTA_OIF.rawValue), number: interfaceIndex) }
    var routes: [Route]
    do {
      // Kernels before 4.20 do not filter.
      routes = try dump(request) { message in
        Route(message).flatMap { table == nil || $0.table == table ? $0 : nil }
      }
    } catch {
      // A table in which no route ever was does not exist.
      if table != nil, error.errno == ENOENT { return [] }
      throw error
    }
    try resolveObjects(of: &routes)
    guard let interfaceIndex else { return routes }
    return routes.filter { $0.nextHops.contains { $0.interfaceIndex == interfaceIndex } }
  }

  /// Fills in next hops that the kernel named by object only.
  private func resolveObjects(of routes: inout [Route]) throws(NetlinkError) {
    var objects: [UInt32: [NextHop]] = [:]
    for index in routes.indices where routes[index].nextHops.isEmpty {
      guard let id = routes[index].nextHopID else { continue }
      let hops = if let known = objects[id] { known } else { try nextHops(ofObject: id) }
      objects[id] = hops
      routes[index] = routes[index].with(nextHops: hops)
    }
  }

  // MARK: Exchange

  /// What the messages of a dump say, asked again while the kernel reports that its tables changed under it.
  func dump<Value>(
    _ request: NetlinkRequest, _ parse: (NetlinkMessage) -> Value?
  ) throws(NetlinkError) -> [Value] {
    for _ in 0..<Self.dumpAttempts {
      var values: [Value] = []
      var isInterrupted = false
      try exchange(request, isDump: true) { message in
        if message.flags & UInt16(NLM_F_DUMP_INTR) != 0 { isInterrupted = true }
        if message.type != UInt16(NLMSG_DONE), let value = parse(message) { values.append(value) }
      }
      if !isInterrupted { return values }
    }
    throw .unstable(purpose: request.purpose)
  }

  /// What the one answer to a request says; nil when the kernel only acknowledged it.
  func ask<Value>(
    _ request: NetlinkRequest, _ parse: (NetlinkMessage) -> Value?
  ) throws(NetlinkError) -> Value? {
    var answer: Value?
    try exchange(request, isDump: false) { answer = parse($0) }
    return answer
  }

  /// A request that is only acknowledged.
  func command(_ request: NetlinkRequest) throws(NetlinkError) {
    try exchange(request, isDump: false) { _ in }
  }

  /// Sends a request and hands over everything that answers it: one message, or all parts of a dump with its NLMSG_DONE.
  /// An acknowledgement ends the exchange without a message; a refusal throws.
  private func exchange(
    _ request: NetlinkRequest, isDump: Bool, _ body: (NetlinkMessage) -> Void
  ) throws(NetlinkError) {
    sequence &+= 1
    let sent = socket.send(request.finished(sequence: sequence))
    guard sent == 0 else { throw .system(purpose: request.purpose, errno: sent) }
    while true {
      switch socket.receive() {
      case .datagram(let bytes):
        for message in NetlinkMessages(datagram: bytes) where message.sequence == sequence {
          if message.type == UInt16(NLMSG_ERROR) {
            return try Self.check(message, request)
          }
          if message.type == UInt16(NLMSG_DONE) { try Self.check(message, request) }
          body(message)
          if !isDump || message.type == UInt16(NLMSG_DONE) { return }
        }
      case .empty: throw .noAnswer(purpose: request.purpose)
      case .overrun: throw .system(purpose: request.purpose, errno: ENOBUFS)
      case .failed(let errno): throw .system(purpose: request.purpose, errno: errno)
      }
    }
  }

  /// NLMSG_ERROR and NLMSG_DONE begin with an i32, 0 or a negative errno; the former then holds the request's header
  /// and, with NETLINK_EXT_ACK, an explanation.
  private static func check(_ message: NetlinkMessage, _ request: NetlinkRequest) throws(NetlinkError) {
    guard let code = message.payload.number32, code != 0 else { return }
    let isError = message.type == UInt16(NLMSG_ERROR)
    let attributes = message.attributes(after: 4 + (isError ? NetlinkMessage.headerByteCount : 0))
    let reason = attributes.first { $0.type == Int(NLMSGERR_ATTR_MSG.rawValue) }?.value.text
    throw .refused(purpose: request.purpose, errno: 0 &- CInt(bitPattern: code), reason: reason)
  }
}
