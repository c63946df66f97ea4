// SPDX-License-Identifier: Apache-2.0
//
// A route as rtnetlink describes it (RTM_NEWROUTE). Made by KernelMonitor and KernelQueries.

import CLinux
import Wire

/// RTN_*: what a route does with a packet.
public enum RouteType: Hashable, Sendable {
  case unicast, local, broadcast, anycast, multicast, blackhole, unreachable, prohibit
  /// The table has no answer: the next policy rule is asked.
  case throwOn
  case unknown(UInt8)

  init(kernelValue: UInt8) {
    self =
      switch kernelValue {
      case 1: .unicast
      case 2: .local
      case 3: .broadcast
      case 4: .anycast
      case 5: .multicast
      case 6: .blackhole
      case 7: .unreachable
      case 8: .prohibit
      case 9: .throwOn
      default: .unknown(kernelValue)
      }
  }
}

/// Where a route sends a packet next.
public struct NextHop: Hashable, Sendable {
  /// nil only where the kernel names none (blackhole and its kin in IPv4).
  public let interfaceIndex: UInt32?
  /// nil when the destination itself is the neighbour. May be IPv6 for an IPv4 route (RFC 5549).
  public let gateway: IPAddress?
  /// The share of the flows it gets among its siblings, 1…256.
  public let weight: Int
  /// The kernel does not use it now (interface down, or no carrier where that counts).
  public let isDead: Bool
  /// The route adds a header of its own (MPLS, SRv6, …): only the kernel can send such packets.
  public let isEncapsulated: Bool
}

/// A route.
public struct Route: Hashable, Sendable {
  /// 254 main, 255 local.
  public let table: UInt32
  public let prefix: IPPrefix
  public let type: RouteType
  /// RTPROT_*: 2 kernel, 3 boot, 4 static, 186 bgp …
  public let protocolNumber: UInt8
  /// The metric by which routes to one prefix are ordered: the lowest wins.
  public let priority: UInt32
  public let nextHops: [NextHop]
  public let preferredSource: IPAddress?
  /// The MTU metric of the route.
  public let mtu: Int?
  /// The next-hop object it uses. The kernel also lists what the object resolves to, unless
  /// net.ipv4.nexthop_compat_mode is 0; `KernelQueries.routes` then asks for it, events come with empty `nextHops`.
  public let nextHopID: UInt32?

  public var family: AddressFamily { prefix.family }
}

extension Route {
  /// rtmsg: family, destination length, source length, tos, table, protocol, scope, type, u32 flags.
  static let headerByteCount = 12
  /// RTM_F_CLONED: not a route but what was learnt for one destination (path MTU, redirect).
  private static let flagCloned: UInt32 = 0x200
  private static let metricMTU = 2

  /// nil for a malformed message, a cached entry and multicast routing's tables, which share the message type.
  init?(_ message: NetlinkMessage) {
    guard let header = RouteHeader(message.payload), header.flags & Self.flagCloned == 0 else { return nil }
    self.init(header, message.attributes(after: Self.headerByteCount))
  }

  init?(_ header: RouteHeader, _ attributes: NetlinkAttributes) {
    var destination: IPAddress?
    var single = NextHopFields(flags: header.flags)
    var multiple: [NextHop] = []
    var table = UInt32(header.table)
    var priority: UInt32 = 0
    var preferredSource: IPAddress?
    var mtu: Int?
    var nextHopID: UInt32?
    for attribute in attributes {
      switch attribute.type {
      case Int(RTA_DST.rawValue):
        guard let address = attribute.value.address(header.family) else { return nil }
        destination = address
      case Int(RTA_TABLE.rawValue): table = attribute.value.number32 ?? table
      case Int(RTA_PRIORITY.rawValue): priority = attribute.value.number32 ?? 0
      case Int(RTA_PREFSRC.rawValue): preferredSource = attribute.value.address(header.family)
      case Int(RTA_MULTIPATH.rawValue): multiple = NextHopFields.list(attribute.value, header.family)
      case Int(RTA_NH_ID.rawValue): nextHopID = attribute.value.number32
      case Int(RTA_METRICS.rawValue):
        mtu = attribute.nested.first { $0.type == Self.metricMTU }?.value.number32.map(Int.init)
      default: single.take(attribute, header.family)
      }
    }
    guard destination != nil || header.destinationLength == 0 else { return nil }
    let any = IPAddress(family: header.family, leftAlignedHigh: 0, low: 0)
    self.init(
      table: table, prefix: IPPrefix(masking: destination ?? any, length: header.destinationLength),
      type: RouteType(kernelValue: header.type), protocolNumber: header.protocolNumber, priority: priority,
      nextHops: multiple.isEmpty ? single.nextHop.map { [$0] } ?? [] : multiple, preferredSource: preferredSource,
      mtu: mtu, nextHopID: nextHopID)
  }

  /// The same route with its next-hop object resolved.
  func with(nextHops: [NextHop]) -> Route {
    Route(
      table: table, prefix: prefix, type: type, protocolNumber: protocolNumber, priority: priority, nextHops: nextHops,
      preferredSource: preferredSource, mtu: mtu, nextHopID: nextHopID)
  }
}

/// The fixed header of a route message.
struct RouteHeader {
  let family: AddressFamily
  let destinationLength: Int
  let table: UInt8
  let protocolNumber: UInt8
  let type: UInt8
  let flags: UInt32

  init?(_ payload: NetlinkBytes) {
    guard let family = payload.uint8(at: 0).flatMap(AddressFamily.init(kernelValue:)),
      let destinationLength = payload.uint8(at: 1), Int(destinationLength) <= family.bitWidth,
      let table = payload.uint8(at: 4), let protocolNumber = payload.uint8(at: 5), let type = payload.uint8(at: 7),
      let flags = payload.uint32(at: 8)
    else { return nil }
    self.family = family
    self.destinationLength = Int(destinationLength)
    self.table = table
    self.protocolNumber = protocolNumber
    self.type = type
    self.flags = flags
  }
}
