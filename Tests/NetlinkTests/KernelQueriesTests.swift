// SPDX-License-Identifier: Apache-2.0
//
// Tests of KernelQueries against the kernel: dumps and lookups say what iproute2 prints; probes and rules do what they are for.

import Foundation
import Glibc
import Testing
import Wire

@testable import Netlink

@Suite(.serialized, .enabled(if: isRoot, needsRoot))
struct KernelQueriesTests {
  /// Routes of every kind that the parsers know.
  private func fill(_ namespace: Namespace) {
    for route in [
      "192.0.2.0/24 via 10.0.0.2 metric 50 mtu 1300 src 10.0.0.1", "192.0.2.0/24 via 10.0.0.3 metric 60",
      "198.51.100.0/24 nexthop via 10.0.0.2 weight 1 nexthop via 10.0.0.3 weight 3", "default via 10.0.0.2",
      "203.0.113.0/24 via inet6 2001:db8::2 table 300", "198.18.0.0/15 via inet6 2001:db8::2", "blackhole 100.64.0.0/16",
      "prohibit 100.65.0.0/16", "unreachable 100.66.0.0/16", "throw 100.67.0.0/16", "100.68.0.0/16 nhid 7",
      "100.69.0.0/16 nhid 8",
    ] {
      if route.hasSuffix("nhid 7") {
        namespace.ip("nexthop add id 7 via 10.0.0.2 dev v0")
        namespace.ip("nexthop add id 9 via inet6 2001:db8::2 dev v0")
        namespace.ip("nexthop add id 8 group 7,2/9,3")
      }
      namespace.ip("route add \(route)")
    }
    for route in [
      "2001:db8:1::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3 weight 5", "default via 2001:db8::2",
      "2001:db8:2::/48 via 2001:db8::2 metric 50 mtu 1300 src 2001:db8::1", "2001:db8:3::/48 dev v0 table 300",
      "blackhole 2001:db8:64::/48", "prohibit 2001:db8:65::/48", "unreachable 2001:db8:66::/48",
    ] { namespace.ip("-6 route add \(route)") }
  }

