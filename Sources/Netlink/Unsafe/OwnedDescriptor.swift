// SPDX-License-Identifier: Apache-2.0
//
// A file descriptor that closes itself, and the system calls on it that take pointers. Used by ExceptionDevice, RawSender,
// ICMPListener and KernelSetting.

import CLinux
import Glibc

/// Owns a file descriptor. Invariant D1: `rawValue` is open from `init` to `deinit` and owned by nobody else.
struct OwnedDescriptor: ~Copyable {
  let rawValue: CInt

  private init(_ rawValue: CInt) { self.rawValue = rawValue }

  deinit { _ = Glibc.close(rawValue) }

  /// open(2); nil with `errno` set.
  static func open(_ path: String, _ flags: CInt) -> OwnedDescriptor? {
    // SAFETY: the path is a zero-terminated copy for the call.
    let descriptor = unsafe Glibc.open(path, flags | O_CLOEXEC)
    return descriptor < 0 ? nil : OwnedDescriptor(descriptor)
  }

  /// A non-blocking raw socket, as a rule of protocol IPPROTO_RAW, which receives nothing; nil with `errno` set.
  static func rawSocket(_ family: CInt, _ protocolNumber: CInt = CInt(IPPROTO_RAW)) -> OwnedDescriptor? {
    let type = SOCK_RAW.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
    let descriptor = socket(family, CInt(bitPattern: type), protocolNumber)
    return descriptor < 0 ? nil : OwnedDescriptor(descriptor)
  }

  /// if_nametoindex(3): 0 with `errno` set when there is no such interface.
  static func interfaceIndex(named name: String) -> UInt32 {
    // SAFETY: the name is a zero-terminated copy for the call.
    unsafe if_nametoindex(name)
  }

  /// setsockopt(2) with a number: 0, or the errno.
  func setOption(_ level: CInt, _ option: CInt, _ value: CInt) -> CInt {
    var value = value
    // SAFETY: the kernel reads the four bytes of `value`, which outlives the call.
    let result = unsafe setsockopt(rawValue, level, option, &value, socklen_t(MemoryLayout<CInt>.size))
    return result == 0 ? 0 : errno
  }

  /// setsockopt(2) with an array of words: 0, or the errno.
  func setOption(_ level: CInt, _ option: CInt, words: [UInt32]) -> CInt {
    // SAFETY: the kernel reads the array's bytes, which outlive the call.
    let result = unsafe words.withUnsafeBytes { unsafe setsockopt(rawValue, level, option, $0.baseAddress, socklen_t($0.count)) }
    return result == 0 ? 0 : errno
  }

  /// Turns an open /dev/net/tun into a new TUN device: 0, or the errno.
  func becomeTUN(named name: String) -> CInt {
    // SAFETY: the shim copies at most 15 bytes of the zero-terminated name.
    unsafe clinux_tun_create(rawValue, name) == 0 ? 0 : errno
  }

  /// write(2) of all bytes: 0, or the errno.
  func write(_ bytes: Span<UInt8>) -> CInt {
    unsafe bytes.withUnsafeBytes { buffer in
      while true {
        // SAFETY: the kernel reads `buffer.count` bytes, which the span keeps alive.
        if unsafe Glibc.write(rawValue, buffer.baseAddress, buffer.count) >= 0 { return 0 }
        if errno != EINTR { return errno }
      }
    }
  }

  /// Reads up to `limit` bytes; nil with `errno` set.
  func read(limit: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: limit)
    // SAFETY: the kernel writes at most `limit` bytes into the array.
    let count = unsafe Glibc.read(rawValue, &bytes, limit)
    return count < 0 ? nil : Array(bytes.prefix(count))
  }

  /// Reads one datagram and throws it away; whether there was one.
  func discardDatagram() -> Bool {
    var byte: UInt8 = 0
    // SAFETY: the kernel writes at most one byte; a TUN drops the rest of the packet.
    return unsafe Glibc.read(rawValue, &byte, 1) >= 0
  }

  /// Sends an IPv4 packet on a raw socket: 0, or the errno; EINVAL for one without a whole header.
  func sendIPv4(_ packet: Span<UInt8>) -> CInt {
    guard packet.count >= 20 else { return EINVAL }
    return unsafe packet.withUnsafeBytes { buffer in
      // SAFETY: the header's 20 bytes are there; the shim reads `count` bytes, which the span keeps alive.
      let source = unsafe buffer.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
      let destination = unsafe buffer.loadUnaligned(fromByteOffset: 16, as: UInt32.self)
      let result = unsafe clinux_raw_send4(rawValue, buffer.baseAddress, buffer.count, source, destination)
      return result >= 0 ? 0 : errno
    }
  }

  /// Sends an IPv6 packet on a raw socket: 0, or the errno; EINVAL for one without a whole header.
  func sendIPv6(_ packet: Span<UInt8>) -> CInt {
    guard packet.count >= 40 else { return EINVAL }
    return unsafe packet.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return EINVAL }
      // SAFETY: the header's 40 bytes are there, so the shim may read 16 at each address; it reads `count` bytes of the
      // packet, which the span keeps alive.
      let result = unsafe clinux_raw_send6(rawValue, base, buffer.count, base + 8, base + 24)
      return result >= 0 ? 0 : errno
    }
  }
}

/// What an errno means, in the system's words.
func errorText(_ errno: CInt) -> String {
  // SAFETY: glibc answers with a zero-terminated text that no other thread changes.
  unsafe String(cString: strerror(errno))
}
