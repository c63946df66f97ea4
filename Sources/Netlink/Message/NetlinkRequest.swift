// SPDX-License-Identifier: Apache-2.0
//
// A netlink message to the kernel, built as bytes. Used by KernelQueries.

import CLinux
import Glibc
import Wire

/// A request under construction: fixed header first, then attributes.
struct NetlinkRequest {
  /// For error texts: what is asked, as an operator would say it.
  let purpose: String
  private(set) var bytes: [UInt8]

  /// `flags` without NLM_F_REQUEST, which is always set. `header` is the type's fixed header.
  init(_ purpose: String, type: Int, flags: CInt, header: [UInt8]) {
    self.purpose = purpose
    bytes = []
    append(UInt32(0))  // the length, set by `finished`
    append(UInt16(truncatingIfNeeded: type))
    append(UInt16(truncatingIfNeeded: flags | NLM_F_REQUEST))
    append(UInt32(0))  // the sequence, set by `finished`
    append(UInt32(0))  // the port: the kernel knows it
    bytes += header
    pad()
  }

  mutating func attribute(_ type: Int, _ value: [UInt8]) {
    append(UInt16(truncatingIfNeeded: 4 + value.count))
    append(UInt16(truncatingIfNeeded: type))
    bytes += value
    pad()
  }

  mutating func attribute(_ type: Int, number value: UInt32) { attribute(type, value.hostBytes) }
  mutating func attribute(_ type: Int, text: String) { attribute(type, Array(text.utf8) + [0]) }
  mutating func attribute(_ type: Int, address: IPAddress) { attribute(type, address.octets) }

  /// The bytes to send.
  func finished(sequence: UInt32) -> [UInt8] {
    var result = bytes
    result.replaceSubrange(0..<4, with: UInt32(truncatingIfNeeded: bytes.count).hostBytes)
    result.replaceSubrange(8..<12, with: sequence.hostBytes)
    return result
  }

  private mutating func append(_ value: some FixedWidthInteger) { bytes += value.hostBytes }

  private mutating func pad() {
    while bytes.count % 4 != 0 { bytes.append(0) }
  }
}

extension FixedWidthInteger {
  /// The value's bytes in the host's order.
  var hostBytes: [UInt8] {
    (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: littleEndian >> Self(8 * $0)) }
  }
}
