// SPDX-License-Identifier: Apache-2.0
//
// The steering program and its maps inside the kernel, attached nowhere yet: libbpf loads them, and each kind of map entry has a
// function that sets or removes it. Used by SteeringProgram alone; the program's tests run it from here with
// BPF_PROG_TEST_RUN.

import CLinux
import Glibc
import Wire

/// Owner of a loaded steering program. Thread: one at a time.
@safe struct LoadedSteering: ~Copyable {
  /// For attaching and for BPF_PROG_TEST_RUN. Owned by `object`.
  let programDescriptor: CInt

  /// The `struct bpf_object`. I1: opened and loaded, closed in deinit only; the descriptors below live as long as it.
  private let object: OpaquePointer
  private let config: CInt
  private let addresses: CInt
  private let prefixes: CInt
  private let sockets: CInt
  /// For errors only.
  let interfaceName: String

  /// Loads the program with one place per receive queue. It lifts nothing until `set(config:)`.
  init(interfaceName: String, queueCount: Int) throws(XDPError) {
    clinux_bpf_keep_messages()
    clinux_bpf_forget_messages()
    let object = try unsafe Self.load(queueCount: queueCount, interfaceName)
    // SAFETY: the object is loaded, and steer.bpf.c has what is asked for here; a descriptor that is missing would be negative
    // and every later call with it would fail.
    programDescriptor = unsafe bpf_program__fd(bpf_object__find_program_by_name(object, "xtr_steer"))
    config = unsafe bpf_object__find_map_fd_by_name(object, "config")
    addresses = unsafe bpf_object__find_map_fd_by_name(object, "addresses")
    prefixes = unsafe bpf_object__find_map_fd_by_name(object, "prefixes")
    sockets = unsafe bpf_object__find_map_fd_by_name(object, "sockets")
    unsafe self.object = object
    self.interfaceName = interfaceName
  }

  deinit {
    unsafe bpf_object__close(object)  // SAFETY: I1
  }

  /// Our MAC address and role; nil turns the program off.
  func set(config entry: SteeringEntries.Config?) throws(XDPError) {
    var value = steer_config()
    if let entry {
      let mac = entry.macAddress.octets
      value.mac = (mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
      value.role = entry.role.bits
    }
    try update(config, UInt32(0), value, "the steering program's role")
  }

  func set(address: IPAddress, kind: SteeringEntries.AddressKind) throws(XDPError) {
    let value: UInt32 = kind == .rloc ? UInt32(STEER_OWN | STEER_RLOC) : UInt32(STEER_OWN)
    try update(addresses, steer_address(address, vlan: 0), value, "address \(address)")
  }

  func remove(address: IPAddress) throws(XDPError) {
    try delete(addresses, steer_address(address, vlan: 0), "address \(address)")
  }

  func set(prefix entry: SteeringEntries.Prefix) throws(XDPError) {
    try update(prefixes, steer_prefix(entry), UInt32(1), "local EID-prefix \(entry.prefix)")
  }

  func remove(prefix entry: SteeringEntries.Prefix) throws(XDPError) {
    try delete(prefixes, steer_prefix(entry), "local EID-prefix \(entry.prefix)")
  }

  /// Names the AF_XDP socket that takes what queue `queue` lifts. The kernel takes it out again when the socket closes.
  func set(socket descriptor: CInt, queue: UInt32) throws(XDPError) {
    try update(sockets, queue, UInt32(bitPattern: descriptor), "queue \(queue)")
  }

  private func update<Key: BitwiseCopyable, Value: BitwiseCopyable>(
    _ map: CInt, _ key: Key, _ value: Value, _ what: String
  ) throws(XDPError) {
    // SAFETY: Key and Value are the types that the map was declared with in steer.bpf.c; the kernel reads one of each.
    let result = unsafe withUnsafePointer(to: key) { key in
      unsafe withUnsafePointer(to: value) { unsafe bpf_map_update_elem(map, key, $0, UInt64(BPF_ANY)) }
    }
    guard result == 0 else { throw failure("bpf(BPF_MAP_UPDATE_ELEM)", result, what) }
  }

  private func delete<Key: BitwiseCopyable>(_ map: CInt, _ key: Key, _ what: String) throws(XDPError) {
    // SAFETY: as in `update`.
    let result = unsafe withUnsafePointer(to: key) { unsafe bpf_map_delete_elem(map, $0) }
    guard result == 0 || result == -ENOENT else { throw failure("bpf(BPF_MAP_DELETE_ELEM)", result, what) }
  }

  private func failure(_ call: String, _ result: CInt, _ what: String) -> XDPError {
    -result == EPERM
      ? .noPrivilege(doing: "change the steering program of \(interfaceName)")
      : .system(call: call, errno: -result, where: "\(interfaceName), \(what)", cure: "")
  }
}

// MARK: - Loading

extension LoadedSteering {
  /// Opens and loads the object that the build made of bpf/steer.bpf.c. The caller closes what is returned.
  private static func load(queueCount: Int, _ interfaceName: String) throws(XDPError) -> OpaquePointer {
    let bytes = SteeringObject.bytes
    var failure: CInt = 0
    // SAFETY: libbpf copies the name; the bytes are there until the object is loaded, after which nothing refers to them.
    let object = unsafe bytes.withUnsafeBytes { bytes -> OpaquePointer? in
      var options = unsafe bpf_object_open_opts()
      unsafe zeroFill(&options)
      unsafe options.sz = MemoryLayout<bpf_object_open_opts>.size
      guard
        let object = unsafe "xtr_steer".withCString({ name in
          unsafe options.object_name = name
          return unsafe bpf_object__open_mem(bytes.baseAddress, bytes.count, &options)
        })
      else {
        failure = errno
        return nil
      }
      let sockets = unsafe bpf_object__find_map_by_name(object, "sockets")
      failure = unsafe -bpf_map__set_max_entries(sockets, UInt32(clamping: max(queueCount, 1)))
      if failure == 0 { failure = unsafe -bpf_object__load(object) }
      guard failure == 0 else {
        unsafe bpf_object__close(object)
        return nil
      }
      return unsafe object
    }
    guard let object = unsafe object else { throw loadError(failure, interfaceName) }
    return unsafe object
  }

