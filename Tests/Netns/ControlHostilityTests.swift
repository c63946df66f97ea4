// SPDX-License-Identifier: Apache-2.0
//
// Control messages that no honest peer sends, and honest ones at the wrong time: counted under a reason, and nothing else happens. What is
// broken are real messages, taken from the links of the lab.

import ControlAPI
import ControlPlane
import Glibc
import Lab
import Testing
import Wire

extension MappingSystemNetns {
  @Suite struct ControlHostilityTests {
    /// A link's two ends, to hear what one side sends and to speak for it.
    private struct Wiretap {
      let fromRouter: PacketSocket
      let toRouter: PacketSocket
      let routerMAC: MACAddress
      let coreMAC: MACAddress

      init(_ site: Site, _ core: Namespace) throws {
        fromRouter = try PacketSocket(in: core, interface: site.coreSideInterface)
        toRouter = try PacketSocket(in: site.router, interface: site.coreInterface)
        routerMAC = try site.router.macAddress(of: site.coreInterface)
        coreMAC = try core.macAddress(of: site.coreSideInterface)
      }

      /// What is said on port 4342 until nothing more comes for a moment.
      static func messages(_ tap: PacketSocket) throws -> [DecodedPacket] {
        var messages: [DecodedPacket] = []
        while let frame = try tap.receive(atMost: .milliseconds(50), where: { $0.ip?.isUDP == true && $0.ip?.destinationPort == 4342 }) {
          if let packet = frame.ip { messages.append(packet) }
        }
        return messages
      }

      /// As if the core had sent it to the router.
      func tellRouter(_ packet: [UInt8]) throws { try fromRouter.send(FrameBuilder.frame(to: routerMAC, from: coreMAC, ip: packet)) }

      /// As if the router had sent it to the core.
      func tellCore(_ packet: [UInt8]) throws { try toRouter.send(FrameBuilder.frame(to: coreMAC, from: routerMAC, ip: packet)) }
    }

    private static func total(_ process: RouterProcess) throws -> UInt64 { try process.control().refused.reduce(0) { $0 + $1.count } }

    /// The same packet with another payload.
    private static func packet(like packet: DecodedPacket, _ payload: [UInt8]) -> [UInt8] {
      FrameBuilder.udp(
        from: packet.source, packet.sourcePort, to: packet.destination, packet.destinationPort, FrameBuilder.IPFields(), payload)
    }

    /// The type of a control message is its first four bits.
    private static func type(_ packet: DecodedPacket) -> UInt8 { (packet.udpPayload.first ?? 0) >> 4 }

    private static var recorded: MappingSystemLab.Options { .init(startsRouters: false) }

    /// Starts the routers, has them register and resolve, and gives what site A and the map-server said to each other.
    private func record(_ bed: MappingSystemLab, _ tap: Wiretap) throws -> (toServer: [DecodedPacket], toRouter: [DecodedPacket]) {
      try bed.startRouters()
      for letter in ["A", "B"] { try bed.waitUntilRegistered(letter) }
      try #require(try bed.ping(.ipv4).isComplete)
      return (try Wiretap.messages(tap.fromRouter), try Wiretap.messages(tap.toRouter))
    }

