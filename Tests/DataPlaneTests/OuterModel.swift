// SPDX-License-Identifier: Apache-2.0
//
// What an ITR has to send, written from RFC 9300 section 5.3: the frame around a packet of our site, octet by octet. What the RFC
// leaves to the router (source port and flow label of a flow) is taken from the frame that is judged, within its limits.

import Testing

struct OuterModel {
  var peer = Rig.peer4
  var instance: UInt32 = 0
  var destinationPort: UInt16 = 4341
  var vlan: UInt16?
  var copiesECN = true
  var computesUDPChecksum = false

  var isIPv6: Bool { peer.contains(":") }

  /// The frame for `inner`, as it came from the host, given what the router chose.
  func frame(around inner: IPPacket, sourcePort: UInt16, flowLabel: UInt32) -> [UInt8] {
    var packet = LISPPacket(isIPv6 ? Rig.ownRLOC6 : Rig.ownRLOC4, peer, instance: instance, inner.decremented)
    packet.sourcePort = sourcePort
    packet.destinationPort = destinationPort
    packet.outer.timeToLive = inner.timeToLive - 1
    packet.outer.trafficClass = copiesECN ? inner.trafficClass : inner.trafficClass & 0xFC
    packet.outer.identification = 0
    packet.outer.fragmentWord = 0x4000
    packet.outer.flowLabel = flowLabel
    if computesUDPChecksum, isIPv6 { packet = packet.summed }
    return Frame.of(packet.octets, vlan: vlan, to: Rig.nextHopMAC.rawValue, from: Rig.coreMAC.rawValue)
  }

  /// Expects `outcome` to be the transmission of `inner` through the core port, exactly.
  func expect(_ outcome: Outcome, around inner: IPPacket, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(outcome.verdict == .transmit(UInt8(Port.core)), sourceLocation: sourceLocation)
    guard outcome.verdict.isTransmit, outcome.packet.count > 60 else { return }
    let packet = outcome.packet
    let udp = isIPv6 ? 40 : 20
    let sourcePort = UInt16(packet[udp]) << 8 | UInt16(packet[udp + 1])
    let flowLabel = isIPv6 ? UInt32(packet[1] & 0x0F) << 16 | UInt32(packet[2]) << 8 | UInt32(packet[3]) : 0
    #expect((49152...65535).contains(sourcePort), sourceLocation: sourceLocation)
    #expect(outcome.frame == frame(around: inner, sourcePort: sourcePort, flowLabel: flowLabel), sourceLocation: sourceLocation)
  }
}

extension Outcome {
  /// The outer UDP source port of a transmitted packet.
  var outerSourcePort: UInt16 {
    let udp = packet[0] >> 4 == 6 ? 40 : 20
    return UInt16(packet[udp]) << 8 | UInt16(packet[udp + 1])
  }

  var outerFlowLabel: UInt32 { UInt32(packet[1] & 0x0F) << 16 | UInt32(packet[2]) << 8 | UInt32(packet[3]) }

  /// The outer destination's octets.
  var outerDestination: [UInt8] { packet[0] >> 4 == 6 ? Array(packet[24..<40]) : Array(packet[16..<20]) }
}
