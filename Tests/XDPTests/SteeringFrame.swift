// SPDX-License-Identifier: Apache-2.0
//
// Builds the frames that the steering program is tried with: plain functions from fields to bytes, which nest like the
// headers do. What a field says can be made a lie by naming it.

import Wire

enum SteeringFrame {
  static func ethernet(
    to destination: MACAddress = SteeringFixture.mac, tags: [(type: UInt16, control: UInt16)] = [], type: UInt16,
    _ payload: [UInt8]
  ) -> [UInt8] {
    var bytes = destination.octets + [0x02, 0xBB, 0xBB, 0xBB, 0xBB, 0xBB]
    for tag in tags { bytes += big(tag.type) + big(tag.control) }
    return bytes + big(type) + payload
  }

  /// - Parameter fragment: flags and offset, by default DF.
  static func ipv4(
    _ source: String, _ destination: String, protocol transport: UInt8, version: UInt8 = 4, headerWords: UInt8? = nil,
    options: [UInt8] = [], fragment: UInt16 = 0x4000, totalLength: UInt16? = nil, _ payload: [UInt8]
  ) -> [UInt8] {
    let words = headerWords ?? UInt8(5 + options.count / 4)
    let length = totalLength ?? UInt16(20 + options.count + payload.count)
    return [version << 4 | words, 0] + big(length) + [0xA5, 0xA5] + big(fragment) + [64, transport, 0xA5, 0xA5]
      + octets(source) + octets(destination) + options + payload
  }

  static func ipv6(
    _ source: String, _ destination: String, next: UInt8, version: UInt8 = 6, payloadLength: UInt16? = nil,
    _ payload: [UInt8]
  ) -> [UInt8] {
    [version << 4, 0, 0, 0] + big(payloadLength ?? UInt16(payload.count)) + [next, 64]
      + octets(source) + octets(destination) + payload
  }

  /// Hop-by-hop or destination options, or a routing header: 8 octets and `more` times 8 of 0xA5.
  static func options(next: UInt8, more: UInt8 = 0, segmentsLeft: UInt8 = 0, _ payload: [UInt8]) -> [UInt8] {
    [next, more, 1, segmentsLeft, 0, 0, 0, 0] + [UInt8](repeating: 0xA5, count: 8 * Int(more)) + payload
  }

  /// An IPv6 fragment header; the offset is in units of 8 octets.
  static func fragment(next: UInt8, offset: UInt16, more: Bool, _ payload: [UInt8]) -> [UInt8] {
    [next, 0xA5] + big(offset << 3 | (more ? 1 : 0)) + [0xA5, 0xA5, 0xA5, 0xA5] + payload
  }

  static func udp(_ destination: UInt16, source: UInt16 = 0xC001, _ payload: [UInt8]) -> [UInt8] {
    big(source) + big(destination) + big(UInt16(truncatingIfNeeded: 8 + payload.count)) + [0, 0] + payload
  }

  static func tcp(_ destination: UInt16) -> [UInt8] {
    big(0xC001) + big(destination) + [UInt8](repeating: 0xA5, count: 16)
  }

  /// A LISP header and an inner packet that nobody looks at.
  static func lisp(flags: UInt8 = 0, instance: UInt32 = 0) -> [UInt8] {
    [flags, 0, 0, 0, UInt8(instance >> 16 & 0xFF), UInt8(instance >> 8 & 0xFF), UInt8(instance & 0xFF), 0]
      + [UInt8](repeating: 0xA5, count: 20)
  }

  private static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }

  private static func octets(_ address: String) -> [UInt8] { IPAddress(address)?.octets ?? [] }
}
