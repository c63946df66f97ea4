// SPDX-License-Identifier: Apache-2.0
//
// Capture files (the classic libpcap format), as far as the tests need them: Ethernet frames or IP packets, either byte order.

import Foundation

enum Pcap {
  /// Link types.
  static let ethernet = 1
  static let rawIP = 101

  /// Where the captures are: XTR_DATA, or `shared/data` beside the package. nil when they are not there.
  static let captures: URL? = {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let beside = package.deletingLastPathComponent().appendingPathComponent("shared/data")
    let data = ProcessInfo.processInfo.environment["XTR_DATA"].map { URL(fileURLWithPath: $0) } ?? beside
    let captures = data.appendingPathComponent("captures")
    return FileManager.default.fileExists(atPath: captures.path) ? captures : nil
  }()

  /// The frames of a capture; nil when it is not one of that link type.
  static func frames(_ url: URL, linkType: Int = ethernet) throws -> [[UInt8]]? {
    let file = [UInt8](try Data(contentsOf: url))
    guard file.count >= 24 else { return nil }
    let isLittle = file[0] == 0xD4 || file[0] == 0x4D
    func u32(_ at: Int) -> Int {
      let octets = file[at..<at + 4]
      return (isLittle ? octets.reversed() : Array(octets)).reduce(0) { $0 << 8 | Int($1) }
    }
    guard [0xA1B2_C3D4, 0xA1B2_3C4D].contains(u32(0)), u32(20) == linkType else { return nil }
    var frames: [[UInt8]] = []
    var at = 24
    while at + 16 <= file.count {
      let length = u32(at + 8)
      guard at + 16 + length <= file.count else { return nil }
      frames.append(Array(file[at + 16..<at + 16 + length]))
      at += 16 + length
    }
    return frames
  }
}
