// SPDX-License-Identifier: Apache-2.0
//
// Tests of ExceptionDevice against the kernel: what is injected is forwarded as if it had come in on a wire, by the right table.

import Glibc
import Testing
import Wire

@testable import Netlink

@Suite(.serialized, .enabled(if: isRoot, needsRoot))
struct ExceptionDeviceTests {
  private static let families = AddressFamily.allCases

  /// From somewhere beyond to the far host.
  private func packet(_ family: AddressFamily, ttl: UInt8 = 64) -> TestPacket {
    switch family {
    case .ipv4: TestPacket(source: address("172.16.0.1"), destination: address("10.0.0.2"), ttl: ttl)
    case .ipv6: TestPacket(source: address("2001:db8:99::1"), destination: address("2001:db8::2"), ttl: ttl)
    }
  }

  /// Whether `bytes` is an ICMP message of this type and code to `destination`.
  private func isICMP(_ bytes: [UInt8], _ family: AddressFamily, type: UInt8, code: UInt8, to destination: IPAddress) -> Bool {
    switch family {
    case .ipv4:
      bytes.count >= 28 && bytes[9] == 1 && bytes[20] == type && bytes[21] == code && Array(bytes[16..<20]) == destination.octets
    case .ipv6:
      bytes.count >= 48 && bytes[6] == 58 && bytes[40] == type && bytes[41] == code && Array(bytes[24..<40]) == destination.octets
    }
  }

  @Test(arguments: families)
  func `a packet to a host whose neighbour entry does not exist arrives`(family: AddressFamily) async throws {
    let pair = Pair()
    let sent = packet(family)
    let tap = try await pair.far.run { PacketTap(family) }
    try await pair.near.run {
      let index = pair.index()
      #expect(try KernelQueries().neighbour(sent.destination, interfaceIndex: index) == nil)
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      #expect(device.warnings == [])
      #expect(device.inject(sent.bytes.span) == .accepted)
      #expect(device.injected == 1)
      let arrived = tap.next { $0.suffix(sent.payload.count) == sent.payload[...] }
      var forwarded = sent
      forwarded.ttl -= 1
      #expect(arrived == forwarded.bytes)
      #expect(try KernelQueries().neighbour(sent.destination, interfaceIndex: index)?.isUsable == true)
    }
  }

  @Test(arguments: families)
  func `a burst injected before the neighbour is known arrives whole and in order`(family: AddressFamily) async throws {
    let pair = Pair()
    let tap = try await pair.far.run { PacketTap(family) }
    try await pair.near.run {
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      for i in 0..<32 {
        var sent = packet(family)
        sent.payload = Array("burst \(i)".utf8)
        #expect(device.inject(sent.bytes.span) == .accepted)
      }
      for i in 0..<32 {
        let wanted = Array("burst \(i)".utf8)
        let arrived = tap.next { String(decoding: $0, as: UTF8.self).contains("burst") }
        #expect(arrived?.suffix(wanted.count) == wanted[...])
      }
    }
  }

  @Test(arguments: families)
  func `a packet whose TTL ends here earns its source a time exceeded`(family: AddressFamily) async throws {
    let pair = Pair()
    var sent = packet(family, ttl: 1)
    sent.source = sent.destination
    sent.destination = family == .ipv4 ? address("192.0.2.1") : address("2001:db8:2::1")
    let tap = try await pair.far.run { PacketTap(family) }
    try await pair.near.run {
      pair.near.ip("route add \(sent.destination) dev v0")
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      #expect(device.inject(sent.bytes.span) == .accepted)
      let error = tap.next { isICMP($0, family, type: family == .ipv4 ? 11 : 3, code: 0, to: sent.source) }
      #expect(error != nil)
    }
  }