  @Test func `links are those that ip link prints`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let links = try KernelQueries().links()
      let rows = pair.near.json("link show")
      #expect(!rows.isEmpty && links.count == rows.count)
      for row in rows {
        let link = try #require(links.first { $0.index == UInt32(row["ifindex"] as? Int ?? 0) })
        let flags = row["flags"] as? [String] ?? []
        #expect(link.name == row["ifname"] as? String)
        #expect(link.mtu == row["mtu"] as? Int)
        #expect(link.isUp == flags.contains("UP"))
        #expect(link.isLowerUp == flags.contains("LOWER_UP"))
        #expect(link.isLoopback == flags.contains("LOOPBACK"))
        #expect(link.kind == (row["linkinfo"] as? [String: Any])?["info_kind"] as? String)
        if link.kind == "veth" { #expect(link.macAddress?.description == row["address"] as? String) }
        #expect(try KernelQueries().link(index: link.index) == link)
      }
      #expect(try KernelQueries().link(index: 4_000_000) == nil)
    }
  }

  @Test func `addresses are those that ip addr prints`() async throws {
    let pair = Pair()
    try await pair.near.run {
      pair.near.ip("addr add 10.5.0.1 peer 10.6.0.1/32 dev v0")
      let entries = try KernelQueries().addresses()
      var expected: Set<String> = []
      for row in pair.near.json("addr show") {
        for info in row["addr_info"] as? [[String: Any]] ?? [] {
          expected.insert("\(row["ifindex"] ?? "") \(info["local"] ?? "")/\(info["prefixlen"] ?? "")")
        }
      }
      #expect(Set(entries.map { "\($0.interfaceIndex) \($0.address)/\($0.prefixLength)" }) == expected)
      #expect(expected.contains { $0.hasSuffix("10.5.0.1/32") })
    }
  }

  @Test func `neighbours are those that ip neigh prints`() async throws {
    let pair = Pair()
    try await pair.near.run {
      pair.near.ip("neigh add 10.0.0.50 lladdr 02:00:00:00:00:50 dev v0 nud permanent")
      pair.near.ip("neigh add 2001:db8::50 lladdr 02:00:00:00:00:51 dev v0 nud stale")
      pair.near.ip("neigh add proxy 10.0.0.60 dev v0")
      let neighbours = try KernelQueries().neighbours()
      func key(_ dst: String, _ mac: String, _ state: String) -> String { "\(dst) \(mac) \(state)" }
      let expected = Set(
        pair.near.json("neigh show nud all").map {
          key($0["dst"] as? String ?? "", $0["lladdr"] as? String ?? "", ($0["state"] as? [String])?.first ?? "")
        })
      let index = pair.index()
      let found = neighbours.filter { $0.interfaceIndex == index }.map {
        key($0.address.description, $0.macAddress?.description ?? "", "\($0.state)".uppercased())
      }
      #expect(Set(found) == expected)
      #expect(expected.count >= 2)
      #expect(try KernelQueries().neighbour(address("10.0.0.50"), interfaceIndex: index)?.state == .permanent)
      #expect(try KernelQueries().neighbour(address("10.0.0.51"), interfaceIndex: index) == nil)
    }
  }

  @Test(arguments: AddressFamily.allCases)
  func `routes are those that ip route prints`(family: AddressFamily) async throws {
    let pair = Pair()
    try await pair.near.run {
      fill(pair.near)
      let queries = try KernelQueries()
      let names = ["main": "254", "local": "255", "default": "253"]
      let rows = pair.near.json("\(family == .ipv4 ? "-4" : "-6") route show table all")
      let expected = rows.map { row in
        let dst = row["dst"] as? String ?? ""
        let wanted = dst == "default" ? (family == .ipv4 ? "0.0.0.0/0" : "::/0") : dst
        let table = row["table"] as? String ?? "main"
        let hops = (row["nexthops"] as? [[String: Any]] ?? [row]).map { hop in
          let via = (hop["via"] as? [String: Any])?["host"] as? String
          return "\(hop["dev"] ?? "-")>\(hop["gateway"] as? String ?? via ?? "-")*\(hop["weight"] ?? 1)"
        }
        let metrics = (row["metrics"] as? [[String: Any]])?.first
        return "\(row["type"] ?? "unicast") \((try? prefix(wanted))?.description ?? dst) table \(names[table] ?? table) "
          + "metric \(row["metric"] ?? 0) mtu \(metrics?["mtu"] ?? 0) src \(row["prefsrc"] ?? "-") \(hops.sorted())"
      }
      let links = Dictionary(uniqueKeysWithValues: try queries.links().map { ($0.index, $0.name) })
      let found = try queries.routes(family).map { route in
        let hops = route.nextHops.map {
          "\($0.interfaceIndex.flatMap { links[$0] } ?? "-")>\($0.gateway?.description ?? "-")*\($0.weight)"
        }
        let type = route.type == .throwOn ? "throw" : "\(route.type)"
        return "\(type) \(route.prefix) table \(route.table) metric \(route.priority) mtu \(route.mtu ?? 0) "
          + "src \(route.preferredSource?.description ?? "-") \(hops.isEmpty ? ["->-*1"] : hops.sorted())"
      }
      #expect(found.sorted() == expected.sorted())
      #expect(found.count > 10)
    }
  }

  @Test func `one table's routes are asked for alone, and an empty table is empty`() async throws {
    let pair = Pair()
    try await pair.near.run {
      fill(pair.near)
      let queries = try KernelQueries()
      #expect(try queries.routes(.ipv4, table: 300).map(\.prefix) == [prefix("203.0.113.0/24")])
      #expect(try queries.routes(.ipv6, table: 300).map(\.prefix) == [prefix("2001:db8:3::/48")])
      #expect(try queries.routes(.ipv4, table: 4711) == [])
      #expect(try queries.routes(.ipv6, table: 4711) == [])
    }
  }

  @Test(arguments: AddressFamily.allCases)
  func `one interface's routes are asked for alone, multipath and next-hop objects included`(family: AddressFamily) async throws {
    let pair = Pair()
    try await pair.near.run {
      fill(pair.near)
      pair.near.ip("link add w0 type veth peer name w1")
      pair.near.ip("link set w0 up")
      pair.near.ip(family == .ipv4 ? "route add 172.20.0.0/16 dev w0" : "-6 route add 2001:db8:20::/48 dev w0")
      let queries = try KernelQueries()
      let all = try queries.routes(family)
      for index in [pair.index("v0"), pair.index("w0"), 1] {
        let expected = all.filter { $0.nextHops.contains { $0.interfaceIndex == index } }
        #expect(!expected.isEmpty)
        #expect(Set(try queries.routes(family, interfaceIndex: index)) == Set(expected))
      }
    }
  }

  @Test func `next-hop objects are resolved when the kernel does not say what they are`() async throws {
    let pair = Pair()
    try await pair.near.run {
      fill(pair.near)
      pair.near.set("ipv4/nexthop_compat_mode", 0)
      let routes = try KernelQueries().routes(.ipv4, table: 254)
      let single = try #require(routes.first { $0.nextHopID == 7 })
      #expect(single.nextHops.map(\.gateway) == [address("10.0.0.2")])
      let group = try #require(routes.first { $0.nextHopID == 8 })
      #expect(group.nextHops.map(\.gateway) == [address("10.0.0.2"), address("2001:db8::2")])
      #expect(group.nextHops.map(\.weight) == [2, 3])
    }
  }

  @Test func `lookups answer what ip route get prints`() async throws {
    let pair = Pair()
    try await pair.near.run {
      fill(pair.near)
      let queries = try KernelQueries()
      let index = pair.index()
      for text in [
        "10.0.0.9", "192.0.2.7", "8.8.8.8", "198.18.1.1", "198.51.100.5", "100.68.0.1", "2001:db8::9", "2001:db8:2::7",
        "2001:db8:1::1", "2a00::1",
      ] {
        let row = try #require(pair.near.json("route get \(text)").first)
        let via = (row["via"] as? [String: Any])?["host"] as? String
        let answer = try queries.lookup(destination: address(text))
        let path = try #require(answer.path, "\(text): \(answer)")
        #expect(path.gateway?.description == row["gateway"] as? String ?? via, "\(text)")
        #expect(path.interfaceIndex == index)
        #expect(path.preferredSource?.description == row["prefsrc"] as? String, "\(text)")
        #expect(path.table == 254 && !path.isEncapsulated)
      }
      #expect(try queries.lookup(destination: address("192.0.2.7")).path?.mtu == 1300)
      #expect(try queries.lookup(destination: address("2001:db8:2::7")).path?.mtu == 1300)
      #expect(try queries.lookup(destination: address("10.0.0.9")).path?.mtu == nil)
      #expect(try queries.lookup(destination: address("2001:db8::9")).path?.mtu == nil)
    }
  }

  @Test func `a route that adds a header is answered as such`() async throws {
    let pair = Pair()
    try await pair.near.run {
      pair.near.ip("route add 198.20.0.0/16 encap ip id 5 dst 10.0.0.9 dev v0")
      let path = try KernelQueries().lookup(destination: address("198.20.0.1")).path
      #expect(path?.isEncapsulated == true)
    }
  }

  @Test func `refusals are answers`() async throws {
    let pair = Pair()
    try await pair.near.run {
      fill(pair.near)
      let queries = try KernelQueries()
      for (text, refusal) in [
        ("100.64.0.1", .blackhole), ("100.65.0.1", .prohibit), ("100.66.0.1", .unreachable),
        ("2001:db8:64::1", .blackhole), ("2001:db8:65::1", .prohibit), ("2001:db8:66::1", .unreachable),
      ] as [(String, RouteRefusal)] {
        #expect(try queries.lookup(destination: address(text)) == .refused(refusal), "\(text)")
      }
      pair.near.ip("route del default")
      pair.near.ip("-6 route del default")
      #expect(try queries.lookup(destination: address("8.8.8.8")) == .refused(.noRoute))
      #expect(try queries.lookup(destination: address("2a00::1")) == .refused(.noRoute))
    }
  }

  @Test func `own and special destinations are told apart`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let queries = try KernelQueries()
      for text in ["10.0.0.1", "127.0.0.1", "2001:db8::1", "::1"] {
        guard case .local = try queries.lookup(destination: address(text)) else {
          Issue.record("\(text) is local")
          continue
        }
      }
      let index = pair.index()
      #expect(try queries.lookup(destination: address("10.0.0.255")) == .special(.broadcast, interfaceIndex: index))
      #expect(
        try queries.lookup(destination: address("ff02::1"), outgoingInterface: index) == .special(.multicast, interfaceIndex: index))
      #expect(try queries.lookup(destination: address("fe80::9"), outgoingInterface: index).path?.interfaceIndex == index)
    }
  }

  @Test func `a lookup honours rules by source`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let queries = try KernelQueries()
      for (family, second, gateway, target) in [
        ("-4", "10.0.0.11", "10.0.0.3", "192.0.2.1"), ("-6", "2001:db8::11", "2001:db8::3", "2001:db8:2::1"),
      ] {
        pair.near.ip("addr add \(second)/\(family == "-4" ? "24" : "64 nodad") dev v0")
        pair.near.ip("\(family) route add default via \(gateway) table 77")
        pair.near.ip("\(family) rule add from \(second) lookup 77")
        let path = try queries.lookup(destination: address(target), source: address(second)).path
        #expect(path?.gateway == address(gateway) && path?.table == 77)
        #expect(try queries.lookup(destination: address(target)) == .refused(.noRoute))
      }
    }
  }

  @Test func `a source of the other family is an error with a reason`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let queries = try KernelQueries()
      #expect(throws: NetlinkError.self) {
        _ = try queries.lookup(destination: address("10.0.0.1"), source: address("::1"))
      }
    }
  }

  @Test(arguments: ["10.0.0.2", "2001:db8::2"])
  func `a probe resolves a missing neighbour and verifies a stale one`(text: String) async throws {
    let pair = Pair()
    try await pair.near.run {
      let queries = try KernelQueries()
      let index = pair.index()
      let peer = address(text)
      pair.near.set("\(peer.family == .ipv4 ? "ipv4" : "ipv6")/neigh/v0/delay_first_probe_time", 1)
      func state() throws -> NeighbourState? { try queries.neighbour(peer, interfaceIndex: index)?.state }

      #expect(try state() == nil)
      try queries.probe(neighbour: peer, interfaceIndex: index)
      let answered = try eventually { try state() == .reachable }
      #expect(answered)
      #expect(try queries.neighbour(peer, interfaceIndex: index)?.macAddress == Pair.farMAC)

      pair.near.ip("neigh change \(text) lladdr \(Pair.farMAC) dev v0 nud stale")
      #expect(try state() == .stale)
      try queries.probe(neighbour: peer, interfaceIndex: index)
      #expect(try state() == .delay)
      let verified = try eventually { try state() == .reachable }
      #expect(verified)

      try queries.probe(neighbour: peer, interfaceIndex: index)
      #expect(try state() == .reachable, "a fresh entry is left alone")
    }
  }

  @Test func `a probe leaves permanent entries as they are`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let queries = try KernelQueries()
      pair.near.ip("neigh add 10.0.0.50 lladdr 02:00:00:00:00:50 dev v0 nud permanent")
      try queries.probe(neighbour: address("10.0.0.50"), interfaceIndex: pair.index())
      #expect(try queries.neighbour(address("10.0.0.50"), interfaceIndex: pair.index())?.state == .permanent)
    }
  }

  @Test func `a probe of a live neighbour that answers no more ends as failed`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let queries = try KernelQueries()
      pair.near.set("ipv4/neigh/v0/retrans_time_ms", 20)
      pair.near.set("ipv4/neigh/v0/delay_first_probe_time", 0)
      pair.near.ip("neigh add 10.0.0.99 lladdr 02:00:00:00:00:99 dev v0 nud stale")
      try queries.probe(neighbour: address("10.0.0.99"), interfaceIndex: pair.index())
      let index = pair.index()
      let hasFailed = try eventually { try queries.neighbour(address("10.0.0.99"), interfaceIndex: index)?.state == .failed }
      #expect(hasFailed)
    }
  }

  @Test func `rules are added once, listed and removed`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let queries = try KernelQueries()
      for family in AddressFamily.allCases {
        let rules = [
          PolicyRule(family: family, priority: 100, incomingInterface: "v0", action: .lookup(table: 1000)),
          PolicyRule(family: family, priority: 101, incomingInterface: "v0", action: .unreachable),
        ]
        for rule in rules + rules { try queries.addRule(rule) }
        pair.near.ip("\(family == .ipv4 ? "-4" : "-6") rule add iif v0 lookup 5 priority 102")
        #expect(try queries.ownRules(family) == rules)
        for rule in rules + rules { try queries.deleteRule(rule) }
        #expect(try queries.ownRules(family) == [])
        #expect(pair.near.ip("\(family == .ipv4 ? "-4" : "-6") rule show").contains("102:"), "a rule of others stays")
      }
    }
  }

  @Test func `a refused change says what, and why in the kernel's words`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let queries = try KernelQueries()
      let link = #expect(throws: NetlinkError.self) { try queries.setLink(index: 4_000_000, isUp: true) }
      #expect(link?.errno == ENODEV)
      #expect(link?.description.contains("link 4000000") == true && link?.description.contains("ip link") == true)
      let probe = #expect(throws: NetlinkError.self) {
        try queries.probe(neighbour: address("10.0.0.1"), interfaceIndex: 4_000_000)
      }
      #expect(probe?.errno == ENODEV)
      let mtu = #expect(throws: NetlinkError.self) { try queries.setLink(index: 1, mtu: Int(Int32.max) + 1) }
      guard case .refused(_, _, .some)? = mtu else {
        Issue.record("the kernel explains: \(String(describing: mtu))")
        return
      }
    }
  }

  @Test func `a dump of many routes is whole while others change them`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      shell(
        "seq 0 4999 | awk '{print \"route add blackhole 10.\" int($1/250) \".\" $1%250 \".0/24\"}' | ip -n \(namespace.name) -batch -")
      let queries = try KernelQueries()
      let count = try queries.routes(.ipv4, table: 254).count
      #expect(count == 5000)
      let churn = "for i in $(seq 1 40); do ip -n \(namespace.name) route add blackhole 172.16.$i.0/24; done"
      shell("(\(churn)) >/dev/null 2>&1 &")
      for _ in 0..<10 {
        do {
          let prefixes = try queries.routes(.ipv4, table: 254).map(\.prefix)
          #expect(Set(prefixes).count == prefixes.count)
          #expect(prefixes.count { $0.address.leftAligned.high >> 56 == 10 } == 5000)
        } catch NetlinkError.unstable {}
      }
      #expect(eventually { namespace.ip("route show").contains("172.16.40.0") })
    }
  }
}
