// SPDX-License-Identifier: Apache-2.0
//
// Bytes as they arrive → lines. The router's server and `ControlClient` read their sockets through it.

import Glibc

/// Cuts a stream at its line feeds. Every byte is looked at once and copied twice, however it arrives. Thread: any one.
public struct LineBuffer {
  /// The longest line, without its line feed.
  public let limit: Int
  private var bytes: [UInt8] = []
  /// Where the first line that was not given out begins.
  private var start = 0
  /// Up to where there is no line feed.
  private var searched = 0

  public init(limit: Int = ControlProtocol.maximumLineByteCount) { self.limit = limit }

  /// Bytes that were not given out.
  public var count: Int { bytes.count - start }

  public mutating func append(_ chunk: some Collection<UInt8>) {
    // Moves what is left to the front once it is the smaller part, so that each byte moves a bounded number of times.
    if start > bytes.count / 2 {
      bytes.removeFirst(start)
      searched -= start
      start = 0
    }
    bytes.append(contentsOf: chunk)
  }

  /// The next line without its line feed; nil when none is complete, or when the next one is too long (`isOverlong`).
  public mutating func next() -> [UInt8]? {
    guard let end = lineFeed() else {
      searched = bytes.count
      return nil
    }
    guard end - start <= limit else { return nil }
    let line = Array(bytes[start..<end])
    start = end + 1
    searched = start
    if start == bytes.count {
      // Keeps a large buffer for the next large line, not for good.
      bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 20)
      start = 0
      searched = 0
    }
    return line
  }

  /// Whether the line that `next` would give is longer than the limit, or will be.
  public var isOverlong: Bool {
    guard let end = lineFeed() else { return count > limit }
    return end - start > limit
  }

  private func lineFeed() -> Int? {
    guard searched < bytes.count else { return nil }
    return unsafe bytes.withUnsafeBytes { buffer in
      // SAFETY: the range searched..<count lies in the buffer and is not empty.
      guard let base = buffer.baseAddress, let found = unsafe memchr(base + searched, 0x0A, buffer.count - searched) else { return nil }
      return unsafe UnsafeRawPointer(found) - base
    }
  }
}
