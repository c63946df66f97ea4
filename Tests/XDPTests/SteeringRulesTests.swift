// SPDX-License-Identifier: Apache-2.0
//
// Rules into map entries, and changes of rules into changes of maps: only what differs, in an order that never loses a packet.

import CLinux
import Foundation
import Synchronization
import Testing
import Wire

@testable import XDP

@Suite struct SteeringRulesTests {
  @Test func `an RLOC is an own address, too, whichever set names it`() throws {
    let address = try SteeringFixture.address("192.0.2.1")
    let rules = SteeringRules(macAddress: SteeringFixture.mac, role: .core, rlocs: [address], ownAddresses: [address])
    #expect(SteeringEntries(rules).addresses == [address: .rloc])
    var other = rules
    other.rlocs = []
    #expect(SteeringEntries(other).addresses == [address: .own])
  }

  @Test func `untagged EID-prefixes have VLAN 0, and equal ones are one`() throws {
    let prefix = try IPPrefix(parsing: "10.1.0.0/16")
    let rules = SteeringRules(
      macAddress: SteeringFixture.mac, role: .site, localEIDs: [nil: [prefix, prefix], VLANID(rawValue: 4094): [prefix]])
    #expect(SteeringEntries(rules).prefixes == [.init(vlan: 0, prefix: prefix), .init(vlan: 4094, prefix: prefix)])
  }

  @Test func `the limits in Swift are the limits in C`() {
    #expect(SteeringRules.addressLimit == Int(STEER_ADDRESSES_MAX))
    #expect(SteeringRules.prefixLimit == Int(STEER_PREFIXES_MAX))
  }
}

@Suite(.enabled(if: isRoot, steeringNeedsRoot))
struct SteeringMapsTests {
  private let data = SteeringCases.v4(SteeringCases.core4)
  private let sent = SteeringCases.site4()

  @Test func `a role that is taken away lifts nothing, and given again lifts`() throws {
    var fixture = try SteeringFixture(try SteeringFixture.rules(.both))
    #expect(try fixture.lifts(data) && fixture.lifts(sent))
    try fixture.maps.apply(try SteeringFixture.rules(.site))
    #expect(try !fixture.lifts(data) && fixture.lifts(sent))
    try fixture.maps.apply(try SteeringFixture.rules(.core))
    #expect(try fixture.lifts(data) && !fixture.lifts(sent))
    try fixture.maps.apply(try SteeringFixture.rules(.both))
    #expect(try fixture.lifts(data) && fixture.lifts(sent))
  }

  @Test func `a changed MAC address counts at once`() throws {
    var fixture = try SteeringFixture(try SteeringFixture.rules(.both))
    var rules = try SteeringFixture.rules(.both)
    rules.macAddress = MACAddress(rawValue: 0x02_AA_AA_AA_AA_02)
    try fixture.maps.apply(rules)
    #expect(try !fixture.lifts(data))
    #expect(try fixture.lifts(SteeringFrame.ethernet(to: rules.macAddress, type: 0x0800, SteeringCases.core4)))
  }

  @Test func `an RLOC comes, becomes an own address only, and goes`() throws {
    var rules = try SteeringFixture.rules(.both)
    let address = try SteeringFixture.address("198.51.100.1")
    let toIt = SteeringCases.core4(SteeringCases.data, to: "198.51.100.1")
    let siteToIt = SteeringCases.site4(to: "198.51.100.1")
    var fixture = try SteeringFixture(rules)
    #expect(try !fixture.lifts(toIt) && fixture.lifts(siteToIt))
    rules.rlocs.insert(address)
    try fixture.maps.apply(rules)
    #expect(try fixture.lifts(toIt) && !fixture.lifts(siteToIt))
    rules.rlocs.remove(address)
    rules.ownAddresses.insert(address)
    try fixture.maps.apply(rules)
    #expect(try !fixture.lifts(toIt) && !fixture.lifts(siteToIt))
    rules.ownAddresses.remove(address)
    try fixture.maps.apply(rules)
    #expect(try !fixture.lifts(toIt) && fixture.lifts(siteToIt))
    #expect(fixture.maps.installed == SteeringEntries(rules))
  }

  @Test func `an EID-prefix comes and goes in its VLAN only`() throws {
    var rules = try SteeringFixture.rules(.site)
    let vlan = VLANID(rawValue: 9)
    let packet = SteeringFrame.ipv4("10.9.0.5", "10.2.0.5", protocol: 1, [8, 0, 0, 0])
    let tagged = SteeringFrame.ethernet(tags: [(0x8100, 9)], type: 0x0800, packet)
    var fixture = try SteeringFixture(rules)
    #expect(try !fixture.lifts(tagged))
    rules.localEIDs[vlan] = [try IPPrefix(parsing: "10.9.0.0/24")]
    try fixture.maps.apply(rules)
    #expect(try fixture.lifts(tagged) && !fixture.lifts(SteeringCases.v4(packet)))
    rules.localEIDs[vlan] = nil
    try fixture.maps.apply(rules)
    #expect(try !fixture.lifts(tagged))
    #expect(fixture.maps.installed == SteeringEntries(rules))
  }

