// SPDX-License-Identifier: Apache-2.0
//
// LCAFs that nobody has recorded, their octets worked out by hand from the figures of RFC 8060.

import TestSupport
import Testing

@testable import Wire

@Suite struct LCAFTests {
  private static let first = AFIAddress.ip(.v4(IPv4Address(192, 0, 2, 1)))
  private static let second = AFIAddress.ip(.v4(IPv4Address(198, 51, 100, 2)))
  private static let third = AFIAddress.ip(.v6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 3)))

  /// The address that `hexadecimal` stands for, all of it, written back to the same octets.
  private func read(_ hexadecimal: String) throws -> AFIAddress {
    var reader = ControlReader(octets(hexadecimal))
    let address = try AFIAddress(parsing: &reader)
    #expect(reader.remaining == 0)
    var writer = ControlWriter()
    address.emit(into: &writer)
    #expect(writer.bytes == octets(hexadecimal))
    return address
  }

  private func content(_ hexadecimal: String) throws -> LCAF.Content {
    guard case .lcaf(let lcaf) = try read(hexadecimal) else { throw WireError.invalid(.lcaf, field: "AFI", value: 0) }
    return lcaf.content
  }

  @Test func `type 1 is a list of addresses of any families (4.10)`() throws {
    let text = "4003 00 00 01 00 001a  0001 c0000201  0011 6c73702d41 00  0006 02004c4f4f50  0000 0000"
    let list = try content(text)
    let mac = AFIAddress.mac(MACAddress(rawValue: 0x0200_4C4F_4F50))
    #expect(list == .list([Self.first, .name(Array("lsp-A".utf8)), mac, .none, .none]))
    #expect(AFIAddress.lcaf(LCAF(list)).locatorIP == .v4(IPv4Address(192, 0, 2, 1)))
    #expect(try content("4003 00 00 01 00 0000") == .list([]))
  }

  @Test func `type 2 is an instance, and the mask length of its ID is kept (4.1)`() throws {
    let address = try read("4003 00 00 02 20 000a 000003e8 0001 c0000201")
    #expect(address.ipInInstance?.instance.rawValue == 1000 && address.ipInInstance?.address == .v4(IPv4Address(192, 0, 2, 1)))
    guard case .lcaf(let lcaf) = address else {
      Issue.record("no LCAF")
      return
    }
    #expect(lcaf.reserved2 == 0x20)
    // 32 bits on the wire, of which the data plane has 24.
    #expect(try read("4003 00 00 02 00 000a 01000000 0001 c0000201").ipInInstance == nil)
  }

  @Test func `type 7 tells of ports and addresses around a NAT (4.4)`() throws {
    let text = """
      4003 00 00 07 00 0030  10f6 c001  0001 c0000201  0001 c6336402  0000
      0002 20010db8000000000000000000000003  0001 c0000201  0001 c6336402
      """
    let nat = LCAF.NAT(
      mapServerPort: 4342, etrPort: 49153, globalETR: Self.first, mapServer: Self.second, privateETR: .none,
      rtrs: [Self.third, Self.first, Self.second])
    #expect(try content(text) == .nat(nat))
    #expect(try read(text).locatorIP == .v4(IPv4Address(192, 0, 2, 1)))
  }

  @Test func `type 10 is a path, each hop with its three flags (4.6)`() throws {
    let path = try content("4003 00 00 0a 00 001e  0004 0001 c0000201  0003 0001 c6336402  fff8 0006 02004c4f4f50  0000 0000")
    guard case .explicitPath(let hops) = path else {
      Issue.record("\(path)")
      return
    }
    #expect(hops.map(\.address) == [Self.first, Self.second, .mac(MACAddress(rawValue: 0x0200_4C4F_4F50)), .none])
    #expect(hops.map(\.mustBeLookedUp) == [true, false, false, false])
    #expect(hops.map(\.mayBeProbed) == [false, true, false, false])
    #expect(hops.map(\.isStrict) == [false, true, false, false])
  }

  @Test func `type 12 is a key of two prefixes (4.8)`() throws {
    let key = LCAF.SourceDestination(source: Self.first, sourceMaskLength: 32, destination: Self.third, destinationMaskLength: 64)
    #expect(
      try content("4003 00 00 0c 00 001c  0000 20 40  0001 c0000201  0002 20010db8000000000000000000000003") == .sourceDestination(key))
  }

  @Test func `type 13 is a replication list with levels (4.9)`() throws {
    let list = LCAF.Content.replicationList([LCAF.Replica(Self.first, level: 1), LCAF.Replica(Self.second, level: 128)])
    #expect(try content("4003 00 00 0d 00 0014  000000 01 0001 c0000201  000000 80 0001 c6336402") == list)
  }

  @Test func `type 14 is JSON, about an address or none (4.11)`() throws {
    #expect(try content("4003 00 00 0e 01 000d  0005 7b2261227d  0001 c0000201") == .json(Array("{\"a\"}".utf8), Self.first))
    #expect(try content("4003 00 00 0e 00 0006  0002 7b7d 0000") == .json(Array("{}".utf8), .none))
  }

  @Test func `other types are kept as they are`() throws {
    #expect(try content("4003 00 00 03 00 000a  0000fde8 0001 c0000201") == .unknown(type: 3, octets("0000fde8 0001 c0000201")))
    #expect(try content("4003 7f 80 ff 55 0004  00 000a01") == .unknown(type: 255, octets("00000a01")))
    #expect(try content("4003 00 00 00 00 0000") == .unknown(type: 0, []))
  }

  // MARK: - What is refused

  private func refusal(_ hexadecimal: String) -> WireError? {
    #expect(throws: WireError.self) {
      var reader = ControlReader(octets(hexadecimal))
      _ = try AFIAddress(parsing: &reader)
    }
  }

  @Test func `C10 LCAFs lie in each other four deep and no deeper`() throws {
    // An instance ID around what comes.
    func nested(_ levels: Int) -> String {
      (0..<levels).reduce("0001c0000201") { inner, _ in
        let length = String(inner.count / 2 + 4, radix: 16)
        return "4003000002" + "00" + String(repeating: "0", count: 4 - length.count) + length + "00000001" + inner
      }
    }
    _ = try read(nested(4))
    #expect(refusal(nested(5)) == .invalid(.lcaf, field: "nesting", value: 5))
    #expect(refusal(nested(200)) == .invalid(.lcaf, field: "nesting", value: 5))
  }

  @Test func `C10 a length that is not that of the content is refused`() {
    #expect(refusal("4003 00 00 02 00 000b 00000001 0001 c0000201 00") == .trailing(.lcaf, byteCount: 1))
    #expect(refusal("4003 00 00 02 00 0009 00000001 0001 c0000201") == .truncated(.address, needed: 4, available: 3))
    #expect(refusal("4003 00 00 02 00 000a 00000001 0001 c00002") == .truncated(.lcaf, needed: 10, available: 9))
    #expect(refusal("4003 00 00 0e 00 0004 0005 7b7d") == .truncated(.lcaf, needed: 5, available: 2))
    #expect(refusal("4003 00 00 0d 00 0003 000000") == .truncated(.lcaf, needed: 4, available: 3))
    #expect(refusal("4003 00 00 01 00 0001 00") == .truncated(.address, needed: 2, available: 1))
  }
}
