// SPDX-License-Identifier: Apache-2.0
//
// A lab: namespaces, the links between them, and a temporary directory, all under one name that says which process they belong to.
// Whatever way that process ends, nothing stays: on success, on errors and on signals the owner calls `tearDown` (a `defer`), and what a
// killed one left is removed when the next lab starts, because its name carries a process that lives no more.
//
//     xtrlab-4711-1zq3-0-hostA1
//            │    │    │ └ the namespace
//            │    │    └ which lab of that process
//            │    └ when the process started (boot clock ticks, base 36): process identifiers come back, these do not
//            └ process identifier

import CLinux
import Glibc
import Synchronization

/// Thread: any; `tearDown` once, by the owner.
public final class Lab: Sendable {
  private static let family = "xtrlab-"
  private static let made = Atomic<Int>(0)

  /// What every name of this lab begins with.
  public let prefix: String
  /// A temporary directory that goes with the lab.
  public let directory: String
  private let namespaces = Mutex<[Namespace]>([])

  // MARK: Begin

  /// Removes what killed labs left, then makes the temporary directory. Throws as `checkPossible` does.
  public init(needing programs: [String] = ["ip", "ethtool"]) throws(LabError) {
    try Self.checkPossible(needing: programs)
    Self.removeStale()
    let process = getpid()
    let start = Self.startTime(of: process) ?? 0
    prefix = "\(Self.family)\(process)-\(String(start, radix: 36))-\(Self.made.wrappingAdd(1, ordering: .relaxed).oldValue)"
    directory = "/tmp/\(prefix)"
    guard mkdir(directory, 0o700) == 0 else { throw .lastCall("making \(directory)") }
  }

  /// `LabError.impossibleHere` without root or one of the `programs`. Changes nothing.
  public static func checkPossible(needing programs: [String]) throws(LabError) {
    guard geteuid() == 0 else { throw .impossibleHere("network namespaces need root: run it with sudo") }
    for program in programs {
      do {
        try ChildProcess.run(["sh", "-c", "command -v \(program)"])
      } catch .command {
        throw .impossibleHere("`\(program)` is missing: apt-get install iproute2 ethtool iputils-ping coreutils")
      }
    }
  }

  /// A new, empty namespace with its loopback up. IPv6 is made quiet and quick: no duplicate detection, no router solicitations.
  public func namespace(_ name: String) throws -> Namespace {
    let namespace = Namespace(name: name, identifier: "\(prefix)-\(name)")
    // Known before it is made: a signal may come when it is there already, or half.
    namespaces.withLock { $0.append(namespace) }
    do {
      try ChildProcess.run(["ip", "netns", "add", namespace.identifier])
    } catch {
      if case .interrupted = error { throw error }
      throw LabError.impossibleHere("network namespaces cannot be made here (\(error)): a container needs --privileged")
    }
    for scope in ["all", "default"] {
      try namespace.set("net/ipv6/conf/\(scope)/accept_dad", "0")
      try namespace.set("net/ipv6/conf/\(scope)/accept_ra", "0")
      try namespace.set("net/ipv4/conf/\(scope)/rp_filter", "0")
    }
    try namespace.set("net/ipv6/conf/default/router_solicitations", "0")
    try namespace.ip("link set lo up")
    return namespace
  }

  /// A veth pair between two namespaces, both ends up.
  public func connect(_ one: LinkEnd, _ other: LinkEnd, mtu: Int = 1500, queues: Int = 1) throws(LabError) {
    let shape = "mtu \(mtu) numtxqueues \(queues) numrxqueues \(queues)"
    try one.namespace.ip(
      "link add name \(one.name)\(one.macWords) \(shape) type veth "
        + "peer name \(other.name) netns \(other.namespace.identifier)\(other.macWords) \(shape)")
    try one.configure()
    try other.configure()
  }

  /// Every namespace of this lab, in the order they were made.
  public var allNamespaces: [Namespace] { namespaces.withLock { $0 } }

  // MARK: End

  /// Ends the processes inside (politely, then not), removes namespaces and directory. Never throws and is not stopped by signals.
  public func tearDown() {
    let mine = namespaces.withLock { list in
      defer { list = [] }
      return list
    }
    Self.remove(mine, grace: .seconds(3))
    Self.removeDirectory(directory)
  }

