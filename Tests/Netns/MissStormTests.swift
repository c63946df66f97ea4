// SPDX-License-Identifier: Apache-2.0
//
// A storm of misses: packets to tens of thousands of EIDs that nobody answers for, beside a flow whose mapping is known. How fast it may be is
// the benchmark's matter (`make -C Benchmarks control`); here it is what becomes of flow, packets, requests and memory.

import Glibc
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct MissStormTests {
    /// More than may be asked for at once and wait.
    private static let destinations = 20_000
    private static let memoryLimit = 64 << 10

    /// A packet to each of `destinations` addresses of 11.0.0.0/8, a hundred at a time.
    private func send(_ bed: MappingSystemLab) throws {
      let sender = try PacketSocket(in: bed.hostA, interface: "eth0")
      let router = try bed.sites.siteA.router.macAddress(of: "site1")
      let host = try bed.hostA.macAddress(of: "eth0")
      let source = bed.sites.siteA.host(.ipv4)
      for i in 0..<Self.destinations {
        let destination = IPAddress.v4(IPv4Address(rawValue: 11 << 24 | UInt32(i) << 4))
        let packet = FrameBuilder.udp(from: source, 5010, to: destination, 5010, FrameBuilder.IPFields(), [0])
        try sender.send(FrameBuilder.frame(to: router, from: host, ip: packet))
        if i % 100 == 99 { usleep(5000) }
      }
    }

    @Test func `C1 C10 a storm of misses disturbs no established flow, is bounded and counted, and leaves nothing behind`() throws {
      try MappingSystemLab.run { bed in
        #expect(try bed.ping(.ipv4).isComplete)
        var flow = UDPFlow(from: bed.hostA, to: bed.hostB, destination: bed.sites.siteB.host(.ipv4))
        flow.packetsPerSecond = 500
        flow.duration = .seconds(120)
        let idle = try bed.a.residentKilobytes()
        bed.server.signal(SIGSTOP)
        let running = try flow.start()
        try send(bed)
        try bed.eventually("requests for them") { try bed.a.control().outstanding > Self.destinations / 2 }
        let control = try bed.a.control()
        let grown = try bed.a.residentKilobytes() - idle
        let result = try running.finish(patience: .seconds(3))
        bed.server.signal(SIGCONT)
        #expect(result.isClean, "\(result)")
        #expect(control.waiting <= 4096, "\(control)")
        #expect(control.unresolved.contains { $0.reason == "queue-full-total" }, "what finds no room to wait is dropped under its reason")
        #expect(grown < Self.memoryLimit, "\(grown) KiB")
        // The map-server's hole answers them all at once.
        try bed.eventually("an end of the requests") {
          let control = try bed.a.control()
          return control.outstanding == 0 && control.waiting == 0
        }
        #expect(try bed.ping(.ipv6).isComplete)
      }
    }
  }
}