  @Test(arguments: families)
  func `a packet too big for the way on earns its source the MTU`(family: AddressFamily) async throws {
    let pair = Pair()
    var sent = packet(family)
    sent.source = sent.destination
    sent.destination = family == .ipv4 ? address("192.0.2.1") : address("2001:db8:2::1")
    sent.payload = [UInt8](repeating: 0xA5, count: 1450)
    let tap = try await pair.far.run { PacketTap(family) }
    try await pair.near.run {
      pair.near.ip("link set v0 mtu 1400")
      pair.near.ip("route add \(sent.destination) dev v0")
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      #expect(device.inject(sent.bytes.span) == .accepted)
      let error = tap.next {
        isICMP($0, family, type: family == .ipv4 ? 3 : 2, code: family == .ipv4 ? 4 : 0, to: sent.source)
      }
      let mtu = error.map { family == .ipv4 ? Int($0[26]) << 8 | Int($0[27]) : Int($0[46]) << 8 | Int($0[47]) }
      #expect(mtu == 1400)
    }
  }

  @Test(arguments: families)
  func `each device forwards by its own table, also where prefixes overlap`(family: AddressFamily) async throws {
    let sites = Sites(family)
    let tapOne = try await sites.one.run { PacketTap(family) }
    let tapTwo = try await sites.two.run { PacketTap(family) }
    try await sites.router.run {
      var first = try ExceptionDevice(name: "xtr101", mtu: 1500, routingTable: 101)
      var second = try ExceptionDevice(name: "xtr102", mtu: 1500, routingTable: 102)
      var sent = packet(family)
      sent.destination = sites.host
      sent.payload = Array("for site one".utf8)
      #expect(first.inject(sent.bytes.span) == .accepted)
      sent.payload = Array("for site two".utf8)
      #expect(second.inject(sent.bytes.span) == .accepted)
      func isOurs(_ bytes: [UInt8]) -> Bool { String(decoding: bytes, as: UTF8.self).contains("for site") }
      #expect(tapOne.next(where: isOurs)?.suffix(3) == Array("one".utf8)[...])
      #expect(tapTwo.next(where: isOurs)?.suffix(3) == Array("two".utf8)[...])
      #expect(tapOne.next(within: 0.2, where: isOurs) == nil && tapTwo.next(within: 0.2, where: isOurs) == nil)

      let queries = try KernelQueries()
      for (device, table, link) in [(first.interfaceIndex, 101, "s1"), (second.interfaceIndex, 102, "s2")] as [(UInt32, UInt32, String)] {
        let path = try queries.lookup(destination: sites.host, incomingInterface: device).path
        #expect(path?.table == table && path?.interfaceIndex == if_nametoindex(link))
      }
    }
  }

  @Test(arguments: families)
  func `what an instance's table does not know is refused, whatever the main table says`(family: AddressFamily) async throws {
    let sites = Sites(family)
    let tap = try await sites.one.run { PacketTap(family) }
    try await sites.router.run {
      sites.router.ip("\(family == .ipv4 ? "-4" : "-6") route add default dev s1")
      var device = try ExceptionDevice(name: "xtr102", mtu: 1500, routingTable: 102)
      var sent = packet(family)
      sent.destination = family == .ipv4 ? address("192.0.2.1") : address("2001:db8:2::1")
      #expect(try KernelQueries().lookup(destination: sent.destination).path != nil)
      let answer = try KernelQueries().lookup(destination: sent.destination, incomingInterface: device.interfaceIndex)
      #expect(answer == .refused(.unreachable) || answer == .refused(.noRoute))
      #expect(device.inject(sent.bytes.span) == .accepted)
      #expect(tap.next(within: 0.3) { $0.suffix(sent.payload.count) == sent.payload[...] } == nil)
    }
  }

