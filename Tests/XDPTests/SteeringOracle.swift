// SPDX-License-Identifier: Apache-2.0
//
// What the steering program ought to answer, said once more and in another way: bytes and rules in, lift or pass out. It reads
// the frame through optionals, so that there is nothing to prove, and searches lists. Tests compare the program with it.

import Wire

@testable import XDP

struct SteeringOracle {
  let rules: SteeringRules

  func lifts(_ frame: [UInt8]) -> Bool {
    guard frame.count >= 14, Array(frame[..<6]) == rules.macAddress.octets else { return false }
    var (type, vlan, rest) = (word(frame, 12), UInt16(0), Array(frame[14...]))
    if type == 0x8100 {
      guard rest.count >= 4 else { return false }
      (type, vlan, rest) = (word(rest, 2), (word(rest, 0) ?? 0) & 0xFFF, Array(rest[4...]))
    }
    let packet: Packet? = type == 0x0800 ? ipv4(rest) : type == 0x86DD ? ipv6(rest) : nil
    guard let packet else { return false }
    switch rules.role {
    case .core: return core(packet)
    case .site: return site(packet, vlan)
    case .both: return core(packet) || site(packet, vlan)
    }
  }

  private struct Packet {
    var source: IPAddress
    var destination: IPAddress
    var transport: UInt8
    /// What follows the last header walked over, to the end of the IP packet.
    var payload: [UInt8]
    var fragment: (any: Bool, later: Bool) = (false, false)
  }

  private func ipv4(_ bytes: [UInt8]) -> Packet? {
    guard bytes.count >= 20, bytes[0] >> 4 == 4, let length = word(bytes, 2), let fragment = word(bytes, 6) else { return nil }
    let header = Int(bytes[0] & 15) * 4
    guard header >= 20, Int(length) >= header, Int(length) <= bytes.count,
      let source = IPAddress(octets: bytes[12..<16]), let destination = IPAddress(octets: bytes[16..<20])
    else { return nil }
    return Packet(
      source: source, destination: destination, transport: bytes[9], payload: Array(bytes[header..<Int(length)]),
      fragment: (fragment & 0x3FFF != 0, fragment & 0x1FFF != 0))
  }

  private func ipv6(_ bytes: [UInt8]) -> Packet? {
    guard bytes.count >= 40, bytes[0] >> 4 == 6, let length = word(bytes, 4), bytes.count >= 40 + Int(length),
      let source = IPAddress(octets: bytes[8..<24]), let destination = IPAddress(octets: bytes[24..<40])
    else { return nil }
    var packet = Packet(
      source: source, destination: destination, transport: bytes[6], payload: Array(bytes[40..<(40 + Int(length))]))
    var walked = 0
    while !packet.fragment.later, [0, 43, 44, 60].contains(packet.transport) {
      guard walked < 6, packet.payload.count >= 8 else { return nil }
      let isFragment = packet.transport == 44
      let count = isFragment ? 8 : 8 * (Int(packet.payload[1]) + 1)
      guard count <= packet.payload.count, packet.transport != 43 || packet.payload[3] == 0 else { return nil }
      if isFragment { packet.fragment = (true, (word(packet.payload, 2) ?? 0) >> 3 != 0) }
      packet.transport = packet.payload[0]
      packet.payload.removeFirst(count)
      walked += 1
    }
    return packet
  }

  private func core(_ packet: Packet) -> Bool {
    let bytes = packet.payload
    guard packet.transport == 17, !packet.fragment.any, bytes.count >= 16, word(bytes, 2) == 4341 else { return false }
    let isControl = bytes[8] & 8 != 0 && bytes[12..<15].allSatisfy { $0 == 0xFF }
    return !isControl && rules.rlocs.contains(packet.destination)
  }

  private func site(_ packet: Packet, _ vlan: UInt16) -> Bool {
    let to = packet.destination
    if !packet.fragment.later, packet.transport == 17 || packet.transport == 6 {
      guard let port = word(packet.payload, 2), port != 4342 else { return false }
    }
    let isThisNetwork = if case .v4(let address) = to { address.rawValue >> 24 == 0 } else { false }
    guard !to.isMulticast, !to.isBroadcast, !to.isLinkLocal, !to.isLoopback, !to.isUnspecified, !isThisNetwork,
      !rules.ownAddresses.contains(to), !rules.rlocs.contains(to)
    else { return false }
    let local = rules.localEIDs[VLANID(rawValue: vlan)] ?? []
    return vlan != 4095 && local.contains { $0.contains(packet.source) } && !local.contains { $0.contains(to) }
  }

  private func word(_ bytes: [UInt8], _ at: Int) -> UInt16? {
    at + 1 < bytes.count ? UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]) : nil
  }
}
