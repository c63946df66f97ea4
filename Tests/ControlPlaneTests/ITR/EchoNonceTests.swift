// SPDX-License-Identifier: Apache-2.0

import MapCache
import TestSupport
import Testing
import Wire

@testable import ControlPlane

@Suite struct EchoNonceTests {
  private static let near = address("192.0.2.1")
  private static let far = address("198.51.100.2")

  /// One end of a pair: what its templates carry, what it has judged.
  private struct End {
    var machine: EchoNonce
    var carried: [IPAddress: LISPNonce] = [:]
    var judged: [LocatorEvidence.EchoNonce?] = []
    var sent: UInt64 = 0

    init(seed: UInt64 = 1, targets: [IPAddress] = [far], settings: EchoNonce.Settings = .init()) {
      machine = EchoNonce(settings: settings, random: NonceSource(seed: seed))
      for target in targets { machine.addTarget(target) }
    }

    mutating func perform(_ actions: [EchoNonceAction]) {
      for action in actions {
        switch action {
        case .carry(let rloc, let nonce): carried[rloc] = nonce
        case .judge(_, let finding): judged.append(finding)
        }
      }
      #expect(machine.checkInvariants() == [])
    }

    mutating func tick(_ now: Instant) {
      let sent = sent
      perform(machine.tick(now: now, sent: { _ in sent }))
    }

    /// A packet from `rloc` arrives.
    mutating func receive(_ nonce: LISPNonce?, from rloc: IPAddress, _ now: Instant) {
      machine.heard(rloc, now: now)
      if let nonce { perform(machine.receive(nonce, from: rloc, now: now)) }
    }
  }

  /// Ten ticks a second from `begin` to `end`, with a packet each way at each; `answer` makes what comes of what `end` carries.
  private func run(_ end: inout End, _ seconds: ClosedRange<Double>, answer: (LISPNonce?) -> LISPNonce?) {
    for tick in Int(seconds.lowerBound * 10)...Int(seconds.upperBound * 10) {
      let now = at(Double(tick) / 10)
      end.sent += 1
      end.receive(answer(end.carried[Self.far]), from: Self.far, now)
      end.tick(now)
    }
  }

  private static func echo(_ nonce: LISPNonce?) -> LISPNonce? {
    nonce.flatMap { $0.isRequest ? LISPNonce($0.value, isRequest: false) : nil }
  }

  // MARK: - One end

  @Test func `N1 nothing is asked where the Map-Reply had no E, nor of whom nothing is heard`() {
    var stranger = End(targets: [])
    run(&stranger, 0...60) { _ in nil }
    #expect(stranger.carried.isEmpty && stranger.machine.peerCount == 0)
    var silent = End()
    for tick in 0...600 { silent.tick(at(Double(tick) / 10)) }
    #expect(silent.carried.isEmpty)
  }

  @Test func `N1 a request is on every packet until the echo comes, and then on none for an interval`() throws {
    var end = End()
    run(&end, 0...1) { _ in nil }
    let request = try #require(end.carried[Self.far])
    #expect(request.isRequest)
    run(&end, 1.1...2) { _ in nil }
    #expect(end.carried[Self.far] == request)
    end.receive(LISPNonce(request.value ^ 1, isRequest: false), from: Self.far, at(2.05))
    #expect(end.carried[Self.far] == request, "that is no nonce of ours")
    end.receive(Self.echo(request), from: Self.far, at(2.1))
    #expect(end.carried[Self.far] == nil)
    run(&end, 2.2...10) { _ in nil }
    #expect(end.carried[Self.far] == nil)
    run(&end, 10.1...14) { _ in nil }
    #expect(end.carried[Self.far].map { $0.isRequest && $0.value != request.value } == true)
    #expect(end.judged == [])
  }

  @Test func `N1 the echo may come from another address of the far side`() throws {
    var end = End()
    run(&end, 0...1) { _ in nil }
    end.receive(Self.echo(end.carried[Self.far]), from: address("2001:db8:2::2"), at(1.1))
    #expect(end.carried[Self.far] == nil)
  }

  @Test func `N1 no echo within the window, while data comes, makes the locator down; the echo clears the suspicion`() throws {
    var end = End()
    run(&end, 0...3) { _ in nil }
    #expect(end.judged == [])
    run(&end, 3.1...5) { _ in nil }
    #expect(end.judged == [.missing])
    let request = try #require(end.carried[Self.far])
    #expect(request.isRequest, "packets that still go there ask on")
    end.receive(Self.echo(request), from: Self.far, at(6))
    #expect(end.judged == [.missing, .echoed])
  }

  @Test func `N1 where no data comes, or none is sent, nothing is judged`() {
    var unheard = End()
    unheard.receive(nil, from: Self.far, at(0))
    for tick in 0...600 {
      unheard.sent += 1
      unheard.tick(at(Double(tick) / 10))
    }
    #expect(unheard.judged == [] && unheard.machine.peerCount == 0, "and it is forgotten")
    #expect(unheard.carried.isEmpty)
    var unsent = End()
    for tick in 0...600 {
      unsent.receive(nil, from: Self.far, at(Double(tick) / 10))
      unsent.tick(at(Double(tick) / 10))
      if tick % 100 == 0 { unsent.sent = 0 } else if tick % 100 == 50 { unsent.sent = 2 }
    }
    #expect(unsent.judged == [], "two packets may both be lost")
  }

  @Test func `N1 a locator without echo gets another chance after a minute`() {
    var end = End()
    run(&end, 0...5) { _ in nil }
    #expect(end.judged == [.missing])
    run(&end, 5.1...64) { _ in nil }
    #expect(end.judged == [.missing, nil])
    run(&end, 64.1...69) { _ in nil }
    #expect(end.judged == [.missing, nil, .missing])
  }

