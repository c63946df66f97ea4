// SPDX-License-Identifier: Apache-2.0
//
// ioctl on one interface: its address and flags, and the ethtool requests that Interface, InterfaceFacts and OffloadGuard
// make. Nothing here decides anything.

import CLinux
import Glibc

/// A datagram socket to ask about one interface through. It belongs to the network namespace of the thread that opened
/// it, and so do its answers, whatever namespace the asking thread is in later.
struct InterfaceControl: ~Copyable {
  let name: String
  private let socket: CInt

  init(name: String) throws(XDPError) {
    let socket = Glibc.socket(AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw .system(call: "socket", errno: errno, where: name, cure: "") }
    self.name = name
    self.socket = socket
  }

  deinit { close(socket) }

  /// The interface's number in the calling thread's namespace; 0 when there is none of that name.
  func index() -> UInt32 {
    guard name.utf8.count < Int(IFNAMSIZ) else { return 0 }
    return unsafe if_nametoindex(name)  // SAFETY: the string is valid for the call
  }

  /// Hardware address, hardware type, flags, MTU; nil with `errno` when there is no such interface.
  func read() -> clinux_interface? {
    var answer = clinux_interface()
    // SAFETY: name and answer are valid for the call.
    return unsafe clinux_interface_read(socket, name, &answer) == 0 ? answer : nil
  }

  /// Make the ethtool request `value`, which must be one of the fixed-size structures of linux/ethtool.h with its `cmd` set.
  /// 0, or the errno value.
  func ethtool<Request: BitwiseCopyable>(_ value: inout Request) -> CInt {
    // SAFETY: the kernel reads and writes the structure that belongs to `cmd`, which is what the caller passes.
    unsafe clinux_ethtool(socket, name, &value) < 0 ? errno : 0
  }

  /// An ethtool request followed by an array: `words` are its 32-bit words, and the answer's when this returns.
  /// 0, or the errno value. The caller has made `words` as long as the answer may be.
  private func ethtool(words: inout [UInt32]) -> CInt {
    // SAFETY: the kernel writes no further than the counts within `words` say, which the callers below set.
    unsafe words.withUnsafeMutableBytes { unsafe clinux_ethtool(socket, name, $0.baseAddress) < 0 ? errno : 0 }
  }

  /// The driver's short name; "" when the device does not say.
  func driverName() -> String {
    var answer = ethtool_drvinfo()
    answer.cmd = UInt32(ETHTOOL_GDRVINFO)
    guard ethtool(&answer) == 0 else { return "" }
    return unsafe withUnsafeBytes(of: &answer.driver) { unsafe text($0) }
  }

  // MARK: Device features (offloads)

  /// The names of the kernel's device features, in the order of their bits.
  func featureNames() -> [String] {
    var size: [UInt32] = [UInt32(ETHTOOL_GSSET_INFO), 0, 1 << ETH_SS_FEATURES.rawValue, 0, 0]  // cmd, reserved, mask (64 bits), count
    guard ethtool(words: &size) == 0, size[4] > 0, size[4] <= 1024 else { return [] }
    let count = Int(size[4])
    let length = Int(ETH_GSTRING_LEN)
    var answer: [UInt32] = [UInt32(ETHTOOL_GSTRINGS), UInt32(ETH_SS_FEATURES.rawValue), UInt32(count)]
    answer += [UInt32](repeating: 0, count: count * length / 4)
    guard ethtool(words: &answer) == 0 else { return [] }
    return unsafe answer.withUnsafeBytes { bytes in
      (0..<count).map { unsafe text(UnsafeRawBufferPointer(rebasing: bytes[12 + $0 * length..<12 + ($0 + 1) * length])) }
    }
  }

  /// Which features are on and which of them may be changed, bit by bit; empty when the device does not say.
  func features(count: Int) -> [(changeable: Bool, active: Bool)] {
    let blocks = (count + 31) / 32
    var words: [UInt32] = [UInt32(ETHTOOL_GFEATURES), UInt32(blocks)] + [UInt32](repeating: 0, count: 4 * blocks)
    guard ethtool(words: &words) == 0 else { return [] }
    return (0..<count).map { bit in
      let block = 2 + bit / 32 * 4  // available, requested, active, never changed
      let mask: UInt32 = 1 << UInt32(bit % 32)
      return (changeable: words[block] & mask != 0, active: words[block + 2] & mask != 0)
    }
  }

  /// Switch the features at `bits`, of `count`, on or off. 0, or the errno value.
  func setFeatures(_ bits: [Int], of count: Int, to on: Bool) -> CInt {
    let blocks = (count + 31) / 32
    var words: [UInt32] = [UInt32(ETHTOOL_SFEATURES), UInt32(blocks)] + [UInt32](repeating: 0, count: 2 * blocks)
    for bit in bits {
      let mask: UInt32 = 1 << UInt32(bit % 32)
      words[2 + bit / 32 * 2] |= mask  // valid
      if on { words[3 + bit / 32 * 2] |= mask }  // requested
    }
    return ethtool(words: &words)
  }
}

/// A zero-padded C string of a fixed field.
private func text(_ field: UnsafeRawBufferPointer) -> String {
  unsafe String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
}
