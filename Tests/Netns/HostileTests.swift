// SPDX-License-Identifier: Apache-2.0
//
// Frames that no honest peer sends, from the core and from a site: counted under a reason, never a crash, never a leaked frame, and the
// honest traffic goes on. (Rules, "Vectors that need no peer".)

import Lab
import Testing
import Wire

extension Netns {
  @Suite struct HostileTests {
    /// A bad packet, and what may become of it: the reason it is dropped for, or nil where the steering program leaves it to the kernel.
    struct Vector: CustomTestStringConvertible {
      var name: String
      var reason: String?
      var packet: [UInt8]
      var testDescription: String { name }
    }

    @Test(arguments: AddressFamily.allCases) func `bad LISP packets are counted under their reason and nothing else suffers`(
      rlocs: AddressFamily
    ) throws {
      try TestBed.run(.init(rlocFamily: rlocs)) { bed in
        try bed.warmUp()
        let core = try PacketSocket(in: bed.sites.core, interface: "xtrB")
        for vector in Self.vectors(bed, rlocs) {
          let before = try bed.b.quietStatus()
          let reasonsBefore = try bed.b.drops()
          for _ in 0..<5 { try bed.injectToB(vector.packet, through: core) }
          try Interruption.sleep(.milliseconds(50))
          let after = try bed.b.quietStatus()
          let reasons = try bed.b.drops().filter { row in
            row.packets > (reasonsBefore.first { $0.reason == row.reason && $0.direction == row.direction }?.packets ?? 0)
          }
          if let reason = vector.reason {
            #expect(after.totals.dropped - before.totals.dropped == 5, "\(vector.name)")
            #expect(reasons.map(\.reason) == [reason], "\(vector.name)")
          } else {
            #expect(after.totals.dropped == before.totals.dropped, "\(vector.name): \(reasons)")
          }
          #expect(after.framesConserved && after.packetsConserved, "\(vector.name)")
        }
        #expect(bed.b.process?.isRunning == true)
        let flow = try bed.flow(.ipv4).run()
        #expect(flow.isClean, "\(flow)")
      }
    }

    static func vectors(_ bed: TestBed, _ rlocs: AddressFamily) -> [Vector] {
      let (a, b) = (bed.sites.siteA.rloc(rlocs), bed.sites.siteB.rloc(rlocs))
      let good = bed.packetAToB(.ipv4)
      let good6 = bed.packetAToB(.ipv6)
      func lisp(_ header: [UInt8], _ inner: [UInt8], stated: UInt16? = nil, source: IPAddress? = nil) -> [UInt8] {
        FrameBuilder.udp(from: source ?? a, 50000, to: b, 4341, isChecksummed: false, statedByteCount: stated, header + inner)
      }
      let header = FrameBuilder.lisp(instance: 1)
      var badLength = good
      badLength[0] = 0x42
      var longHeader = good
      longHeader[0] = 0x4F
      var lyingLong = good
      lyingLong.replaceSubrange(2..<4, with: UInt16(good.count + 100).bigEndianBytes)
      var lyingLong6 = good6
      lyingLong6.replaceSubrange(4..<6, with: UInt16(good6.count + 100).bigEndianBytes)
      var vectors = [
        Vector(name: "UDP length below 8", reason: "udp-malformed", packet: lisp(header, good, stated: 7)),
        Vector(name: "UDP length beyond the packet", reason: "udp-malformed", packet: lisp(header, good, stated: 2000)),
        Vector(name: "UDP without payload", reason: nil, packet: lisp([], [])),
        Vector(name: "half a LISP header", reason: nil, packet: lisp(Array(header.prefix(4)), [])),
        Vector(name: "nothing behind the LISP header", reason: "inner-truncated", packet: lisp(header, [])),
        Vector(name: "KK without a key", reason: "encrypted-without-key", packet: lisp(FrameBuilder.lisp(flags: 0x09, instance: 1), good)),
        Vector(name: "an instance nobody has", reason: "instance-unknown", packet: lisp(FrameBuilder.lisp(instance: 77), good)),
        Vector(name: "inner version 0", reason: "inner-version-unknown", packet: lisp(header, [0x05] + good.dropFirst())),
        Vector(name: "inner version 15", reason: "inner-version-unknown", packet: lisp(header, [0xF5] + good.dropFirst())),
        Vector(name: "inner header length 2", reason: "inner-truncated", packet: lisp(header, badLength)),
        Vector(name: "inner header past the end", reason: "inner-truncated", packet: lisp(header, Array(longHeader.prefix(24)))),
        Vector(name: "inner length beyond the outer", reason: "inner-truncated", packet: lisp(header, lyingLong)),
        Vector(name: "inner IPv6 length beyond the outer", reason: "inner-truncated", packet: lisp(header, lyingLong6)),
        Vector(name: "inner IPv4 of 10 bytes", reason: "inner-truncated", packet: lisp(header, Array(good.prefix(10)))),
        Vector(name: "inner IPv6 of 30 bytes", reason: "inner-truncated", packet: lisp(header, Array(good6.prefix(30)))),
        Vector(name: "LISP in LISP, the loop", reason: "destination-not-local", packet: lisp(header, lisp(header, good))),
        Vector(
          name: "inner destination of somebody else", reason: "destination-not-local",
          packet: lisp(header, FrameBuilder.udp(from: bed.sites.siteA.host(.ipv4), 1, to: .v4(IPv4Address(8, 8, 8, 8)), 7, .init(), []))),
        Vector(name: "our own RLOC as source", reason: "outer-source-invalid", packet: lisp(header, good, source: b)),
      ]
      if rlocs == .ipv4 {
        vectors.append(
          Vector(
            name: "multicast source", reason: "outer-source-invalid", packet: lisp(header, good, source: .v4(IPv4Address(224, 0, 0, 5)))))
        var fields = FrameBuilder.IPFields()
        fields.flagsAndOffset = 0x2000
        vectors.append(
          Vector(
            name: "first fragment of an outer packet", reason: nil,
            packet: FrameBuilder.udp(from: a, 50000, to: b, 4341, fields, isChecksummed: false, header + good)))
      }
      return vectors
    }

