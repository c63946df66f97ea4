// SPDX-License-Identifier: Apache-2.0
//
// Options and extension headers by which a packet is not for us to take apart. The refusals themselves are among the pcap fixtures
// of the engine; here are the edges, and that no length leads out of the header.

import TestSupport
import Testing
import Wire

@Suite struct HeaderOptionsTests {
  static func isRoutedOn(_ options: [UInt8]) -> Bool? {
    var octets = IPv4Header(protocolNumber: .udp, source: .any, destination: .any, payloadLength: options.count + 8).array
    octets[0] = 0x45 + UInt8(options.count / 4)
    return reading(octets + options + Array(repeating: 131, count: 8)) { IPv4View($0)?.isRoutedOn }
  }

  static func isRefused(_ header: IPProtocol, _ extensions: [UInt8]) -> Bool? {
    var packet = IPv6Header(nextHeader: header, source: .any, destination: .any, payloadLength: extensions.count + 8).array
    packet += extensions + Array(repeating: 0xFF, count: 8)
    return reading(packet) { bytes in IPv6View(bytes).flatMap { $0.upperLayer() == nil ? nil : $0.isRefusedByExtension } }
  }

  @Test(arguments: [131, 137] as [UInt8]) func `a source route leads on as long as its pointer is within the list`(option: UInt8) {
    for pointer in UInt8.min...UInt8.max {
      #expect(Self.isRoutedOn([option, 11, pointer, 1, 2, 3, 4, 5, 6, 7, 8, 0]) == (pointer <= 11), "pointer \(pointer)")
    }
    #expect(Self.isRoutedOn([option, 2, 0, 0]) == true, "no room for a pointer")
  }

  @Test func `an end of options hides what stands behind it, no-operations hide nothing`() {
    #expect(Self.isRoutedOn([0, 131, 3, 4]) == false)
    #expect(Self.isRoutedOn([1, 131, 3, 3]) == true)
    #expect(Self.isRoutedOn(Array(repeating: 1, count: 40)) == false)
  }

  @Test func `IPv4 options of all kinds and lengths are read within the header`() {
    for kind in UInt8.min...UInt8.max where ![0, 1, 131, 137].contains(kind) {
      for length in UInt8.min...UInt8.max {
        #expect(Self.isRoutedOn([kind, length] + Array(repeating: 1, count: 10)) == (length < 2 || length > 12), "\(kind), \(length)")
      }
    }
  }

  @Test(arguments: [IPProtocol.hopByHop, .destinationOptions])
  func `an IPv6 option is skipped if its type says so and it ends in its header`(header: IPProtocol) {
    for type in UInt8.min...UInt8.max {
      for length in [0, 1, 4, 5, 12, 255] as [UInt8] {
        let octets = [17, 1, type, length] + Array(repeating: 0 as UInt8, count: 12)
        // A Pad1 has no length: what stands there is a type of its own, whose length is 0.
        let expected = type == 0 ? length >> 6 != 0 : type >> 6 != 0 || length > 12
        #expect(Self.isRefused(header, octets) == expected, "type \(type), length \(length)")
      }
    }
  }

  @Test func `an option whose length would stand behind the header is refused`() {
    #expect(Self.isRefused(.destinationOptions, [17, 0, 1, 3, 0, 0, 0, 1]) == true)
    #expect(Self.isRefused(.destinationOptions, [17, 0, 1, 3, 0, 0, 0, 0]) == false)
  }

  @Test func `segments left in a routing header, and hop-by-hop options that are not first, are refused`() {
    let padding: [UInt8] = [1, 4, 0, 0, 0, 0]
    #expect(Self.isRefused(.routing, [17, 0, 0, 0, 0, 0, 0, 0]) == false)
    #expect(Self.isRefused(.routing, [17, 0, 0, 1, 0, 0, 0, 0]) == true)
    #expect(Self.isRefused(.hopByHop, [43, 0] + padding + [60, 0, 4, 0, 0, 0, 0, 0] + [17, 0] + padding) == false)
    #expect(Self.isRefused(.destinationOptions, [0, 0] + padding + [17, 0] + padding) == true)
    #expect(Self.isRefused(.fragment, [0, 0, 0, 0, 0, 0, 0, 9] + [17, 0] + padding) == true)
    #expect(Self.isRefused(.fragment, [17, 0, 0, 0, 0, 0, 0, 9]) == false)
  }

  @Test func `random extension chains are read within the packet`() {
    var random = SplitMix64(seed: 31)
    var answers = [0, 0, 0]
    for _ in 0..<20_000 {
      let kinds: [UInt8] = [0, 17, 43, 44, 60, UInt8(truncatingIfNeeded: random.next())]
      let octets = (0..<Int(random.next() % 64)).map { _ in
        random.next() % 3 == 0 ? kinds[Int(random.next() % 6)] : UInt8(random.next() % 4)
      }
      switch Self.isRefused(IPProtocol(rawValue: kinds[Int(random.next() % 6)]), octets) {
      case nil: answers[0] += 1
      case false?: answers[1] += 1
      case true?: answers[2] += 1
      }
    }
    #expect(answers.allSatisfy { $0 > 100 }, "\(answers)")
  }
}
