// SPDX-License-Identifier: Apache-2.0
//
// tshark reads what the routers send: a decoder that nobody here wrote.

import Lab
import Testing
import Wire

extension Netns {
  @Suite(.enabled(if: Capture.isPossible, "needs tcpdump and tshark")) struct DecoderTests {
    @Test(arguments: AddressFamily.allCases) func `tshark finds nothing wrong in what we send over this RLOC family`(rlocs: AddressFamily)
      throws
    {
      // Ephemeral ports that no protocol is known by: at 33434 and up tshark would tell of a possible traceroute.
      let ports = { (sites: TwoSites) in
        for host in sites.siteA.hosts + sites.siteB.hosts { try host.set("net/ipv4/ip_local_port_range", "40000 60999") }
      }
      try TestBed.run(.init(rlocFamily: rlocs, prepare: ports)) { bed in
        try bed.warmUp()
        let capture = try Capture(
          in: bed.sites.core, interface: "xtrA", filter: "udp port 4341", into: "\(bed.lab.directory)/core.pcap")
        let payload = try Payload(byteCount: 1 << 16, seed: 3)
        for family in AddressFamily.allCases {
          for instance in [1, 2] {
            #expect(try bed.ping(family, instance: instance).isComplete)
            #expect(try bed.flow(family, instance: instance).run(packets: 20).isClean)
          }
          let transfer = try TCPTransfer(from: bed.hostA1, to: bed.hostB1, destination: bed.sites.siteB.host(family), payload: payload)
            .run()
          #expect(transfer.isIntact)
        }
        try capture.stop()
        try Self.judge(capture)
      }
    }

    private static func judge(_ capture: Capture) throws {
      let rows = try capture.fields(["frame.protocols", "lisp-data.iid"])
      #expect(rows.count > 100)
      #expect(rows.allSatisfy { $0[0].contains("lisp-data") })
      #expect(Set(rows.map { $0[1] }) == ["1", "2"])

      // No remark at all, but for those on a TCP connection's life (SYN, FIN, window), which are about the hosts.
      let remarks = try capture.fields(["_ws.expert.message"], filter: "_ws.expert && !tcp").map { $0[0] }
      #expect(remarks == [])
      let onTCP = try capture.fields(["_ws.expert.message"], filter: "_ws.expert && tcp").flatMap { $0[0].split(separator: "|") }
      #expect(onTCP.filter { !Self.isAboutTheConnection($0) } == [])

      // "Good" is 1. Outer UDP checksums are 0 and not verified (RFC 9300 section 5.3): only the inner one has a status 1.
      let checksums = try capture.fields(["ip.checksum.status", "udp.checksum.status", "udp.checksum", "tcp.checksum.status"])
      for row in checksums {
        #expect(row[0].split(separator: "|").allSatisfy { $0 == "1" }, "IPv4 header checksum: \(row)")
        #expect(row[3].isEmpty || row[3] == "1", "TCP checksum: \(row)")
        let statuses = row[1].split(separator: "|")
        #expect(row[2].hasPrefix("0x0000"), "outer UDP checksum: \(row)")
        #expect(statuses.dropFirst().allSatisfy { $0 == "1" }, "inner UDP checksum: \(row)")
      }
      #expect(checksums.contains { $0[1].split(separator: "|").count == 2 } && checksums.contains { !$0[3].isEmpty })
    }

    private static func isAboutTheConnection(_ remark: Substring) -> Bool {
      ["Connection ", "This frame ", "TCP window", "TCP Window", "Duplicate ACK", "D-SACK", "ACK to a TCP"].contains {
        remark.hasPrefix($0)
      }
    }
  }
}
