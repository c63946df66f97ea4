// SPDX-License-Identifier: Apache-2.0
//
// Judges the facts: what would keep the router from starting or from line rate, and how to mend it. Pure: the facts come in,
// findings go out, errors first. PortCheck.swift judges each port.

import ControlAPI
import Wire

struct HostCheck {
  var configuration: Configuration
  var host: HostFacts
  var ports: [PortFacts]
  var paths: PathFacts

  /// 4 KiB: a frame.
  static let frameByteCount = 4096

  func findings() -> [Finding] {
    let all =
      kernel() + privileges() + memory() + ports.flatMap(port) + queues() + mtu() + rlocs() + routes() + forwarding()
      + processors()
    return Finding.Severity.allCases.flatMap { severity in all.filter { $0.severity == severity } }
  }

  // MARK: Kernel and privileges

  private func kernel() -> [Finding] {
    guard let version = host.kernelVersion else { return [] }
    guard version < (5, 15) else { return [] }
    return [
      Finding(
        .error, "kernel", "Linux \(host.kernelRelease) is too old: preferred busy polling and AF_XDP fixes came with 5.15",
        cure: "boot Linux 5.15 or newer", isImpossibleHere: true)
    ]
  }

  private func privileges() -> [Finding] {
    var missing: [Capability] = []
    if !host.capabilities.contains(.netAdmin) { missing.append(.netAdmin) }
    if !host.capabilities.contains(.netRaw) { missing.append(.netRaw) }
    if !host.capabilities.contains(.sysAdmin) {
      missing += [.bpf, .perfmon].filter { !host.capabilities.contains($0) }
    }
    guard !missing.isEmpty else { return [] }
    return [
      Finding(
        .error, "privileges", "this user lacks \(missing.map(\.name).joined(separator: ", "))",
        cure: "run the router as root, or give it the capabilities (systemd: AmbientCapabilities=)", isImpossibleHere: true)
    ]
  }

  // MARK: Memory

  private func memory() -> [Finding] {
    var findings: [Finding] = []
    let needed = frameMemoryByteCount
    if let limit = host.memoryLockLimit, limit < needed, !host.capabilities.contains(.ipcLock) {
      findings.append(
        Finding(
          .error, "memory", "only \(grouped(limit)) bytes may be locked, the frames need \(grouped(needed))",
          cure: "`ulimit -l \(needed / 1024 + 1)`, or LimitMEMLOCK=infinity in the unit file, or CAP_IPC_LOCK"))
    }
    if host.hugePagesAreOff, host.freeHugePages * 2 << 20 < needed {
      findings.append(
        Finding(
          .warning, "memory", "no huge pages: neither reserved ones nor transparent ones, so each packet costs more TLB misses",
          cure: "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`"))
    }
    return findings
  }

  /// The bytes of all frames, over all ports and queues that are there.
  var frameMemoryByteCount: Int {
    let queues = ports.compactMap { $0.facts?.interface.queueCount }
    return queues.reduce(0, +) * configuration.router.framesPerQueue * Self.frameByteCount
  }

  // MARK: Queues and workers

  private func queues() -> [Finding] {
    let counts = ports.compactMap { port in port.facts.map { ($0.interface.name, $0.interface.queueCount) } }
    guard let most = counts.map(\.1).max(), let fewest = counts.map(\.1).min() else { return [] }
    var findings: [Finding] = []
    if Set(counts.map(\.1)).count > 1 {
      let list = counts.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
      findings.append(
        Finding(
          .warning, "queues", "the ports differ in queues (\(list)): a packet leaves by the queue it came on, so some wait for others",
          cure: "`ethtool -L NAME combined \(fewest)` on those that have more"))
    }
    if case .count(let workers) = configuration.router.workers, workers > fewest {
      findings.append(
        Finding(
          .error, "workers", "\(workers) workers, and a port with \(counted(fewest, "queue"))",
          cure: "workers = \(fewest) or \"auto\", or more queues: `ethtool -L NAME combined \(workers)`"))
    }
    if case .count(let workers) = configuration.router.workers, workers < most {
      findings.append(
        Finding(
          .warning, "workers", "\(workers) for \(counted(most, "queue")): one worker serves several queues",
          cure: "workers = \"auto\", or `ethtool -L NAME combined \(workers)`"))
    }
    if most > host.processorCount {
      findings.append(
        Finding(
          .warning, "workers", "\(counted(most, "queue")) and \(counted(host.processorCount, "processor")): workers share processors",
          cure: "`ethtool -L NAME combined \(host.processorCount)`"))
    }
    return findings
  }

  // MARK: MTU

  /// The bytes that encapsulation adds to a packet: outer IP, UDP, LISP.
  var encapsulationByteCount: Int {
    let core = ports.filter(\.configuration.role.facesCore)
    let ours = core.flatMap { $0.configuration.rlocs ?? $0.addresses }
    let locators = configuration.locatorAddresses
    let usesIPv6 = locators.contains { $0.family == .ipv6 } || (locators.isEmpty && ours.contains { $0.family == .ipv6 })
    return usesIPv6 ? 40 + 8 + 8 : 20 + 8 + 8
  }

