// SPDX-License-Identifier: Apache-2.0
//
// The first packets to an EID that nobody has asked for: they wait, one question is asked, they leave in order, or go the way of the
// negative answer.

import Glibc
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct ResolutionTests {
    @Test func `C1 packets to a cold EID lose nothing, and a second EID of the prefix asks nothing`() throws {
      try MappingSystemLab.run { bed in
        for family in AddressFamily.allCases {
          let result = try bed.ping(family, count: 5)
          #expect(result.isComplete, "\(result.output)")
          let prefix = bed.sites.siteB.eidPrefix(family)
          let mapping = try bed.requireMapping("\(prefix)")
          #expect(mapping.origin == .mapReply && mapping.owner == bed.sites.siteA.coreGateway(.ipv4), "\(mapping)")
          #expect(mapping.rlocs == ["\(bed.sites.siteB.rloc(.ipv4))"])

          let host = IPPrefix(host: bed.sites.siteB.host(family))
          let asked = try bed.a.resolutions()
          let request = try #require(asked.first { $0.eidPrefix == "\(host)" }, "\(asked)")
          #expect(request.state == "answered" && request.instanceID == 1 && request.tries == 1, "\(request)")
          #expect(request.asked == bed.sites.siteA.coreGateway(.ipv4) && request.answeredBy == request.asked, "\(request)")

          let neighbour = family == .ipv4 ? "10.2.0.11" : "fd00:2::11"
          try bed.hostB.ip("addr add \(neighbour)/\(family.linkPrefixLength) dev eth0\(family == .ipv6 ? " nodad" : "")")
          let second = try bed.ping(try #require(IPAddress(neighbour)))
          #expect(second.isComplete, "\(second.output)")
          #expect(try bed.a.resolutions().count == asked.count)
        }
        #expect(try bed.a.control().unresolved.isEmpty)
      }
    }

    /// Numbered packets from site A's host, past its kernel, and what of them arrives at site B's.
    private struct Burst {
      static let port: UInt16 = 5009
      let bed: MappingSystemLab
      let sender: PacketSocket
      let receiver: PacketSocket

      init(_ bed: MappingSystemLab) throws {
        self.bed = bed
        sender = try PacketSocket(in: bed.hostA, interface: "eth0")
        receiver = try PacketSocket(in: bed.hostB, interface: "eth0")
      }

      func send(_ numbers: Range<UInt32>, _ family: AddressFamily) throws {
        let router = try bed.sites.siteA.router.macAddress(of: "site1")
        let host = try bed.hostA.macAddress(of: "eth0")
        let (from, to) = (bed.sites.siteA.host(family), bed.sites.siteB.host(family))
        for number in numbers {
          let packet = FrameBuilder.udp(from: from, Self.port, to: to, Self.port, FrameBuilder.IPFields(), number.bigEndianBytes)
          try sender.send(FrameBuilder.frame(to: router, from: host, ip: packet))
        }
      }

      /// The numbers that arrive, until there are `count`; and that nothing more comes.
      func numbers(_ count: Int) throws -> [UInt32] {
        var numbers: [UInt32] = []
        let end = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < end {
          let patience = numbers.count < count ? Duration.seconds(1) : .milliseconds(100)
          let frame = try receiver.receive(atMost: patience) { $0.ip?.destinationPort == Self.port }
          if let bytes = frame?.ip?.udpPayload, bytes.count == 4 {
            numbers.append(bytes.reduce(0) { $0 << 8 | UInt32($1) })
          } else if numbers.count >= count {
            break
          }
        }
        return numbers
      }
    }

    /// The map-server stands still while they come: all of them have to wait.
    @Test(arguments: AddressFamily.allCases)
    func `C1 64 packets to a cold EID wait and leave in order, and only the surplus is lost and counted`(
      family: AddressFamily
    ) throws {
      try MappingSystemLab.run { bed in
        let burst = try Burst(bed)
        bed.server.signal(SIGSTOP)
        defer { bed.server.signal(SIGCONT) }
        try burst.send(0..<64, family)
        try bed.eventually("64 waiting packets") { try bed.a.control().waiting == 64 }
        #expect(try bed.a.control().unresolved.isEmpty)
        try burst.send(64..<100, family)
        try bed.eventually("the surplus to be counted") { try bed.a.control().unresolved.count(of: "queue-full-prefix") == 36 }

        bed.server.signal(SIGCONT)
        #expect(try burst.numbers(64) == Array(0..<64))
        let control = try bed.a.control()
        #expect(control.waiting == 0 && control.released == 64 && control.unresolved.map(\.count) == [36], "\(control)")
        try burst.send(100..<110, family)
        #expect(try burst.numbers(10) == Array(100..<110))
      }
    }

    @Test func `C5 E17 an EID that nobody has is answered for its whole hole, and its packets leave as they are`() throws {
      try MappingSystemLab.run { bed in
        let tap = try PacketSocket(in: bed.sites.core, interface: "xtrA")
        let stranger = try #require(IPAddress("10.9.0.10"))
        #expect(try bed.ping(stranger, count: 2).received == 0)
        let native = try tap.receive(atMost: .seconds(2)) { $0.ip?.destination == stranger }
        #expect(native?.ip?.icmp?.type == 8, "an echo request without an outer header")

        // 10.1.0.0/24 and 10.2.0.0/24 are the sites': the shortest prefix around 10.9.0.10 without them.
        let mapping = try bed.requireMapping("10.8.0.0/13")
        #expect(mapping.action == .nativeForward && mapping.ttlMinutes == 15, "\(mapping)")
        let asked = try bed.a.resolutions().count
        #expect(try bed.ping(try #require(IPAddress("10.14.3.4")), count: 1).received == 0)
        #expect(try bed.a.resolutions().count == asked, "another EID of the hole is not asked for")
        #expect(try bed.ping(.ipv4).isComplete, "the hole leaves out what is registered")
      }
    }

    @Test func `C5 C6 a prefix that its site registers later is reached long before the negative answer ends`() throws {
      let options = MappingSystemLab.Options(configureServer: { file, _ in file.sites[1].prefixes.append((1, "10.3.0.0/24")) })
      try MappingSystemLab.run(options) { bed in
        try bed.sites.siteB.router.ip("route add 10.3.0.0/24 dev site1")
        try bed.hostB.ip("addr add 10.3.0.10/32 dev eth0")
        let host = try #require(IPAddress("10.3.0.10"))
        // Site B has to know of site A to tell it.
        try bed.warmUp()
        #expect(try bed.ping(host, count: 1).received == 0)
        let negative = try bed.requireMapping("10.3.0.0/24")
        #expect(negative.action == .nativeForward && negative.ttlMinutes == 1, "\(negative)")

        let start = ContinuousClock.now
        try bed.apply("B") { $0.router.database.append((1, "10.3.0.0/24")) }
        try bed.eventually("the mapping") { try bed.mapping("10.3.0.0/24")?.rlocs == ["\(bed.sites.siteB.rloc(.ipv4))"] }
        print("registered after a negative answer: known after \(ContinuousClock.now - start)")
        let result = try bed.ping(host)
        #expect(result.isComplete, "\(result.output)")
      }
    }
  }
}
