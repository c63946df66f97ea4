// SPDX-License-Identifier: Apache-2.0
//
// The LISP header: what may be sent, and what is made of anything that may arrive.

import TestSupport
import Testing
import Wire

@Suite struct LISPHeaderTests {
  /// RFC 9300 5.1: the flag bits of the first octet.
  static let (n, l, e, v, i, r): (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) = (0x80, 0x40, 0x20, 0x10, 0x08, 0x04)

  static func parse(_ octets: [UInt8]) throws -> LISPHeader { try reading(octets) { try LISPHeader(parsing: $0) } }

  @Test func `E8 an instance ID travels with I set and leaves the low octet to locator-status-bits`() throws {
    var header = LISPHeader(instanceID: try #require(InstanceID(0x12_3456)))
    #expect(header.array == [Self.i, 0, 0, 0, 0x12, 0x34, 0x56, 0])
    header.locatorStatusBits = 0xABCD_EF5A
    #expect(header.array == [Self.i | Self.l, 0, 0, 0, 0x12, 0x34, 0x56, 0x5A])
  }

  @Test func `E8 instance ID 0 travels without I, and locator-status-bits have 32 bits`() {
    var header = LISPHeader()
    #expect(header.array == [0, 0, 0, 0, 0, 0, 0, 0])
    header.locatorStatusBits = 0xABCD_EF5A
    #expect(header.array == [Self.l, 0, 0, 0, 0xAB, 0xCD, 0xEF, 0x5A])
  }

  @Test func `E9 no value of the header sets N and V together, the reserved bit, or fields without their flags`() throws {
    var random = SplitMix64(seed: 40)
    for _ in 0..<5000 {
      var header = LISPHeader(instanceID: InstanceID(truncating: random.next() & 1 == 0 ? 0 : UInt32(truncatingIfNeeded: random.next())))
      header.field =
        switch random.next() % 3 {
        case 0: .none
        case 1: .nonce(UInt32(truncatingIfNeeded: random.next()), echo: random.next() & 1 == 1)
        default: .mapVersions(source: UInt16(truncatingIfNeeded: random.next()), destination: UInt16(truncatingIfNeeded: random.next()))
        }
      header.locatorStatusBits = random.next() & 1 == 0 ? nil : UInt32(truncatingIfNeeded: random.next())
      header.keyID = UInt8(truncatingIfNeeded: random.next())
      let octets = header.array
      let flags = octets[0]
      #expect(flags & (Self.n | Self.v) != Self.n | Self.v)
      #expect(flags & Self.r == 0)
      #expect(flags & Self.e == 0 || flags & Self.n != 0)
      #expect(flags & (Self.n | Self.v) != 0 || octets[1...3] == [0, 0, 0])
      #expect(flags & Self.l != 0 || octets[7] == 0)
      #expect(flags & (Self.l | Self.i) != 0 || octets[4...7] == [0, 0, 0, 0])
      #expect(flags & 3 == header.keyID & 3)
    }
  }

  @Test func `legal headers survive octets`() throws {
    var random = SplitMix64(seed: 41)
    for _ in 0..<2000 {
      var header = LISPHeader(
        instanceID: InstanceID(truncating: random.next() & 1 == 0 ? 0 : UInt32(truncatingIfNeeded: random.next() | 1)))
      header.field =
        switch random.next() % 3 {
        case 0: .none
        case 1: .nonce(UInt32(truncatingIfNeeded: random.next()) & 0xFF_FFFF, echo: random.next() & 1 == 1)
        default:
          .mapVersions(
            source: UInt16(truncatingIfNeeded: random.next()) & 0xFFF, destination: UInt16(truncatingIfNeeded: random.next()) & 0xFFF)
        }
      let mask: UInt32 = header.instanceID == .zero ? .max : 0xFF
      header.locatorStatusBits = random.next() & 1 == 0 ? nil : UInt32(truncatingIfNeeded: random.next()) & mask
      header.keyID = UInt8(truncatingIfNeeded: random.next()) & 3
      #expect(try Self.parse(header.array) == header)
    }
  }

  @Test func `D2 N and V together: the field is a nonce`() throws {
    let header = try Self.parse([Self.n | Self.v, 0x12, 0x34, 0x56, 0, 0, 0, 0])
    #expect(header.field == .nonce(0x12_3456, echo: false))
  }

  @Test func `D3 E without N is ignored`() throws {
    #expect(try Self.parse([Self.e, 0x12, 0x34, 0x56, 0, 0, 0, 0]).field == .none)
    #expect(try Self.parse([Self.e | Self.v, 0x12, 0x34, 0x56, 0, 0, 0, 0]).field == .mapVersions(source: 0x123, destination: 0x456))
    #expect(try Self.parse([Self.e | Self.n, 0x12, 0x34, 0x56, 0, 0, 0, 0]).field == .nonce(0x12_3456, echo: true))
  }

  @Test func `D3 nonce field under N=V=0, locator-status-bits under L=0 and the reserved bit are ignored`() throws {
    #expect(try Self.parse([0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]) == LISPHeader())
    #expect(try Self.parse([Self.r, 0, 0, 0, 0, 0, 0, 0]) == LISPHeader())
    let one = try #require(InstanceID(1))
    #expect(try Self.parse([Self.i | Self.r, 0xFF, 0xFF, 0xFF, 0, 0, 1, 0xFF]) == LISPHeader(instanceID: one))
  }

  @Test func `all 256 flag octets read as RFC 9300 5.1 names them`() {
    for flags in UInt8.min...UInt8.max {
      reading([flags, 1, 2, 3, 4, 5, 6, 7]) { bytes in
        let view = LISPView(bytes)
        #expect(view?.hasNonce == (flags & 0x80 != 0))
        #expect(view?.hasLocatorStatusBits == (flags & 0x40 != 0))
        #expect(view?.requestsEchoNonce == (flags & 0x20 != 0))
        #expect(view?.hasMapVersions == (flags & 0x10 != 0))
        #expect(view?.hasInstanceID == (flags & 0x08 != 0))
        #expect(view?.keyID == flags & 3)
        #expect(view?.instanceID == (flags & 0x08 != 0 ? 0x04_0506 : 0))
      }
    }
  }

  @Test func `every truncation is refused`() {
    for length in 0..<8 {
      reading(Array(repeating: UInt8(0xFF), count: length)) { bytes in
        #expect(LISPView(bytes) == nil)
        #expect(throws: WireError.truncated(.lisp, needed: 8, available: length)) { try LISPHeader(parsing: bytes) }
      }
    }
  }
}
