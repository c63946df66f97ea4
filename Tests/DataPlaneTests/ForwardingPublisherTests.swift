// SPDX-License-Identifier: Apache-2.0
//
// The slow path's hand on the state: what takes effect when, what is freed when, and what is refused.

import PrefixTable
import Testing
import Wire

@testable import DataPlane

@Suite struct ForwardingPublisherTests {
  static let frame = Frame.of(IPPacket.v4().octets)

  // MARK: - When changes are seen

  @Test func `mappings, ports and settings wait for publish, and come together`() throws {
    let rig = try Rig()
    try rig.addSites(over: Rig.peer4, instance: 0)
    #expect(rig.send(Self.frame, port: Port.site).verdict == .drop(.portGone))
    let generation = rig.publisher.generation
    rig.publisher.publish()
    #expect(rig.publisher.generation == generation + 1)
    #expect(rig.send(Self.frame, port: Port.site).verdict.isTransmit)
  }

  @Test func `new contents of a template take effect at once, in every set that names it`() throws {
    let rig = try Rig.twoSites()
    let template = try rig.publisher.addTemplate(rig.tunnel(to: Rig.peer4, isResolved: false))
    for eid in ["10.7.0.0/16", "10.8.0.0/16"] {
      try rig.map(eid, to: LocatorSet(.encapsulate, [LocatorChoice(ordinal: 0, template: template, weight: 1)]))
    }
    rig.publisher.publish()
    func verdicts() -> [Verdict] {
      ["10.7.0.1", "10.8.0.1"].map { destination in
        var inner = IPPacket.v4()
        inner.destination = destination
        return rig.send(Frame.of(inner.octets), port: Port.site).verdict
      }
    }
    #expect(verdicts() == [.punt(.outerNeighbour), .punt(.outerNeighbour)])
    rig.publisher.replaceTemplate(template, try rig.tunnel(to: Rig.peer4))
    #expect(verdicts() == [.transmit(UInt8(Port.core)), .transmit(UInt8(Port.core))])
  }

  @Test func `new contents of a set take effect at once, in every mapping that names it`() throws {
    let rig = try Rig.twoSites()
    let (_, set) = try rig.map("10.7.0.0/16", to: LocatorSet(.drop))
    try rig.publisher.setMapping(Rig.eid("10.8.0.0/16"), set: set, counters: 50)
    rig.publisher.publish()
    func verdicts() -> Set<UInt16> {
      Set(
        ["10.7.0.1", "10.8.0.1"].map { destination in
          var inner = IPPacket.v4()
          inner.destination = destination
          return rig.send(Frame.of(inner.octets), port: Port.site).verdict.rawValue
        })
    }
    #expect(verdicts() == [Verdict.drop(.mappingDrop).rawValue])
    rig.publisher.replaceSet(set, LocatorSet(.policyDenied))
    #expect(verdicts() == [Verdict.drop(.policyDenied).rawValue])
  }

  @Test func `a mapping can be replaced and removed, and an overlapping one shows through`() throws {
    let rig = try Rig.twoSites()
    try rig.map("10.0.0.0/8", to: LocatorSet(.nativeForward))
    try rig.map("10.2.0.0/16", to: LocatorSet(.drop))
    #expect(rig.send(Self.frame, port: Port.site).verdict.isTransmit)
    rig.publisher.publish()
    #expect(rig.send(Self.frame, port: Port.site).verdict == .drop(.mappingDrop))
    try rig.publisher.removeMapping(Rig.eid("10.2.0.0/16"))
    rig.publisher.publish()
    #expect(rig.send(Self.frame, port: Port.site).verdict == .punt(.nativeForward))
    #expect(rig.publisher.counts.mappings == 4)
  }

  // MARK: - Grace periods

