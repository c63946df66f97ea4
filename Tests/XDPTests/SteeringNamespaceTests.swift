// SPDX-License-Identifier: Apache-2.0
//
// The steering program on an interface: modes, refusals, other people's programs, and whether it steers.

import CLinux
import Foundation
import Glibc
import Testing
import Wire

@testable import XDP

@Suite(.serialized, .enabled(if: isRoot, steeringNeedsRoot))
struct SteeringNamespaceTests {
  typealias Mode = SteeringProgram.RequestedMode

  /// What a test sees of an attachment.
  struct Seen: Sendable, Equatable {
    var mode: SteeringProgram.AttachMode?
    var native: Bool
    var generic: Bool
    var error: XDPError?
    var nativeRefusal: XDPError?
  }

  /// Attaches to an interface of the calling thread's namespace, looks, and detaches.
  static func attach(_ name: String, _ mode: Mode) throws -> Seen {
    do throws(XDPError) {
      let program = try SteeringProgram(
        interfaceIndex: if_nametoindex(name), interfaceName: name, mode: mode, queueCount: 1)
      let seen = look(name)
      let result = Seen(
        mode: program.attachMode, native: seen.native != 0, generic: seen.generic != 0, nativeRefusal: program.nativeRefusal)
      program.detach()
      return result
    } catch {
      let seen = look(name)
      return Seen(native: seen.native != 0, generic: seen.generic != 0, error: error)
    }
  }

  /// The ids of the programs on an interface; 0: none.
  static func look(_ name: String) -> (native: UInt32, generic: UInt32) {
    var query = bpf_xdp_query_opts()
    query.sz = MemoryLayout<bpf_xdp_query_opts>.size
    guard bpf_xdp_query(CInt(if_nametoindex(name)), 0, &query) == 0 else { return (0, 0) }
    return (query.drv_prog_id, query.skb_prog_id)
  }

  @Test(arguments: [Mode.native, .auto])
  func `veth takes the program in native mode`(mode: Mode) throws {
    let testbed = try SteeringTestbed()
    let seen = try inNamespace(testbed.router) { try Self.attach("steer0", mode) }
    #expect(seen == Seen(mode: .native, native: true, generic: false))
  }

  @Test func `generic mode is taken when it is asked for`() throws {
    let testbed = try SteeringTestbed()
    let seen = try inNamespace(testbed.router) { try Self.attach("steer0", .generic) }
    #expect(seen == Seen(mode: .generic, native: false, generic: true))
  }

  @Test func `a driver without native mode is refused, and auto becomes generic and says why`() throws {
    let testbed = try SteeringTestbed()
    let native = try inNamespace(testbed.router) { try Self.attach("lo", .native) }
    let refusal = try #require(native.error)
    #expect(refusal.description.contains("lo: its driver has no native XDP; set attach = \"generic\""))
    #expect(!refusal.isImpossibleHere && !native.native && !native.generic)
    let auto = try inNamespace(testbed.router) { try Self.attach("lo", .auto) }
    #expect(auto == Seen(mode: .generic, native: false, generic: true, nativeRefusal: refusal))
  }

  @Test func `an MTU that is too large for native mode is named, and auto becomes generic and says why`() throws {
    let testbed = try SteeringTestbed()
    try testbed.setMTU(9000)
    let native = try inNamespace(testbed.router) { try Self.attach("steer0", .native) }
    let refusal = try #require(native.error)
    #expect(refusal.description.contains("MTU 9000 is too large for XDP in native mode"))
    #expect(refusal.description.contains("lower it to 3000 or less"))
    let auto = try inNamespace(testbed.router) { try Self.attach("steer0", .auto) }
    #expect(auto == Seen(mode: .generic, native: false, generic: true, nativeRefusal: refusal))
    try testbed.setMTU(3000)
    #expect(try inNamespace(testbed.router) { try Self.attach("steer0", .native) }.mode == .native)
  }

