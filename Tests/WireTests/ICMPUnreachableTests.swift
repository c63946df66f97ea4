// SPDX-License-Identifier: Apache-2.0

import Testing
import Wire

@Suite struct ICMPUnreachableTests {
  private static let ports: [UInt8] = [0xC0, 0x01, 0x10, 0xF5, 0, 30, 0, 0] + Array(repeating: 7, count: 22)

  private static func outer(_ family: AddressFamily) -> [UInt8] {
    switch family {
    case .ipv4:
      IPv4Header(protocolNumber: .udp, source: IPv4Address(192, 0, 2, 1), destination: IPv4Address(192, 0, 2, 2), payloadLength: 30).array
        + ports
    case .ipv6:
      IPv6Header(
        nextHeader: .udp, source: IPv6Address(high: 0x2001_0DB8 << 32, low: 1), destination: IPv6Address(high: 0x2001_0DB8 << 32, low: 2),
        payloadLength: 30
      ).array + ports
    }
  }

  /// The ICMP message that a router at `source` makes of `outer`.
  private static func message(_ kind: ICMPErrorKind, _ family: AddressFamily) -> [UInt8] {
    let router: IPAddress = family == .ipv4 ? .v4(IPv4Address(198, 51, 100, 1)) : .v6(IPv6Address(high: 0x2001_0DB8 << 32, low: 9))
    let packet = PacketBuffer(outer(family)).withBytes { icmpError(kind, about: $0, from: router) } ?? []
    return Array(packet.dropFirst(family == .ipv4 ? 20 : 40))
  }

  private static func parse(_ message: [UInt8], _ family: AddressFamily) -> ICMPUnreachable? {
    PacketBuffer(message).withBytes { ICMPUnreachable($0, family: family) }
  }

  @Test(arguments: AddressFamily.allCases)
  func `the packet that did not arrive is named`(_ family: AddressFamily) throws {
    let found = try #require(Self.parse(Self.message(.hostUnreachable, family), family))
    #expect(found.sourcePort == 0xC001 && found.destinationPort == LISPPort.data)
    #expect("\(found.source)" == (family == .ipv4 ? "192.0.2.1" : "2001:db8::1"))
    #expect("\(found.destination)" == (family == .ipv4 ? "192.0.2.2" : "2001:db8::2"))
  }

  @Test(arguments: AddressFamily.allCases)
  func `other errors say nothing of reachability`(_ family: AddressFamily) {
    #expect(Self.parse(Self.message(.timeExceeded, family), family) == nil)
    #expect(Self.parse(Self.message(.tooBig(mtu: 1400), family), family) == nil)
  }

  @Test(arguments: AddressFamily.allCases)
  func `every truncation that has no ports is nothing, and a quote of another protocol, too`(_ family: AddressFamily) {
    let message = Self.message(.hostUnreachable, family)
    let needed = 8 + (family == .ipv4 ? 20 : 40) + 4
    for count in message.indices { #expect((Self.parse(Array(message[..<count]), family) != nil) == (count >= needed), "\(count) bytes") }
    for (offset, value) in family == .ipv4 ? [(8, UInt8(0x65)), (8, 0x44), (17, 6), (15, 1)] : [(8, UInt8(0x45)), (14, 6)] {
      var changed = message
      changed[offset] = value
      #expect(Self.parse(changed, family) == nil)
    }
  }
}
