// SPDX-License-Identifier: Apache-2.0
//
// A setting under /proc/sys/net. It belongs to the network namespace of the thread that opens it. Used by ExceptionDevice.

import Glibc

/// One file under /proc/sys/net.
struct KernelSetting {
  /// "ipv4/conf/xtr0/forwarding"
  let name: String

  init(_ name: String) { self.name = name }

  private var path: String { "/proc/sys/net/\(name)" }
  /// As an operator would write it: sysctl takes '/' for '.', and interface names may hold dots.
  var command: String { "sysctl -w net/\(name)" }

  /// nil when the kernel has no such setting or it cannot be read.
  var value: Int? {
    guard let file = OwnedDescriptor.open(path, O_RDONLY), let bytes = file.read(limit: 64) else { return nil }
    return Int(String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
  }

  /// 0, or the errno: ENOENT when the kernel has no such setting, EROFS in a container that may not change it.
  func set(_ value: Int) -> CInt {
    guard let file = OwnedDescriptor.open(path, O_WRONLY) else { return errno }
    return file.write(Array("\(value)\n".utf8).span)
  }
}