  @Test func `when the program is detached or let go, nothing is attached`() throws {
    let testbed = try SteeringTestbed()
    let seen = try inNamespace(testbed.router) {
      let index = if_nametoindex("steer0")
      let first = try SteeringProgram(interfaceIndex: index, interfaceName: "steer0", mode: .native, queueCount: 1)
      let whileFirst = Self.look("steer0").native != 0
      first.detach()
      let afterFirst = Self.look("steer0").native != 0
      do {
        _ = try SteeringProgram(interfaceIndex: index, interfaceName: "steer0", mode: .native, queueCount: 1)
      }
      return [whileFirst, afterFirst, Self.look("steer0").native != 0]
    }
    #expect(seen == [true, false, false])
  }

  @Test(arguments: [UInt32(1) << 1, 1 << 2], Mode.allCases)  // XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE
  func `a foreign program is refused with its name and id, and stays`(flags: UInt32, mode: Mode) throws {
    let testbed = try SteeringTestbed()
    let (seen, id, after) = try inNamespace(testbed.router) {
      let foreign = try ForeignProgram(named: "somebody")
      try foreign.attach("steer0", flags: flags)
      let before = Self.look("steer0")
      let seen = try Self.attach("steer0", mode)
      let after = Self.look("steer0")
      return (seen, max(before.native, before.generic), max(after.native, after.generic))
    }
    #expect(id != 0 && after == id)
    #expect(seen.error == .foreignProgram(interface: "steer0", name: "somebody", id: id))
    #expect(seen.error?.description.contains("\"somebody\" (id \(id))") == true)
  }

  @Test(arguments: Mode.allCases)
  func `another xtr's program is refused as any other`(mode: Mode) throws {
    let testbed = try SteeringTestbed()
    let (seen, id, after) = try inNamespace(testbed.router) {
      let first = try SteeringProgram(
        interfaceIndex: if_nametoindex("steer0"), interfaceName: "steer0", mode: .native, queueCount: 1)
      let before = Self.look("steer0").native
      let seen = try Self.attach("steer0", mode)
      let after = Self.look("steer0").native
      first.detach()
      return (seen, before, after)
    }
    #expect(id != 0 && after == id)
    #expect(seen.error == .foreignProgram(interface: "steer0", name: "xtr_steer", id: id))
  }

  @Test func `an interface that is gone is said to be gone`() throws {
    let testbed = try SteeringTestbed()
    let error = try inNamespace(testbed.router) { () -> XDPError? in
      do throws(XDPError) {
        _ = try SteeringProgram(interfaceIndex: 4711, interfaceName: "gone0", mode: .auto, queueCount: 1)
        return nil
      } catch { return error }
    }
    #expect(error?.description.hasPrefix("gone0: there is no such interface") == true)
    #expect(error?.isImpossibleHere == false)
  }

  @Test func `rules can be changed and the program detached after its interface is gone`() throws {
    let testbed = try SteeringTestbed()
    let (router, rules) = (testbed.router, try SteeringFixture.rules(.both))
    try inNamespace(router) {
      var program = try SteeringProgram(
        interfaceIndex: if_nametoindex("steer0"), interfaceName: "steer0", mode: .native, queueCount: 1)
      try runIP("-n", router, "link", "delete", "steer0")
      try program.apply(rules)
      program.detach()
    }
    #expect(try inNamespace(router) { if_nametoindex("steer0") } == 0)
  }

  /// CAP_NET_ADMIN, CAP_NET_RAW, CAP_PERFMON, CAP_BPF, without those named.
  private static func attachWithout(_ missing: [UInt32], in namespace: String) throws -> Seen {
    try inNamespace(namespace) {
      try keepCapabilities([12, 13, 38, 39].filter { !missing.contains($0) })
      return try attach("steer0", .native)
    }
  }

  @Test func `four capabilities are enough`() throws {
    let testbed = try SteeringTestbed()
    #expect(try Self.attachWithout([], in: testbed.router) == Seen(mode: .native, native: true, generic: false))
  }

