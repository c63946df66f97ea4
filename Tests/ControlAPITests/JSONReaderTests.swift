// SPDX-License-Identifier: Apache-2.0
//
// The pull reader: what it takes, what it refuses and where.

import TestSupport
import Testing

@testable import ControlAPI

@Suite struct JSONReaderTests {
  private func reader(_ text: String) -> JSONReader { JSONReader(Array(text.utf8)) }

  /// The offset and problem of the error that reading any value from `text` gives; nil when there is none.
  private func fault(_ bytes: [UInt8]) -> JSONError? {
    var reader = JSONReader(bytes)
    do throws(JSONError) {
      try reader.skipValue()
      try reader.finish()
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: [
    "{}", "[]", " [ 1 , -2 , 3.5e-7 , 0 , -0.0 , 1E5 ] ", #"{"a":{"b":[true,false,null]},"c":""}"#,
    #""\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t""#,
  ])
  func `well-formed JSON is taken whole`(text: String) {
    #expect(fault(Array(text.utf8)) == nil)
  }

  @Test(arguments: [
    ("", JSONError(.endOfText, at: 0)),
    ("{", JSONError(.endOfText, at: 1)),
    ("[1,]", JSONError(.expected("a value"), at: 3)),
    ("[1 2]", JSONError(.expected("\",\" or \"]\""), at: 3)),
    (#"{"a" 1}"#, JSONError(.expected("\":\""), at: 5)),
    (#"{"a":1,}"#, JSONError(.expected("a string"), at: 7)),
    (#"{a:1}"#, JSONError(.expected("a string"), at: 1)),
    ("[1] x", JSONError(.expected("the end of the line"), at: 4)),
    ("tru", JSONError(.expected("true or false"), at: 0)),
    ("nul", JSONError(.expected("a value"), at: 0)),
    ("01", JSONError(.badNumber, at: 0)),
    ("-", JSONError(.badNumber, at: 0)),
    ("1.", JSONError(.badNumber, at: 0)),
    ("1e+", JSONError(.badNumber, at: 0)),
    (#""\x""#, JSONError(.badEscape, at: 2)),
    (#""\u12g4""#, JSONError(.badEscape, at: 5)),
    (#""\ud800""#, JSONError(.badEscape, at: 3)),
    (#""\ud800\u0041""#, JSONError(.badEscape, at: 3)),
    (#""\udc00""#, JSONError(.badEscape, at: 3)),
    ("\"a\nb\"", JSONError(.controlCharacter, at: 2)),
    (#"{"a":1,"a":2}"#, JSONError(.duplicateKey("a"), at: 7)),
    (#"{"a":1,"\u0061":2}"#, JSONError(.duplicateKey("a"), at: 7)),
  ])
  func `a fault is named with the byte where it stands`(text: String, expected: JSONError) {
    #expect(fault(Array(text.utf8)) == expected)
  }

  @Test func `invalid UTF-8 is refused, with an escape or without`() {
    #expect(fault([0x22, 0xFF, 0x22])?.problem == .badUTF8)
    #expect(fault([0x22, 0xC3, 0x22])?.problem == .badUTF8)
    #expect(fault([0x22, 0x5C, 0x6E, 0xED, 0xA0, 0x80, 0x22])?.problem == .badUTF8)
  }

  @Test func `nesting is bounded`() {
    let limit = JSONReader.maximumDepth
    let fits = Array(repeating: UInt8(ascii: "["), count: limit) + Array(repeating: UInt8(ascii: "]"), count: limit)
    #expect(fault(fits) == nil)
    for open in [UInt8(ascii: "["), UInt8(ascii: "{")] {
      let deep =
        open == UInt8(ascii: "[") ? Array(repeating: open, count: 1_000_000) : Array(String(repeating: #"{"a":"#, count: 100_000).utf8)
      #expect(fault(deep)?.problem == .tooDeep)
    }
  }

  @Test func `every truncation is an error, none a trap`() {
    let text = Array(#"{"a":[1,-2.5e3,"x\u00e9\n",true,null,{"b":false}],"c":{}}"#.utf8)
    #expect(fault(text) == nil)
    for count in 0..<text.count { #expect(fault(Array(text[..<count])) != nil, "first \(count) bytes") }
  }

  @Test func `integers are read to the edges of 64 bits and no further`() throws {
    for value in [0, 1, -1, Int64.max, Int64.min, 42] {
      var reader = reader("\(value)")
      #expect(try reader.readInteger() == value)
    }
    for text in ["9223372036854775808", "-9223372036854775809", String(repeating: "9", count: 10_000)] {
      var reader = reader(text)
      #expect(throws: JSONError(.numberOutOfRange, at: 0)) { () throws(JSONError) in try reader.readInteger() }
    }
    for text in ["1.0", "1e3", "1E3"] {
      var reader = reader(text)
      #expect(throws: JSONError(.expected("an integer"), at: 0)) { () throws(JSONError) in try reader.readInteger() }
    }
  }

  @Test func `what the writer writes the reader reads`() throws {
    var random = SplitMix64(seed: 0x5EED_0001)
    for round in 0..<500 {
      let scalars = (0..<Int.random(in: 0...40, using: &random)).compactMap { _ in
        Unicode.Scalar(UInt32.random(in: 0...(Bool.random(using: &random) ? 0x7F : 0x1_0FFF), using: &random))
      }
      let text = String(String.UnicodeScalarView(scalars))
      var writer = JSONWriter()
      writer.object { writer in
        writer.key("texts")
        writer.array([text, ""]) { $0.string($1) }
        writer.key("n")
        writer.integer(UInt64.max)
      }
      var reader = JSONReader(writer.bytes)
      var found: [String] = []
      try reader.readObject { key, reader throws(JSONError) in
        if key == "texts" {
          try reader.readArray { reader throws(JSONError) in found.append(try reader.readString()) }
        } else {
          try reader.skipValue()
        }
      }
      try reader.finish()
      #expect(found == [text, ""], "round \(round), seed 0x5EED0001")
    }
  }

  @Test func `random bytes end in a value or an error`() {
    var random = SplitMix64(seed: 0x5EED_0002)
    let alphabet = Array(#"{}[]",:\u0aeE+-.19tfn "#.utf8) + [0xFF, 0x00, 0xC3]
    var values = 0
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0...24, using: &random)).compactMap { _ in alphabet.randomElement(using: &random) }
      if let fault = fault(bytes) { #expect(fault.offset <= bytes.count) } else { values += 1 }
    }
    #expect(values > 0)
  }
}
