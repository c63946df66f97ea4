// SPDX-License-Identifier: Apache-2.0
//
// Tests of KernelMonitor against the kernel: every kind of event appears, and lost ones are noticed.

import Glibc
import Testing
import Wire

@testable import Netlink

@Suite(.serialized, .enabled(if: isRoot, needsRoot))
struct KernelMonitorTests {
  /// Runs `cause` on the near side and waits until an event comes that `expected` takes.
  private func expect(
    _ monitor: KernelMonitor, after cause: () -> Void, _ what: Comment, within seconds: Double = 5,
    sourceLocation: SourceLocation = #_sourceLocation, _ expected: (KernelEvent) -> Bool
  ) throws {
    _ = try monitor.drain()
    cause()
    var seen: [KernelEvent] = []
    let found = try eventually(within: seconds) {
      let events = try monitor.drain()
      seen += events
      return events.contains(where: expected)
    }
    #expect(found, "\(what); seen: \(seen)", sourceLocation: sourceLocation)
  }

  @Test func `links appear, change and vanish`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let monitor = try KernelMonitor()
      var index: UInt32 = 0
      try expect(monitor, after: { namespace.ip("link add v0 type veth peer name v1") }, "a new link") {
        guard case .link(let link) = $0, link.name == "v0" else { return false }
        index = link.index
        return link.kind == "veth" && !link.isUp
      }
      try expect(monitor, after: { namespace.ip("link set v0 up") }, "up") {
        if case .link(let link) = $0 { link.index == index && link.isUp && !link.isLowerUp } else { false }
      }
      try expect(monitor, after: { namespace.ip("link set v1 up") }, "carrier") {
        if case .link(let link) = $0 { link.index == index && link.isLowerUp } else { false }
      }
      try expect(monitor, after: { namespace.ip("link set v0 mtu 1400") }, "MTU") {
        if case .link(let link) = $0 { link.index == index && link.mtu == 1400 } else { false }
      }
      try expect(monitor, after: { namespace.ip("link set v0 address 02:00:00:00:00:99") }, "MAC") {
        if case .link(let link) = $0 { link.macAddress == MACAddress("02:00:00:00:00:99") } else { false }
      }
      try expect(monitor, after: { namespace.ip("link set v0 down") }, "down") {
        if case .link(let link) = $0 { link.index == index && !link.isUp } else { false }
      }
      try expect(monitor, after: { namespace.ip("link set v0 name site0") }, "a new name") {
        if case .link(let link) = $0 { link.index == index && link.name == "site0" } else { false }
      }
      try expect(monitor, after: { namespace.ip("link delete site0") }, "gone") { $0 == .linkGone(index: index) }
    }
  }

  @Test func `a port that leaves a bridge stays a link`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let monitor = try KernelMonitor()
      let index = pair.index()
      pair.near.ip("link add br0 type bridge")
      try expect(monitor, after: { pair.near.ip("link set v0 master br0") }, "a port") {
        if case .link(let link) = $0 { link.index == index && link.master != nil } else { false }
      }
      pair.near.ip("link set v0 nomaster")
      usleep(50_000)
      let events = try monitor.drain()
      #expect(!events.contains(.linkGone(index: index)))
      #expect(events.contains { if case .link(let link) = $0 { link.index == index && link.master == nil } else { false } })
    }
  }

  @Test func `addresses appear and vanish, tentative until they are proven`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let monitor = try KernelMonitor()
      pair.near.set("ipv6/conf/v0/accept_dad", 1)
      for text in ["10.7.0.1", "2001:db8:7::1"] {
        let length = text.contains(":") ? 64 : 24
        try expect(monitor, after: { pair.near.ip("addr add \(text)/\(length) dev v0") }, "\(text)") {
          if case .address(let entry) = $0 { entry.address == address(text) && entry.prefixLength == length } else { false }
        }
        if length == 64 {
          try expect(monitor, after: {}, "proven") {
            if case .address(let entry) = $0 { entry.address == address(text) && entry.isUsable } else { false }
          }
        }
        try expect(monitor, after: { pair.near.ip("addr del \(text)/\(length) dev v0") }, "\(text) gone") {
          if case .addressGone(let entry) = $0 { entry.address == address(text) } else { false }
        }
      }
    }
  }

  @Test(arguments: ["10.0.0.77", "2001:db8::77"])
  func `neighbours appear, change, fail and vanish`(text: String) async throws {
    let pair = Pair()
    try await pair.near.run {
      let monitor = try KernelMonitor()
      let queries = try KernelQueries()
      let host = address(text)
      func state(_ state: NeighbourState, _ mac: MACAddress?) -> (KernelEvent) -> Bool {
        { if case .neighbour(let n) = $0 { n.address == host && n.state == state && n.macAddress == mac } else { false } }
      }
      let first = MACAddress("02:00:00:00:00:77")
      let second = MACAddress("02:00:00:00:00:78")
      try expect(
        monitor, after: { pair.near.ip("neigh add \(text) lladdr \(first!) dev v0 nud reachable") }, "new",
        state(.reachable, first))
      try expect(
        monitor, after: { pair.near.ip("neigh change \(text) lladdr \(second!) dev v0 nud stale") }, "changed",
        state(.stale, second))
      try expect(monitor, after: { pair.near.ip("neigh del \(text) dev v0") }, "gone") {
        if case .neighbourGone(let n) = $0 { n.address == host } else { false }
      }
      // Nobody has this address: three requests, a second apart.
      let family = text.contains(":") ? "ipv6" : "ipv4"
      pair.near.set("\(family)/neigh/v0/retrans_time_ms", 50)
      let index = pair.index()
      try expect(monitor, after: { try? queries.probe(neighbour: host, interfaceIndex: index) }, "failed") {
        if case .neighbour(let n) = $0 { n.address == host && n.state == .failed && !n.isUsable } else { false }
      }
    }
  }

  @Test func `routes appear, are replaced and vanish`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let monitor = try KernelMonitor()
      for (prefixText, gateway, next) in [
        ("192.0.2.0/24", "10.0.0.2", "10.0.0.3"), ("2001:db8:2::/48", "2001:db8::2", "2001:db8::3"),
        ("0.0.0.0/0", "10.0.0.2", "10.0.0.3"), ("::/0", "2001:db8::2", "2001:db8::3"),
      ] {
        let wanted = try prefix(prefixText)
        let family = wanted.family == .ipv4 ? "" : "-6 "
        for hop in [gateway, next] {
          try expect(monitor, after: { pair.near.ip("\(family)route replace \(prefixText) via \(hop) metric 7") }, "via \(hop)") {
            guard case .route(let route) = $0 else { return false }
            return route.prefix == wanted && route.priority == 7 && route.nextHops.map(\.gateway) == [address(hop)]
          }
        }
        try expect(monitor, after: { pair.near.ip("\(family)route del \(prefixText) metric 7") }, "gone") {
          if case .routeGone(let route) = $0 { route.prefix == wanted } else { false }
        }
      }
    }
  }

  @Test func `multipath routes and IPv6 gateways of IPv4 routes come whole`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let monitor = try KernelMonitor()
      let both = "nexthop via 10.0.0.2 weight 1 nexthop via 10.0.0.3 weight 3"
      try expect(monitor, after: { pair.near.ip("route add 192.0.2.0/24 \(both)") }, "multipath") {
        if case .route(let route) = $0 { route.nextHops.map(\.weight) == [1, 3] } else { false }
      }
      let both6 = "nexthop via 2001:db8::2 weight 1 nexthop via 2001:db8::3 weight 3"
      try expect(monitor, after: { pair.near.ip("-6 route add 2001:db8:2::/48 \(both6)") }, "IPv6 multipath") {
        if case .route(let route) = $0 { Set(route.nextHops.map(\.weight)) == [1, 3] } else { false }
      }
      try expect(monitor, after: { pair.near.ip("route add 198.51.100.0/24 via inet6 2001:db8::2") }, "via inet6") {
        if case .route(let route) = $0 { route.nextHops.first?.gateway == address("2001:db8::2") } else { false }
      }
    }
  }

  @Test func `rules and next-hop objects are reported as changes of policy`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let monitor = try KernelMonitor()
      try expect(monitor, after: { pair.near.ip("rule add iif v0 lookup 100") }, "IPv4 rule") { $0 == .policyChanged }
      try expect(monitor, after: { pair.near.ip("-6 rule add iif v0 lookup 100") }, "IPv6 rule") { $0 == .policyChanged }
      try expect(monitor, after: { pair.near.ip("nexthop add id 7 via 10.0.0.2 dev v0") }, "object") { $0 == .policyChanged }
    }
  }

  // The reason why KernelEvent tells its users to ask again after link and addressGone events.
  @Test func `IPv4 routes that go with their link go without an event of their own`() async throws {
    let pair = Pair()
    try await pair.near.run {
      pair.near.ip("route add 192.0.2.0/24 via 10.0.0.2")
      pair.near.ip("-6 route add 2001:db8:2::/48 via 2001:db8::2")
      let monitor = try KernelMonitor()
      pair.near.ip("link set v0 down")
      usleep(50_000)
      let events = try monitor.drain()
      let gone = Set(events.compactMap { if case .routeGone(let route) = $0 { route.prefix } else { nil } })
      #expect(gone.contains(try prefix("2001:db8:2::/48")))
      #expect(!gone.contains(try prefix("192.0.2.0/24")))
      #expect(try KernelQueries().lookup(destination: address("192.0.2.1")) == .refused(.noRoute))
    }
  }

  // The reason why a copy of the routes cannot be kept by applying events.
  @Test func `a route that loses one of its next hops is reported as gone with just this one`() async throws {
    let pair = Pair()
    try await pair.near.run {
      let monitor = try KernelMonitor()
      let wanted = try prefix("2001:db8:2::/48")
      pair.near.ip("-6 route add \(wanted) via 2001:db8::2")
      try expect(monitor, after: { pair.near.ip("-6 route append \(wanted) via 2001:db8::3") }, "appended") {
        if case .route(let route) = $0 { route.prefix == wanted && route.nextHops.count == 2 } else { false }
      }
      try expect(monitor, after: { pair.near.ip("-6 route del \(wanted) via 2001:db8::3") }, "one gone") {
        guard case .routeGone(let route) = $0 else { return false }
        return route.prefix == wanted && route.nextHops.map(\.gateway) == [address("2001:db8::3")]
      }
      let left = try KernelQueries().routes(.ipv6, table: 254).first { $0.prefix == wanted }
      #expect(left?.nextHops.map(\.gateway) == [address("2001:db8::2")])
    }
  }

  @Test func `a drain stops at its limit and says so`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let monitor = try KernelMonitor()
      let commands = (0..<50).map { "route add blackhole 10.9.\($0).0/24\\n" }.joined()
      shell("printf '\(commands)' | ip -n \(namespace.name) -batch -")
      var routes = 0
      var rounds = 0
      repeat {
        let events = try monitor.drain(limit: 8)
        #expect(events.count <= 8)
        routes += events.filter { if case .route = $0 { true } else { false } }.count
        rounds += 1
      } while monitor.hasMore
      #expect(routes == 50)
      #expect(rounds >= 7)
      #expect(try monitor.drain() == [])
    }
  }

  @Test func `lost events are reported once, after everything queued is thrown away`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let monitor = try KernelMonitor(receiveBufferByteCount: 4096)
      let commands = (0..<250).map { "route add blackhole 10.9.\($0).0/24\\n" }.joined()
      shell("printf '\(commands)' | ip -n \(namespace.name) -batch -")
      var events: [KernelEvent] = []
      repeat { events += try monitor.drain(limit: 2) } while monitor.hasMore
      #expect(events == [.overrun])
      namespace.ip("route add blackhole 10.8.0.0/24")
      let next = try monitor.drain()
      #expect(next.count == 1, "the stream goes on: \(next)")
    }
  }

  @Test func `the descriptor is readable exactly while events wait`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let monitor = try KernelMonitor()
      func isReadable() -> Bool {
        var wanted = pollfd(fd: monitor.fileDescriptor, events: Int16(POLLIN), revents: 0)
        return poll(&wanted, 1, 0) == 1
      }
      #expect(!isReadable())
      #expect(try monitor.drain() == [])
      namespace.ip("route add blackhole 10.8.0.0/24")
      #expect(isReadable())
      #expect(try monitor.drain().count == 1)
      #expect(!isReadable())
    }
  }

  @Test func `the default receive buffer holds a burst of ten thousand events`() async throws {
    let namespace = Namespace()
    try await namespace.run {
      let monitor = try KernelMonitor()
      shell(
        "seq 0 9999 | awk '{print \"route add blackhole 10.\" int($1/250) \".\" $1%250 \".0/24\"}' | ip -n \(namespace.name) -batch -")
      var routes = 0
      repeat {
        for case .route in try monitor.drain() { routes += 1 }
      } while monitor.hasMore
      #expect(routes == 10_000)
    }
  }
}