  @Test func `N1 when no mapping has the locator any more, or all is switched off, nothing is left`() {
    var end = End()
    run(&end, 0...5) { _ in nil }
    end.perform(end.machine.removeTarget(Self.far))
    #expect(end.judged == [.missing, nil] && end.carried.isEmpty && end.machine.peerCount == 0)
    end.machine.addTarget(Self.far)
    run(&end, 5.1...6) { _ in nil }
    #expect(end.carried.count == 1)
    end.perform(end.machine.removeAll())
    #expect(end.carried.isEmpty && end.machine.peerCount == 0)
    run(&end, 6.1...20) { _ in nil }
    #expect(end.carried.isEmpty)
  }

  // MARK: - Both ends

  @Test func `N1 a request is answered, without E, for as long as it comes and a moment longer`() {
    var end = End(targets: [])
    let asked = LISPNonce(0x12_3456, isRequest: true)
    end.receive(asked, from: Self.far, at(0))
    for tick in 0..<50 {
      end.receive(asked, from: Self.far, at(Double(tick) / 10))
      end.tick(at(Double(tick) / 10))
      #expect(end.carried[Self.far] == Self.echo(asked))
    }
    end.tick(at(7.8))
    #expect(end.carried[Self.far] == Self.echo(asked))
    end.tick(at(8))
    #expect(end.carried[Self.far] == nil)
  }

  @Test func `N1 when both request, the receiver suspends its own, answers, and comes back to it`() throws {
    var end = End()
    run(&end, 0...1) { _ in nil }
    let own = try #require(end.carried[Self.far])
    let theirs = LISPNonce(0x12_3456, isRequest: true)
    end.receive(theirs, from: Self.far, at(1.1))
    #expect(end.carried[Self.far] == Self.echo(theirs))
    run(&end, 1.2...10) { _ in nil }
    let later = try #require(end.carried[Self.far])
    #expect(later.isRequest && later != own)
    var other = End()
    run(&other, 0...1) { _ in nil }
    let first = other.carried[Self.far]
    other.receive(theirs, from: Self.far, at(1.1))
    other.receive(Self.echo(first), from: Self.far, at(1.2))
    run(&other, 1.3...9) { _ in nil }
    #expect(other.carried[Self.far] == nil, "a suspended request that is answered is over")
  }

  /// Two ends with loss; returns them after `seconds`.
  private func pair(seed: UInt64, seconds: Int, thereIsLost: Bool = false) -> (near: End, far: End) {
    var random = SplitMix64(seed: seed)
    var near = End(seed: random.next(), targets: [Self.far])
    var far = End(seed: random.next(), targets: [Self.near])
    for tick in 0..<seconds * 10 {
      let now = at(Double(tick) / 10)
      near.sent += 1
      far.sent += 1
      let (there, back) = (near.carried[Self.far], far.carried[Self.near])
      if !thereIsLost, Double.random(in: 0..<1, using: &random) > 0.3 { far.receive(there, from: Self.near, now) }
      if Double.random(in: 0..<1, using: &random) > 0.3 { near.receive(back, from: Self.far, now) }
      near.tick(now)
      far.tick(now)
    }
    return (near, far)
  }

  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `N1 two ends that both ask find nothing wrong on a way that loses a third, in ten minutes`(
    seed: UInt64
  ) {
    let (near, far) = pair(seed: seed, seconds: 600)
    #expect(near.judged == [] && far.judged == [], "seed \(seed)")
    #expect(near.machine.peerCount == 1 && far.machine.peerCount == 1)
  }

  @Test(arguments: 1...20 as ClosedRange<UInt64>) func `N1 the end whose packets get lost finds it, the other, who hears nothing, does not`(
    seed: UInt64
  ) {
    let (near, far) = pair(seed: seed, seconds: 10, thereIsLost: true)
    #expect(near.judged == [.missing] && far.judged == [], "seed \(seed)")
  }

  // MARK: - Nonces and bounds

  @Test func `E10 nonces differ per RLOC and from request to request, and come from the random source`() throws {
    let rlocs = (1...200).map { IPAddress.v4(IPv4Address(rawValue: 0xC633_6400 + UInt32($0))) }
    var seen: Set<UInt32> = []
    for seed in [1, 2] as [UInt64] {
      var end = End(seed: seed, targets: rlocs)
      for rloc in rlocs { end.receive(nil, from: rloc, at(0)) }
      end.tick(at(0))
      let nonces = Set(end.carried.values.map(\.value))
      #expect(nonces.count == 200 && nonces.allSatisfy { $0 < 1 << 24 })
      #expect((nonces.max() ?? 0) > 1 << 23 && nonces.count { $0 & 1 == 1 } > 50)
      #expect(seen.intersection(nonces).count < 5)
      seen.formUnion(nonces)
    }
  }

  @Test func `C10 strangers that request take no more than half of the room`() {
    var settings = EchoNonce.Settings()
    settings.capacity = 10
    let target = IPAddress.v4(IPv4Address(rawValue: 0xC633_6401))
    var end = End(targets: [target], settings: settings)
    for i in 0..<1000 {
      end.receive(LISPNonce(UInt32(i), isRequest: true), from: .v4(IPv4Address(rawValue: 0xC633_0000 + UInt32(i))), at(0))
    }
    #expect(end.machine.peerCount == 5 && end.carried.count == 5)
    end.machine.heard(target, now: at(0))
    #expect(end.machine.peerCount == 6)
    end.tick(at(61))
    #expect(end.machine.peerCount == 0 && end.carried.isEmpty)
  }
}