    @Test func `C10 truncated messages and random bytes are counted, whoever gets them, and nothing else suffers`() throws {
      try MappingSystemLab.run(Self.recorded) { bed in
        let tap = try Wiretap(bed.sites.siteA, bed.sites.core)
        let said = try record(bed, tap)
        // Map-Registers and encapsulated Map-Requests; Map-Notifies and Map-Replies.
        #expect(Set(said.toServer.map(Self.type)) == [3, 8] && Set(said.toRouter.map(Self.type)) == [2, 4])
        let (mappings, registered) = (try bed.a.mappings().map(\.eid), try bed.server.registered().count)

        for (process, messages, tell) in [(bed.server, said.toServer, tap.tellCore), (bed.a, said.toRouter, tap.tellRouter)] {
          var generator = SplitMix64(seed: 4342)
          var packets: [[UInt8]] = []
          for message in messages {
            let payload = message.udpPayload
            for count in 0..<payload.count { packets.append(Self.packet(like: message, Array(payload.prefix(count)))) }
          }
          for count in 0..<500 { packets.append(Self.packet(like: messages[0], generator.bytes(count * 2))) }
          let (before, refused) = (try process.control().received, try Self.total(process))
          for packet in packets { try tell(packet) }
          try bed.eventually("\(packets.count) messages to be received") {
            try process.control().received >= before + UInt64(packets.count)
          }
          #expect(try Self.total(process) == refused + UInt64(packets.count), "\(process.name)")
        }
        #expect(try bed.a.mappings().map(\.eid) == mappings)
        #expect(try bed.server.registered().count == registered)
        for family in AddressFamily.allCases { #expect(try bed.ping(family).isComplete) }
      }
    }

    /// The kernel says of a socket that it can be read, looks at the checksum when it is, and then has nothing.
    @Test func `C10 datagrams with a wrong UDP checksum are counted and cost nothing else`() throws {
      try MappingSystemLab.run(Self.recorded) { bed in
        let tap = try Wiretap(bed.sites.siteA, bed.sites.core)
        let said = try record(bed, tap)
        for (process, message, tell) in [(bed.server, said.toServer[0], tap.tellCore), (bed.a, said.toRouter[0], tap.tellRouter)] {
          let before = try process.control()
          var packet = Self.packet(like: message, message.udpPayload)
          packet[26] ^= 0x55
          for count in 1...300 {
            try tell(packet)
            if count % 100 == 0 {
              try bed.eventually("\(count) of them to be thrown away") { try process.control().dropped == before.dropped + UInt64(count) }
            }
          }
          let after = try process.control()
          #expect(after.addresses == before.addresses && after.refused == before.refused)
        }
        for family in AddressFamily.allCases { #expect(try bed.ping(family).isComplete) }
      }
    }

    /// As many fragments as it takes.
    private static func fragments(from source: DecodedPacket, _ payload: [UInt8]) -> [[UInt8]] {
      let datagram = FrameBuilder.udp(from: source.source, 4342, to: source.destination, 4342, FrameBuilder.IPFields(), payload).dropFirst(
        20)
      return stride(from: 0, to: datagram.count, by: 1400).map { offset in
        var fields = FrameBuilder.IPFields()
        fields.identification = UInt16(truncatingIfNeeded: payload.count)
        fields.flagsAndOffset = UInt16(offset / 8) | (offset + 1400 < datagram.count ? 0x2000 : 0)
        let part = Array(datagram.dropFirst(offset).prefix(1400))
        return FrameBuilder.ip(from: source.source, to: source.destination, protocol: 17, fields, part)
      }
    }

    @Test func `C10 a message of many kilobytes is received whole`() throws {
      var options = Self.recorded
      options.configureServer = { file, _ in file.sites[0].moreSpecifics = true }
      try MappingSystemLab.run(options) { bed in
        let tap = try Wiretap(bed.sites.siteA, bed.sites.core)
        let said = try record(bed, tap)
        let instance = InstanceID(truncating: 1)
        let records = (1...200).map { host in
          EIDRecord(
            EIDPrefix(instance, IPPrefix(host: .v4(IPv4Address(10, 1, 0, UInt8(host))))), ttl: 60,
            locators: [LocatorRecord(.ip(bed.sites.siteA.rloc(.ipv4)))])
        }
        let key = AuthenticationKey(id: 0, secret: Array(MapServerFile.key(of: "A").utf8))
        let register = MapRegister(
          nonce: .max, flags: [.proxyReply, .wantNotify], records: records, identity: XTRIdentity(xtrIDHigh: 1, xtrIDLow: 1))
        let message = key.sign(register)
        #expect(message.count > 5000)
        for fragment in Self.fragments(from: said.toServer[0], message) { try tap.tellCore(fragment) }
        try bed.eventually("the registrations") { try bed.server.registered().count == 208 }
        #expect(try bed.server.control().refused.isEmpty)

        let before = try bed.a.control().refused.count(of: "not-for-us")
        for fragment in Self.fragments(from: said.toRouter[0], message) { try tap.tellRouter(fragment) }
        // Cut, it would be malformed.
        try bed.eventually("its refusal") { try bed.a.control().refused.count(of: "not-for-us") == before + 1 }
        #expect(try bed.a.control().refused.count(of: "malformed") == 0)
      }
    }

    @Test func `C3 a reply without the nonce of an outstanding request changes nothing and is counted`() throws {
      try MappingSystemLab.run(Self.recorded) { bed in
        let tap = try Wiretap(bed.sites.siteA, bed.sites.core)
        let said = try record(bed, tap)
        let reply = try #require(said.toRouter.first { Self.type($0) == 2 })
        let mappings = try bed.a.mappings().map { "\($0.eid) \($0.rlocs)" }

        // The true answer once more, and false ones that lead to somebody else.
        try tap.tellRouter(reply.bytes)
        var generator = SplitMix64(seed: 9301)
        for _ in 0..<20 {
          try tap.tellRouter(Self.packet(like: reply, try Self.forged(reply.udpPayload, nonce: generator.bytes(8), bed)))
        }
        try bed.eventually("the refusals") { try bed.a.control().refused.count(of: "unknown-nonce") == 21 }
        #expect(try bed.a.mappings().map { "\($0.eid) \($0.rlocs)" } == mappings)

        // While a question is open.
        bed.server.signal(SIGSTOP)
        defer { bed.server.signal(SIGCONT) }
        let ping = try ChildProcess(["ping", "-n", "-c", "1", "-W", "10", "\(bed.sites.siteB.host(.ipv6))"], in: bed.hostA)
        try bed.eventually("a packet that waits") { try bed.a.control().waiting == 1 }
        for _ in 0..<20 {
          try tap.tellRouter(Self.packet(like: reply, try Self.forged(reply.udpPayload, nonce: generator.bytes(8), bed)))
        }
        try bed.eventually("the refusals") { try bed.a.control().refused.count(of: "unknown-nonce") == 41 }
        #expect(try bed.a.mappings().map { "\($0.eid) \($0.rlocs)" } == mappings)
        bed.server.signal(SIGCONT)
        #expect(try ping.wait() == .exited(0), "\(ping.standardOutput)")
      }
    }

    /// Another nonce, and 203.0.113.66 in the place of site B's RLOC.
    private static func forged(_ payload: [UInt8], nonce: [UInt8], _ bed: MappingSystemLab) throws -> [UInt8] {
      var payload = payload
      payload.replaceSubrange(4..<12, with: nonce)
      let rloc = bed.sites.siteB.rloc(.ipv4).octets
      let place = try #require((0...payload.count - 4).first { Array(payload[$0..<$0 + 4]) == rloc })
      payload.replaceSubrange(place..<place + 4, with: [203, 0, 113, 66])
      return payload
    }

    @Test func `C8 an old Map-Register from the wire is refused as replayed`() throws {
      try MappingSystemLab.run(Self.recorded) { bed in
        let tap = try Wiretap(bed.sites.siteA, bed.sites.core)
        let said = try record(bed, tap)
        let old = try #require(said.toServer.first { Self.type($0) == 3 })
        // A later one: the site has one EID-prefix less.
        try bed.apply("A") { $0.router.database.removeAll { $0 == (2, "10.1.0.0/24") } }
        try bed.eventually("the withdrawal") { try bed.server.registered().count == 7 }
        try bed.waitUntilRegistered("A")

        let before = try bed.server.control().refused.count(of: "replayed")
        for _ in 0..<5 { try tap.tellCore(Self.packet(like: old, old.udpPayload)) }
        try bed.eventually("the refusals") { try bed.server.control().refused.count(of: "replayed") == before + 5 }
        #expect(try bed.server.registered().count == 7)
      }
    }

    /// Whom to answer is the asker's word: here it is nobody that the map-server has a way to.
    @Test func `C10 an asker to whom there is no way costs others nothing`() throws {
      try MappingSystemLab.run(Self.recorded) { bed in
        let tap = try Wiretap(bed.sites.siteA, bed.sites.core)
        let said = try record(bed, tap)
        let request = try #require(said.toServer.first { Self.type($0) == 8 })
        try bed.sites.core.ip("route add blackhole 203.0.113.2")
        let rloc = bed.sites.siteA.rloc(.ipv4).octets
        let inner = try #require(DecodedPacket(request.udpPayload.dropFirst(4)))
        for address: [UInt8] in [[203, 0, 113, 1], [203, 0, 113, 2]] {
          var message = inner.udpPayload
          let place = try #require((0...message.count - 4).first { Array(message[$0..<$0 + 4]) == rloc })
          message.replaceSubrange(place..<place + 4, with: address)
          let before = try bed.server.control().received
          try tap.tellCore(Self.packet(like: request, request.udpPayload.prefix(4) + Self.packet(like: inner, message)))
          try bed.eventually("the question") { try bed.server.control().received > before }
        }
        #expect(try bed.server.control().refused.isEmpty, "nothing is wrong with the questions")
        for family in AddressFamily.allCases { #expect(try bed.ping(family).isComplete) }
        #expect(try bed.server.control().addresses.count == 4, "all sockets are open")
      }
    }
  }
}
