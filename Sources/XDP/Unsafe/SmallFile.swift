// SPDX-License-Identifier: Apache-2.0
//
// Reading the one-line files and the folders of /sys and /proc, without Foundation. Used at set-up.

import Glibc

/// The first 4095 bytes of a file without the white space at their end; nil when it cannot be read. Thread: any.
func readSmallFile(_ path: String) -> String? {
  let file = unsafe open(path, O_RDONLY | O_CLOEXEC)  // SAFETY: the string is valid for the call
  guard file >= 0 else { return nil }
  defer { close(file) }
  var text = unsafe withUnsafeTemporaryAllocation(byteCount: 4095, alignment: 1) { buffer -> String? in
    let count = unsafe read(file, buffer.baseAddress, buffer.count)  // SAFETY: writes at most buffer.count bytes
    guard count >= 0 else { return nil }
    return unsafe String(decoding: buffer[..<count], as: UTF8.self)
  }
  while let last = text?.last, last.isWhitespace { text?.removeLast() }
  return text
}

/// How many entries of the folder at `path` begin with `prefix`; 0 when it cannot be read. Thread: any.
func countEntries(of path: String, startingWith prefix: String) -> Int {
  guard let folder = unsafe opendir(path) else { return 0 }
  defer { unsafe _ = closedir(folder) }
  var count = 0
  // SAFETY: an entry is valid until the next readdir on the same folder, and its name is zero-terminated.
  while let entry = unsafe readdir(folder) {
    guard let name = unsafe entry.pointer(to: \.d_name.0) else { continue }
    if unsafe String(cString: name).hasPrefix(prefix) { count += 1 }
  }
  return count
}
