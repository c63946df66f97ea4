// SPDX-License-Identifier: Apache-2.0
//
// Writes JSON into a byte array, without spaces and without a tree. The counterpart of JSONReader.

/// Appends JSON to `bytes`. The caller keeps objects and arrays balanced; commas come by themselves. Thread: any one.
public struct JSONWriter {
  public private(set) var bytes: [UInt8] = []
  /// Whether the next value or key follows another one.
  private var needsComma = false

  public init() {}

  public mutating func object(_ members: (inout JSONWriter) -> Void) {
    enclose(UInt8(ascii: "{"), UInt8(ascii: "}"), members)
  }

  public mutating func array<Element>(_ elements: [Element], _ write: (inout JSONWriter, Element) -> Void) {
    enclose(UInt8(ascii: "["), UInt8(ascii: "]")) { writer in
      for element in elements { write(&writer, element) }
    }
  }

  /// The key of the value that is written next; one without anything that wants an escape.
  public mutating func key(_ key: StaticString) {
    comma()
    bytes.append(UInt8(ascii: "\""))
    key.withUTF8Buffer { bytes.append(contentsOf: $0) }
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
  }

  public mutating func string(_ text: String) {
    quoted { bytes in Self.append(escaping: text, to: &bytes) }
  }

  /// A string whose bytes `content` appends, free of anything that wants an escape.
  mutating func quoted(_ content: (inout [UInt8]) -> Void) {
    comma()
    bytes.append(UInt8(ascii: "\""))
    content(&bytes)
    bytes.append(UInt8(ascii: "\""))
  }

  private static func append(escaping text: String, to bytes: inout [UInt8]) {
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0x0A: bytes.append(contentsOf: "\\n".utf8)
      case 0x09: bytes.append(contentsOf: "\\t".utf8)
      case 0x0D: bytes.append(contentsOf: "\\r".utf8)
      case 0..<0x20:
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(hexDigit(byte >> 4))
        bytes.append(hexDigit(byte & 0xF))
      default: bytes.append(byte)
      }
    }
  }

  public mutating func integer(_ value: some FixedWidthInteger) {
    comma()
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    Self.append(UInt64(value.magnitude), to: &bytes)
  }

  /// Decimal digits.
  static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    var divisor: UInt64 = 1
    while value / divisor > 9 { divisor *= 10 }
    while divisor > 0 {
      bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
      divisor /= 10
    }
  }

  public mutating func boolean(_ value: Bool) {
    comma()
    bytes.append(contentsOf: (value ? "true" : "false").utf8)
  }

  /// A value that is JSON already.
  public mutating func raw(_ json: some Sequence<UInt8>) {
    comma()
    bytes.append(contentsOf: json)
  }

  /// Ends the line.
  public mutating func lineFeed() {
    bytes.append(0x0A)
    needsComma = false
  }

  private mutating func enclose(_ open: UInt8, _ close: UInt8, _ content: (inout JSONWriter) -> Void) {
    comma()
    bytes.append(open)
    needsComma = false
    content(&self)
    bytes.append(close)
    needsComma = true
  }

  private mutating func comma() {
    if needsComma { bytes.append(UInt8(ascii: ",")) }
    needsComma = true
  }

  static func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? value + UInt8(ascii: "0") : value - 10 + UInt8(ascii: "a")
  }
}