  @Test func `what is replaced or removed is freed when no worker can hold it, not before`() throws {
    let rig = try Rig.twoSites()
    let publisher = rig.publisher
    publisher.reclaim()
    #expect(!publisher.isWaiting)
    let before = publisher.counts
    let reader = try #require(publisher.quiescentState.register())
    reader.online()
    let template = try publisher.addTemplate(rig.tunnel(to: Rig.peer4))
    let set = try publisher.addSet(LocatorSet(.encapsulate, [LocatorChoice(ordinal: 0, template: template, weight: 1)]))
    try publisher.setMapping(Rig.eid("10.7.0.0/16"), set: set, counters: 50)
    publisher.publish()
    reader.quiescent()
    try publisher.removeMapping(Rig.eid("10.7.0.0/16"))
    publisher.removeSet(set)
    publisher.removeTemplate(template)
    publisher.publish()
    publisher.reclaim()
    #expect(publisher.isWaiting)
    #expect(publisher.counts == (before.mappings + 1, before.sets + 1, before.templates + 1), "a worker may still be there")
    reader.quiescent()
    publisher.reclaim()
    #expect(!publisher.isWaiting)
    #expect(publisher.counts == before)
    reader.offline()
  }

  @Test func `contents replaced in place are freed without a publication`() throws {
    let rig = try Rig.twoSites()
    let publisher = rig.publisher
    let template = try publisher.addTemplate(rig.tunnel(to: Rig.peer4))
    publisher.publish()
    publisher.reclaim()
    let reader = try #require(publisher.quiescentState.register())
    reader.online()
    publisher.replaceTemplate(template, try rig.tunnel(to: Rig.peer4))
    publisher.reclaim()
    #expect(publisher.isWaiting)
    reader.offline()
    publisher.reclaim()
    #expect(!publisher.isWaiting)
  }

  @Test func `a removed handle stays taken until the next publication has passed all workers`() throws {
    let rig = try Rig.twoSites()
    let publisher = rig.publisher
    let handle = try publisher.addSet(LocatorSet(.drop))
    publisher.removeSet(handle)
    publisher.reclaim()
    #expect(try publisher.addSet(LocatorSet(.drop)) != handle, "mappings of the published state may still name it")
    publisher.publish()
    publisher.reclaim()
    #expect(try publisher.addSet(LocatorSet(.drop)) == handle)
  }

  @Test func `an action after a grace period runs once, after the next publication and every worker's quiescent point`() throws {
    let publisher = try Rig.twoSites().publisher
    let reader = try #require(publisher.quiescentState.register())
    reader.online()
    var runs = 0
    publisher.afterGracePeriod { runs += 1 }
    reader.quiescent()
    publisher.reclaim()
    #expect(runs == 0, "not published")
    publisher.publish()
    #expect(runs == 0, "the worker has not passed")
    reader.quiescent()
    publisher.reclaim()
    #expect(runs == 1)
    publisher.publish()
    reader.quiescent()
    publisher.reclaim()
    #expect(runs == 1)
    reader.offline()
  }

  @Test func `an action may itself publish: nothing is freed or run twice`() throws {
    let rig = try Rig.twoSites()
    let publisher = rig.publisher
    let before = publisher.counts
    var runs = 0
    for i in 0..<5 { try rig.map("10.7.\(i).0/24", to: LocatorSet(.drop)) }
    publisher.publish()
    publisher.afterGracePeriod {
      runs += 1
      publisher.publish()
      publisher.reclaim()
    }
    for i in 0..<5 { try publisher.removeMapping(Rig.eid("10.7.\(i).0/24")) }
    publisher.publish()
    publisher.reclaim()
    #expect(runs == 1)
    #expect(publisher.counts.mappings == before.mappings)
    // A record freed twice would now serve two prefixes.
    for i in 0..<20 { try rig.map("10.8.\(i).0/24", to: LocatorSet(i % 2 == 0 ? .drop : .policyDenied)) }
    publisher.publish()
    for i in 0..<20 {
      var inner = IPPacket.v4()
      inner.destination = "10.8.\(i).1"
      #expect(rig.send(Frame.of(inner.octets), port: Port.site).verdict == .drop(i % 2 == 0 ? .mappingDrop : .policyDenied))
    }
  }

