// SPDX-License-Identifier: Apache-2.0
//
// The attachment of a steering program to an interface, and who else is attached there. Used by SteeringProgram.

import CLinux
import Glibc

/// Owner of a bpf_link: the program is attached while this exists, and no longer than the process. Thread: one at a time.
struct SteeringLink: ~Copyable {
  let mode: SteeringProgram.AttachMode
  /// Why it is generic when native was wanted as well.
  let nativeRefusal: XDPError?
  private let descriptor: CInt

  /// Attaches in exactly the mode asked for.
  init(
    attaching program: CInt, to interfaceIndex: UInt32, mode: SteeringProgram.AttachMode, nativeRefusal: XDPError?
  ) throws(SteeringRefusal) {
    // SAFETY: the options are a local whose size is said in them.
    var options = unsafe bpf_link_create_opts()
    unsafe zeroFill(&options)
    unsafe options.sz = unsafe MemoryLayout<bpf_link_create_opts>.size
    switch mode {
    case .native: unsafe options.flags = UInt32(XDP_FLAGS_DRV_MODE)
    case .generic: unsafe options.flags = UInt32(XDP_FLAGS_SKB_MODE)
    }
    let result = unsafe bpf_link_create(program, CInt(bitPattern: interfaceIndex), BPF_XDP, &options)
    guard result >= 0 else { throw SteeringRefusal(errno: -result) }
    descriptor = result
    self.mode = mode
    self.nativeRefusal = nativeRefusal
  }

  deinit { close(descriptor) }
}

/// Zeroes every byte of the options of a libbpf call, those between and behind the fields as well: libbpf refuses options that have
/// anything behind the last field it knows.
func zeroFill<Options>(_ options: inout Options) {
  // SAFETY: C structs, of which all bytes zero is a value.
  _ = unsafe withUnsafeMutableBytes(of: &options) { unsafe $0.initializeMemory(as: UInt8.self, repeating: 0) }
}

/// Why the kernel did not do what was asked of it.
struct SteeringRefusal: Error {
  let errno: CInt
}

/// An XDP program that is attached somewhere.
struct AttachedProgram: Equatable {
  let id: UInt32
  /// As its author named it, at most 15 characters; "?" where the kernel does not say (that takes CAP_SYS_ADMIN).
  let name: String

  /// The program that is attached to an interface in any mode, nil if none is.
  static func on(interfaceIndex: UInt32) throws(SteeringRefusal) -> AttachedProgram? {
    var query = bpf_xdp_query_opts()
    zeroFill(&query)
    query.sz = MemoryLayout<bpf_xdp_query_opts>.size
    // SAFETY: the options are a local whose size is said in them.
    let result = unsafe bpf_xdp_query(CInt(bitPattern: interfaceIndex), 0, &query)
    guard result == 0 else { throw SteeringRefusal(errno: -result) }
    let ids = [query.prog_id, query.drv_prog_id, query.skb_prog_id, query.hw_prog_id]
    guard let id = ids.first(where: { $0 != 0 }) else { return nil }
    return AttachedProgram(id: id, name: name(ofProgram: id) ?? "?")
  }

  private static func name(ofProgram id: UInt32) -> String? {
    let program = bpf_prog_get_fd_by_id(id)
    guard program >= 0 else { return nil }
    defer { close(program) }
    var info = bpf_prog_info()
    var byteCount = UInt32(MemoryLayout<bpf_prog_info>.size)
    // SAFETY: the kernel writes at most byteCount bytes, and a zero-terminated name within them.
    guard unsafe bpf_obj_get_info_by_fd(program, &info, &byteCount) == 0 else { return nil }
    return unsafe withUnsafeBytes(of: &info.name) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}

/// Whether the calling thread's network namespace has an interface of this index. Thread: any.
func interfaceExists(_ index: UInt32) -> Bool {
  // SAFETY: the kernel writes a name of at most IF_NAMESIZE bytes.
  unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IF_NAMESIZE)) {
    unsafe if_indextoname(index, $0.baseAddress) != nil
  }
}

/// Whether the running kernel is at least of this version. Thread: any.
func kernelIsAtLeast(_ major: Int, _ minor: Int) -> Bool {
  var names = utsname()
  // SAFETY: uname fills the structure with zero-terminated strings.
  guard unsafe uname(&names) == 0 else { return true }
  let release = unsafe withUnsafeBytes(of: &names.release) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
  guard numbers.count == 2 else { return true }
  return (numbers[0], numbers[1]) >= (major, minor)
}