  @Test(arguments: [[39], [38], [12], [12, 13, 38, 39]] as [[UInt32]])
  func `without one of the capabilities it is impossible here and says which it takes`(missing: [UInt32]) throws {
    let testbed = try SteeringTestbed()
    let seen = try Self.attachWithout(missing, in: testbed.router)
    let error = try #require(seen.error)
    guard case .noPrivilege = error else {
      Issue.record("\(error)")
      return
    }
    #expect(error.isImpossibleHere && error.description.contains("CAP_BPF"))
    #expect(!seen.native && !seen.generic)
  }

  /// The peer sends to the kernel's own UDP sockets. What is lifted to a socket that is not bound is lost: that shows the lifting.
  @Test(arguments: [Mode.native, .generic])
  func `LISP data is lifted while a socket is there, and all else reaches the kernel always`(mode: Mode) throws {
    let testbed = try SteeringTestbed()
    let peer = testbed.peer
    let arrived = try inNamespace(testbed.router) { () -> [[Bool]] in
      let interface = try Interface.named("steer0")
      let rloc = IPAddress.v4(IPv4Address(192, 0, 2, 1))
      let data = try SteeringDatagrams(port: 4341)
      let control = try SteeringDatagrams(port: 4342)
      var program = try SteeringProgram(
        interfaceIndex: interface.index, interfaceName: "steer0", mode: mode, queueCount: interface.queueCount)
      func round() throws -> [Bool] {
        let bytes = SteeringFrame.lisp(flags: 0x08, instance: UInt32.random(in: 1...1000))
        try inNamespace(peer) {
          let sender = try SteeringDatagrams(port: 0)
          try sender.send(bytes, to: 0xC000_0201, port: 4342)
          try sender.send(bytes, to: 0xC000_0201, port: 4341)
        }
        return [control.receives(bytes), data.receives(bytes)]
      }
      var rounds = [try round()]
      try program.apply(
        SteeringRules(macAddress: interface.macAddress, role: .core, rlocs: [rloc], ownAddresses: [rloc]))
      rounds.append(try round())
      do {
        let socket = try SteeringSocket()
        for queue in 0..<interface.queueCount { try program.register(socket: socket.descriptor, queue: queue) }
        rounds.append(try round())
        try program.apply(SteeringRules(macAddress: interface.macAddress, role: .site, ownAddresses: [rloc]))
        rounds.append(try round())
        try program.apply(SteeringRules(macAddress: interface.macAddress, role: .core, rlocs: [rloc]))
        rounds.append(try round())
      }
      rounds.append(try round())
      program.detach()
      rounds.append(try round())
      return rounds
    }
    #expect(
      arrived == [
        [true, true],  // attached, without rules
        [true, true],  // with rules, without a socket
        [true, false],  // with a socket
        [true, true],  // no longer a core interface
        [true, false],  // again one
        [true, true],  // the socket is gone
        [true, true],  // the program is gone
      ])
  }
}

/// A program that passes everything, attached as `ip link set xdp` does it.
private struct ForeignProgram: ~Copyable {
  private let descriptor: CInt

  init(named name: String) throws {
    var move = bpf_insn()  // r0 = XDP_PASS
    move.code = UInt8(BPF_ALU64 | BPF_MOV | BPF_K)
    move.imm = Int32(XDP_PASS.rawValue)
    var end = bpf_insn()
    end.code = UInt8(BPF_JMP | BPF_EXIT)
    descriptor = bpf_prog_load(BPF_PROG_TYPE_XDP, name, "GPL", [move, end], 2, nil)
    guard descriptor >= 0 else { throw SteeringFixtureError(description: "bpf_prog_load: \(-descriptor)") }
  }

  deinit { close(descriptor) }

  func attach(_ interface: String, flags: UInt32) throws {
    let result = bpf_xdp_attach(CInt(if_nametoindex(interface)), descriptor, flags, nil)
    guard result == 0 else { throw SteeringFixtureError(description: "bpf_xdp_attach: \(-result)") }
  }
}
