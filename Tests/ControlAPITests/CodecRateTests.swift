// SPDX-License-Identifier: Apache-2.0
//
// How fast a bulk load is understood. Contract: 200 k mappings/s through the socket, 1 M in under 5 s. Only a release build says
// anything: `swift test -c release -Xswiftc -enable-testing --filter CodecRateTests`.

import Testing
import Wire

@testable import ControlAPI

@Suite(.serialized) struct CodecRateTests {
  static let isRelease: Bool = {
    var release = true
    assert(
      {
        release = false; return true
      }())
    return release
  }()

  /// Lines of a split replace, 1000 mappings each, of `perLine` made by `mapping`.
  private func lines(_ count: Int, _ mapping: (UInt32) -> ControlMapping) -> [[UInt8]] {
    stride(from: 0, to: count, by: 1000).enumerated().map { index, start in
      let mappings = (start..<start + 1000).map { mapping(UInt32($0)) }
      return ControlRequest(.replace(scope: .owner(nil), mappings: mappings, part: ReplacePart(index: index, more: true))).line
    }
  }

  private func rate(_ name: String, _ lines: [[UInt8]]) -> Double {
    var mappings = 0
    let time = ContinuousClock().measure {
      for line in lines {
        guard case .success(let request) = ControlRequest.decode(line: Array(line.dropLast())),
          case .replace(_, let list, _) = request.operation
        else { continue }
        mappings += list.count
      }
    }
    let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    let perSecond = Double(mappings) / seconds
    let bytes = lines.reduce(0) { $0 + $1.count }
    print("codec: \(name): \(Int(perSecond)) mappings/s, \(bytes / mappings) bytes each, \(Int(seconds * 1000)) ms for \(mappings)")
    return perSecond
  }

  @Test(.enabled(if: CodecRateTests.isRelease, "only a release build is measured"))
  func `a bulk load is decoded at the contract's rate or more`() {
    let v4 = lines(200_000) { number in
      ControlMapping(
        eid: EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: 0x0A00_0000 + number << 8)), length: 24)),
        target: .locators([ControlLocator(address: .v4(IPv4Address(rawValue: 0xC000_0200 + number % 200)))]))
    }
    let v6 = lines(200_000) { number in
      let locator = ControlLocator(address: .v6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: UInt64(number % 200 + 1))))
      return ControlMapping(
        eid: EIDPrefix(
          InstanceID(truncating: number % 100),
          IPPrefix(masking: .v6(IPv6Address(high: 0x2001_0DB8_0000_0000 + UInt64(number) << 16, low: 0)), length: 48)),
        target: .locators([locator, locator]), ttlMinutes: 1440)
    }
    // On an idle core of 2.5 GHz three times as much (docs/control.md); the bar is for a machine that does other things, too.
    #expect(rate("IPv4, one locator", v4) > 200_000)
    #expect(rate("IPv6, two locators", v6) > 100_000)
  }
}
