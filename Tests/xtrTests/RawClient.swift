// SPDX-License-Identifier: Apache-2.0
//
// A client that sends whatever bytes a test wants. Blocking: for threads of `blocking`.

import CLinux
import Glibc

struct RawClient: ~Copyable {
  private let descriptor: CInt
  private var buffer: [UInt8] = []

  struct Failed: Error { let errno: CInt }

  init(_ path: String) throws {
    descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    guard result == 0 else { throw Failed(errno: errno) }
    var time = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
      guard count > 0 else { throw Failed(errno: errno) }
      rest = rest.dropFirst(count)
    }
  }

  func endOutput() { shutdown(descriptor, CInt(SHUT_WR)) }

  /// The next line without its line feed; nil at the end.
  mutating func line() throws -> String? {
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        let line = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeSubrange(...end)
        return line
      }
      var chunk = [UInt8](repeating: 0xA5, count: 65_536)
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count == 0 { return nil }
      if count < 0 {
        if errno == ECONNRESET { return nil }
        throw Failed(errno: errno)
      }
      buffer += chunk[..<count]
    }
  }
}
