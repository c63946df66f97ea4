// SPDX-License-Identifier: Apache-2.0
//
// The steering program, branch by branch: frame in, verdict out (BPF_PROG_TEST_RUN). Each fixture names the test of
// bpf/steer.bpf.c that it is about and is run in all three roles. Then truncations and mutations, against the oracle.

import CLinux
import Glibc
import Testing
import Wire

@testable import XDP

/// A frame and the roles that lift it. An interface in both roles lifts what either does.
struct SteeringCase: CustomTestStringConvertible, Sendable {
  enum LiftedBy: Sendable { case none, core, site }
  var name: String
  var liftedBy: LiftedBy
  var frame: [UInt8]

  init(_ name: String, _ liftedBy: LiftedBy, _ frame: [UInt8]) {
    (self.name, self.liftedBy, self.frame) = (name, liftedBy, frame)
  }

  var testDescription: String { name }

  func isLifted(in role: SteeringRole) -> Bool {
    switch (liftedBy, role) {
    case (.none, _), (.core, .site), (.site, .core): false
    case (.core, .core), (.core, .both), (.site, .site), (.site, .both): true
    }
  }
}

@Suite(.enabled(if: isRoot, steeringNeedsRoot))
struct SteeringProgramTests {
  private func check(_ fixture: SteeringCase) throws {
    for role in SteeringRole.allCases {
      let rules = try SteeringFixture.rules(role)
      let lifted = try SteeringFixtures.shared.get().lifts(fixture.frame, in: role)
      #expect(lifted == fixture.isLifted(in: role), "in role \(role)")
      #expect(SteeringOracle(rules: rules).lifts(fixture.frame) == fixture.isLifted(in: role), "the oracle in role \(role)")
    }
  }

  @Test(arguments: SteeringCases.ethernet)
  func `to our MAC address with at most one tag, IPv4 or IPv6, or it passes`(fixture: SteeringCase) throws {
    try check(fixture)
  }

  @Test(arguments: SteeringCases.ipv4Header)
  func `an IPv4 packet is complete or passes`(fixture: SteeringCase) throws { try check(fixture) }

  @Test(arguments: SteeringCases.ipv6Header)
  func `an IPv6 packet is complete or passes`(fixture: SteeringCase) throws { try check(fixture) }

  @Test(arguments: SteeringCases.extensions)
  func `IPv6 extension headers are walked over up to six`(fixture: SteeringCase) throws { try check(fixture) }

  @Test(arguments: SteeringCases.core)
  func `core lifts LISP data to our RLOCs and nothing else`(fixture: SteeringCase) throws { try check(fixture) }

  @Test(arguments: SteeringCases.site)
  func `site lifts what local EIDs send to elsewhere and nothing else`(fixture: SteeringCase) throws { try check(fixture) }

  @Test func `without rules everything passes`() throws {
    let fixture = try SteeringFixture(nil)
    for lifted in SteeringCases.lifted { #expect(try !fixture.lifts(lifted.frame), "\(lifted.name)") }
  }

  @Test func `where no socket is registered everything passes`() throws {
    let fixture = try SteeringFixture(try SteeringFixture.rules(.both), queueCount: 2, queue: 1)
    for lifted in SteeringCases.lifted { #expect(try !fixture.lifts(lifted.frame), "\(lifted.name)") }
  }

  @Test func `when the socket closes everything passes`() throws {
    var fixture = try SteeringFixture(nil)
    let other = try SteeringSocket()
    try fixture.maps.register(socket: other.descriptor, queue: 0)
    try fixture.maps.apply(try SteeringFixture.rules(.both))
    for lifted in SteeringCases.lifted { #expect(try fixture.lifts(lifted.frame), "\(lifted.name)") }
    _ = consume other
    for lifted in SteeringCases.lifted { #expect(try !fixture.lifts(lifted.frame), "\(lifted.name)") }
  }

  @Test func `what is no AF_XDP socket and a queue that is not there are refused`() throws {
    let fixture = try SteeringFixture(nil, queueCount: 2)
    let datagram = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(datagram) }
    #expect(throws: XDPError.self) { try fixture.maps.register(socket: datagram, queue: 0) }
    #expect(throws: XDPError.self) { try fixture.maps.register(socket: -1, queue: 0) }
    #expect(throws: XDPError.self) { try fixture.maps.register(socket: fixture.receiver.descriptor, queue: 2) }
    #expect(throws: XDPError.self) { try fixture.maps.register(socket: fixture.receiver.descriptor, queue: -1) }
    try fixture.maps.register(socket: fixture.receiver.descriptor, queue: 1)
  }

  @Test(arguments: SteeringRole.allCases)
  func `every truncation of a lifted frame is answered as the oracle does`(role: SteeringRole) throws {
    let rules = try SteeringFixture.rules(role)
    let fixture = try SteeringFixture(rules)
    let oracle = SteeringOracle(rules: rules)
    for whole in SteeringCases.lifted {
      for count in 14...whole.frame.count {
        let frame = Array(whole.frame[..<count])
        #expect(try fixture.lifts(frame) == oracle.lifts(frame), "\(whole.name), \(count) bytes")
      }
    }
  }

  @Test(arguments: SteeringRole.allCases)
  func `random mutations are answered as the oracle does`(role: SteeringRole) throws {
    let seed: UInt64 = 0x4341
    var random = SteeringRandom(state: seed)
    let rules = try SteeringFixture.rules(role)
    let fixture = try SteeringFixture(rules)
    let oracle = SteeringOracle(rules: rules)
    var liftedCount = 0
    for round in 0..<10_000 {
      let frame = Self.mutate(SteeringCases.all.randomElement(using: &random)?.frame ?? [], &random)
      let lifted = try fixture.lifts(frame)
      if lifted { liftedCount += 1 }
      try #require(lifted == oracle.lifts(frame), "seed \(seed), round \(round): \(frame)")
    }
    #expect((500..<9_500).contains(liftedCount), "the mutations leave too little or change too little: \(liftedCount) lifted")
  }

  /// Some bytes changed, mostly among the headers; sometimes cut or lengthened. Never below the 14 bytes that the test run wants.
  private static func mutate(_ frame: [UInt8], _ random: inout SteeringRandom) -> [UInt8] {
    var frame = frame
    for _ in 0..<Int.random(in: 0...3, using: &random) {
      let place = Int.random(in: 12..<frame.count, using: &random)
      let change: UInt8 = Bool.random(using: &random) ? .random(in: 0...255, using: &random) : 1 << Int.random(in: 0...7, using: &random)
      frame[place] ^= change
    }
    switch Int.random(in: 0..<8, using: &random) {
    case 0: frame.removeLast(Int.random(in: 0...(frame.count - 14), using: &random))
    case 1: frame += [UInt8](repeating: 0xA5, count: Int.random(in: 0...64, using: &random))
    default: break
    }
    return frame
  }
}
