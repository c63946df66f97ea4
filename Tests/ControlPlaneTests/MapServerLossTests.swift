// SPDX-License-Identifier: Apache-2.0

import Testing
import TestSupport
import Wire

@testable import ControlPlane

/// Publications through a network that loses, doubles and reorders: what a subscriber believes in the end is what is registered.
@Suite struct MapServerLossTests {
  private static let identity = XTRIdentity(xtrIDHigh: 7, xtrIDLow: 8, siteID: 9)
  private static let rloc = address("203.0.113.9")
  private static let covering = EIDPrefix("10.1.2.0/24")

  /// An xTR as RFC 9437 has it: obeys greater nonces, acknowledges what it has obeyed as often as it comes.
  private struct Subscriber {
    var nonce: UInt64 = 0
    var believed: [EIDPrefix: [IPAddress]] = [:]
    /// Whether the server has ended the subscription.
    var ended = false

    mutating func receive(_ notify: MapNotify) -> Bool {
      if notify.records.first?.action == .authenticationFailure {
        ended = true
        return false
      }
      if notify.nonce < nonce { return false }
      if notify.nonce > nonce || believed.isEmpty {
        nonce = notify.nonce
        for record in notify.records {
          guard let eid = record.eidPrefix else { continue }
          believed[eid] = record.ttl == 0 ? nil : record.addresses
        }
      }
      return true
    }
  }

  private struct Network {
    var random: SplitMix64
    var waiting: [(at: Instant, notify: MapNotify)] = []
    let loss: Int

    mutating func put(_ rig: MapServerRig) {
      for notify in rig.notifies {
        for _ in 0...(random.below(5) == 0 ? 1 : 0) where random.below(100) >= loss {
          waiting.append((rig.now + .milliseconds(1 + random.below(4000)), notify))
        }
      }
    }

    mutating func arrived(_ now: Instant) -> [MapNotify] {
      let due = waiting.filter { $0.at <= now }.sorted { $0.at < $1.at }
      waiting.removeAll { $0.at <= now }
      return due.map(\.notify)
    }
  }

  private static func subscription(_ nonce: UInt64) -> [UInt8] {
    var request = MapRequest(
      nonce: nonce, sourceEID: .ip(address("10.1.0.1")), itrRLOCs: [.ip(rloc)],
      records: [.init(EIDPrefix("10.1.2.3/32"), subscribes: true)])
    request.identity = identity
    return MapServerRig.encapsulated(request)
  }

  @Test(arguments: [UInt64](1...30))
  func `C12 a subscriber behind a lossy network ends up with what is registered`(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var network = Network(random: SplitMix64(seed: seed &* 977), loss: 30)
    var rig = MapServerRig()
    var subscriber = Subscriber(nonce: 100)
    rig.register([MapServerRig.record("\(Self.covering.prefix)", ["192.0.2.1"], ttl: 10_000)], [.proxyReply, .useTTL])
    rig.receive(Self.subscription(100), from: MapServerRig.itr)
    network.put(rig)
    for second in 0..<400 {
      // Changes in the first five minutes, then quiet.
      if second < 300, random.below(10) == 0 {
        let eid = "10.1.2.\(random.below(8) * 16)/\(28 + random.below(2))"
        let ttl = UInt32(random.below(3) == 0 ? 0 : 10_000)
        rig.register([MapServerRig.record(eid, ["192.0.2.\(1 + random.below(200))"], ttl: ttl)], [.proxyReply, .useTTL])
        network.put(rig)
      }
      rig.wait(.seconds(1))
      network.put(rig)
      for notify in network.arrived(rig.now) where subscriber.receive(notify) && random.below(100) >= network.loss {
        _ = rig.acknowledge(notify, from: Self.rloc)
        network.put(rig)
      }
    }
    guard !subscriber.ended else {
      #expect(rig.server.subscriptionCount == 0, "seed \(seed)")
      return
    }
    let registered = rig.server.page(after: nil, limit: 100, now: rig.now).registrations
    var expected: [EIDPrefix: [IPAddress]] = [:]
    for view in registered { expected[view.eid] = view.locators.compactMap(\.address.locatorIP) }
    #expect(subscriber.believed == expected, "seed \(seed)")
    #expect(rig.server.deliveries.count == 0, "seed \(seed)")
    rig.now += .seconds(1)
    #expect(rig.server.counters.retransmissions > 0)
  }
}
