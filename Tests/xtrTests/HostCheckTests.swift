// SPDX-License-Identifier: Apache-2.0
//
// What `xtr check` says of which facts.

import ControlAPI
import Foundation
import Testing
import Wire

@testable import xtr

@Suite struct HostCheckTests {
  /// A host with which nothing is wrong.
  static func goodHost() -> HostFacts {
    var facts = HostFacts()
    facts.kernelRelease = "6.12.1"
    facts.capabilities = Set(Capability.allCases)
    facts.forwardsIPv4 = true
    facts.forwardsIPv6 = true
    return facts
  }

  private func findings(_ change: (inout HostFacts) -> Void) -> [Finding] {
    var host = Self.goodHost()
    change(&host)
    return HostCheck(configuration: Configuration(), host: host, ports: [], paths: PathFacts()).findings()
  }

  @Test func `a good host has no findings`() { #expect(findings { _ in } == []) }

  @Test func `an old kernel is an error that no configuration mends`() throws {
    let finding = try #require(findings { $0.kernelRelease = "5.10.0-28-amd64" }.first)
    #expect(finding.severity == .error && finding.isImpossibleHere)
    #expect(finding.what == "Linux 5.10.0-28-amd64 is too old: preferred busy polling and AF_XDP fixes came with 5.15")
    #expect(findings { $0.kernelRelease = "5.15.0" } == [])
    #expect(findings { $0.kernelRelease = "strange" } == [])
  }

  @Test func `missing capabilities are named; CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON`() throws {
    let finding = try #require(findings { $0.capabilities = [] }.first)
    #expect(finding.what == "this user lacks CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON")
    #expect(finding.isImpossibleHere)
    #expect(findings { $0.capabilities = [.netAdmin, .netRaw, .sysAdmin] } == [])
    #expect(findings { $0.capabilities = [.netAdmin, .netRaw, .bpf, .perfmon] } == [])
  }

  @Test func `each of the host's settings has its finding and its cure`() throws {
    let cases: [((inout HostFacts) -> Void, Finding.Severity, String, String)] = [
      ({ $0.forwardsIPv4 = false }, .info, "IPv4 forwarding is off", "net.ipv4.ip_forward=1"),
      ({ $0.forwardsIPv6 = false }, .warning, "IPv6 forwarding is off", "net.ipv6.conf.all.forwarding=1"),
      ({ $0.reversePathFilter = 1 }, .warning, "rp_filter is strict", "net.ipv4.conf.all.rp_filter=0"),
      ({ $0.slowGovernors = ["schedutil"] }, .warning, "frequency governor schedutil", "cpupower"),
      ({ $0.processorCount = 4 }, .info, "no processor is kept free", "isolcpus"),
      ({ $0.hasSMT = true }, .info, "two hardware threads", "smt/control"),
    ]
    for (change, severity, what, cure) in cases {
      let found = findings(change)
      let finding = try #require(found.first, "\(what)")
      #expect(found.count == 1 && finding.severity == severity && finding.what.hasPrefix(what) && finding.cure.contains(cure), "\(found)")
    }
    #expect(findings { ($0.forwardsIPv6, $0.hasForceForwarding) = (false, true) } == [])
  }

  @Test func `a port that is not there is an error, and ways to locators are judged`() {
    var configuration = Configuration()
    let locator = ControlLocator(address: .v4(IPv4Address(192, 0, 2, 2)))
    configuration.mappings = [
      ControlMapping(eid: EIDPrefix(.zero, IPPrefix(host: .v4(IPv4Address(10, 2, 0, 1)))), target: .locators([locator]))
    ]
    let port = PortFacts(configuration: Configuration.Interface(name: "core0", role: .core), problem: "no such interface", cure: "make it")
    let paths = PathFacts(unroutable: ["192.0.2.2": "no route"], astray: ["192.0.2.3": "eth9"])
    let findings = HostCheck(configuration: configuration, host: Self.goodHost(), ports: [port], paths: paths).findings()
    #expect(
      findings.map { "\($0.severity) \($0.subject): \($0.what)" } == [
        "error core0: no such interface",
        "warning routes: no way to locator 192.0.2.2: no route",
        "warning routes: the route to locator 192.0.2.3 leaves by eth9, which is not a core interface",
      ])
    #expect(CheckCommand.failure(findings)?.exitCode == 1)
    #expect(CheckCommand.failure([Finding(.error, "kernel", "old", cure: "new", isImpossibleHere: true)])?.exitCode == 77)
    #expect(CheckCommand.failure([Finding(.warning, "x", "y", cure: "z")]) == nil)
  }

  @Test func `IPv6 locators make the outer header 56 bytes, IPv4 ones 36`() {
    func bytes(_ address: IPAddress) -> Int {
      var configuration = Configuration()
      configuration.mappings = [
        ControlMapping(eid: EIDPrefix(.zero, IPPrefix(host: address)), target: .locators([ControlLocator(address: address)]))
      ]
      return HostCheck(configuration: configuration, host: HostFacts(), ports: [], paths: PathFacts()).encapsulationByteCount
    }
    #expect(bytes(.v4(IPv4Address(192, 0, 2, 2))) == 36)
    #expect(bytes(.v6(IPv6Address(high: 0x2001_0DB8 << 32, low: 1))) == 56)
  }

  @Test func `facts come from the files of the host`() throws {
    let root = NSTemporaryDirectory() + "xtr-host-\(getpid())-\(UInt32.random(in: 0...(.max)))/"
    defer { try? FileManager.default.removeItem(atPath: root) }
    let files = [
      "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
      "proc/self/status": "Name:\txtr\nCapInh:\tffffffffffffffff\nCapEff:\t0000008000003000\nThreads:\t1\n",
      "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
      "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave\n",
      "sys/devices/system/cpu/smt/active": "1\n", "sys/devices/system/cpu/isolated": "1\n",
      "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
      "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "12\n", "proc/sys/net/ipv4/ip_forward": "0\n",
      "proc/sys/net/ipv6/conf/all/forwarding": "1\n", "proc/sys/net/ipv6/conf/all/force_forwarding": "0\n",
      "proc/sys/net/ipv4/conf/all/rp_filter": "1\n",
    ]
    for (path, text) in files {
      try FileManager.default.createDirectory(
        atPath: (root + path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try Data(text.utf8).write(to: URL(filePath: root + path))
    }
    let facts = HostFacts(files: HostFiles(root: root))
    #expect(facts.kernelRelease == "6.1.0-13-amd64")
    #expect(facts.kernelVersion.map { [$0.major, $0.minor] } == [6, 1])
    #expect(facts.capabilities == [.netAdmin, .netRaw, .bpf])
    #expect(facts.slowGovernors == ["powersave"] && facts.hasSMT && facts.isolatedProcessors == "1")
    #expect(facts.hugePagesAreOff && facts.freeHugePages == 12 && facts.hasForceForwarding && facts.reversePathFilter == 1)
    #expect(facts.forwardsIPv4 == false && facts.forwardsIPv6 == true)
    let nothing = HostFacts(files: HostFiles(root: root + "nowhere/"))
    #expect(nothing.capabilities.isEmpty && nothing.kernelVersion == nil && nothing.forwardsIPv4 == nil)
  }

  @Test func `drivers are known by what they can`() {
    #expect(DriverSupport.of("mlx5_core")?.zeroCopySince?.major == 6)
    #expect(DriverSupport.of("veth")?.native == true && DriverSupport.of("veth")?.zeroCopySince == nil)
    #expect(DriverSupport.of("e1000")?.native == false)
    #expect(DriverSupport.of("new_driver") == nil)
  }
}
