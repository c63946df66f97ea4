// SPDX-License-Identifier: Apache-2.0
//
// How status values become JSON and back: by Codable, with names in words with hyphens. Not for anything on a fast way: a
// mapping, a request and an event are written and read by hand (Messages/).

import FoundationEssentials

/// Status values ⇄ JSON. Thread: any.
public enum StatusCoding {
  /// `value` as JSON in one line, or over several lines for reading.
  public static func encode(_ value: some Encodable, pretty: Bool = false) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = pretty ? [.withoutEscapingSlashes, .prettyPrinted, .sortedKeys] : [.withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .custom { path in Key(Self.hyphenated(path.last?.stringValue ?? "")) }
    encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // Our types hold numbers, strings, arrays and structs only, which always encode.
    guard let data = try? encoder.encode(value) else { return Array("null".utf8) }
    return Array(data)
  }

  /// Throws what JSONDecoder throws.
  static func decode<Value: Decodable>(_ type: Value.Type, from json: some Sequence<UInt8>) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .custom { path in Key(Self.camelCased(path.last?.stringValue ?? "")) }
    return try decoder.decode(type, from: Data(json))
  }

  /// "instanceID" → "instance-id".
  static func hyphenated(_ name: String) -> String {
    var words = ""
    var previousIsCapital = true
    for character in name {
      if character.isUppercase, !previousIsCapital { words.append("-") }
      previousIsCapital = character.isUppercase
      words.append(character.lowercased())
    }
    return words
  }

  /// "instance-id" → "instanceID".
  static func camelCased(_ words: String) -> String {
    let parts = words.split(separator: "-")
    return parts.enumerated().map { index, word in
      index == 0 ? String(word) : word == "id" ? "ID" : word.prefix(1).uppercased() + word.dropFirst()
    }.joined()
  }

  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}
