// SPDX-License-Identifier: Apache-2.0
//
// Our own RLOC changes by the configuration while traffic runs: another address of the core port takes its place.

import Glibc
import Lab
import Testing
import Wire

extension Netns {
  @Suite struct RLOCChangeTests {
    private static let second: [AddressFamily: String] = [.ipv4: "198.51.100.3", .ipv6: "2001:db8:b::3"]

    /// Site B speaks to site A over `changing`, site A to site B over the other family; B's RLOC of `changing` is `rloc`.
    private static func options(_ changing: AddressFamily, rloc: String) -> TestBed.Options {
      let other: AddressFamily = changing == .ipv4 ? .ipv6 : .ipv4
      return TestBed.Options(
        rlocFamily: other,
        prepare: { sites in
          let suffix = changing == .ipv4 ? "/24" : "/64 nodad"
          try sites.siteB.router.ip("addr add \(second[changing] ?? "")\(suffix) dev core")
        },
        configure: { configuration, site in
          guard site.letter == "B" else { return }
          let kept = site.rloc(other)
          configuration.interfaces[0].lines = ["rlocs = [\"\(rloc)\", \"\(kept)\"]"]
          for index in configuration.mappings.indices {
            configuration.mappings[index].locators = [changing == .ipv4 ? "192.0.2.2" : "2001:db8:a::2"]
          }
        })
    }

    /// Whether LISP to `rloc` of site B comes out at its host; when it does not, whether B's kernel says that there is no such port.
    private static func isDecapsulated(_ rloc: IPAddress, _ bed: TestBed) throws -> (delivered: Bool, refused: Bool) {
      let core = try PacketSocket(in: bed.sites.core, interface: "xtrB")
      let host = try PacketSocket(in: bed.hostB1, interface: "eth0")
      let source = bed.sites.siteA.rloc(rloc.family)
      let packet = FrameBuilder.udp(
        from: source, 50000, to: rloc, 4341, isChecksummed: false, FrameBuilder.lisp(instance: 1) + bed.packetAToB(.ipv4))
      // A UDP checksum of 0 is refused by the kernel over IPv6 where it is the receiver: no answer there.
      try bed.injectToB(packet, through: core)
      let delivered = try host.receive(atMost: .milliseconds(500)) { $0.ip?.destinationPort == 7 } != nil
      let refused = try core.receive(atMost: .milliseconds(50)) { frame in
        frame.ip?.source == rloc && frame.ip?.icmp.map { $0 == (3, 3) || $0 == (1, 4) } == true
      }
      return (delivered, refused != nil)
    }

    @Test(arguments: AddressFamily.allCases)
    func
      `SIGHUP with another RLOC: it is the outer source, LISP to it is decapsulated, LISP to the old one is the kernel's, nothing is lost`(
        changing: AddressFamily
      ) throws
    {
      let old = changing == .ipv4 ? "198.51.100.2" : "2001:db8:b::2"
      let new = try #require(Self.second[changing])
      let (oldRLOC, newRLOC) = (try #require(IPAddress(old)), try #require(IPAddress(new)))
      try TestBed.run(Self.options(changing, rloc: old)) { bed in
        try bed.warmUp()
        let tap = try PacketSocket(in: bed.sites.core, interface: "xtrB")
        func outerSources(_ flow: UDPFlow) throws -> Set<IPAddress> {
          try tap.clear()
          #expect(try flow.run(packets: 20).isClean)
          var sources: Set<IPAddress> = []
          while let frame = try tap.receive(atMost: .milliseconds(20)) {
            if let lisp = DecodedFrame(frame)?.lisp { sources.insert(lisp.outer.source) }
          }
          return sources
        }
        var fromB = UDPFlow(from: bed.hostB1, to: bed.hostA1, destination: bed.sites.siteA.host(.ipv4))
        (fromB.packetsPerSecond, fromB.duration, fromB.port) = (4000, .seconds(60), 5003)
        var toB = bed.flow(.ipv6)
        toB.duration = .seconds(60)
        #expect(try outerSources(fromB) == [oldRLOC])
        #expect(try Self.isDecapsulated(oldRLOC, bed).delivered)
        #expect(try !Self.isDecapsulated(newRLOC, bed).delivered)

        // Into site B over the RLOC that stays, and out of it from the one that goes: neither depends on the old one.
        let running = [try toB.start(), try fromB.start()]
        try Interruption.wait(for: "traffic", atMost: .seconds(2)) { running.allSatisfy { $0.received > 200 } }
        try tap.clear()
        try bed.b.write(TestBed.configuration(of: bed.b, bed.sites.siteB, bed.sites.siteA, Self.options(changing, rloc: new)))
        bed.b.signal(SIGHUP)
        let changed = try tap.receive(atMost: .seconds(3)) { $0.lisp?.outer.source == newRLOC }
        #expect(changed != nil, "no packet from the new RLOC")
        try Interruption.sleep(.milliseconds(200))
        for flow in running {
          let result = try flow.finish()
          #expect(result.isClean, "\(result)")
        }

        #expect(try outerSources(fromB) == [newRLOC])
        #expect(try Self.isDecapsulated(newRLOC, bed).delivered)
        let before = try bed.b.quietStatus().totals.received.packets
        let toOld = try Self.isDecapsulated(oldRLOC, bed)
        #expect(!toOld.delivered)
        if changing == .ipv4 { #expect(toOld.refused, "the kernel has nobody on port 4341 and says so") }
        #expect(try bed.b.quietStatus().totals.received.packets == before, "the steering program leaves it to the kernel")
      }
    }
  }
}