  @Test func `replacing for ever takes no memory`() throws {
    let rig = try Rig.twoSites()
    let publisher = rig.publisher
    let template = try publisher.addTemplate(rig.tunnel(to: Rig.peer4))
    let set = try publisher.addSet(LocatorSet(.drop))
    publisher.publish()
    let (counts, nodes) = (publisher.counts, publisher.table.byteCounts.used)
    for i in 0..<500 {
      publisher.replaceTemplate(template, try rig.tunnel(to: Rig.peer4))
      publisher.replaceSet(set, LocatorSet(i % 2 == 0 ? .drop : .policyDenied))
      try publisher.setMapping(Rig.eid("10.2.0.0/16"), set: set, counters: 60)
      publisher.setPort(Port.tagged, PortState(role: .site, vlanInstances: try [#require(VLANID(rawValue: 5)): .zero]))
      publisher.publish()
    }
    publisher.reclaim()
    #expect(publisher.counts == counts && publisher.table.byteCounts.used == nodes)
    #expect(!publisher.isWaiting)
  }

  @Test func `one mapping alone keeps the root of the table, unless a worker may still have other settings`() throws {
    let rig = try Rig.twoSites()
    let publisher = rig.publisher
    let set = try publisher.addSet(LocatorSet(.drop))
    for i in 0..<600 { try publisher.setMapping(Rig.eid("11.\(i / 256).\(i % 256).0/24"), set: set, counters: 60) }
    publisher.publish()
    let worker = try #require(publisher.quiescentState.register())
    worker.online()
    var token = publisher.table.view.token
    func keepsRoot(_ settings: EngineSettings? = nil) throws -> Bool {
      try publisher.setMapping(Rig.eid("11.0.7.0/24"), set: set, counters: 60)
      if let settings { publisher.setSettings(settings) }
      publisher.publish()
      defer { token = publisher.table.view.token }
      return publisher.table.view.token == token
    }
    #expect(try keepsRoot())
    #expect(try !keepsRoot(EngineSettings()), "the mapping and the settings come together")
    #expect(try !keepsRoot(), "the worker may still have the settings before")
    worker.quiescent()
    #expect(try keepsRoot())
    worker.offline()
  }

  // MARK: - Limits and refusals

  @Test func `a full mapping table refuses by its limit, and the table is as it was`() throws {
    let rig = try Rig(mappingCapacity: 8)
    let set = try rig.publisher.addSet(LocatorSet(.drop))
    for i in 0..<7 { try rig.publisher.setMapping(Rig.eid("10.\(i).0.0/16"), set: set, counters: 0) }
    #expect(throws: StateError.full("mapping", limit: 7)) { try rig.publisher.setMapping(Rig.eid("10.9.0.0/16"), set: set, counters: 0) }
    #expect(rig.publisher.table.count == 7 && rig.publisher.counts.mappings == 7)
    try rig.publisher.removeMapping(Rig.eid("10.0.0.0/16"))
    rig.publisher.publish()
    rig.publisher.reclaim()
    try rig.publisher.setMapping(Rig.eid("10.9.0.0/16"), set: set, counters: 0)
  }

  @Test func `full tables of templates and sets refuse by their limit`() throws {
    let rig = try Rig(handleCapacity: 4)
    for _ in 0..<3 {
      _ = try rig.publisher.addTemplate(rig.delivery())
      _ = try rig.publisher.addSet(LocatorSet(.drop))
    }
    #expect(throws: StateError.full("locator template", limit: 3)) { try rig.publisher.addTemplate(rig.delivery()) }
    #expect(throws: StateError.full("locator set", limit: 3)) { try rig.publisher.addSet(LocatorSet(.drop)) }
    #expect(rig.publisher.counts == (0, 3, 3))
  }

  @Test func `counters beyond the workers' memory are refused`() throws {
    let rig = try Rig()
    let set = try rig.publisher.addSet(LocatorSet(.drop))
    let last = UInt32(WorkerCounters.maximumLocatorCounters - 256)
    try rig.publisher.setMapping(Rig.eid("10.0.0.0/16"), set: set, counters: last)
    for counters in [last + 1, UInt32(WorkerCounters.maximumLocatorCounters), .max] {
      #expect(throws: StateError.full("locator counter", limit: WorkerCounters.maximumLocatorCounters)) {
        try rig.publisher.setMapping(Rig.eid("10.1.0.0/16"), set: set, counters: counters)
      }
    }
    #expect(rig.publisher.counts.mappings == 1)
  }

  @Test func `a mapping that is not there cannot be removed`() throws {
    let rig = try Rig.twoSites()
    let eid = try Rig.eid("10.99.0.0/16")
    #expect(throws: StateError.table(.notFound(eid))) { try rig.publisher.removeMapping(eid) }
    #expect(StateError.table(.notFound(eid)).description == "[0]10.99.0.0/16 is not in the table")
    #expect(StateError.full("mapping", limit: 7).description == "no room for another mapping: the limit is 7")
    #expect(StateError.noMemory.description.contains("ulimit -v"))
  }

  @Test func `a seventeenth RLOC of a family is refused, and the sixteen stay`() throws {
    let rig = try Rig.twoSites()
    let sixteen = try (1...16).map { try #require(IPAddress("203.0.113.\($0)")) }
    try rig.publisher.setOwnRLOCs(sixteen)
    #expect(throws: StateError.full("RLOC of one family", limit: 16)) {
      try rig.publisher.setOwnRLOCs(sixteen + [#require(IPAddress("203.0.113.17"))])
    }
    rig.publisher.publish()
    let fromOwn = DecapsulateTests.lisp(.v4().reply, ("203.0.113.16", Rig.ownRLOC4))
    #expect(rig.send(Frame.of(fromOwn.octets), port: Port.core).verdict == .drop(.outerSourceInvalid))
  }

  // MARK: - Ports and VLANs

  @Test func `every VLAN of a port has its own instance, and ports do not see each other's`() throws {
    let rig = try Rig()
    for instance in 1...200 as ClosedRange<UInt32> { try rig.addSites(over: Rig.peer4, instance: instance) }
    var instances: [VLANID: InstanceID] = [:]
    for vlan in 1...4094 as ClosedRange<UInt16> {
      instances[try #require(VLANID(rawValue: vlan))] = InstanceID(truncating: UInt32(vlan) % 200 + 1)
    }
    rig.publisher.setPort(4, PortState(role: .site, vlanInstances: instances))
    rig.publisher.setPort(5, PortState(role: .site, instance: InstanceID(truncating: 9), vlanInstances: [:]))
    rig.publisher.publish()
    for vlan in [1, 2, 199, 200, 201, 2048, 4093, 4094] as [UInt16] {
      #expect(rig.send(Frame.of(IPPacket.v4().octets, vlan: vlan), port: 4).instanceID == UInt32(vlan) % 200 + 1)
      #expect(rig.send(Frame.of(IPPacket.v4().octets, vlan: vlan), port: 5).verdict == .drop(.vlanUnknown))
    }
    #expect(rig.send(Frame.of(IPPacket.v4().octets, vlan: 4095), port: 4).verdict == .drop(.vlanUnknown))
    #expect(rig.send(Self.frame, port: 4).verdict == .drop(.vlanUnknown))
    #expect(rig.send(Self.frame, port: 5).instanceID == 9)
    rig.publisher.setPort(4, PortState(role: .site, instance: InstanceID(truncating: 3)))
    rig.publisher.publish()
    #expect(rig.send(Frame.of(IPPacket.v4().octets, vlan: 7), port: 4).verdict == .drop(.vlanUnknown))
    #expect(rig.send(Self.frame, port: 4).instanceID == 3)
  }
}