  private func mtu() -> [Finding] {
    let site = ports.filter(\.configuration.role.facesSite).compactMap { $0.facts?.interface }
    guard let largest = site.max(by: { $0.mtu < $1.mtu }) else { return [] }
    let needed = largest.mtu + encapsulationByteCount
    return ports.filter { $0.configuration.role.facesCore }.compactMap { $0.facts?.interface }.filter { $0.mtu < needed }.map { core in
      Finding(
        .warning, core.name,
        "MTU \(core.mtu) bytes: packets of more than \(core.mtu - encapsulationByteCount) bytes from \(largest.name) "
          + "(MTU \(largest.mtu)) do not fit with the \(encapsulationByteCount) bytes that encapsulation adds",
        cure: "`ip link set \(core.name) mtu \(needed)` along the core, or `ip link set \(largest.name) mtu "
          + "\(core.mtu - encapsulationByteCount)` in the site")
    }
  }

  // MARK: RLOCs and routes

  private func rlocs() -> [Finding] {
    let core = ports.filter { $0.configuration.role.facesCore && $0.facts != nil }
    var findings: [Finding] = []
    for port in core {
      let name = port.configuration.name
      for rloc in port.configuration.rlocs ?? [] where !port.addresses.contains(rloc) {
        findings.append(
          Finding(
            .error, name, "RLOC \(rloc) is not an address of this interface",
            cure: "`ip address add \(rloc)/\(rloc.family == .ipv4 ? 24 : 64) dev \(name)`, or leave rlocs out"))
      }
    }
    let ours = core.flatMap { $0.configuration.rlocs ?? $0.addresses }
    if !core.isEmpty, ours.isEmpty {
      findings.append(
        Finding(
          .error, core[0].configuration.name, "no core interface has a global address: there is no RLOC to encapsulate from",
          cure: "`ip address add 192.0.2.1/24 dev \(core[0].configuration.name)` with an address of yours"))
    }
    for family in AddressFamily.allCases where !ours.isEmpty && !ours.contains(where: { $0.family == family }) {
      let unusable = configuration.locatorAddresses.filter { $0.family == family }.count
      guard unusable > 0 else { continue }
      let word = family == .ipv4 ? "IPv4" : "IPv6"
      findings.append(
        Finding(
          .warning, "mappings",
          "\(counted(unusable, "locator")) of family \(word), and no core interface has an \(word) address: not usable",
          cure: "give a core interface an \(word) address"))
    }
    return findings
  }

  private func routes() -> [Finding] {
    let none = paths.unroutable.sorted { $0.key < $1.key }.map { address, reason in
      Finding(
        .warning, "routes", "no way to locator \(address): \(reason)", cure: "`ip route add \(address) via …` by a core interface")
    }
    let astray = paths.astray.sorted { $0.key < $1.key }.map { address, name in
      Finding(
        .warning, "routes", "the route to locator \(address) leaves by \(name), which is not a core interface",
        cure: "correct the route, or give \(name) the role \"core\" in the configuration")
    }
    return none + astray
  }

  // MARK: Forwarding

  private func forwarding() -> [Finding] {
    var findings: [Finding] = []
    if host.forwardsIPv6 == false, !host.hasForceForwarding {
      findings.append(
        Finding(
          .warning, "forwarding", "IPv6 forwarding is off: the kernel would not finish first packets to new IPv6 hosts",
          cure: "`sysctl -w net.ipv6.conf.all.forwarding=1`"))
    }
    if host.forwardsIPv4 == false {
      findings.append(
        Finding(
          .info, "forwarding", "IPv4 forwarding is off: packets that are not LISP's are not routed between site and core",
          cure: "`sysctl -w net.ipv4.ip_forward=1`, if this host shall route them"))
    }
    if host.reversePathFilter == 1 {
      findings.append(
        Finding(
          .warning, "forwarding", "rp_filter is strict for all interfaces: the kernel drops decapsulated packets that it should finish",
          cure: "`sysctl -w net.ipv4.conf.all.rp_filter=0`, and set it per interface where it is wanted"))
    }
    return findings
  }

  // MARK: Processors

  private func processors() -> [Finding] {
    var findings: [Finding] = []
    if !host.slowGovernors.isEmpty {
      findings.append(
        Finding(
          .warning, "processors", "frequency governor \(host.slowGovernors.sorted().joined(separator: ", ")): cores slow down while idle",
          cure: "`cpupower frequency-set -g performance`"))
    }
    if host.isolatedProcessors.isEmpty, host.processorCount > 1 {
      findings.append(
        Finding(
          .info, "processors", "no processor is kept free for the workers", cure: "boot with isolcpus=1-… nohz_full=1-… rcu_nocbs=1-…"))
    }
    if host.hasSMT {
      findings.append(
        Finding(
          .info, "processors", "two hardware threads share each core: a worker's neighbour slows it down",
          cure: "`echo off > /sys/devices/system/cpu/smt/control`, or leave the siblings of the workers' cores idle"))
    }
    return findings
  }
}