  // Why the router makes ICMP errors itself where an instance has its own table, and injects them.
  @Test(arguments: families)
  func `an ICMP error of the kernel goes by the main table, one that is injected by the instance's`(family: AddressFamily) async throws {
    let sites = Sites(family)
    let tap = try await sites.two.run { PacketTap(family) }
    try await sites.router.run {
      var device = try ExceptionDevice(name: "xtr102", mtu: 1500, routingTable: 102)
      var sent = packet(family, ttl: 1)
      sent.source = sites.host
      sent.destination = family == .ipv4 ? address("10.1.0.6") : address("2001:db8:1::6")
      #expect(device.inject(sent.bytes.span) == .accepted)
      let type: UInt8 = family == .ipv4 ? 11 : 3
      #expect(tap.next(within: 0.3) { isICMP($0, family, type: type, code: 0, to: sites.host) } == nil)

      var answer = TestPacket(source: sent.destination, destination: sites.host, payload: [])
      answer.source = family == .ipv4 ? address("10.0.0.1") : address("2001:db8::1")
      var bytes = answer.bytes
      let start = family == .ipv4 ? 20 : 40
      bytes[family == .ipv4 ? 9 : 6] = family == .ipv4 ? 1 : 58
      bytes.replaceSubrange(start..<start + 8, with: [type, 0, 0, 0, 0, 0, 0, 0])
      if family == .ipv4 {
        bytes.replaceSubrange(10..<12, with: [0, 0])
        let sum = ~TestPacket.sum(Array(bytes[..<20]))
        bytes.replaceSubrange(10..<12, with: [UInt8(sum >> 8), UInt8(sum & 0xFF)])
      }
      #expect(device.inject(bytes.span) == .accepted)
      #expect(tap.next { isICMP($0, family, type: type, code: 0, to: sites.host) } != nil)
    }
  }

