// SPDX-License-Identifier: Apache-2.0
//
// Tests of ICMPListener against the kernel: its own port-unreachable about a packet to UDP 4341, and nothing else.

import Glibc
import Testing
import Wire

@testable import Netlink

@Suite(.serialized, .enabled(if: isRoot, needsRoot))
struct ICMPListenerTests {
  /// An outer packet as the data plane sends it, to `to`'s port 4341.
  private func outer(_ to: IPAddress) -> [UInt8] {
    let udp = UDPHeader(sourcePort: 0xC123, destinationPort: LISPPort.data, payloadLength: 16).array + Array(repeating: 0, count: 16)
    switch to {
    case .v4(let address):
      return IPv4Header(protocolNumber: .udp, source: IPv4Address(10, 0, 0, 1), destination: address, payloadLength: udp.count).array + udp
    case .v6(let address):
      return IPv6Header(
        nextHeader: .udp, source: IPv6Address(high: 0x2001_0DB8 << 32, low: 1), destination: address, payloadLength: udp.count
      ).array + udp
    }
  }

  @Test(arguments: ["10.0.0.2", "2001:db8::2"])
  func `C7 the answer of a host that has no xTR is heard`(_ text: String) async throws {
    let pair = Pair()
    func inNear(_ command: String) { shell("ip netns exec \(pair.near.name) \(command)") }
    try await pair.near.run {
      let listener = try ICMPListener()
      let sender = try RawSender()
      let destination = address(text)
      // Over IPv6 a UDP checksum of zero is dropped in silence, so the kernel's own socket asks there.
      var heard: [ICMPUnreachable] = []
      for _ in 0..<100 where heard.isEmpty {
        switch destination {
        case .v4: #expect(sender.send(outer(destination).span) == .sent)
        case .v6: inNear("bash -c 'echo x > /dev/udp/\(text)/4341'")
        }
        usleep(20_000)
        heard = listener.receive()
      }
      let found = try #require(heard.first)
      #expect(found.destination == destination && found.destinationPort == LISPPort.data)
      if case .v4 = destination { #expect(found.sourcePort == 0xC123) }
      // An echo and its reply are of no interest.
      inNear("ping -c 1 -W 1 \(text)")
      #expect(listener.receive().isEmpty)
    }
  }
}
