// SPDX-License-Identifier: Apache-2.0
//
// A pull reader of JSON (RFC 8259) over one line. It builds no tree: the caller asks for what it expects, and an error names
// the byte where something else stands. Requests, events and mappings are read with it on both sides of the control socket.
//
//     try reader.readObject { key, reader throws(JSONError) in
//       switch key { case "priority": … try reader.readInteger() … }
//     }
//
// Stricter than the RFC must be: a key that is there twice is an error, since two readers could take different ones. Nesting
// is bounded. Nothing here traps, whatever the bytes are.

/// Reads one JSON text from beginning to end. Thread: any one.
public struct JSONReader {
  /// Levels of objects and arrays; a request needs four.
  public static let maximumDepth = 32
  /// Keys of one object; a request has a dozen.
  static let maximumKeys = 64

  let bytes: [UInt8]
  /// The next byte to look at.
  public internal(set) var offset = 0
  private var depth = 0

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// What a value begins like.
  public enum Kind { case object, array, string, number, boolean, null }

  // MARK: What is here

  /// Looks at the next value without taking it.
  public mutating func peek() throws(JSONError) -> Kind {
    skipSpace()
    guard offset < bytes.count else { throw JSONError(.endOfText, at: offset) }
    switch bytes[offset] {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
    case UInt8(ascii: "n"): return .null
    default: throw JSONError(.expected("a value"), at: offset)
    }
  }

  /// Throws unless nothing but space is left.
  public mutating func finish() throws(JSONError) {
    skipSpace()
    guard offset == bytes.count else { throw JSONError(.expected("the end of the line"), at: offset) }
  }

  // MARK: Objects and arrays

  /// Reads an object; `member` is called at each value and must take exactly it.
  public mutating func readObject(
    _ member: (String, inout JSONReader) throws(JSONError) -> Void
  ) throws(JSONError) {
    try open(UInt8(ascii: "{"), "an object")
    if closes(with: UInt8(ascii: "}")) { return }
    var seen: [String] = []
    seen.reserveCapacity(8)
    repeat {
      skipSpace()
      let start = offset
      let key = try readString()
      guard !seen.contains(key) else { throw JSONError(.duplicateKey(key), at: start) }
      guard seen.count < Self.maximumKeys else { throw JSONError(.unknownKey(key), at: start) }
      seen.append(key)
      try take(UInt8(ascii: ":"), "\":\"")
      try member(key, &self)
    } while try anotherFollows(or: UInt8(ascii: "}"), "\",\" or \"}\"")
  }

  /// Reads an array; `element` is called at each value and must take exactly it.
  public mutating func readArray(_ element: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
    try open(UInt8(ascii: "["), "an array")
    if closes(with: UInt8(ascii: "]")) { return }
    repeat { try element(&self) } while try anotherFollows(or: UInt8(ascii: "]"), "\",\" or \"]\"")
  }

  private mutating func open(_ bracket: UInt8, _ what: String) throws(JSONError) {
    try take(bracket, what)
    depth += 1
    guard depth <= Self.maximumDepth else { throw JSONError(.tooDeep, at: offset - 1) }
  }

  /// Whether the object or array ends here; then the bracket is taken.
  private mutating func closes(with bracket: UInt8) -> Bool {
    skipSpace()
    guard offset < bytes.count, bytes[offset] == bracket else { return false }
    offset += 1
    depth -= 1
    return true
  }

  private mutating func anotherFollows(or bracket: UInt8, _ what: String) throws(JSONError) -> Bool {
    if closes(with: bracket) { return false }
    try take(UInt8(ascii: ","), what)
    return true
  }

  // MARK: Scalars

  public mutating func readBoolean() throws(JSONError) -> Bool {
    if takeWord("true") { return true }
    if takeWord("false") { return false }
    throw JSONError(.expected("true or false"), at: offset)
  }

