// SPDX-License-Identifier: Apache-2.0
//
// One network namespace of a lab: a place to run commands and Swift code in. Made and removed by `Lab`.

import CLinux
import Glibc
import Wire

public struct Namespace: Sendable, Hashable {
  /// What the lab calls it, "hostA1".
  public let name: String
  /// What `ip netns` calls it, with the lab's prefix.
  public let identifier: String

  public init(name: String, identifier: String) {
    self.name = name
    self.identifier = identifier
  }

  // MARK: Code inside

  /// Run `body` on a thread of its own inside the namespace and wait for it. The caller's thread stays where it is.
  public func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
    try start(body).join()
  }

  /// Start `body` on a thread of its own inside the namespace. Sockets that it opens belong to the namespace for good.
  public func start<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) -> NamespaceThread<Value> {
    let identifier = identifier
    return NamespaceThread {
      let file = open("/run/netns/\(identifier)", O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { throw LabError.lastCall("opening namespace \(identifier)") }
      defer { close(file) }
      guard clinux_setns_network(file) == 0 else { throw LabError.lastCall("entering namespace \(identifier)") }
      return try body()
    }
  }

  // MARK: Commands inside

  /// Run a command inside and return its standard output.
  @discardableResult
  public func execute(_ arguments: String..., atMost limit: Duration = .seconds(30)) throws(LabError) -> String {
    try ChildProcess.run(arguments, in: self, atMost: limit)
  }

  /// `ip` with these words, on this namespace: `ip("route add default via 192.0.2.1")`.
  @discardableResult
  public func ip(_ words: String) throws(LabError) -> String {
    try ChildProcess.run(["ip", "-n", identifier] + words.split(separator: " ").map(String.init))
  }

  /// Several lines of words for `ip`, carried out in this order by one process, up to the first that fails. `family`: what its options -4 and
  /// -6 say, for words that do not say it themselves.
  public func ip(_ lines: [String], family: AddressFamily? = nil) throws(LabError) {
    let file = clinux_memory_file("ip")
    guard file >= 0 else { throw .lastCall("memfd_create") }
    defer { close(file) }
    let text = lines.joined(separator: "\n") + "\n"
    guard write(file, text, text.utf8.count) == text.utf8.count, lseek(file, 0, SEEK_SET) == 0 else { throw .lastCall("writing for ip") }
    let flag: [String] =
      switch family {
      case .ipv4: ["-4"]
      case .ipv6: ["-6"]
      case nil: []
      }
    try ChildProcess.run(["ip", "-n", identifier] + flag + ["-batch", "-"], standardInput: file)
  }

  /// Set a value below /proc/sys, "net.ipv4.ip_forward" style but with slashes: `set("net/ipv4/ip_forward", "1")`.
  public func set(_ key: String, _ value: String) throws {
    try run {
      let file = open("/proc/sys/\(key)", O_WRONLY | O_CLOEXEC)
      guard file >= 0 else { throw LabError.lastCall("opening /proc/sys/\(key)") }
      defer { close(file) }
      guard write(file, value, value.utf8.count) == value.utf8.count else { throw LabError.lastCall("setting \(key)=\(value)") }
    }
  }

  /// The kernel's index of an interface inside.
  public func interfaceIndex(_ interface: String) throws -> UInt32 {
    try run {
      let index = if_nametoindex(interface)
      guard index != 0 else { throw LabError.lastCall("interface \(interface)") }
      return index
    }
  }

  public func macAddress(of interface: String) throws(LabError) -> MACAddress {
    let text = try attribute("address", of: interface)
    guard let address = MACAddress(text) else { throw .wrongData("\(interface) has the address \"\(text)\"") }
    return address
  }

  /// True when an XDP program, anyone's, is attached to the interface.
  public func hasXDP(on interface: String) throws(LabError) -> Bool { try ip("-d link show dev \(interface)").contains("prog/xdp") }

  /// What one of the files in /sys/class/net/INTERFACE says, by the namespace's own view of /sys.
  public func attribute(_ name: String, of interface: String) throws(LabError) -> String {
    let text = try execute("cat", "/sys/class/net/\(interface)/\(name)")
    return String(text.prefix { $0 != "\n" })
  }

  /// Packets of this family that the kernel inside has forwarded (RFC 4293 ipSystemStatsOutForwDatagrams).
  public func forwardedPackets(_ family: AddressFamily) throws -> Int {
    try run {
      // /proc/net would be the main thread's namespace.
      let file = "/proc/thread-self/net/\(family == .ipv4 ? "snmp" : "snmp6")"
      let lines = try Self.contents(of: file).split(separator: "\n").map { $0.split(whereSeparator: \.isWhitespace) }
      switch family {
      case .ipv6: return lines.first { $0.first == "Ip6OutForwDatagrams" }.flatMap { Int($0[1]) } ?? 0
      case .ipv4:
        let rows = lines.filter { $0.first == "Ip:" }
        guard rows.count == 2, let column = rows[0].firstIndex(of: "ForwDatagrams"), column < rows[1].count else { return 0 }
        return Int(rows[1][column]) ?? 0
      }
    }
  }

  private static func contents(of path: String) throws(LabError) -> String {
    guard let file = fopen(path, "r") else { throw .lastCall("opening \(path)") }
    defer { fclose(file) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { text += buffer[..<count] }
    return String(decoding: text, as: UTF8.self)
  }

  /// Identifiers of the processes inside.
  public func processes() -> [pid_t] {
    let said = (try? ChildProcess.run(["ip", "netns", "pids", identifier])) ?? ""
    return said.split(separator: "\n").compactMap { pid_t($0) }
  }
}
