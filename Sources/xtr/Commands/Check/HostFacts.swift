// SPDX-License-Identifier: Apache-2.0
//
// What `xtr check` knows of the host apart from its ports: kernel, privileges, memory, processors, forwarding. Read from /proc and
// /sys; a file that is not there gives nil, and nothing is said about it.

import CLinux
import Glibc

/// Text files under a root; tests have a tree of their own.
struct HostFiles {
  var root = "/"

  /// The file's text without its last line feed; nil when it cannot be read.
  func text(_ path: String) -> String? {
    guard let file = fopen(root + path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while bytes.count < 1 << 20, case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    if bytes.last == 0x0A { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  func number(_ path: String) -> Int? { text(path).flatMap { Int($0) } }

  /// Names in a folder, sorted.
  func names(_ path: String) -> [String] {
    guard let folder = opendir(root + path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }
}

/// A capability of capabilities(7), by its bit.
enum Capability: Int, CaseIterable {
  case netAdmin = 12
  case netRaw = 13
  case ipcLock = 14
  case sysAdmin = 21
  case perfmon = 38
  case bpf = 39

  var name: String {
    switch self {
    case .netAdmin: "CAP_NET_ADMIN"
    case .netRaw: "CAP_NET_RAW"
    case .ipcLock: "CAP_IPC_LOCK"
    case .sysAdmin: "CAP_SYS_ADMIN"
    case .perfmon: "CAP_PERFMON"
    case .bpf: "CAP_BPF"
    }
  }
}

struct HostFacts: Equatable {
  /// "6.1.0-13-amd64"
  var kernelRelease = ""
  var capabilities: Set<Capability> = []
  /// Bytes this process may lock; nil: any number.
  var memoryLockLimit: Int?
  var processorCount = 1
  /// Frequency governors in use other than "performance".
  var slowGovernors: Set<String> = []
  /// Whether two hardware threads share a core.
  var hasSMT = false
  /// "1-3": processors kept free of other work.
  var isolatedProcessors = ""
  /// Whether transparent huge pages are switched off ("never").
  var hugePagesAreOff = false
  var freeHugePages = 0
  var forwardsIPv4: Bool?
  var forwardsIPv6: Bool?
  /// Whether the kernel can forward IPv6 from one interface alone (6.17).
  var hasForceForwarding = false
  /// net.ipv4.conf.all.rp_filter
  var reversePathFilter = 0

  /// This host, now, as this process sees it.
  static func current() -> HostFacts {
    var facts = HostFacts(files: HostFiles())
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0, limit.rlim_cur < UInt(Int.max) {
      facts.memoryLockLimit = Int(limit.rlim_cur)
    }
    facts.processorCount = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    return facts
  }

  init() {}

  /// What the files say.
  init(files: HostFiles) {
    kernelRelease = files.text("proc/sys/kernel/osrelease") ?? ""
    capabilities = Self.capabilities(files.text("proc/self/status") ?? "")
    for name in files.names("sys/devices/system/cpu") where name.hasPrefix("cpu") {
      let governor = files.text("sys/devices/system/cpu/\(name)/cpufreq/scaling_governor")
      if let governor, governor != "performance" { slowGovernors.insert(governor) }
    }
    hasSMT = files.text("sys/devices/system/cpu/smt/active") == "1"
    isolatedProcessors = files.text("sys/devices/system/cpu/isolated") ?? ""
    hugePagesAreOff = files.text("sys/kernel/mm/transparent_hugepage/enabled")?.contains("[never]") ?? false
    freeHugePages = files.number("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") ?? 0
    forwardsIPv4 = files.number("proc/sys/net/ipv4/ip_forward").map { $0 != 0 }
    forwardsIPv6 = files.number("proc/sys/net/ipv6/conf/all/forwarding").map { $0 != 0 }
    hasForceForwarding = files.text("proc/sys/net/ipv6/conf/all/force_forwarding") != nil
    reversePathFilter = files.number("proc/sys/net/ipv4/conf/all/rp_filter") ?? 0
  }

  /// Major and minor version; nil when the release is written in an unknown way.
  var kernelVersion: (major: Int, minor: Int)? {
    let numbers = kernelRelease.split(separator: ".", maxSplits: 2).prefix(2).map { Int($0.prefix { $0.isNumber }) }
    guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return nil }
    return (major, minor)
  }

  /// Out of the line `CapEff:` of /proc/self/status.
  static func capabilities(_ status: String) -> Set<Capability> {
    let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    guard let bits = line.flatMap({ UInt64($0.dropFirst(7).drop { $0 == "\t" || $0 == " " }, radix: 16) }) else { return [] }
    return Set(Capability.allCases.filter { bits >> UInt64($0.rawValue) & 1 == 1 })
  }
}
