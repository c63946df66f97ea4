// SPDX-License-Identifier: Apache-2.0
//
// What two real routers (OpenOverlayRouter 1.3.0) sent each other, decapsulated: the captures lie outside the repository, see Pcap.

import Foundation
import Testing
import Wire

@testable import DataPlane

@Suite(.enabled(if: Pcap.captures != nil, "no captures: set XTR_DATA to the folder that holds captures/"))
struct CaptureTests {
  /// File name, A's RLOC, B's RLOC.
  static let sites = [("oor_v4", "172.16.1.2", "172.16.2.2"), ("oor_v6", "2001:db8:1::2", "2001:db8:2::2")]

  /// A router that stands for A or B. The EIDs of the captures: 10.x and 2001:db8:{a,b}:: in the one; in the other the sites' IPv4
  /// EIDs are the same and the RLOCs are IPv6.
  static func rig(own: String, eids: [String], verifies: Bool) throws -> Rig {
    let rig = try Rig()
    try rig.publisher.setOwnRLOCs([try #require(IPAddress(own))])
    for eid in eids { try rig.local(eid, host: rig.delivery(mtu: 9000)) }
    var settings = EngineSettings()
    settings.verifiesUDPChecksum = verifies
    rig.publisher.setSettings(settings)
    rig.publisher.publish()
    return rig
  }

  /// One data packet of a capture, taken apart without Wire.
  struct Captured {
    var frame: [UInt8]
    var outerDestination: [UInt8]
    var outerTTL: UInt8
    var udp: [UInt8]
    var hasRightChecksum: Bool
    /// As it should be delivered.
    var delivered: [UInt8]

    /// nil when the frame is not UDP to port 4341.
    init?(_ frame: [UInt8]) {
      let ip = Array(frame.dropFirst(14))
      guard let first = ip.first, ip.count > 48 else { return nil }
      let isIPv6 = first >> 4 == 6
      guard ip[isIPv6 ? 6 : 9] == 17 else { return nil }
      udp = Array(ip.dropFirst(isIPv6 ? 40 : Int(first & 15) * 4))
      guard udp[2...3] == [0x10, 0xF5] else { return nil }
      self.frame = frame
      outerTTL = ip[isIPv6 ? 7 : 8]
      outerDestination = Array(isIPv6 ? ip[24..<40] : ip[16..<20])
      let length = Int(udp[4]) << 8 | Int(udp[5])
      udp = Array(udp.prefix(length))
      let addresses = isIPv6 ? Array(ip[8..<40]) : Array(ip[12..<20])
      hasRightChecksum = udp[6...7] == [0, 0] || checksum(addresses + big(UInt32(length)) + big(UInt32(17)) + udp) == 0
      var inner = Array(udp.dropFirst(16))
      if inner[0] >> 4 == 4 {
        inner[8] = min(inner[8], outerTTL) - 1
        inner.replaceSubrange(10..<12, with: [0, 0])
        inner.replaceSubrange(10..<12, with: big(checksum(Array(inner.prefix(Int(inner[0] & 15) * 4)))))
      } else {
        inner[7] = min(inner[7], outerTTL) - 1
      }
      delivered = inner
    }
  }

  @Test(arguments: sites, ["ca", "cb"])
  func `D1 D6 D11 what a real router sent is delivered to its host`(site: (file: String, a: String, b: String), link: String) throws {
    let captures = try #require(Pcap.captures)
    let frames = try #require(try Pcap.frames(captures.appendingPathComponent("\(site.file)_\(link).pcap")))
    let packets = frames.compactMap { Captured($0) }
    #expect(packets.count == 30)
    for verifies in [false, true] {
      let a = try Self.rig(own: site.a, eids: ["10.1.0.0/16", "2001:db8:a::/48"], verifies: verifies)
      let b = try Self.rig(own: site.b, eids: ["10.2.0.0/16", "2001:db8:b::/48"], verifies: verifies)
      for packet in packets {
        let rig = packet.outerDestination == address(site.a) ? a : b
        let outcome = rig.send(packet.frame, port: Port.core)
        if verifies, !packet.hasRightChecksum {
          // The lab's veth links carry checksums that the card was meant to finish.
          #expect(outcome.verdict == .drop(.udpChecksumWrong))
        } else {
          #expect(outcome.verdict == .transmit(UInt8(Port.site)))
          #expect(outcome.packet == packet.delivered)
        }
      }
      #expect(a.sent + b.sent == 30 && a.sent >= 14 && b.sent >= 14)
    }
  }

  @Test(arguments: sites)
  func `everything else on a captured link is dropped under a reason`(site: (file: String, a: String, b: String)) throws {
    let captures = try #require(Pcap.captures)
    for link in ["ca", "cb", "cm"] {
      let frames = try #require(try Pcap.frames(captures.appendingPathComponent("\(site.file)_\(link).pcap")))
      let others = frames.filter { Captured($0) == nil }
      #expect(others.count >= 16)
      let rig = try Self.rig(own: "203.0.113.1", eids: ["10.1.0.0/16"], verifies: false)
      for outcome in rig.send(others, port: Port.core) { #expect([.notLISP, .notIP].contains(outcome.verdict.dropReason)) }
    }
  }

  @Test func `each truncation of each captured frame is dropped`() throws {
    let captures = try #require(Pcap.captures)
    for site in Self.sites {
      let frames = try #require(try Pcap.frames(captures.appendingPathComponent("\(site.0)_ca.pcap")))
      let rig = try Self.rig(own: site.1, eids: ["10.1.0.0/16", "2001:db8:a::/48"], verifies: false)
      for packet in frames.compactMap({ Captured($0) }) {
        for outcome in rig.send((0..<packet.frame.count).map { Array(packet.frame.prefix($0)) }, port: Port.core) {
          if outcome.verdict.dropReason == nil { Issue.record("\(outcome.verdict) for \(outcome.frame)") }
        }
      }
      #expect(rig.isConserved)
    }
  }
}
