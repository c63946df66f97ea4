// SPDX-License-Identifier: Apache-2.0
//
// What `xtr check` says of ports: drivers, modes, queues, MTU, RLOCs, other programs.

import Testing
import Wire

@testable import XDP
@testable import xtr

@Suite struct PortCheckTests {
  private struct Port {
    var role = Configuration.Role.core
    var driver = "mlx5_core"
    var queues = 1
    var transmitQueues = 1
    var mtu = 1500
    var isUp = true
    var attach = Configuration.Attach.auto
    var mode = Configuration.Mode.auto
    var rlocs: [IPAddress]?
    var addresses: [IPAddress] = [.v4(IPv4Address(192, 0, 2, 1))]
    var attached: UInt32?
    var isRouters = false
    var offloads: [String] = []
    var busyPoll: Configuration.BusyPoll?
    var deferred: Int? = 0

    func facts(_ name: String) -> PortFacts {
      let interface = Interface(
        name: name, index: 3, macAddress: MACAddress(rawValue: 0x0200_0000_0001), mtu: mtu, driver: driver, queueCount: queues,
        transmitQueueCount: transmitQueues, isUp: isUp)
      let facts = InterfaceFacts(
        interface: interface, combinedChannels: nil, receiveChannels: nil, transmitChannels: nil, receiveRing: nil, transmitRing: nil,
        napiDeferHardIRQs: deferred, groFlushTimeout: deferred, harmfulOffloads: offloads)
      let configuration = Configuration.Interface(name: name, role: role, attach: attach, mode: mode, rlocs: rlocs, busyPoll: busyPoll)
      return PortFacts(
        configuration: configuration, facts: facts, attachedProgram: attached, isRouters: isRouters, addresses: addresses)
    }
  }

  private func findings(_ ports: [PortFacts], workers: Configuration.Workers = .auto, processors: Int = 1) -> [String] {
    var host = HostCheckTests.goodHost()
    (host.processorCount, host.isolatedProcessors) = (processors, "1-7")
    var configuration = Configuration()
    configuration.router.workers = workers
    return HostCheck(configuration: configuration, host: host, ports: ports, paths: PathFacts()).findings()
      .map { "\($0.severity) \($0.subject): \($0.what)" }
  }

  private func core(_ change: (inout Port) -> Void) -> [String] {
    var port = Port()
    change(&port)
    return findings([port.facts("core0")], processors: 8)
  }

  @Test func `a good port has no findings`() { #expect(core { _ in } == []) }

  @Test func `a port that cannot be used is an error`() {
    #expect(core { $0.isUp = false } == ["error core0: the interface is down"])
    #expect(core { $0.attached = 7 } == ["error core0: an XDP program (id 7) is attached already"])
    #expect(
      core { ($0.attached, $0.isRouters) = (7, true) }
        == ["info core0: the router that runs with this control socket has its XDP program (id 7) here"])
    #expect(core { $0.queues = 2 } == ["error core0: 2 receive queues and 1 transmit queues: not every queue can send"])
  }

