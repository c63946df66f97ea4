// SPDX-License-Identifier: Apache-2.0
//
// Why bytes are not the JSON that was expected, and at which byte. The reader throws it; requests turn it into an answer.

/// A fault in JSON text (RFC 8259), with the offset of the byte where it was noticed.
public struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Problem: Sendable, Hashable {
    /// What should have stood here: "a string", "\":\"", "the end of the line".
    case expected(String)
    /// Text ends in the middle of a value.
    case endOfText
    /// A byte below 0x20 inside a string.
    case controlCharacter
    case badEscape
    /// Not well-formed UTF-8.
    case badUTF8
    case badNumber
    /// An integer that does not fit.
    case numberOutOfRange
    /// Deeper than `JSONReader.maximumDepth`.
    case tooDeep
    case duplicateKey(String)
    case unknownKey(String)
    /// A value that is JSON but not what the field allows: its name and what it allows.
    case badValue(field: String, expected: String)
  }

  public var problem: Problem
  public var offset: Int

  public init(_ problem: Problem, at offset: Int) {
    self.problem = problem
    self.offset = offset
  }

  /// Whether the text is not JSON at all, as opposed to JSON with the wrong content.
  public var isSyntax: Bool {
    switch problem {
    case .endOfText, .controlCharacter, .badEscape, .badUTF8, .badNumber, .tooDeep: true
    case .expected, .numberOutOfRange, .duplicateKey, .unknownKey, .badValue: false
    }
  }

  public var description: String { "\(text) at byte \(offset)" }

  private var text: String {
    switch problem {
    case .expected(let what): "expected \(what)"
    case .endOfText: "the text ends in the middle of a value"
    case .controlCharacter: "control character in a string"
    case .badEscape: "unknown or broken escape in a string"
    case .badUTF8: "string is not UTF-8"
    case .badNumber: "not a number"
    case .numberOutOfRange: "number out of range"
    case .tooDeep: "nested deeper than \(JSONReader.maximumDepth)"
    case .duplicateKey(let key): "\"\(key)\" is there twice"
    case .unknownKey(let key): "unknown field \"\(key)\""
    case .badValue(let field, let expected): "\(field): expected \(expected)"
    }
  }
}