  private static func loadError(_ code: CInt, _ interfaceName: String) -> XDPError {
    // SAFETY: a zero-terminated string of this thread.
    let lines = unsafe String(cString: clinux_bpf_messages()).split(separator: "\n").map(String.init)
    switch code {
    case EPERM: return .noPrivilege(doing: "load the steering program")
    case EACCES where lines.contains { $0.contains("prohibited for !root") }:  // the verifier's words for: no CAP_PERFMON
      return .noPrivilege(doing: "load the steering program")
    case ENOSYS: return .kernelTooOld(feature: "bpf()", needs: "5.15")
    default:
      return .system(
        call: "bpf(BPF_PROG_LOAD)", errno: code, where: "\(interfaceName), the steering program", cure: tellingLine(lines))
    }
  }

  /// The line among libbpf's words that says most: the verifier's last before its statistics, or else libbpf's first.
  private static func tellingLine(_ lines: [String]) -> String {
    if let statistics = lines.lastIndex(where: { $0.hasPrefix("processed ") }), statistics > 0 { return lines[statistics - 1] }
    return lines.first ?? ""
  }
}

// MARK: - Keys, as bpf/steer.h lays them out

extension SteeringRole {
  fileprivate var bits: UInt8 {
    switch self {
    case .site: UInt8(STEER_SITE)
    case .core: UInt8(STEER_CORE)
    case .both: UInt8(STEER_SITE | STEER_CORE)
    }
  }
}

extension steer_address {
  fileprivate init(_ address: IPAddress, vlan: UInt16) {
    self.init()
    self.vlan = vlan.bigEndian
    family = address.family.rawValue
    let bits = address.leftAligned
    // SAFETY: the sixteen octets of the key are two numbers of eight.
    unsafe withUnsafeMutableBytes(of: &octets) {
      unsafe $0.storeBytes(of: bits.high.bigEndian, as: UInt64.self)
      unsafe $0.storeBytes(of: bits.low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
  }
}

extension steer_prefix {
  fileprivate init(_ entry: SteeringEntries.Prefix) {
    self.init()
    length = UInt32(STEER_ADDRESS_PREAMBLE) + UInt32(entry.prefix.length)
    address = steer_address(entry.prefix.address, vlan: entry.vlan)
  }
}

extension SteeringObject {
  /// The ELF object.
  fileprivate static var bytes: [UInt8] {
    func value(_ digit: UInt8) -> UInt8 { digit < UInt8(ascii: "a") ? digit - UInt8(ascii: "0") : digit - UInt8(ascii: "a") + 10 }
    // SAFETY: SteerCompiler wrote an even number of the digits 0–9 and a–f, and the string is a constant of the program.
    return hexadecimal.withUTF8Buffer { digits in
      stride(from: 0, to: digits.count - 1, by: 2).map { unsafe value(digits[$0]) << 4 | value(digits[$0 + 1]) }
    }
  }
}