  private static func remove(_ namespaces: [Namespace], grace: Duration) {
    let end = ContinuousClock.now + grace
    for signal in [SIGTERM, SIGKILL] {
      var left = runningProcesses(namespaces)
      for process in left { kill(process, signal) }
      while !left.isEmpty, ContinuousClock.now < end || signal == SIGKILL {
        Interruption.pause(.milliseconds(5))
        left = left.filter { kill($0, 0) == 0 && !isZombie($0) }
      }
    }
    for namespace in namespaces { spawnAndWait(["ip", "netns", "del", namespace.identifier]) }
  }

  /// All but our own: a thread of ours may be inside.
  private static func runningProcesses(_ namespaces: [Namespace]) -> [pid_t] {
    let inside = Set(namespaces.compactMap { identity(of: "/run/netns/\($0.identifier)") })
    return names(in: "/proc").compactMap { pid_t($0) }.filter { process in
      process != getpid() && identity(of: "/proc/\(process)/ns/net").map(inside.contains) == true
    }
  }

  /// Which namespace a file of the kernel's stands for.
  private static func identity(of path: String) -> ino_t? {
    var information = stat()
    return stat(path, &information) == 0 ? information.st_ino : nil
  }

  /// Like `ChildProcess.run`, but deaf to `Interruption`: clean-up goes on after a signal.
  private static func spawnAndWait(_ arguments: [String]) {
    guard let process = try? ChildProcess(arguments) else { return }
    let end = ContinuousClock.now + .seconds(10)
    while process.isRunning, ContinuousClock.now < end { Interruption.pause(.milliseconds(1)) }
    process.stop(grace: .zero)
  }

  // MARK: What a killed one left

  /// Remove namespaces, processes and directories of labs whose process is gone.
  public static func removeStale() {
    let found = Set(names(in: "/run/netns") + names(in: "/tmp")).filter { $0.hasPrefix(family) && !ownerLives($0) }
    remove(
      names(in: "/run/netns").filter(found.contains).map { Namespace(name: $0, identifier: $0) }, grace: .milliseconds(500))
    for name in names(in: "/tmp") where found.contains(name) { removeDirectory("/tmp/\(name)") }
  }

  /// Names under /run/netns and /tmp that belong to this lab: empty after `tearDown`.
  public func remainders() -> [String] {
    (Self.names(in: "/run/netns") + Self.names(in: "/tmp")).filter { $0 == prefix || $0.hasPrefix("\(prefix)-") }
  }

  private static func ownerLives(_ name: String) -> Bool {
    let parts = name.dropFirst(family.count).split(separator: "-")
    guard parts.count >= 2, let process = pid_t(parts[0]), let start = UInt64(parts[1], radix: 36) else { return false }
    return startTime(of: process) == start
  }

  /// Field 22 of /proc/PID/stat; nil when there is no such process.
  static func startTime(of process: pid_t) -> UInt64? { statistics(of: process).flatMap { $0.count > 19 ? UInt64($0[19]) : nil } }

  private static func isZombie(_ process: pid_t) -> Bool { statistics(of: process)?.first == "Z" }

  /// The fields of /proc/PID/stat after the command name, which may hold anything: state first.
  private static func statistics(of process: pid_t) -> [Substring]? {
    guard let file = fopen("/proc/\(process)/stat", "r") else { return nil }
    defer { fclose(file) }
    var line = [UInt8](repeating: 0, count: 1024)
    let count = fread(&line, 1, line.count, file)
    let text = String(decoding: line.prefix(count), as: UTF8.self)
    guard let end = text.lastIndex(of: ")") else { return nil }
    return text[text.index(after: end)...].split(separator: " ")
  }

  private static func names(in directory: String) -> [String] {
    guard let handle = opendir(directory) else { return [] }
    defer { closedir(handle) }
    var found: [String] = []
    while let entry = readdir(handle) {
      found.append(
        withUnsafePointer(to: &entry.pointee.d_name) { String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) })
    }
    return found
  }

  /// A lab's directory is flat: sockets, configurations, captures.
  private static func removeDirectory(_ path: String) {
    for name in names(in: path) where name != "." && name != ".." { unlink("\(path)/\(name)") }
    rmdir(path)
  }
}
