// SPDX-License-Identifier: Apache-2.0
//
// The frames that the steering program's tests are about, each with the role that lifts it. In the order of
// bpf/steer.bpf.c; the addresses are those of SteeringFixture.rules.

import Wire

enum SteeringCases {
  typealias Frame = SteeringFrame

  static var all: [SteeringCase] { ethernet + ipv4Header + ipv6Header + extensions + core + site }
  static var lifted: [SteeringCase] { all.filter { $0.liftedBy != .none } }

  // MARK: - What the tests begin with: one frame of each kind

  static let core4 = Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, Frame.udp(4341, Frame.lisp()))
  static let core6 = Frame.ipv6("2001:db8:ffff::9", "2001:db8:ffff::1", next: 17, Frame.udp(4341, Frame.lisp()))
  static let site4 = Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, Frame.udp(53, [0xA5, 0xA5]))
  static let site6 = Frame.ipv6("2001:db8:1::5", "2001:db8:2::5", next: 17, Frame.udp(53, [0xA5, 0xA5]))
  static let vlan4 = Frame.ipv4("10.7.0.5", "10.1.0.5", protocol: 1, [8, 0, 0, 0])
  static let vlan6 = Frame.ipv6("2001:db8:7::5", "2001:db8:1::5", next: 58, [128, 0, 0, 0])

  static func v4(_ payload: [UInt8]) -> [UInt8] { Frame.ethernet(type: 0x0800, payload) }
  static func v6(_ payload: [UInt8]) -> [UInt8] { Frame.ethernet(type: 0x86DD, payload) }

  static func core4(_ payload: [UInt8], protocol transport: UInt8 = 17, to: String = "192.0.2.1") -> [UInt8] {
    v4(Frame.ipv4("192.0.2.9", to, protocol: transport, payload))
  }
  static func core6(next: UInt8 = 17, to: String = "2001:db8:ffff::1", _ payload: [UInt8]) -> [UInt8] {
    v6(Frame.ipv6("2001:db8:ffff::9", to, next: next, payload))
  }
  static func site4(from: String = "10.1.0.5", to: String = "10.2.0.5", protocol transport: UInt8 = 1) -> [UInt8] {
    v4(Frame.ipv4(from, to, protocol: transport, transport == 6 ? Frame.tcp(80) : [8, 0, 0, 0, 0, 0, 0, 0]))
  }
  static func site6(
    from: String = "2001:db8:1::5", to: String = "2001:db8:2::5", next: UInt8 = 58, _ payload: [UInt8] = [128, 0, 0, 0]
  ) -> [UInt8] {
    v6(Frame.ipv6(from, to, next: next, payload))
  }

  // MARK: - Ethernet

  static let ethernet: [SteeringCase] = [
    SteeringCase("core over IPv4", .core, v4(core4)),
    SteeringCase("core over IPv6", .core, v6(core6)),
    SteeringCase("site IPv4", .site, v4(site4)),
    SteeringCase("site IPv6", .site, v6(site6)),
    SteeringCase("nothing behind the Ethernet header", .none, v4([])),
    SteeringCase(
      "another MAC address: first half", .none,
      Frame.ethernet(to: MACAddress(rawValue: 0x04_AA_AA_AA_AA_01), type: 0x0800, core4)),
    SteeringCase(
      "another MAC address: middle", .none,
      Frame.ethernet(to: MACAddress(rawValue: 0x02_AA_AA_BA_AA_01), type: 0x0800, core4)),
    SteeringCase(
      "another MAC address: last octet", .none,
      Frame.ethernet(to: MACAddress(rawValue: 0x02_AA_AA_AA_AA_02), type: 0x0800, site4)),
    SteeringCase(
      "Ethernet broadcast", .none,
      Frame.ethernet(to: MACAddress(rawValue: 0xFFFF_FFFF_FFFF), type: 0x0800, site4)),
    SteeringCase(
      "Ethernet multicast", .none,
      Frame.ethernet(to: MACAddress(rawValue: 0x01_00_5E_00_00_05), type: 0x0800, site4)),
    SteeringCase("ARP", .none, Frame.ethernet(type: 0x0806, [UInt8](repeating: 0xA5, count: 46))),
    SteeringCase("LLDP", .none, Frame.ethernet(type: 0x88CC, [UInt8](repeating: 0xA5, count: 46))),
    SteeringCase("a length in place of a type", .none, Frame.ethernet(type: 46, core4)),
    SteeringCase("one tag, core", .core, Frame.ethernet(tags: [(0x8100, 100)], type: 0x0800, core4)),
    SteeringCase("one tag, core over IPv6", .core, Frame.ethernet(tags: [(0x8100, 100)], type: 0x86DD, core6)),
    SteeringCase("one tag, site: a local EID-prefix of that VLAN", .site, Frame.ethernet(tags: [(0x8100, 7)], type: 0x0800, vlan4)),
    SteeringCase("one tag, site over IPv6", .site, Frame.ethernet(tags: [(0x8100, 7)], type: 0x86DD, vlan6)),
    SteeringCase("one tag with priority and DEI", .site, Frame.ethernet(tags: [(0x8100, 0xF007)], type: 0x0800, vlan4)),
    SteeringCase("a local EID-prefix of another VLAN", .none, Frame.ethernet(tags: [(0x8100, 8)], type: 0x0800, vlan4)),
    SteeringCase("a tagged VLAN's EID-prefix, untagged", .none, v4(vlan4)),
    SteeringCase("an untagged EID-prefix, tagged", .none, Frame.ethernet(tags: [(0x8100, 7)], type: 0x0800, site4)),
    SteeringCase("a priority tag is untagged", .site, Frame.ethernet(tags: [(0x8100, 0x6000)], type: 0x0800, site4)),
    SteeringCase("QinQ, 802.1ad", .none, Frame.ethernet(tags: [(0x88A8, 7), (0x8100, 7)], type: 0x0800, vlan4)),
    SteeringCase("QinQ, 802.1ad, core", .none, Frame.ethernet(tags: [(0x88A8, 7), (0x8100, 7)], type: 0x0800, core4)),
    SteeringCase("two 802.1Q tags", .none, Frame.ethernet(tags: [(0x8100, 7), (0x8100, 7)], type: 0x0800, core4)),
    SteeringCase("802.1ad alone", .none, Frame.ethernet(tags: [(0x88A8, 7)], type: 0x0800, core4)),
    SteeringCase("half a tag", .none, Array(Frame.ethernet(tags: [(0x8100, 7)], type: 0x0800, [])[..<16])),
    SteeringCase("a tag before ARP", .none, Frame.ethernet(tags: [(0x8100, 7)], type: 0x0806, [UInt8](repeating: 0xA5, count: 28))),
    SteeringCase("IPv4's type, IPv6 inside", .none, v4(core6)),
    SteeringCase("IPv6's type, IPv4 inside", .none, v6(core4 + [UInt8](repeating: 0xA5, count: 40))),
  ]

  // MARK: - IPv4

  static let options: [UInt8] = [1, 1, 1, 0]

  static let ipv4Header: [SteeringCase] = [
    SteeringCase(
      "core with options", .core,
      v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, options: options, Frame.udp(4341, Frame.lisp())))),
    SteeringCase(
      "core with 40 octets of options", .core,
      v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, options: Array(repeating: 1, count: 40), Frame.udp(4341, Frame.lisp())))),
    SteeringCase(
      "site with options", .site,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, options: options, Frame.udp(53, [])))),
    SteeringCase(
      "site control behind options", .none,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, options: options, Frame.udp(4342, [])))),
    SteeringCase(
      "a header of less than five words", .none,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, headerWords: 4, Frame.udp(53, [])))),
    SteeringCase("version 5", .none, v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, version: 5, Frame.udp(53, [])))),
    SteeringCase(
      "total length shorter than the header", .none,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, totalLength: 19, Frame.udp(53, [])))),
    SteeringCase(
      "total length shorter than header and options", .none,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 1, options: options, totalLength: 20, [8, 0, 0, 0]))),
    SteeringCase(
      "total length longer than the frame", .none,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, totalLength: 29, Frame.udp(53, [])))),
    SteeringCase(
      "total length 65535", .none,
      v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, totalLength: 65535, Frame.udp(4341, Frame.lisp())))),
    SteeringCase("padding behind the packet", .site, v4(site4 + [UInt8](repeating: 0, count: 30))),
    SteeringCase(
      "ports in the padding", .none,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, totalLength: 20, Frame.udp(53, [])))),
    SteeringCase(
      "a LISP header in the padding", .none,
      v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, totalLength: 35, Frame.udp(4341, Frame.lisp())))),
    SteeringCase(
      "the whole LISP header and no more", .core,
      v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, totalLength: 36, Frame.udp(4341, Frame.lisp())))),
    SteeringCase("19 octets of header", .none, Array(v4(site4)[..<33])),
  ]

  // MARK: - IPv6

  static let ipv6Header: [SteeringCase] = [
    SteeringCase(
      "version 5", .none,
      v6(Frame.ipv6("2001:db8:1::5", "2001:db8:2::5", next: 58, version: 5, [128, 0, 0, 0]))),
    SteeringCase("39 octets of header", .none, Array(v6(site6)[..<53])),
    SteeringCase(
      "payload longer than the frame", .none,
      v6(Frame.ipv6("2001:db8:1::5", "2001:db8:2::5", next: 58, payloadLength: 5, [128, 0, 0, 0]))),
    SteeringCase(
      "payload length 65535", .none,
      v6(Frame.ipv6("2001:db8:ffff::9", "2001:db8:ffff::1", next: 17, payloadLength: 65535, Frame.udp(4341, Frame.lisp())))),
    SteeringCase("padding behind the packet", .site, v6(site6 + [0, 0, 0])),
    SteeringCase("no next header", .site, site6(next: 59, [])),
    SteeringCase("no payload, UDP promised", .none, site6(next: 17, [])),
    SteeringCase(
      "a jumbogram", .none,
      v6(Frame.ipv6("2001:db8:1::5", "2001:db8:2::5", next: 0, payloadLength: 0, Frame.options(next: 17, Frame.udp(53, []))))),
    SteeringCase(
      "a LISP header in the padding", .none,
      v6(Frame.ipv6("2001:db8:ffff::9", "2001:db8:ffff::1", next: 17, payloadLength: 15, Frame.udp(4341, Frame.lisp())))),
    SteeringCase(
      "the whole LISP header and no more", .core,
      v6(Frame.ipv6("2001:db8:ffff::9", "2001:db8:ffff::1", next: 17, payloadLength: 16, Frame.udp(4341, Frame.lisp())))),
  ]

  // MARK: - IPv6 extension headers

  static func chain(_ count: Int, _ last: UInt8, _ payload: [UInt8]) -> [UInt8] {
    (0..<count).reduce(payload) { inner, i in Frame.options(next: i == 0 ? last : 60, inner) }
  }

  static let data = Frame.udp(4341, Frame.lisp())

  static let extensions: [SteeringCase] = [
    SteeringCase("core behind hop-by-hop options", .core, core6(next: 0, Frame.options(next: 17, data))),
    SteeringCase("core behind destination options", .core, core6(next: 60, Frame.options(next: 17, data))),
    SteeringCase("core behind a routing header without segments left", .core, core6(next: 43, Frame.options(next: 17, data))),
    SteeringCase(
      "core behind a routing header with segments left", .none,
      core6(next: 43, Frame.options(next: 17, segmentsLeft: 1, data))),
    SteeringCase(
      "site behind a routing header with segments left", .none,
      site6(next: 43, Frame.options(next: 58, segmentsLeft: 1, [128, 0, 0, 0]))),
    SteeringCase("core behind a long header", .core, core6(next: 60, Frame.options(next: 17, more: 9, data))),
    SteeringCase("core behind six headers", .core, core6(next: 60, chain(6, 17, data))),
    SteeringCase("core behind seven headers", .none, core6(next: 60, chain(7, 17, data))),
    SteeringCase("site behind six headers", .site, site6(next: 60, chain(6, 58, [128, 0, 0, 0]))),
    SteeringCase("site behind seven headers", .none, site6(next: 60, chain(7, 58, [128, 0, 0, 0]))),
    SteeringCase("site control behind six headers", .none, site6(next: 60, chain(6, 17, Frame.udp(4342, [])))),
    SteeringCase(
      "a header that is longer than the packet", .none,
      site6(next: 60, [58, 255, 0, 0, 0, 0, 0, 0] + [128, 0, 0, 0])),
    SteeringCase("a header that ends with the packet, UDP promised", .none, site6(next: 60, [17, 0, 0, 0, 0, 0, 0, 0])),
    SteeringCase("a header that ends with the packet, nothing promised", .site, site6(next: 60, [59, 0, 0, 0, 0, 0, 0, 0])),
    SteeringCase("seven octets of a header", .none, site6(next: 60, [59, 0, 0, 0, 0, 0, 0])),
    SteeringCase("AH hides the transport, core", .none, core6(next: 51, Frame.options(next: 17, data))),
    SteeringCase("AH hides the transport, site", .site, site6(next: 51, Frame.options(next: 17, Frame.udp(4342, [])))),
    SteeringCase("ESP", .site, site6(next: 50, [UInt8](repeating: 0xA5, count: 24))),
    SteeringCase("core fragment, first", .none, core6(next: 44, Frame.fragment(next: 17, offset: 0, more: true, data))),
    SteeringCase("core fragment, later", .none, core6(next: 44, Frame.fragment(next: 17, offset: 1, more: false, data))),
    SteeringCase("core fragment, atomic", .none, core6(next: 44, Frame.fragment(next: 17, offset: 0, more: false, data))),
    SteeringCase(
      "core fragment behind options", .none,
      core6(next: 60, Frame.options(next: 44, Frame.fragment(next: 17, offset: 0, more: true, data)))),
    SteeringCase(
      "core, options behind a fragment header", .none,
      core6(next: 44, Frame.fragment(next: 60, offset: 0, more: true, Frame.options(next: 17, data)))),
    SteeringCase(
      "site fragment, first", .site,
      site6(next: 44, Frame.fragment(next: 17, offset: 0, more: true, Frame.udp(53, [])))),
    SteeringCase(
      "site fragment, first, control", .none,
      site6(next: 44, Frame.fragment(next: 17, offset: 0, more: true, Frame.udp(4342, [])))),
    SteeringCase(
      "site fragment, first, too short for ports", .none,
      site6(next: 44, Frame.fragment(next: 17, offset: 0, more: true, [0xC0, 1, 0]))),
    SteeringCase(
      "site fragment, later: what looks like a port is data", .site,
      site6(next: 44, Frame.fragment(next: 17, offset: 1, more: true, Frame.udp(4342, [])))),
    SteeringCase(
      "site fragment, later: what looks like options is data", .site,
      site6(next: 44, Frame.fragment(next: 60, offset: 1, more: false, [17, 255, 0, 0]))),
    SteeringCase(
      "site fragment behind five headers", .site,
      site6(next: 60, chain(5, 44, Frame.fragment(next: 58, offset: 0, more: true, [128, 0, 0, 0])))),
    SteeringCase(
      "site fragment, later, behind five headers", .site,
      site6(next: 60, chain(5, 44, Frame.fragment(next: 60, offset: 9, more: true, [128, 0, 0, 0])))),
    SteeringCase(
      "site fragment behind six headers", .none,
      site6(next: 60, chain(6, 44, Frame.fragment(next: 58, offset: 0, more: true, [128, 0, 0, 0])))),
    SteeringCase("seven octets of a fragment header", .none, site6(next: 44, [58, 0, 0, 1, 0, 0, 0])),
  ]

  // MARK: - Core

  static let core: [SteeringCase] = [
    SteeringCase("to an own address that is no RLOC", .none, core4(data, to: "203.0.113.1")),
    SteeringCase("to somebody else's RLOC", .none, core4(data, to: "192.0.2.2")),
    SteeringCase("to somebody else's IPv6 RLOC", .none, core6(to: "2001:db8:ffff::2", data)),
    SteeringCase("IPv6 whose first octets are our IPv4 RLOC", .none, core6(to: "c000:201::", data)),
    SteeringCase("control, port 4342", .none, core4(Frame.udp(4342, Frame.lisp()))),
    SteeringCase("port 4340", .none, core4(Frame.udp(4340, Frame.lisp()))),
    SteeringCase("port 4341 as source only", .none, core4(Frame.udp(53, source: 4341, Frame.lisp()))),
    SteeringCase("TCP port 4341", .none, core4(Frame.tcp(4341) + [0, 0, 0, 0], protocol: 6)),
    SteeringCase("UDP-Lite port 4341", .none, core4(data, protocol: 136)),
    SteeringCase("ICMP", .none, core4([8, 0, 0, 0] + Frame.lisp(), protocol: 1)),
    SteeringCase("ICMPv6", .none, core6(next: 58, [128, 0, 0, 0] + Frame.lisp())),
    SteeringCase(
      "instance ID 0xFFFFFF: encapsulated control", .none,
      core4(Frame.udp(4341, Frame.lisp(flags: 0x08, instance: 0xFFFFFF)))),
    SteeringCase(
      "instance ID 0xFFFFFF over IPv6, other bits set too", .none,
      core6(Frame.udp(4341, Frame.lisp(flags: 0xC8, instance: 0xFFFFFF)))),
    SteeringCase(
      "0xFFFFFF without the I bit: locator status bits", .core,
      core4(Frame.udp(4341, Frame.lisp(flags: 0x40, instance: 0xFFFFFF)))),
    SteeringCase("instance ID 0xFFFFFE", .core, core4(Frame.udp(4341, Frame.lisp(flags: 0x08, instance: 0xFFFFFE)))),
    SteeringCase("instance ID 0x7FFFFF", .core, core4(Frame.udp(4341, Frame.lisp(flags: 0x08, instance: 0x7FFFFF)))),
    SteeringCase("all flags, an instance ID", .core, core4(Frame.udp(4341, Frame.lisp(flags: 0xFF, instance: 1)))),
    SteeringCase("a UDP datagram without a LISP header", .none, core4(Frame.udp(4341, []))),
    SteeringCase("seven octets of a LISP header", .none, core4(Frame.udp(4341, [0, 0, 0, 0, 0, 0, 0]))),
    SteeringCase(
      "a UDP length that lies is the engine's to count", .core,
      core4([0xC0, 1, 0x10, 0xF5, 0, 7, 0, 0] + Frame.lisp())),
    SteeringCase("IPv4 fragment, first", .none, v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, fragment: 0x2000, data))),
    SteeringCase("IPv4 fragment, middle", .none, v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, fragment: 0x2001, data))),
    SteeringCase("IPv4 fragment, last", .none, v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, fragment: 0x1000, data))),
    SteeringCase("neither DF nor MF", .core, v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, fragment: 0, data))),
    SteeringCase("the reserved flag", .core, v4(Frame.ipv4("192.0.2.9", "192.0.2.1", protocol: 17, fragment: 0x8000, data))),
  ]

  // MARK: - Site

  static let site: [SteeringCase] = [
    SteeringCase("TCP", .site, site4(protocol: 6)),
    SteeringCase("ICMP", .site, site4()),
    SteeringCase(
      "UDP to port 4341 of elsewhere", .site,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, Frame.udp(4341, Frame.lisp())))),
    SteeringCase(
      "UDP from port 4342", .site,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, Frame.udp(53, source: 4342, [])))),
    SteeringCase("UDP control", .none, v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, Frame.udp(4342, [])))),
    SteeringCase("TCP control", .none, v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 6, Frame.tcp(4342)))),
    SteeringCase("UDP control over IPv6", .none, site6(next: 17, Frame.udp(4342, []))),
    SteeringCase("TCP control over IPv6", .none, site6(next: 6, Frame.tcp(4342))),
    SteeringCase("SCTP shows no UDP port", .site, v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 132, Frame.udp(4342, [])))),
    SteeringCase("three octets of UDP", .none, v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, [0xC0, 1, 0]))),
    SteeringCase("the ports of TCP and no more", .site, v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 6, [0xC0, 1, 0, 80]))),
    SteeringCase(
      "IPv4 fragment, first", .site,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, fragment: 0x2000, Frame.udp(53, [])))),
    SteeringCase(
      "IPv4 fragment, first, control", .none,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, fragment: 0x2000, Frame.udp(4342, [])))),
    SteeringCase(
      "IPv4 fragment, later: what looks like a port is data", .site,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, fragment: 0x2010, Frame.udp(4342, [])))),
    SteeringCase(
      "IPv4 fragment, later, of one octet", .site,
      v4(Frame.ipv4("10.1.0.5", "10.2.0.5", protocol: 17, fragment: 0x0010, [0xA5]))),

    SteeringCase("from no local EID", .none, site4(from: "10.3.0.5")),
    SteeringCase("from no local IPv6 EID", .none, site6(from: "2001:db8:3::5")),
    SteeringCase("DHCP: from the unspecified address", .none, site4(from: "0.0.0.0", to: "255.255.255.255")),
    SteeringCase("first address of an EID-prefix", .site, site4(from: "10.200.3.0")),
    SteeringCase("last address of an EID-prefix", .site, site4(from: "10.200.3.127")),
    SteeringCase("one beyond an EID-prefix", .none, site4(from: "10.200.3.128")),
    SteeringCase("one before an EID-prefix", .none, site4(from: "10.200.2.255")),
    SteeringCase("IPv6 whose first octets are a local IPv4 EID", .none, site6(from: "a01::5")),

    SteeringCase("to a host of the site", .none, site4(to: "10.1.200.9")),
    SteeringCase("to a host of the site in another EID-prefix", .none, site4(to: "10.200.3.9")),
    SteeringCase("to a host of the site, IPv6", .none, site6(to: "2001:db8:1:ff::9")),
    SteeringCase("to an EID-prefix of another VLAN", .site, site4(to: "10.7.0.9")),
    SteeringCase("to an own address within the EID-prefix", .none, site4(to: "10.1.0.1")),
    SteeringCase("to an own address elsewhere", .none, site4(to: "203.0.113.1")),
    SteeringCase("to an own IPv6 address elsewhere", .none, site6(to: "2001:db8:99::1")),
    SteeringCase("to our RLOC", .none, site4(to: "192.0.2.1")),
    SteeringCase(
      "LISP data from a site host to our RLOC", .core,
      v4(Frame.ipv4("10.1.0.5", "192.0.2.1", protocol: 17, data))),
    SteeringCase(
      "a fragment of LISP data from a site host to our RLOC", .none,
      v4(Frame.ipv4("10.1.0.5", "192.0.2.1", protocol: 17, fragment: 0x2000, data))),
    SteeringCase("to another address of the own one's subnet elsewhere", .site, site4(to: "203.0.113.2")),
    SteeringCase(
      "to an own address on a tagged VLAN", .none,
      Frame.ethernet(tags: [(0x8100, 7)], type: 0x0800, Frame.ipv4("10.7.0.5", "203.0.113.1", protocol: 1, [8, 0, 0, 0]))),

    SteeringCase("to multicast", .none, site4(to: "224.0.0.5")),
    SteeringCase("to the last multicast address", .none, site4(to: "239.255.255.255")),
    SteeringCase("to the first address beyond multicast", .site, site4(to: "240.0.0.0")),
    SteeringCase("from an EID in 240.0.0.0/4", .site, site4(from: "240.9.0.5")),
    SteeringCase("to the address before multicast", .site, site4(to: "223.255.255.255")),
    SteeringCase("to broadcast", .none, site4(to: "255.255.255.255")),
    SteeringCase("to the address before broadcast", .site, site4(to: "255.255.255.254")),
    SteeringCase("to link-local", .none, site4(to: "169.254.1.1")),
    SteeringCase("next to link-local, below", .site, site4(to: "169.253.1.1")),
    SteeringCase("next to link-local, beside", .site, site4(to: "168.254.1.1")),
    SteeringCase("to loopback", .none, site4(to: "127.0.0.1")),
    SteeringCase("to this network", .none, site4(to: "0.1.2.3")),
    SteeringCase("to IPv6 multicast", .none, site6(to: "ff02::1")),
    SteeringCase("to global IPv6 multicast", .none, site6(to: "ff0e::1")),
    SteeringCase("ND: a neighbour solicitation", .none, site6(to: "ff02::1:ff00:1", next: 58, [135, 0, 0, 0])),
    SteeringCase("to IPv6 link-local", .none, site6(to: "fe80::1")),
    SteeringCase("to the last of IPv6 link-local", .none, site6(to: "febf:ffff::1")),
    SteeringCase("beyond IPv6 link-local", .site, site6(to: "fec0::1")),
    SteeringCase("before IPv6 link-local", .site, site6(to: "fe7f::1")),
    SteeringCase("to the unspecified IPv6 address", .none, site6(to: "::")),
    SteeringCase("to IPv6 loopback", .none, site6(to: "::1")),
    SteeringCase("to an IPv6 address next to loopback", .site, site6(to: "::2")),
    SteeringCase("to an IPv6 address of one bit, word 0", .site, site6(to: "0:1::")),
    SteeringCase("to an IPv6 address of one bit, word 1", .site, site6(to: "0:0:1::")),
    SteeringCase("to an IPv6 address of one bit, word 2", .site, site6(to: "::1:0:0")),
  ]
}
