// SPDX-License-Identifier: Apache-2.0
//
// Tagged frames from a site: the tag chooses the instance. There need not be a VLAN device: frames are made by hand.

import Lab
import Testing
import Wire

extension Netns {
  @Suite struct VLANTests {
    @Test(arguments: AddressFamily.allCases) func `a tagged site frame belongs to the instance of its tag`(family: AddressFamily) throws {
      let options = TestBed.Options(configure: { configuration, site in
        guard site.letter == "A" else { return }
        configuration.interfaces[1].lines = ["", "[[interface.vlan]]", "id = 30", "instance-id = 2"]
      })
      try TestBed.run(options) { bed in
        try bed.warmUp()
        let site = try PacketSocket(in: bed.hostA1, interface: "eth0")
        let taps = try [bed.hostB1, bed.hostB2].map { try PacketSocket(in: $0, interface: "eth0") }
        let router = try bed.sites.siteA.router.macAddress(of: "site1")
        let own = try bed.hostA1.macAddress(of: "eth0")
        let core = try bed.tapFromA()
        let packet = bed.packetAToB(family)

        try site.send(FrameBuilder.frame(to: router, from: own, vlans: [30], ip: packet))
        let onCore = try core.receive(atMost: .seconds(1)) { $0.lisp?.inner.destinationPort == 7 }
        #expect(onCore?.lisp?.instance == 2 && onCore?.vlans == [])
        #expect(try taps[1].receive(atMost: .seconds(1)) { $0.ip?.destinationPort == 7 } != nil)
        #expect(try taps[0].receive(atMost: .milliseconds(100)) { $0.ip?.destinationPort == 7 } == nil)

        try site.send(FrameBuilder.frame(to: router, from: own, ip: packet))
        #expect(try core.receive(atMost: .seconds(1)) { $0.lisp?.inner.destinationPort == 7 }?.lisp?.instance == 1)
        #expect(try taps[0].receive(atMost: .seconds(1)) { $0.ip?.destinationPort == 7 } != nil)

        // A tag that no instance has is not ours to carry.
        let before = try bed.a.quietStatus().totals.encapsulated
        try site.send(FrameBuilder.frame(to: router, from: own, vlans: [31], ip: packet))
        #expect(try core.receive(atMost: .milliseconds(300)) { $0.lisp?.inner.destinationPort == 7 } == nil)
        #expect(try bed.a.quietStatus().totals.encapsulated == before)
      }
    }

    @Test(arguments: AddressFamily.allCases) func `E5 an ICMP error for an instance that is a VLAN only goes back through the tunnel`(
      family: AddressFamily
    ) throws {
      let options = TestBed.Options(configure: { configuration, site in
        guard site.letter == "A" else { return }
        configuration.interfaces.remove(at: 2)
        configuration.interfaces[1].lines = ["", "[[interface.vlan]]", "id = 30", "instance-id = 2"]
      })
      try TestBed.run(options) { bed in
        let tap = try PacketSocket(in: bed.hostB2, interface: "eth0")
        // Router B takes one, the core one, router A the last.
        var flow = UDPFlow(from: bed.hostB2, to: bed.hostA2, destination: bed.sites.siteA.host(family))
        flow.timeToLive = 3
        _ = try flow.run(packets: 1)
        let answer = try tap.receive(atMost: .seconds(2)) { $0.ip?.icmp.map { $0.type == (family == .ipv4 ? 11 : 3) } ?? false }
        #expect(answer?.ip?.source == IPAddress(bed.sites.siteA.gateway(family, instance: 1)), "no time exceeded came back")
      }
    }

    /// The instance's EIDs are nobody's in the core: a native packet from or to them would have left its instance.
    @Test func `E15 an ICMP error has an EID of its instance as source, or stays here`() throws {
      let options = TestBed.Options(configure: { configuration, site in
        if site.letter == "A" {
          configuration.interfaces.remove(at: 2)
          configuration.interfaces[1].lines = ["", "[[interface.vlan]]", "id = 30", "instance-id = 2"]
          configuration.database.removeAll { $0.instance == 2 }
          configuration.database.append((2, "10.77.0.0/24"))
        } else {
          configuration.mappings.append(.init(instance: 2, prefix: "10.77.0.0/24", locators: ["192.0.2.2"]))
        }
      })
      try TestBed.run(options) { bed in
        let atHost = try PacketSocket(in: bed.hostB2, interface: "eth0")
        let core = try bed.tapFromA()
        func isTimeExceeded(_ frame: DecodedFrame) -> Bool { frame.ip?.icmp?.type == 11 }
        try bed.hostA2.ip("addr add 10.77.0.9/32 dev lo")
        var flow = UDPFlow(from: bed.hostB2, to: bed.hostA2, destination: .v4(IPv4Address(10, 77, 0, 9)))
        flow.timeToLive = 3
        let failed = try bed.a.status().exception.failed
        _ = try flow.run(packets: 1)
        #expect(try core.receive(atMost: .milliseconds(500), where: isTimeExceeded) == nil, "natively into the core")
        #expect(try bed.a.status().exception.failed == failed + 1)

        try bed.sites.siteA.router.ip("addr add 10.77.0.1/32 dev lo")
        try Interruption.sleep(.milliseconds(200))
        try atHost.clear()
        _ = try flow.run(packets: 1)
        let answer = try atHost.receive(atMost: .seconds(2), where: isTimeExceeded)
        #expect(answer?.ip?.source == .v4(IPv4Address(10, 77, 0, 1)), "no time exceeded came back")
      }
    }
  }
}
