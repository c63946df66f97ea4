// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Lab

@Suite struct TrafficTests {
  @Test func `SplitMix64 gives the published numbers`() {
    var generator = SplitMix64(seed: 1_234_567)
    #expect(
      [generator.next(), generator.next(), generator.next()] == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
      ])
    #expect(generator.bytes(13).count == 13)
  }

  @Test func `a payload's digest is SHA-256`() throws {
    #expect(try Payload(Array("abc".utf8)).digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(try Payload(byteCount: 100, seed: 1).digest != Payload(byteCount: 100, seed: 2).digest)
  }

  @Test func `ping's words are read`() {
    let result = Ping.parse(
      "4 packets transmitted, 3 received, +1 errors, 25% packet loss, time 3004ms\nrtt min/avg/max/mdev = 0.061/0.105/0.189/0.058 ms\n")
    #expect(result.sent == 4 && result.received == 3 && result.averageMilliseconds == 0.105)
    #expect(Ping.parse("").sent == 0)
  }

  @Test func `arrivals are told apart`() {
    var arrivals = Arrivals()
    #expect(
      [0, 1, 3, 2, 3, 200, 199, 200].map { arrivals.note($0) } == [.inOrder, .inOrder, .inOrder, .late, .again, .inOrder, .late, .again])
  }
}
