// SPDX-License-Identifier: Apache-2.0
//
// Templates as values and compiled, and the layout of what the engine reads.

import PrefixTable
import Testing
import Wire

@testable import DataPlane

@Suite struct HeaderTemplateTests {
  @Test func `a tunnel has addresses of one family`() throws {
    let (four, six) = (try #require(IPAddress("192.0.2.1")), try #require(IPAddress("2001:db8::1")))
    #expect(HeaderTemplate.Tunnel(source: four, destination: six) == nil)
    #expect(HeaderTemplate.Tunnel(source: six, destination: four) == nil)
    #expect(HeaderTemplate.Tunnel(source: four, destination: four)?.destinationPort == 4341)
    #expect(HeaderTemplate.Tunnel(source: six, destination: six, destinationPort: 9)?.destinationPort == 9)
  }

  @Test(arguments: [nil, 5] as [UInt16?], [true, false])
  func `a compiled template knows lengths, way out and the largest inner packet`(vlan: UInt16?, isResolved: Bool) throws {
    let rig = try Rig()
    let ethernet: UInt8 = vlan == nil ? 14 : 18
    let cases =
      [
        (try rig.tunnel(to: Rig.peer4, vlan: vlan, isResolved: isResolved), 4, 36, 1464),
        (try rig.tunnel(to: Rig.peer6, vlan: vlan, isResolved: isResolved), 6, 56, 1444),
        (rig.delivery(vlan: vlan, isResolved: isResolved), 0, 0, 1500),
      ] as [(HeaderTemplate, UInt8, UInt8, UInt16)]
    for (template, family, tunnel, largest) in cases {
      let block = TemplateBlock(template)
      defer { block.deallocate() }
      let fields = block.fields
      #expect(fields.ethernetByteCount == ethernet && fields.tunnelByteCount == tunnel && fields.tunnelFamily == family)
      #expect(fields.maximumPacket == largest)
      let waiting: Verdict = .punt(family == 0 ? .innerNeighbour : .outerNeighbour)
      #expect(fields.verdict == (isResolved ? .transmit(template.port) : waiting))
    }
  }

  @Test func `an MTU smaller than the header leaves room for nothing`() throws {
    let rig = try Rig()
    for mtu in [-1, 0, 1, 35, 36] {
      let block = TemplateBlock(try rig.tunnel(to: Rig.peer4, mtu: mtu))
      defer { block.deallocate() }
      #expect(block.fields.maximumPacket == 0)
    }
    let jumbo = TemplateBlock(try rig.tunnel(to: Rig.peer4, mtu: .max))
    defer { jumbo.deallocate() }
    #expect(jumbo.fields.maximumPacket == 65535 - 36)
  }

  @Test func `what the engine reads is laid out in lines`() {
    #expect(MemoryLayout<MappingRecord>.size == 8 && MemoryLayout<MappingRecord>.stride == 8)
    #expect(MemoryLayout<Packet>.size <= PacketArray.stride && PacketArray.stride == 64, "a packet never straddles two lines")
    #expect(MemoryLayout<TemplateFields>.size <= 16, "fields end before the longest IPv4 header begins: 64 − 18 − 28")
    #expect(TemplateBlock.byteCount == 128)
  }
}
