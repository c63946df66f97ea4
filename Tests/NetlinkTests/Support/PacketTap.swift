// SPDX-License-Identifier: Apache-2.0
//
// Sees the IP packets that arrive in a namespace. Used by the tests of what leaves through the kernel.

import Glibc
import Testing
import Wire

/// A packet socket without link header: all IP packets of a family that arrive on any interface of the thread's namespace.
final class PacketTap: Sendable {
  private let descriptor: CInt

  init(_ family: AddressFamily) {
    let etherType: UInt16 = family == .ipv4 ? 0x0800 : 0x86DD
    descriptor = socket(AF_PACKET, CInt(SOCK_DGRAM.rawValue), CInt(etherType.bigEndian))
    #expect(descriptor >= 0)
  }

  deinit { close(descriptor) }

  /// The next packet that `condition` takes; nil when none comes within `seconds`.
  func next(within seconds: Double = 3, where condition: ([UInt8]) -> Bool) -> [UInt8]? {
    let deadline = now() + seconds
    while case let left = deadline - now(), left > 0 {
      var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&wanted, 1, CInt(left * 1000) + 1) > 0 else { continue }
      var buffer = [UInt8](repeating: 0xA5, count: 65536)
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { continue }
      let packet = Array(buffer[..<count])
      if condition(packet) { return packet }
    }
    return nil
  }

  private func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
