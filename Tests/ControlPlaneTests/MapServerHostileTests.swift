// SPDX-License-Identifier: Apache-2.0

import Testing
import TestSupport
import Wire

@testable import ControlPlane

@Suite struct MapServerHostileTests {
  /// One good message of every kind that the server reads, and of some that it does not.
  private static var samples: [[UInt8]] {
    let record = MapServerRig.record("10.1.2.0/24", ["192.0.2.1", "2001:db8::1"])
    var request = MapServerRig.request(["10.1.2.3/32", "172.16.0.0/12", "2001:db8:a::/64"])
    request.identity = XTRIdentity(xtrIDHigh: 1, xtrIDLow: 2)
    request.records[0].flags = 0x80
    var unsubscribe = request
    unsubscribe.itrRLOCs = [.none]
    let identity = XTRIdentity(xtrIDHigh: 1, xtrIDLow: 2, siteID: 3)
    let register = MapRegister(nonce: 1 << 40, flags: [.wantNotify, .merge], records: [record], identity: identity)
    let notify = MapNotify(nonce: 77, records: [record])
    return [
      MapServerRig.key.sign(register), MapServerRig.encapsulated(request), MapServerRig.encapsulated(unsubscribe),
      MapServerRig.key.sign(acknowledgement: notify), MapServerRig.key.sign(notify: notify),
      ControlMessage.mapRequest(request).bytes, ControlMessage.mapReply(MapReply(nonce: 1, records: [record])).bytes,
    ]
  }

  @Test func `C10 every truncation and every added byte is one refusal and changes nothing`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    for sample in Self.samples {
      for count in 0..<sample.count {
        let refusal = rig.refusal(Array(sample[..<count]), from: MapServerRig.itr)
        // What is left of an acknowledgement may be one without records.
        let isShortAcknowledgement = refusal == .unknownNonce && sample[0] >> 4 == ControlMessageType.mapNotifyAck.rawValue
        #expect(refusal == .malformed || isShortAcknowledgement, "\(count) of \(sample.count)")
        #expect(rig.datagrams.isEmpty && rig.stored.isEmpty)
      }
      #expect(rig.refusal(sample + [0], from: MapServerRig.itr) == .malformed)
    }
    for type in [0, 7, 9, 10, 11, 12, 13, 14, 15] as [UInt8] {
      #expect(rig.refusal([type << 4, 0, 0, 0, 0], from: MapServerRig.itr) == .unknownType)
    }
    #expect(rig.server.registrationCount == 1 && rig.server.subscriptionCount == 0)
  }

  @Test(arguments: [UInt64](1...8))
  func `C10 no bytes crash the server, and each message has one outcome`(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    let samples = Self.samples
    for i in 0..<6000 {
      var bytes: [UInt8]
      if i % 3 == 0 {
        bytes = random.octets(random.below(200))
        if !bytes.isEmpty { bytes[0] = UInt8(1 + random.below(8)) << 4 | bytes[0] & 0xF }
      } else {
        bytes = samples[random.below(samples.count)]
        for _ in 0...random.below(4) { bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
      }
      _ = rig.refusal(bytes, from: Endpoint(.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next())))))
      if i % 100 == 0 { rig.wait(.seconds(1)) }
    }
    #expect(rig.server.checkInvariants() == [])
    #expect(rig.server.registrationCount <= 1, "nothing was registered without the key")
  }

  @Test(arguments: [UInt64](1...8))
  func `C10 mutated and rightly signed registers keep the server whole`(_ seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    var rig = MapServerRig()
    guard case .mapRegister(let register) = try ControlMessage(parsing: Self.samples[0]) else { return }
    let blank = ControlMessage.mapRegister(register).bytes
    var accepted = 0
    for i in 0..<4000 {
      var bytes = blank
      // Behind the authentication data: records and identity.
      for _ in 0..<random.below(3) { bytes[48 + random.below(bytes.count - 48)] = UInt8(truncatingIfNeeded: random.next()) }
      bytes[2] = UInt8(truncatingIfNeeded: random.next()) & 0x1D
      guard case .mapRegister(var mutated)? = try? ControlMessage(parsing: bytes) else { continue }
      mutated.nonce = UInt64(i + 1)
      if rig.refusal(MapServerRig.key.sign(mutated), from: MapServerRig.etr) == nil { accepted += 1 }
      if i % 10 == 0 { rig.wait(.seconds(1)) }
      if i % 400 == 0 { #expect(rig.server.checkInvariants() == []) }
    }
    #expect(accepted > 1000)
    let listed = rig.server.page(after: nil, limit: 10_000, now: rig.now).registrations
    #expect(listed.count == rig.server.registrationCount)
    for view in listed { #expect(EIDPrefix("10.1.0.0/16").prefix.contains(view.eid.prefix)) }
    rig.wait(.seconds(200))
    #expect(rig.server.checkInvariants() == [])
    let end = rig.server.page(after: nil, limit: 10_000, now: rig.now).registrations
    #expect(end.allSatisfy { $0.xtrs.allSatisfy(\.usesTTL) })
  }

  @Test func `C10 unsigned messages of a million senders take no memory`() {
    var rig = MapServerRig()
    rig.register("10.1.2.0/24")
    let register = MapServerRig.otherKey.sign(
      MapRegister(nonce: 1, flags: [], records: [MapServerRig.record("10.1.2.0/24", ["192.0.2.1"])]))
    for i in 0..<20_000 {
      rig.receive(register, from: Endpoint(.v4(IPv4Address(rawValue: UInt32(i) << 8 | 1))))
      #expect(i == 0 || rig.actions.isEmpty)
    }
    #expect(rig.server.xtrs.count == 1)
    #expect(rig.server.deliveries.count == 0)
    #expect(rig.server.counters.refused == [.wrongKey: 20_000])
  }
}
