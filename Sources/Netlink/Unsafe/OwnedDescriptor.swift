// SPDX-License-Identifier: Apache-2.0
//
// A file descriptor that closes itself, and the system calls on it that take pointers. Used by ExceptionDevice, RawSender and
// KernelSetting.

import CLinux
import Glibc

/// Owns a file descriptor. Invariant D1: `rawValue` is open from `init` to `deinit` and owned by nobody else.
struct OwnedDescriptor: ~Copyable {
  let rawValue: CInt

  private init(_ rawValue: CInt) { self.rawValue = rawValue }

  deinit { _ = Glibc.close(rawValue) }

  /// open(2); nil with `errno` set.
  static func open(_ path: String, _ flags: CInt) -> OwnedDescriptor? {
    let descriptor = Glibc.open(path, flags | O_CLOEXEC)
    return descriptor < 0 ? nil : OwnedDescriptor(descriptor)
  }

  /// A non-blocking raw socket of protocol IPPROTO_RAW, which receives nothing; nil with `errno` set.
  static func rawSocket(_ family: CInt) -> OwnedDescriptor? {
    let type = SOCK_RAW.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
    let descriptor = socket(family, CInt(bitPattern: type), CInt(IPPROTO_RAW))
    return descriptor < 0 ? nil : OwnedDescriptor(descriptor)
  }

  /// setsockopt(2) with a number: 0, or the errno.
  func setOption(_ level: CInt, _ option: CInt, _ value: CInt) -> CInt {
    var value = value
    // SAFETY: the kernel reads the four bytes of `value`, which outlives the call.
    return setsockopt(rawValue, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) == 0 ? 0 : errno
  }

  /// Turns an open /dev/net/tun into a new TUN device: 0, or the errno.
  func becomeTUN(named name: String) -> CInt {
    // SAFETY: the shim copies at most 15 bytes of the zero-terminated name.
    clinux_tun_create(rawValue, name) == 0 ? 0 : errno
  }

  /// write(2) of the whole buffer: 0, or the errno.
  func write(_ bytes: UnsafeRawBufferPointer) -> CInt {
    while true {
      // SAFETY: the kernel reads `bytes.count` bytes, which the caller keeps alive.
      if Glibc.write(rawValue, bytes.baseAddress, bytes.count) >= 0 { return 0 }
      if errno != EINTR { return errno }
    }
  }

  /// Reads up to `limit` bytes; nil with `errno` set.
  func read(limit: Int) -> [UInt8]? {
    var failed = false
    let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
      // SAFETY: the kernel writes at most `limit` bytes, and `count` says how many.
      let result = Glibc.read(rawValue, buffer.baseAddress, limit)
      failed = result < 0
      count = max(result, 0)
    }
    return failed ? nil : bytes
  }

  /// Reads one datagram and throws it away; whether there was one.
  func discardDatagram() -> Bool {
    var byte: UInt8 = 0
    // SAFETY: the kernel writes at most one byte; a TUN drops the rest of the packet.
    return Glibc.read(rawValue, &byte, 1) >= 0
  }

  /// Sends an IPv4 packet of at least 20 bytes on a raw socket: 0, or the errno.
  func sendIPv4(_ packet: UnsafeRawBufferPointer) -> CInt {
    // SAFETY: the caller has checked that the packet has the 20 bytes of an IPv4 header; the shim reads `count` bytes.
    let result = clinux_raw_send4(
      rawValue, packet.baseAddress, packet.count, packet.loadUnaligned(fromByteOffset: 12, as: UInt32.self),
      packet.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
    return result >= 0 ? 0 : errno
  }

  /// Sends an IPv6 packet of at least 40 bytes on a raw socket: 0, or the errno.
  func sendIPv6(_ packet: UnsafeRawBufferPointer) -> CInt {
    guard let base = packet.bindMemory(to: UInt8.self).baseAddress else { return EINVAL }
    // SAFETY: the caller has checked that the packet has the 40 bytes of an IPv6 header; the shim reads 16 bytes at each
    // address and `count` bytes of the packet.
    let result = clinux_raw_send6(rawValue, base, packet.count, base + 8, base + 24)
    return result >= 0 ? 0 : errno
  }
}
