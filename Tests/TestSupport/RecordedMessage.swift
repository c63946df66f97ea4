// SPDX-License-Identifier: Apache-2.0
//
// The recorded control messages beside the tests of Wire, and what an independent decoder says of each (Fixtures/Control/README.md). Read
// by the suites of Wire and of ControlPlane.

import Foundation

/// A line of the fixtures, or the Map-Register that a message of the reliable transport carries.
public struct RecordedMessage: Sendable, CustomStringConvertible {
  /// The file without its ending, the frame in its recording.
  public let file: String
  public let frame: Int
  public let payload: [UInt8]
  public let decoded: Decoded
  public let refusedBy: [String]
  /// What the authentication data were made with, where it is known.
  public let key: String?

  public var description: String { "\(file) frame \(frame)" }

  /// The whole folder, in the order of the files and their lines.
  public static func all() throws -> [RecordedMessage] {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let folder = tests.appendingPathComponent("WireTests/Fixtures/Control")
    let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
    return try files.filter { $0.pathExtension == "jsonl" }.sorted { $0.path < $1.path }.flatMap { file in
      try Data(contentsOf: file).split(separator: UInt8(ascii: "\n")).compactMap { line in
        let read = try JSONDecoder().decode(Line.self, from: Data(line))
        let part = read.carries ?? Carried(payload: read.payload, message: read.message, key: read.key)
        guard let decoded = part.message else { return nil }
        return RecordedMessage(
          file: file.deletingPathExtension().lastPathComponent, frame: read.frame, payload: octets(part.payload), decoded: decoded,
          refusedBy: read.refusedBy ?? [], key: part.key)
      }
    }
  }

  private struct Line: Decodable {
    let frame: Int
    let payload: String
    let message: Decoded?
    let refusedBy: [String]?
    let key: String?
    let carries: Carried?
  }

  private struct Carried: Decodable {
    let payload: String
    let message: Decoded?
    let key: String?
  }
}

extension RecordedMessage {
  /// The decoder's words; absent where the format or the decoder has none.
  public struct Decoded: Decodable, Sendable {
    public let type: UInt8
    public let flags: String
    public let reserved: UInt32?
    public let recordCount: Int?
    public let nonce: String?
    public let itrRLOCCount: Int?
    public let sourceEID: Address?
    public let itrRLOCs: [Address]?
    public let records: [Record]?
    public let keyID: UInt16?
    public let authenticationLength: Int?
    public let authentication: String?
    public let xTRID: String?
    public let siteID: String?
    public let trailing: String?
    public let inner: Inner?
  }

  /// The packet in an Encapsulated Control Message.
  public final class Inner: Decodable, Sendable {
    public let source: String
    public let sourcePort: UInt16
    public let destination: String
    public let destinationPort: UInt16
    public let payload: String
    public let message: Decoded
  }

  public struct Record: Decodable, Sendable {
    public let ttl: UInt32?
    public let locatorCount: Int?
    public let maskLength: UInt8
    public let action: UInt8?
    public let authoritative: Bool?
    public let mapVersion: UInt16?
    public let eid: Address
    public let locators: [Locator]?
  }

  public struct Locator: Decodable, Sendable {
    public let priority: UInt8
    public let weight: UInt8
    public let multicastPriority: UInt8
    public let multicastWeight: UInt8
    public let flags: UInt16
    public let locator: Address
  }

  public struct Address: Decodable, Sendable {
    public let afi: UInt16
    public let text: String?
    public let lcaf: UInt8?
    public let flags: UInt8?
    public let reserved1: UInt8?
    public let reserved2: UInt8?
    public let length: Int?
    public let instanceID: UInt32?
    public let inner: [Address]?
  }
}

/// The octets that hexadecimal digits stand for; spaces and line ends between them are for the reader. Stops the
/// test where something else is.
public func octets(_ hexadecimal: String) -> [UInt8] {
  let digits = hexadecimal.filter { !$0.isWhitespace }.map { character in
    guard let digit = character.hexDigitValue else { fatalError("\(character) is no hexadecimal digit") }
    return UInt8(digit)
  }
  precondition(digits.count.isMultiple(of: 2), "half an octet")
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