  /// An integer; one with a fraction or an exponent is refused, even 1.0.
  public mutating func readInteger() throws(JSONError) -> Int64 {
    skipSpace()
    let start = offset
    guard try peek() == .number else { throw JSONError(.expected("an integer"), at: start) }
    let negative = bytes[offset] == UInt8(ascii: "-")
    if negative { offset += 1 }
    let first = offset
    var value: Int64 = 0
    var overflow = false
    while offset < bytes.count, case let digit = bytes[offset] &- UInt8(ascii: "0"), digit <= 9 {
      let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, tooSmall) = product.subtractingReportingOverflow(Int64(digit))
      overflow = overflow || tooLarge || tooSmall
      value = sum
      offset += 1
    }
    guard offset > first, !(offset > first + 1 && bytes[first] == UInt8(ascii: "0")) else { throw JSONError(.badNumber, at: start) }
    if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") || bytes[offset] | 0x20 == UInt8(ascii: "e") {
      throw JSONError(.expected("an integer"), at: start)
    }
    // Counted downwards, because the least number has no positive counterpart.
    guard !overflow, negative || value != .min else { throw JSONError(.numberOutOfRange, at: start) }
    return negative ? value : -value
  }

  /// A string, its escapes undone.
  public mutating func readString() throws(JSONError) -> String {
    let (range, isASCII, isWhole) = try scanString()
    guard isWhole else { return try readEscapedString(from: range.lowerBound) }
    // Every ASCII text is UTF-8, and String(decoding:) is several times as fast as String(validating:).
    if isASCII { return String(decoding: bytes[range], as: UTF8.self) }
    guard let text = String(validating: bytes[range], as: UTF8.self) else { throw JSONError(.badUTF8, at: range.lowerBound) }
    return text
  }

  /// The bytes of a string of ASCII without escapes, which are taken; nil for any other, which is not.
  mutating func readPlainString() throws(JSONError) -> Range<Int>? {
    skipSpace()
    let start = offset
    let (range, isASCII, isWhole) = try scanString()
    if isASCII, isWhole { return range }
    offset = start
    return nil
  }

  /// Takes a string up to and with its closing quote (`isWhole`), or up to its first escape; the range is without quotes.
  private mutating func scanString() throws(JSONError) -> (Range<Int>, isASCII: Bool, isWhole: Bool) {
    try take(UInt8(ascii: "\""), "a string")
    let start = offset
    var all: UInt8 = 0
    while offset < bytes.count {
      let byte = bytes[offset]
      switch byte {
      case UInt8(ascii: "\""):
        offset += 1
        return (start..<offset - 1, all < 0x80, true)
      case UInt8(ascii: "\\"): return (start..<offset, all < 0x80, false)
      case 0..<0x20: throw JSONError(.controlCharacter, at: offset)
      default:
        all |= byte
        offset += 1
      }
    }
    throw JSONError(.endOfText, at: offset)
  }

  /// Takes any value and gives the range of its bytes.
  @discardableResult
  public mutating func skipValue() throws(JSONError) -> Range<Int> {
    skipSpace()
    let start = offset
    switch try peek() {
    case .object: try readObject { (_, reader) throws(JSONError) in try reader.skipValue() }
    case .array: try readArray { reader throws(JSONError) in try reader.skipValue() }
    case .string: _ = try readString()
    case .number: try skipNumber()
    case .boolean: _ = try readBoolean()
    case .null: guard takeWord("null") else { throw JSONError(.expected("a value"), at: offset) }
    }
    return start..<offset
  }

  // MARK: Bytes

  private mutating func skipSpace() {
    while offset < bytes.count {
      switch bytes[offset] {
      case 0x20, 0x09, 0x0A, 0x0D: offset += 1
      default: return
      }
    }
  }

  private mutating func take(_ byte: UInt8, _ what: String) throws(JSONError) {
    skipSpace()
    guard offset < bytes.count else { throw JSONError(.endOfText, at: offset) }
    guard bytes[offset] == byte else { throw JSONError(.expected(what), at: offset) }
    offset += 1
  }

  private mutating func takeWord(_ word: StaticString) -> Bool {
    skipSpace()
    let matches = word.withUTF8Buffer { offset + $0.count <= bytes.count && bytes[offset..<offset + $0.count].elementsEqual($0) }
    if matches { offset += word.utf8CodeUnitCount }
    return matches
  }
}

extension JSONReader {
  /// The rest of a string that has an escape at `offset`; its first character is at `start`.
  private mutating func readEscapedString(from start: Int) throws(JSONError) -> String {
    var text = Array(bytes[start..<offset])
    while offset < bytes.count {
      let byte = bytes[offset]
      offset += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else { throw JSONError(.badUTF8, at: start) }
        return string
      case UInt8(ascii: "\\"): try readEscape(into: &text)
      case 0..<0x20: throw JSONError(.controlCharacter, at: offset - 1)
      default: text.append(byte)
      }
    }
    throw JSONError(.endOfText, at: offset)
  }

  /// One escape, after its backslash.
  private mutating func readEscape(into text: inout [UInt8]) throws(JSONError) {
    guard offset < bytes.count else { throw JSONError(.endOfText, at: offset) }
    let byte = bytes[offset]
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"): text.append(contentsOf: Character(try readUnicodeEscape()).utf8)
    default: throw JSONError(.badEscape, at: offset - 1)
    }
  }

  /// The scalar of \uXXXX, or of two that form a surrogate pair.
  private mutating func readUnicodeEscape() throws(JSONError) -> Unicode.Scalar {
    let start = offset
    let first = try readFourHexDigits()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard UTF16.isLeadSurrogate(first), offset + 2 <= bytes.count, bytes[offset] == UInt8(ascii: "\\"),
      bytes[offset + 1] == UInt8(ascii: "u")
    else { throw JSONError(.badEscape, at: start) }
    offset += 2
    let second = try readFourHexDigits()
    guard UTF16.isTrailSurrogate(second),
      let scalar = Unicode.Scalar(0x1_0000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00))
    else { throw JSONError(.badEscape, at: start) }
    return scalar
  }

  private mutating func readFourHexDigits() throws(JSONError) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      guard offset < bytes.count else { throw JSONError(.endOfText, at: offset) }
      let byte = bytes[offset]
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: throw JSONError(.badEscape, at: offset)
      }
      value = value << 4 | UInt16(digit)
      offset += 1
    }
    return value
  }

  /// A number by the grammar of RFC 8259 section 6.
  private mutating func skipNumber() throws(JSONError) {
    let start = offset
    if bytes[offset] == UInt8(ascii: "-") { offset += 1 }
    let first = offset
    guard skipDigits(), !(offset > first + 1 && bytes[first] == UInt8(ascii: "0")) else { throw JSONError(.badNumber, at: start) }
    if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") {
      offset += 1
      guard skipDigits() else { throw JSONError(.badNumber, at: start) }
    }
    if offset < bytes.count, bytes[offset] | 0x20 == UInt8(ascii: "e") {
      offset += 1
      if offset < bytes.count, bytes[offset] == UInt8(ascii: "+") || bytes[offset] == UInt8(ascii: "-") { offset += 1 }
      guard skipDigits() else { throw JSONError(.badNumber, at: start) }
    }
  }

  /// Whether there was at least one digit.
  private mutating func skipDigits() -> Bool {
    let start = offset
    while offset < bytes.count, bytes[offset] &- UInt8(ascii: "0") <= 9 { offset += 1 }
    return offset > start
  }
}
