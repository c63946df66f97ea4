// SPDX-License-Identifier: Apache-2.0
//
// A file that a user named, whole; pipes and /dev/stdin, too. `Configuration.load` and `xtr map add --file` read with it.

import Glibc

enum InputFile {
  /// Why a file could not be read, in words that follow "cannot be read: ".
  struct Unreadable: Error, Equatable {
    var reason: String

    init(errno: CInt) {
      switch errno {
      case ENOENT, ENOTDIR: reason = "there is no such file"
      case EISDIR: reason = "it is a directory"
      case EACCES, EPERM: reason = "permission denied"
      default: reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)"
      }
    }
  }

  /// All bytes of `file`; "-" is standard input. Blocks.
  static func read(_ file: String) throws(Unreadable) -> [UInt8] {
    let descriptor = file == "-" ? dup(0) : open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Unreadable(errno: errno) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
      if count > 0 {
        bytes += chunk[..<count]
      } else if count == 0 {
        return bytes
      } else if errno != EINTR {
        throw Unreadable(errno: errno)
      }
    }
  }
}