    @Test func `D2 D3 flags that mean nothing here do not hurt`() throws {
      try TestBed.run { bed in
        try bed.warmUp()
        let core = try PacketSocket(in: bed.sites.core, interface: "xtrB")
        let host = try PacketSocket(in: bed.hostB1, interface: "eth0")
        for flags: UInt8 in [0x98, 0x28, 0x0C, 0xF8, 0xC8] {
          let packet = FrameBuilder.udp(
            from: bed.sites.siteA.rloc(.ipv4), 50000, to: bed.sites.siteB.rloc(.ipv4), 4341, isChecksummed: false,
            FrameBuilder.lisp(flags: flags, nonce: 0xABCDEF, instance: 1, statusBits: 0xFF) + bed.packetAToB(.ipv4))
          try bed.injectToB(packet, through: core)
          #expect(try host.receive(atMost: .seconds(1)) { $0.ip?.destinationPort == 7 } != nil, "flags \(flags)")
        }
      }
    }

    @Test(arguments: [UInt64(1), 2, 3]) func `random damage to good packets from both sides leaves the router whole`(seed: UInt64) throws {
      try TestBed.run { bed in
        try bed.warmUp()
        var random = SplitMix64(seed: seed)
        let core = try PacketSocket(in: bed.sites.core, interface: "xtrB")
        let site = try PacketSocket(in: bed.hostB1, interface: "eth0")
        let toSite = try bed.sites.siteB.router.macAddress(of: "site1")
        let fromSite = try bed.hostB1.macAddress(of: "eth0")
        for round in 0..<1500 {
          let family: AddressFamily = Bool.random(using: &random) ? .ipv4 : .ipv6
          if round % 2 == 0 {
            // Damage behind the addresses mostly: what never passes the steering program tests little.
            let packet = Self.damage(bed.encapsulated(bed.packetAToB(family)), from: 20, &random)
            try bed.injectToB(packet, through: core)
          } else {
            let packet = FrameBuilder.udp(
              from: bed.sites.siteB.host(family), 1, to: bed.sites.siteA.host(family), 7, .init(), [1, 2, 3, 4])
            try site.send(FrameBuilder.frame(to: toSite, from: fromSite, ip: Self.damage(packet, from: 0, &random)))
          }
        }
        try Interruption.sleep(.milliseconds(100))
        #expect(bed.b.process?.isRunning == true)
        let status = try bed.b.quietStatus()
        #expect(status.framesConserved && status.packetsConserved, "seed \(seed): \(status.totals)")
        #expect(status.totals.dropped > 100, "the damage reached the router")
        let flow = try bed.flow(.ipv6).run()
        #expect(flow.isClean, "seed \(seed): \(flow)")
      }
    }

    private static func damage(_ packet: [UInt8], from first: Int, _ random: inout SplitMix64) -> [UInt8] {
      var packet = packet
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        packet[Int.random(in: first..<packet.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if Int.random(in: 0..<4, using: &random) == 0 { packet.removeLast(Int.random(in: 0..<packet.count - 21, using: &random)) }
      return packet
    }
  }
}
