// SPDX-License-Identifier: Apache-2.0
//
// As few frames as the configuration allows, and more packets waiting than there are frames for.

import Glibc
import Lab
import Testing
import Wire

extension Netns {
  @Suite struct FewFramesTests {
    /// What `frames-per-queue` may be at least.
    private static let frames = 256
    private static var options: TestBed.Options {
      TestBed.Options(configure: { configuration, _ in
        configuration.routerLines = ["frames-per-queue = \(frames)"]
      })
    }

    private static func expectAllAccounted(_ bed: TestBed) throws {
      for router in bed.routers {
        let status = try router.quietStatus()
        #expect(status.packetsConserved, "\(router.name): \(status.totals)")
        #expect(status.framesConserved, "\(router.name): \(status.workers.map(\.frames))")
        for worker in status.workers {
          #expect(worker.frames.total == 3 * frames, "three ports of one queue each")
          #expect(worker.frames.received == 0 && worker.frames.transmit == 0, "at rest nothing is under way: \(worker.frames)")
        }
      }
    }

    @Test func `with the fewest frames traffic of both directions is forwarded whole, and all frames are accounted for`() throws {
      try TestBed.run(Self.options) { bed in
        try bed.warmUp()
        for family in AddressFamily.allCases {
          let there = bed.flow(family)
          var back = UDPFlow(from: bed.hostB1, to: bed.hostA1, destination: bed.sites.siteA.host(family))
          (back.packetsPerSecond, back.duration, back.port) = (there.packetsPerSecond, there.duration, 5003)
          let running = [try there.start(), try back.start()]
          for flow in running {
            let result = try flow.join()
            #expect(result.isClean, "\(result)")
          }
          // TCP finds by itself how much the router takes, to the brim.
          let payload = try Payload(byteCount: 4 << 20, seed: 7)
          #expect(
            try TCPTransfer(from: bed.hostA1, to: bed.hostB1, destination: bed.sites.siteB.host(family), payload: payload).run().isIntact)
          #expect(
            try TCPTransfer(from: bed.hostB1, to: bed.hostA1, destination: bed.sites.siteA.host(family), payload: payload).run().isIntact)
        }
        try Self.expectAllAccounted(bed)
        for router in bed.routers {
          let drops = try router.drops().filter { $0.packets > 0 }
          #expect(drops.isEmpty, "\(router.name): \(drops)")
        }
      }
    }

    /// The router stands still while packets come: what fits the fill rings waits, and goes on when the router does. A fill ring holds
    /// two thirds of 256 frames, less up to 63 places that are not worth a refill.
    @Test(arguments: [(100, true), (2000, false)])
    func `packets that queue up behind a router that stands still are forwarded, those without a frame are lost, no frame is`(
      burst: Int, fits: Bool
    ) throws {
      try TestBed.run(Self.options) { bed in
        try bed.warmUp()
        let site = try PacketSocket(in: bed.hostB1, interface: "eth0")
        let core = try PacketSocket(in: bed.sites.core, interface: "xtrB")
        let (hostA, hostB) = (bed.sites.siteA.host(.ipv4), bed.sites.siteB.host(.ipv4))
        let outgoing = FrameBuilder.frame(
          to: try bed.sites.siteB.router.macAddress(of: "site1"), from: try bed.hostB1.macAddress(of: "eth0"),
          ip: Self.unaskedReply(from: hostB, to: hostA))
        let incoming = FrameBuilder.frame(
          to: try bed.sites.siteB.router.macAddress(of: "core"), from: try bed.sites.core.macAddress(of: "xtrB"),
          ip: bed.encapsulated(Self.unaskedReply(from: hostA, to: hostB)))
        let idle = try bed.b.quietStatus().totals
        for _ in 0..<5 {
          bed.b.signal(SIGSTOP)
          for _ in 0..<burst {
            try site.send(outgoing)
            try core.send(incoming)
          }
          bed.b.signal(SIGCONT)
          try Interruption.sleep(.milliseconds(100))
          try Self.expectAllAccounted(bed)
        }
        let totals = try bed.b.quietStatus().totals
        let received = Int(totals.received.packets - idle.received.packets)
        #expect(Int(totals.transmitted.packets - idle.transmitted.packets) == received, "\(totals)")
        if fits {
          #expect(received == 10 * burst)
        } else {
          #expect(received >= 10 * 100 && received < 10 * burst, "\(received)")
        }
        let (inside, outside) = (try Self.arrivals(at: site), try Self.arrivals(at: core))
        #expect(inside + outside == received && inside >= 5 * 100 && outside >= 5 * 100, "\(inside) and \(outside) of \(received)")
        let flow = try bed.flow(.ipv4).run()
        #expect(flow.isClean, "\(flow)")
      }
    }

    /// An answer to an echo request that nobody made: hosts take it without a word.
    private static func unaskedReply(from source: IPAddress, to destination: IPAddress) -> [UInt8] {
      var message: [UInt8] = [0, 0, 0, 0, 0x4C, 0x41, 0, 1]
      message.replaceSubrange(2..<4, with: FrameBuilder.checksum(message).bigEndianBytes)
      return FrameBuilder.ip(from: source, to: destination, protocol: 1, .init(), message)
    }

    /// Such answers that have arrived, encapsulated or not.
    private static func arrivals(at tap: PacketSocket) throws -> Int {
      var count = 0
      while let frame = try tap.receive(atMost: .zero) {
        let decoded = DecodedFrame(frame)
        if let icmp = (decoded?.lisp?.inner ?? decoded?.ip)?.icmp, icmp == (0, 0) { count += 1 }
      }
      return count
    }
  }
}