  @Test func `the default prefix and host prefixes are prefixes`() throws {
    var rules = try SteeringFixture.rules(.site)
    rules.localEIDs = [nil: [try IPPrefix(parsing: "10.66.0.1/32"), try IPPrefix(parsing: "2001:db8:66::1/128")]]
    var fixture = try SteeringFixture(rules)
    #expect(try fixture.lifts(SteeringCases.site4(from: "10.66.0.1")))
    #expect(try !fixture.lifts(SteeringCases.site4(from: "10.66.0.0")))
    #expect(try fixture.lifts(SteeringCases.site6(from: "2001:db8:66::1")))
    #expect(try !fixture.lifts(SteeringCases.site6(from: "2001:db8:66::")))
    rules.localEIDs = [nil: [try IPPrefix(parsing: "0.0.0.0/0")]]
    try fixture.maps.apply(rules)
    #expect(try !fixture.lifts(SteeringCases.site4()), "all of IPv4 is local: nothing is elsewhere")
    #expect(try !fixture.lifts(SteeringCases.site6()), "IPv4's default is not IPv6's")
  }

  @Test func `rules that equal those in force change nothing`() throws {
    let rules = try SteeringFixture.rules(.both)
    var fixture = try SteeringFixture(rules)
    for _ in 0..<3 { try fixture.maps.apply(rules) }
    #expect(fixture.maps.installed == SteeringEntries(rules))
    for lifted in SteeringCases.lifted { #expect(try fixture.lifts(lifted.frame), "\(lifted.name)") }
  }

  @Test func `too many addresses or EID-prefixes are refused before anything changes`() throws {
    let rules = try SteeringFixture.rules(.both)
    var fixture = try SteeringFixture(rules)
    var many = rules
    many.ownAddresses = Self.addresses(from: 0x0B00_0000, count: SteeringRules.addressLimit)
    #expect(throws: XDPError.self) { try fixture.maps.apply(many) }
    many = rules
    many.localEIDs[nil] = (0...UInt32(SteeringRules.prefixLimit)).map {
      IPPrefix(host: .v4(IPv4Address(rawValue: 0x0B00_0000 + $0)))
    }
    #expect(throws: XDPError.self) { try fixture.maps.apply(many) }
    #expect(fixture.maps.installed == SteeringEntries(rules))
    #expect(try fixture.lifts(data) && fixture.lifts(sent))
  }

  @Test func `as many addresses as the limit allows can be replaced by as many others`() throws {
    var rules = SteeringRules(macAddress: SteeringFixture.mac, role: .both)
    var fixture = try SteeringFixture(rules)
    for first: UInt32 in [0x0B00_0000, 0x0C00_0000, 0x0D00_0000] {
      rules.rlocs = Self.addresses(from: first, count: SteeringRules.addressLimit)
      try fixture.maps.apply(rules)
      let last = IPv4Address(rawValue: first + UInt32(SteeringRules.addressLimit) - 1)
      #expect(try fixture.lifts(SteeringCases.core4(SteeringCases.data, to: last.description)))
    }
    #expect(fixture.maps.installed == SteeringEntries(rules))
  }

  /// Another thread asks about the same frames all the while that the rules change to and fro.
  @Test func `no frame that is ours before and after a change is missed in between, and none that is not is lifted`() throws {
    let whole = try SteeringFixture.rules(.both)
    var halves = whole
    halves.localEIDs[nil] = [
      try IPPrefix(parsing: "10.1.0.0/17"), try IPPrefix(parsing: "10.1.128.0/17"), try IPPrefix(parsing: "2001:db8:1::/49"),
    ]
    halves.rlocs.insert(try SteeringFixture.address("198.51.100.1"))
    halves.ownAddresses.remove(try SteeringFixture.address("192.0.2.1"))
    let fixture = AskedMeanwhile(try SteeringFixture(whole))
    let ours = [SteeringCases.v4(SteeringCases.core4), SteeringCases.site4(), SteeringCases.site4(from: "10.1.200.1")]
    let others = [SteeringCases.site4(to: "10.1.0.1"), SteeringCases.site4(to: "192.0.2.1"), SteeringCases.site4(to: "10.1.200.1")]
    let wrong = try fixture.ask(lifted: ours, passed: others, rounds: 300) { fixture in
      try fixture.maps.apply(halves)
      try fixture.maps.apply(whole)
    }
    #expect(wrong == 0)
  }

  private static func addresses(from first: UInt32, count: Int) -> Set<IPAddress> {
    Set((0..<UInt32(count)).map { .v4(IPv4Address(rawValue: first + $0)) })
  }
}

/// A fixture whose program one thread asks while another changes its maps. Unchecked: asking reads nothing but a descriptor
/// that stays the same, and the kernel's maps are made for this.
private final class AskedMeanwhile: @unchecked Sendable {
  private var fixture: SteeringFixture
  private let stop = Atomic(false)
  private let asked = Atomic(0)
  private let wrong = Atomic(0)

  init(_ fixture: consuming SteeringFixture) { self.fixture = fixture }

  /// Asks about all the frames again and again, at least `rounds` times, while `change` is repeated at least as often. How many
  /// answers were wrong comes back.
  func ask(
    lifted: [[UInt8]], passed: [[UInt8]], rounds: Int, while change: (inout SteeringFixture) throws -> Void
  ) throws -> Int {
    let done = DispatchSemaphore(value: 0)
    let asking = fixture.asking
    Thread.detachNewThread { [self] in
      while !stop.load(ordering: .relaxed) {
        for frame in lifted where (try? asking.lifts(frame)) != true { wrong.add(1, ordering: .relaxed) }
        for frame in passed where (try? asking.lifts(frame)) != false { wrong.add(1, ordering: .relaxed) }
        asked.add(1, ordering: .relaxed)
      }
      done.signal()
    }
    defer {
      stop.store(true, ordering: .relaxed)
      done.wait()
    }
    var changes = 0
    while changes < rounds || asked.load(ordering: .relaxed) < rounds {
      try change(&fixture)
      changes += 1
    }
    return wrong.load(ordering: .relaxed)
  }
}
