// SPDX-License-Identifier: Apache-2.0
//
// Bytes to transfer and their SHA-256 by coreutils' `sha256sum`: a judge that shares no code with what it judges.

import CLinux
import Glibc

public struct Payload: Sendable {
  public let bytes: [UInt8]
  /// Hexadecimal.
  public let digest: String

  /// Pseudo-random bytes of this seed.
  public init(byteCount: Int, seed: UInt64) throws(LabError) {
    var generator = SplitMix64(seed: seed)
    try self.init(generator.bytes(byteCount))
  }

  public init(_ bytes: [UInt8]) throws(LabError) {
    self.bytes = bytes
    let file = clinux_memory_file("payload")
    guard file >= 0 else { throw .lastCall("memfd_create") }
    defer { close(file) }
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
      guard count > 0 else { throw .lastCall("write") }
      done += count
    }
    lseek(file, 0, SEEK_SET)
    digest = String(try ChildProcess.run(["sha256sum"], standardInput: file).prefix { $0 != " " })
  }
}
