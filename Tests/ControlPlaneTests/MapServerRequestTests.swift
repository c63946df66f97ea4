// SPDX-License-Identifier: Apache-2.0

import Testing
import TestSupport
import Wire

@testable import ControlPlane

@Suite struct MapServerRequestTests {
  @Test func `C5 an EID of no site is negative for 15 minutes, one of a site that nobody registered for 1 minute`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    var records = rig.ask("172.16.0.1/32")
    #expect(records.map(\.ttl) == [15])
    #expect(records.map(\.action) == [.nativelyForward])
    #expect(records.map(\.eidPrefix) == [EIDPrefix("128.0.0.0/1")])
    records = rig.ask("10.1.3.1/32")
    #expect(records.map(\.ttl) == [1])
    #expect(records.map(\.action) == [.nativelyForward])
    #expect(records.map(\.eidPrefix) == [EIDPrefix("10.1.3.0/24")])
    #expect(rig.ask("10.9.0.1/32").map(\.eidPrefix) == [EIDPrefix("10.9.0.0/24")])
    #expect(rig.ask("[8]10.1.2.1/32").map(\.eidPrefix) == [EIDPrefix("[8]0.0.0.0/0")], "instances are apart")
    #expect(rig.server.counters.negativeRecordsSent == 4)
  }

  @Test func `C5 the negative answers of both families and of prefixes cover exactly the hole`() {
    var rig = MapServerRig()
    rig.register("2001:db8:a:1::/64")
    #expect(rig.ask("2001:db8:a:3::1/128").map(\.eidPrefix) == [EIDPrefix("2001:db8:a:2::/63")])
    #expect(rig.ask("3fff::1/128").map(\.eidPrefix) == [EIDPrefix("3000::/4")])
    #expect(rig.ask("10.0.0.0/8").map(\.eidPrefix) == [EIDPrefix("10.0.0.0/16")], "answered for the first address")
  }

  @Test func `C11 a registration that wants no proxy gets the request itself, with the E bit`() throws {
    var rig = MapServerRig()
    var record = MapServerRig.record("10.1.2.0/24", ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    (record.locators[0].priority, record.locators[1].weight) = (2, 50)
    rig.register([record], [])
    let request = MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"]))
    rig.receive(request, from: MapServerRig.itr)
    #expect(rig.datagrams.map(\.destination) == [Endpoint(address("192.0.2.3"))], "the least priority, then the greatest weight")
    guard case .encapsulated(let sent) = try ControlMessage(parsing: request), case .encapsulated(let got) = rig.messages[0] else {
      Issue.record("no ECM")
      return
    }
    #expect(got.flags == .toETR)
    #expect((got.message, got.inner, got.sourcePort) == (sent.message, sent.inner, sent.sourcePort))
    #expect(rig.refusal(rig.datagrams[0].payload, from: MapServerRig.itr) == .notForUs, "it does not go round")
    var asked: [Endpoint] = []
    for _ in 0..<3 {
      rig.receive(request, from: MapServerRig.itr)
      asked += rig.datagrams.map(\.destination)
    }
    let others = ["192.0.2.2", "192.0.2.1", "192.0.2.3"]
    #expect(asked == others.map { Endpoint(address($0)) }, "one that is silent is not asked again before the others were")
    record.locators[2].flags = []
    rig.register([record], [])
    rig.receive(request, from: MapServerRig.itr)
    #expect(rig.datagrams.map(\.destination) == [Endpoint(address("192.0.2.2"))], "what the ETR cannot reach is not tried")
    for i in 0..<3 { record.locators[i].priority = 255 }
    rig.register([record], [])
    rig.receive(request, from: MapServerRig.itr)
    #expect(rig.datagrams.map(\.destination) == [Endpoint(MapServerRig.etr.address)])
  }

  @Test func `C11 a site may be answered for whether it asks or not`() {
    var sites = MapServerRig.sites
    sites[0].forcesProxyReply = true
    var rig = MapServerRig(sites: sites)
    rig.register("10.1.2.0/24", ["192.0.2.1"], [])
    #expect(rig.ask("10.1.2.3/32").map(\.eidPrefix) == [EIDPrefix("10.1.2.0/24")])
  }

  @Test func `C11 an answer has the locators in order, reachability as registered, and no A, L or p`() {
    var rig = MapServerRig()
    var record = MapServerRig.record("10.1.2.0/24", ["2001:db8::9", "192.0.2.9", "192.0.2.1"])
    (record.isAuthoritative, record.action, record.versionWord) = (true, .drop, 7)
    record.locators[0].flags = [.local, .reachable]
    record.locators[1].flags = [.probed]
    rig.register([record])
    let answer = rig.ask("10.1.2.3/32")[0]
    #expect(answer.addresses == [address("192.0.2.1"), address("192.0.2.9"), address("2001:db8::9")])
    #expect(answer.locators.map(\.flags) == [.reachable, [], .reachable])
    #expect(!answer.isAuthoritative && answer.action == .noAction && answer.mapVersion == 7 && answer.ttl == 1440)
  }

  @Test func `the answer goes to an ITR-RLOC that we can send to, to the inner source port`() {
    var rig = MapServerRig(settings: MapServerSettings(families: [.ipv4]))
    rig.register("10.1.2.0/24")
    let rlocs = ["2001:db8::1", "127.0.0.1", "203.0.113.77", "203.0.113.78"]
    rig.receive(MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"], itrRLOCs: rlocs), sourcePort: 999), from: MapServerRig.itr)
    #expect(rig.datagrams.map(\.destination) == [Endpoint(address("203.0.113.77"), port: 999)])
    #expect(rig.datagrams.map(\.source) == [MapServerRig.serverAddress])
    let unreachable = MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"], itrRLOCs: ["2001:db8::1"]))
    #expect(rig.refusal(unreachable, from: MapServerRig.itr) == .badLocator)
    rig.server.setFamilies([.ipv4, .ipv6])
    #expect(rig.refusal(unreachable, from: MapServerRig.itr) == nil, "an address of ours has come")
    let atDataPort = MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"]), sourcePort: LISPPort.data)
    #expect(rig.refusal(atDataPort, from: MapServerRig.itr) == .malformed, "it would be taken for a packet")
  }

  @Test func `the answer goes to the ITR-RLOC that the question came from, wherever it is in the list`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    let rlocs = (1...6).map { "203.0.113.\($0 * 3)" }
    for _ in 0..<2000 {
      rig.receive(MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"], itrRLOCs: rlocs)), from: MapServerRig.itr)
    }
    #expect(rig.datagrams.map(\.destination) == [MapServerRig.itr])
    rig.receive(MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"], itrRLOCs: rlocs)), from: Endpoint(address("192.0.2.77")))
    #expect(rig.datagrams.map(\.destination.address) == [address("203.0.113.3")])
  }

  @Test func `C10 an address that did not ask gets its share of answers and no more, and others theirs`() {
    var settings = MapServerSettings()
    settings.repliesPerSecond = 10
    var rig = MapServerRig(settings: settings)
    rig.register("10.1.2.0/24")
    let forged = MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"], itrRLOCs: ["203.0.113.200"]))
    func answers(_ message: [UInt8], _ count: Int) -> (sent: Int, refused: Int) {
      let before = rig.server.counters
      for _ in 0..<count { rig.receive(message, from: MapServerRig.itr) }
      let after = rig.server.counters
      return (after.repliesSent - before.repliesSent, after.refused[.tooOften, default: 0] - before.refused[.tooOften, default: 0])
    }
    #expect(answers(forged, 1000) == (50, 950))
    #expect(answers(MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"])), 1000) == (1000, 0), "the asker itself")
    rig.wait(.seconds(2))
    #expect(answers(forged, 1000) == (20, 980))
    let another = MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"], itrRLOCs: ["203.0.113.201"]))
    #expect(answers(another, 10) == (10, 0))
  }

  @Test func `C10 a question that becomes many for an ETR is limited, one that goes on as it is is not`() {
    var settings = MapServerSettings()
    settings.repliesPerSecond = 10
    var rig = MapServerRig(settings: settings)
    rig.register("10.1.2.0/24", ["192.0.2.1"], [])
    let one = MapServerRig.encapsulated(MapServerRig.request(["10.1.2.3/32"]))
    for _ in 0..<1000 { rig.receive(one, from: MapServerRig.itr) }
    #expect(rig.server.counters.requestsForwarded == 1000)
    let many = MapServerRig.encapsulated(MapServerRig.request((0..<60).map { "10.1.2.\($0)/32" }))
    #expect(rig.refusal(many, from: MapServerRig.itr) == .tooOften)
    #expect(rig.datagrams.count == 50)
  }

  @Test func `C10 answers that are much longer than the question are limited for the asker, too`() {
    var settings = MapServerSettings()
    settings.repliesPerSecond = 10
    var rig = MapServerRig(settings: settings)
    rig.register("10.1.0.0/17")
    for i in 0..<16 { rig.register("10.1.\(i).0/24", ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) }
    let question = MapServerRig.encapsulated(MapServerRig.request(["10.1.99.1/32"]))
    rig.receive(question, from: MapServerRig.itr)
    #expect(rig.datagrams[0].payload.count > 3 * question.count)
    var (bytes, refused) = (0, 0)
    for _ in 0..<1000 {
      refused += rig.refusal(question, from: MapServerRig.itr) == .tooOften ? 1 : 0
      bytes += rig.datagrams.reduce(0) { $0 + $1.payload.count }
    }
    #expect(refused == 951, "50 at once")
    #expect(bytes < 3 * 1000 * question.count, "all in all less than is free")
  }

  @Test func `C11 several records in one request are answered, in as many replies as they need`() {
    var rig = MapServerRig()
    for i in 0..<100 { rig.register("10.1.\(i).0/24", ["192.0.2.1", "2001:db8::1"]) }
    let eids = (0..<100).map { "10.1.\($0).1/32" }
    rig.receive(MapServerRig.encapsulated(MapServerRig.request(eids)), from: MapServerRig.itr)
    #expect(rig.replies.flatMap(\.records).map(\.eidPrefix) == (0..<100).map { EIDPrefix("10.1.\($0).0/24") })
    #expect(rig.replies.count > 1)
    #expect(rig.datagrams.allSatisfy { $0.payload.count <= 1200 })
  }

  @Test func `C11 plain requests, probes and solicitations are not ours`() {
    var rig = MapServerRig()
    let request = MapServerRig.request(["10.1.2.3/32"])
    #expect(rig.refusal(ControlMessage.mapRequest(request).bytes, from: MapServerRig.itr) == .notForUs)
    for flag in [MapRequest.Flags.probe, .solicit] {
      var flagged = request
      flagged.flags = flag
      #expect(rig.refusal(MapServerRig.encapsulated(flagged), from: MapServerRig.itr) == .notForUs)
    }
    #expect(rig.refusal(ControlMessage.mapReply(MapReply(nonce: 1, records: [])).bytes, from: MapServerRig.itr) == .notForUs)
    var none = request
    none.records = []
    #expect(rig.refusal(MapServerRig.encapsulated(none), from: MapServerRig.itr) == .badRecord)
  }

  @Test func `C4 overlapping prefixes are answered as in the example of RFC 9301 5.5`() {
    var sites = MapServerRig.sites
    sites[0].allowed = [.init(EIDPrefix("2001:db8::/32"), acceptsMoreSpecifics: true)]
    var rig = MapServerRig(sites: sites)
    let eids = ["2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:2::/64"]
    for (i, eid) in eids.enumerated() { rig.register([MapServerRig.record(eid, ["192.0.2.\(i + 1)"], ttl: UInt32(100 - i))]) }
    #expect(rig.ask("2001:db8:1:1::1/128").map(\.eidPrefix) == [EIDPrefix(eids[2])])
    let records = rig.ask("2001:db8:1:5::5/128")
    #expect(records.map(\.eidPrefix) == eids[1...].map { EIDPrefix($0) })
    #expect(records.map(\.ttl) == [97, 97, 97])
  }

  @Test func `an answer does not cover what another site has configured`() {
    var rig = MapServerRig()
    rig.register("10.1.0.0/16")
    #expect(rig.ask("10.1.130.1/32").map(\.ttl) == [1])
    #expect(rig.ask("10.1.130.1/32").map(\.eidPrefix) == [EIDPrefix("10.1.128.0/20")])
    #expect(rig.ask("10.1.3.1/32").map(\.eidPrefix) == [EIDPrefix("10.1.0.0/17")])
  }

  /// What the answers have to be true to: every prefix has locators of its own.
  private struct Model {
    var configured: [(eid: EIDPrefix, site: String)] = []
    var registered: [(eid: EIDPrefix, site: String, locator: IPAddress)] = []

    func owner(_ address: EIDPrefix) -> IPAddress? {
      let c = configured.filter { $0.eid.prefix.contains(address.prefix) }.max { $0.eid.prefix.length < $1.eid.prefix.length }
      let r = registered.filter { $0.eid.prefix.contains(address.prefix) }.max { $0.eid.prefix.length < $1.eid.prefix.length }
      guard let r else { return nil }
      guard let c, c.site != r.site, c.eid.prefix.length > r.eid.prefix.length else { return r.locator }
      return nil
    }
  }

  private static let space = (0..<128).map { EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(10, 1, 0, UInt8($0))))) }

  private static func randomPrefix(_ random: inout SplitMix64) -> EIDPrefix {
    EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 1, 0, UInt8(random.below(64)))), length: 26 + random.below(7)))
  }

  @Test(arguments: [UInt64](1...40))
  func `C11 answers and holes agree with a search through everything`(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var model = Model(configured: [(EIDPrefix("10.1.0.0/26"), "A")])
    for _ in 0..<random.below(4) {
      let eid = Self.randomPrefix(&random)
      if !model.configured.contains(where: { $0.eid == eid }) { model.configured.append((eid, random.below(3) == 0 ? "A" : "B")) }
    }
    let sites = [("A", MapServerRig.key), ("B", MapServerRig.otherKey)].map { name, key in
      let own = model.configured.filter { $0.site == name }
      return MapServerSite(name: name, keys: [key], allowed: own.map { .init($0.eid, acceptsMoreSpecifics: true) })
    }
    var rig = MapServerRig(sites: sites)
    for i in 0..<random.below(seed % 3 == 0 ? 70 : 12) {
      let eid = Self.randomPrefix(&random)
      let around = model.configured.filter { $0.eid.prefix.contains(eid.prefix) }.max { $0.eid.prefix.length < $1.eid.prefix.length }
      guard let site = around?.site, !model.registered.contains(where: { $0.eid == eid }) else { continue }
      let locator = IPAddress.v4(IPv4Address(192, 0, 2, UInt8(1 + i)))
      let record = EIDRecord(eid, ttl: UInt32(10 + i), locators: [LocatorRecord(.ip(locator))])
      #expect(rig.register([record], key: site == "A" ? MapServerRig.key : MapServerRig.otherKey) == nil)
      model.registered.append((eid, site, locator))
    }
    for asked in Self.space {
      let records = rig.ask("\(asked.prefix)")
      let found = records.compactMap { record in record.eidPrefix.map { ($0, record) } }
      let covered = Self.space.filter { address in found.contains { $0.0.prefix.contains(address.prefix) } }
      #expect(covered.contains(asked), "\(asked) is answered")
      for address in covered {
        let longest = found.filter { $0.0.prefix.contains(address.prefix) }.max { $0.0.prefix.length < $1.0.prefix.length }
        #expect(longest?.1.addresses.first == model.owner(address), "seed \(seed): \(address) in the answer about \(asked)")
      }
      #expect(Set(records.map(\.ttl)).count == 1)
      if model.owner(asked) == nil { checkHole(found, asked, model, seed) }
    }
  }

  private func checkHole(_ found: [(EIDPrefix, EIDRecord)], _ asked: EIDPrefix, _ model: Model, _ seed: UInt64) {
    guard found.count == 1 else { return #expect(found.count == 1, "seed \(seed): \(asked)") }
    let (hole, record) = found[0]
    let around = model.configured.filter { $0.eid.prefix.contains(asked.prefix) }.max { $0.eid.prefix.length < $1.eid.prefix.length }
    #expect(record.ttl == (around == nil ? 15 : 1))
    let known = model.configured.map(\.eid) + model.registered.map(\.eid)
    let inside = known.filter { eid in around.map { $0.eid.prefix.contains(eid.prefix) && $0.eid != eid } ?? true }
    func overlaps(_ eid: EIDPrefix) -> Bool { inside.contains { $0.prefix.contains(eid.prefix) || eid.prefix.contains($0.prefix) } }
    #expect(!overlaps(hole), "seed \(seed): \(hole) around \(asked)")
    guard hole.prefix.length > 0, hole != around?.eid else { return }
    let shorter = EIDPrefix(.zero, IPPrefix(masking: hole.prefix.address, length: hole.prefix.length - 1))
    #expect(overlaps(shorter), "seed \(seed): \(shorter) would do around \(asked)")
  }
}