  @Test func `the device and its rules vanish with the value`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let device = try ExceptionDevice(name: "xtr0", mtu: 1400, routingTable: 4000)
      let link = try KernelQueries().link(index: device.interfaceIndex)
      #expect(link?.name == "xtr0" && link?.mtu == 1400 && link?.isUp == true && link?.kind == "tun")
      for family in ["-4", "-6"] {
        #expect(namespace.ip("\(family) rule show").contains("iif xtr0 lookup 4000"))
        #expect(namespace.ip("\(family) rule show").contains("iif xtr0 unreachable"))
      }
      device.close()
      for family in ["-4", "-6"] { #expect(!namespace.ip("\(family) rule show").contains("xtr0")) }
      #expect(!namespace.ip("link show").contains("xtr0"))
    }
  }

  @Test func `rules that an earlier run left behind are removed first`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      namespace.ip("rule add iif xtr0 lookup 55 priority 20000 protocol 76")
      namespace.ip("rule add iif xtr0 lookup 56 priority 19000")
      let device = try ExceptionDevice(name: "xtr0", mtu: 1500, routingTable: 57)
      let rules = namespace.ip("rule show")
      #expect(!rules.contains("lookup 55") && rules.contains("lookup 56") && rules.contains("lookup 57"))
      device.close()
      #expect(namespace.ip("rule show").contains("lookup 56"), "the operator's rule stays")
    }
  }

  @Test func `settings are those of the namespace, and of this interface only`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let before = ["all", "default", "lo"].map { KernelSetting("ipv4/conf/\($0)/forwarding").value }
      let device = try ExceptionDevice(name: "xtrset", mtu: 1500)
      #expect(KernelSetting("ipv4/conf/xtrset/forwarding").value == 1)
      #expect(KernelSetting("ipv4/conf/xtrset/rp_filter").value == 0)
      #expect(KernelSetting("ipv4/conf/xtrset/accept_local").value == 1)
      #expect(["all", "default", "lo"].map { KernelSetting("ipv4/conf/\($0)/forwarding").value } == before)
      #expect(namespace.json("addr show dev xtrset").allSatisfy { ($0["addr_info"] as? [Any])?.isEmpty == true })
      device.close()
    }
    #expect(KernelSetting("ipv4/conf/xtrset/forwarding").value == nil, "another namespace")
  }

  @Test(arguments: [1, 2])
  func `a reverse path filter for all interfaces is a warning with its cure`(value: Int) async throws {
    let namespace = Namespace()
    try await namespace.run {
      namespace.set("ipv4/conf/all/rp_filter", value)
      let device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      #expect(device.warnings.count == 1)
      #expect(device.warnings.first?.contains("ipv4/conf/all/rp_filter is \(value)") == true)
      #expect(device.warnings.first?.contains("sysctl -w net/ipv4/conf/all/rp_filter=0") == true)
      device.close()
    }
  }

  @Test func `settings that something else changes are mended when asked`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      namespace.set("ipv4/conf/xtr0/rp_filter", 2)
      namespace.set("ipv4/conf/xtr0/forwarding", 0)
      namespace.set("ipv4/conf/all/rp_filter", 2)
      device.reapplySettings()
      #expect(KernelSetting("ipv4/conf/xtr0/rp_filter").value == 0)
      #expect(KernelSetting("ipv4/conf/xtr0/forwarding").value == 1)
      #expect(device.warnings.count == 1)
      namespace.set("ipv4/conf/all/rp_filter", 0)
      device.reapplySettings()
      #expect(device.warnings == [])
    }
  }

  @Test func `a host whose interfaces have no IPv6 by default has it on the device`() async throws {
    let pair = Pair()
    let tap = try await pair.far.run { PacketTap(.ipv6) }
    try await pair.near.run {
      pair.near.set("ipv6/conf/default/disable_ipv6", 1)
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      let sent = packet(.ipv6)
      #expect(device.inject(sent.bytes.span) == .accepted)
      #expect(tap.next { $0.suffix(sent.payload.count) == sent.payload[...] } != nil)
    }
  }

  @Test func `packets that the kernel routes into the device are counted and thrown away`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      usleep(200_000)
      #expect(device.drainIncoming() <= 4, "the kernel itself has little to say there")
      let noise = device.discardedIncoming
      namespace.ip("addr add 10.0.0.1/32 dev lo")
      namespace.ip("route add 192.0.2.0/24 dev xtr0")
      let raw = try RawSender()
      for _ in 0..<5 {
        let sent = TestPacket(source: address("10.0.0.1"), destination: address("192.0.2.1"))
        #expect(raw.send(sent.bytes.span) == .sent)
      }
      var wanted = pollfd(fd: device.fileDescriptor, events: Int16(POLLIN), revents: 0)
      #expect(poll(&wanted, 1, 1000) == 1)
      #expect(device.drainIncoming(limit: 3) == 3)
      #expect(device.drainIncoming() == 2)
      #expect(device.drainIncoming() == 0)
      #expect(device.discardedIncoming == noise + 5)
    }
  }

  @Test func `what is not an IP packet is refused and counted`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      #expect(device.inject([0xA5, 0xA5, 0xA5].span) == .refused(errno: EINVAL))
      #expect(device.inject([UInt8]().span) == .refused(errno: EINVAL))
      namespace.ip("link set xtr0 down")
      #expect(device.inject(packet(.ipv4).bytes.span) == .refused(errno: EIO))
      #expect(device.refused == 3 && device.injected == 0)
    }
  }

  @Test func `no truncation of a packet harms`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      var device = try ExceptionDevice(name: "xtr0", mtu: 1500)
      for family in AddressFamily.allCases {
        let whole = packet(family).bytes
        for count in 1..<whole.count { _ = device.inject(Array(whole[..<count]).span) }
        #expect(device.inject(whole.span) == .accepted)
      }
    }
  }

  @Test func `a name in use or unusable is an error that says so`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      func error(_ name: String) -> NetlinkError? {
        do throws(NetlinkError) {
          let device = try ExceptionDevice(name: name, mtu: 1500)
          device.close()
          return nil
        } catch { return error }
      }
      for name in ["", ".", "..", "a/b", "a b", "tun%d", "a:b", "sixteen-letters-", "ümlaut"] {
        #expect(error(name) == .unusableName(name))
      }
      let first = try ExceptionDevice(name: "xtr0", mtu: 1500)
      for name in ["xtr0", "lo"] {
        let problem = try #require(error(name))
        #expect(problem.description.contains("an interface of that name exists"), "\(problem)")
        #expect(!problem.isImpossibleHere)
      }
      first.close()
      #expect(error("xtr0") == nil, "the name is free again")
    }
  }

  @Test func `an impossible MTU leaves no device behind`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      #expect(throws: NetlinkError.self) { try ExceptionDevice(name: "xtr0", mtu: 1, routingTable: 9).close() }
      #expect(!namespace.ip("link show").contains("xtr0"))
      #expect(!namespace.ip("rule show").contains("xtr0"))
    }
  }
}