  @Test func `drivers without native XDP or zero-copy are warned of, and an error where the configuration insists`() {
    #expect(core { $0.driver = "veth" } == ["warning core0: driver veth: has no zero-copy: each packet is copied by the kernel"])
    #expect(core { ($0.driver, $0.mode) = ("veth", .copy) } == [])
    #expect(core { ($0.driver, $0.mode) = ("veth", .zeroCopy) }.first?.hasPrefix("error core0: driver veth: has no zero-copy") == true)
    #expect(
      core { ($0.driver, $0.mode, $0.attach) = ("e1000", .copy, .native) }
        == ["error core0: driver e1000 has no native XDP: packets pass through the kernel's slow path first"])
    #expect(core { ($0.driver, $0.mode, $0.attach) = ("e1000", .copy, .generic) } == [])
    #expect(
      core { $0.driver = "brand_new" }
        == ["info core0: driver \"brand_new\" is not on our list: whether it has native XDP and zero-copy shows at start"])
    #expect(core { $0.driver = "igb" }.contains { $0.hasPrefix("warning core0: driver igb: zero-copy can be relied upon from Linux 6.14") })
  }

  @Test func `offloads and busy polling are told`() {
    #expect(core { $0.offloads = ["rx-lro"] } == ["info core0: rx-lro will be off while the router runs, and on again after"])
    let busy = Configuration.BusyPoll(microseconds: 20, budget: 64)
    #expect(
      core { $0.busyPoll = busy }
        == ["warning core0: busy-poll is configured, but interrupts are not deferred: the kernel polls against it"])
    #expect(core { ($0.busyPoll, $0.deferred) = (busy, 2) } == [])
    #expect(core { ($0.busyPoll, $0.deferred) = (busy, nil) } == [])
  }

  @Test func `an RLOC must be an address of its interface, and there must be one`() {
    #expect(
      core { $0.rlocs = [.v4(IPv4Address(192, 0, 2, 9))] } == ["error core0: RLOC 192.0.2.9 is not an address of this interface"])
    #expect(
      core { $0.addresses = [] }
        == ["error core0: no core interface has a global address: there is no RLOC to encapsulate from"])
  }

  @Test func `a core MTU that does not carry the outer header is warned of`() {
    func ports(_ core: Int, _ rloc: IPAddress) -> [PortFacts] {
      [Port(mtu: core, addresses: [rloc]).facts("core0"), Port(role: .site, mtu: 1500).facts("site0")]
    }
    let v4 = IPAddress.v4(IPv4Address(192, 0, 2, 1))
    let v6 = IPAddress.v6(IPv6Address(high: 0x2001_0DB8 << 32, low: 1))
    #expect(findings(ports(1536, v4)) == [])
    #expect(
      findings(ports(1535, v4)) == [
        "warning core0: MTU 1535 bytes: packets of more than 1499 bytes from site0 (MTU 1500) do not fit with the 36 bytes that "
          + "encapsulation adds"
      ])
    #expect(findings(ports(1555, v6)).count == 1)
    #expect(findings(ports(1556, v6)) == [])
    #expect(core { $0.mtu = 3822 }.first?.hasPrefix("warning core0: MTU 3822 bytes: many drivers refuse native XDP") == true)
    #expect(core { $0.mtu = 3823 }.first == "error core0: MTU 3823 bytes: a frame holds packets of at most 3822")
  }

  @Test func `queues, workers and processors are compared`() {
    let two = Port(queues: 2, transmitQueues: 2).facts("core0")
    let one = Port(role: .site, mtu: 1400).facts("site0")
    #expect(
      findings([two, one], processors: 8) == [
        "warning queues: the ports differ in queues (core0 2, site0 1): a packet leaves by the queue it came on, so some wait for others"
      ])
    #expect(findings([two], workers: .count(1), processors: 8) == ["warning workers: 1 for 2 queues: one worker serves several queues"])
    #expect(findings([two], processors: 1) == ["warning workers: 2 queues and 1 processor: workers share processors"])
    #expect(findings([two], workers: .count(3), processors: 8) == ["error workers: 3 workers, and a port with 2 queues"])
  }

  @Test func `memory that cannot be locked is an error, unless the capability is there`() {
    var host = HostCheckTests.goodHost()
    host.memoryLockLimit = 8 << 20
    func check(_ host: HostFacts) -> [Finding] {
      HostCheck(configuration: Configuration(), host: host, ports: [Port().facts("core0")], paths: PathFacts()).findings()
    }
    #expect(check(host) == [])
    host.capabilities.remove(.ipcLock)
    #expect(check(host).map(\.what) == ["only 8,388,608 bytes may be locked, the frames need 12,582,912"])
    #expect(check(host).first?.cure.hasPrefix("`ulimit -l 12289`") == true)
  }
}
