// SPDX-License-Identifier: Apache-2.0
//
// A loaded steering program that is attached nowhere, with the rules of a small router and an AF_XDP socket behind queue 0,
// and the way to ask it about a frame: BPF_PROG_TEST_RUN.

import CLinux
import Glibc
import TestSupport
import Testing
import Wire

@testable import XDP

/// Loading BPF programs, making namespaces: root's business.
let steeringNeedsRoot: Comment = "needs root: CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW"
var isRoot: Bool { geteuid() == 0 }

/// What a test could not set up.
struct SteeringFixtureError: Error, CustomStringConvertible {
  var description: String
}

/// An AF_XDP socket that is just enough for an XSKMAP: it has a receive ring; memory it has not, and it is not bound.
struct SteeringSocket: ~Copyable {
  let descriptor: CInt

  init() throws {
    descriptor = socket(AF_XDP, Int32(SOCK_RAW.rawValue), 0)
    guard descriptor >= 0 else { throw SteeringFixtureError(description: "socket(AF_XDP): \(errno)") }
    var entries: CInt = 64
    guard setsockopt(descriptor, SOL_XDP, XDP_RX_RING, &entries, socklen_t(MemoryLayout<CInt>.size)) == 0 else {
      throw SteeringFixtureError(description: "XDP_RX_RING: \(errno)")
    }
  }

  deinit { close(descriptor) }
}

struct SteeringFixture: ~Copyable {
  static let mac = MACAddress(rawValue: 0x02_AA_AA_AA_AA_01)

  static func rules(_ role: SteeringRole) throws -> SteeringRules {
    SteeringRules(
      macAddress: mac, role: role,
      rlocs: [try address("192.0.2.1"), try address("2001:db8:ffff::1")],
      ownAddresses: [
        try address("192.0.2.1"), try address("10.1.0.1"), try address("203.0.113.1"), try address("2001:db8:1::1"),
        try address("2001:db8:ffff::1"), try address("2001:db8:99::1"),
      ],
      localEIDs: [
        nil: [
          try IPPrefix(parsing: "10.1.0.0/16"), try IPPrefix(parsing: "10.200.3.0/25"), try IPPrefix(parsing: "240.9.0.0/16"),
          try IPPrefix(parsing: "2001:db8:1::/48"),
        ],
        VLANID(rawValue: 7): [try IPPrefix(parsing: "10.7.0.0/16"), try IPPrefix(parsing: "2001:db8:7::/48")],
      ])
  }

  static func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

  var maps: SteeringMaps
  let receiver: SteeringSocket

  /// - Parameter queue: where the socket goes; BPF_PROG_TEST_RUN is always on queue 0.
  init(_ rules: SteeringRules?, queueCount: Int = 1, queue: Int = 0) throws {
    let receiver = try SteeringSocket()
    var maps = try SteeringMaps(LoadedSteering(interfaceName: "test", queueCount: queueCount))
    try maps.register(socket: receiver.descriptor, queue: queue)
    if let rules { try maps.apply(rules) }
    self.maps = maps
    self.receiver = receiver
  }

  /// For asking; any thread may, as long as the fixture is there.
  var asking: SteeringAsker { SteeringAsker(program: maps.programDescriptor) }

  func lifts(_ frame: [UInt8]) throws -> Bool { try asking.lifts(frame) }
}

/// Asks a loaded program about frames, with BPF_PROG_TEST_RUN.
struct SteeringAsker: Sendable {
  let program: CInt

  /// Whether the program lifts the frame. Any verdict but redirect and pass is an error, and so is a changed frame.
  func lifts(_ frame: [UInt8]) throws -> Bool { try run(frame).verdict == XDP_REDIRECT }

  /// Runs the program `repeating` times; the mean time is in nanoseconds.
  func run(_ frame: [UInt8], repeating: Int32 = 1) throws -> (verdict: xdp_action, nanoseconds: UInt32) {
    var input = frame
    var output = [UInt8](repeating: 0xA5, count: frame.count + 64)
    var options = bpf_test_run_opts()
    options.sz = MemoryLayout<bpf_test_run_opts>.size
    options.repeat = repeating
    let result = input.withUnsafeMutableBytes { input in
      output.withUnsafeMutableBytes { output in
        options.data_in = UnsafeRawPointer(input.baseAddress)
        options.data_size_in = UInt32(input.count)
        options.data_out = output.baseAddress
        options.data_size_out = UInt32(output.count)
        return bpf_prog_test_run_opts(program, &options)
      }
    }
    guard result == 0 else { throw SteeringFixtureError(description: "BPF_PROG_TEST_RUN: \(-result), \(frame.count) bytes") }
    let verdict = xdp_action(options.retval)
    guard verdict == XDP_PASS || verdict == XDP_REDIRECT else {
      throw SteeringFixtureError(description: "verdict \(options.retval)")
    }
    guard Int(options.data_size_out) == frame.count, Array(output[..<frame.count]) == frame else {
      throw SteeringFixtureError(description: "the program changed the frame")
    }
    return (verdict, options.duration)
  }
}

/// One loaded program per role, for the many tests that change nothing about it: loading takes the kernel's verifier 20 ms.
/// Unchecked: after it is made it is only asked, by way of a system call that may be made from any thread.
final class SteeringFixtures: @unchecked Sendable {
  private let site: SteeringFixture
  private let core: SteeringFixture
  private let both: SteeringFixture

  static let shared = Result { try SteeringFixtures() }

  private init() throws {
    let site = try SteeringFixture(SteeringFixture.rules(.site))
    let core = try SteeringFixture(SteeringFixture.rules(.core))
    let both = try SteeringFixture(SteeringFixture.rules(.both))
    self.site = site
    self.core = core
    self.both = both
  }

  func lifts(_ frame: [UInt8], in role: SteeringRole) throws -> Bool {
    switch role {
    case .site: try site.lifts(frame)
    case .core: try core.lifts(frame)
    case .both: try both.lifts(frame)
    }
  }
}

/// SplitMix64: the same numbers for the same seed, everywhere.
struct SteeringRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
