// SPDX-License-Identifier: Apache-2.0
//
// A blocking Unix stream socket: connect, write, read. `ControlClient` owns one.

import Glibc

/// A connected socket. Thread: any one at a time; every call may block.
struct UnixStream: ~Copyable {
  private let descriptor: CInt

  /// Throws the errno of socket(2) or connect(2); ENAMETOOLONG when `path` does not fit.
  init(connectingTo path: String) throws(Errno) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let fits = unsafe withUnsafeMutableBytes(of: &address.sun_path) { field in
      // SAFETY: copyBytes stays within `field`, which keeps a zero at its end.
      guard path.utf8.count < field.count, !path.utf8.contains(0) else { return false }
      unsafe field.copyBytes(from: path.utf8)
      return true
    }
    guard fits else { throw Errno(ENAMETOOLONG) }
    let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw Errno(errno) }
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      // SAFETY: sockaddr_un begins like sockaddr, and its size is given.
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else {
      let error = Errno(errno)
      _ = close(descriptor)
      throw error
    }
    self.descriptor = descriptor
  }

  deinit { _ = close(descriptor) }

  /// How long `read` and `write` may wait; 0: for ever.
  func setTimeout(seconds: Int) {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, size)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, size)
  }

  /// Writes all of `bytes`. EPIPE when the other end is gone, EAGAIN after the time-out.
  func write(_ bytes: [UInt8]) throws(Errno) {
    var written = 0
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        // SAFETY: rebasing keeps the pointer and the count within the array's bytes.
        let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
        return unsafe send(descriptor, rest.baseAddress, rest.count, CInt(MSG_NOSIGNAL))
      }
      if count >= 0 {
        written += count
      } else if errno != EINTR {
        throw Errno(errno)
      }
    }
  }

  /// At least one byte and at most `limit`; none at the end of the stream. EAGAIN after the time-out.
  func read(limit: Int) throws(Errno) -> [UInt8] {
    while true {
      var result = 0
      let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
        // SAFETY: recv writes at most buffer.count bytes and says how many.
        result = unsafe recv(descriptor, buffer.baseAddress, buffer.count, 0)
        count = max(result, 0)
      }
      if result >= 0 { return bytes }
      if errno != EINTR { throw Errno(errno) }
    }
  }
}

/// A system error.
struct Errno: Error, Hashable, CustomStringConvertible {
  let rawValue: CInt

  init(_ rawValue: CInt) { self.rawValue = rawValue }

  var description: String {
    guard let text = unsafe strerror(rawValue) else { return "error \(rawValue)" }
    // SAFETY: strerror gives a zero-ended text that stays until this thread's next call.
    return unsafe String(cString: text)
  }
}
