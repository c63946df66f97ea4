// SPDX-License-Identifier: Apache-2.0
//
// tcpdump on an interface, read by tshark: the independent decoder of what the routers send.

import Glibc

public final class Capture: Sendable {
  public let path: String
  private let process: ChildProcess

  /// True where both programs are installed.
  public static var isPossible: Bool {
    ["tcpdump", "tshark"].allSatisfy { (try? ChildProcess.run(["sh", "-c", "command -v \($0)"])) != nil }
  }

  /// Capturing has begun when this returns. `filter` in tcpdump's words.
  public init(in namespace: Namespace, interface: String, filter: String = "", into path: String) throws(LabError) {
    self.path = path
    let words = ["tcpdump", "-n", "-U", "--immediate-mode", "-s", "0", "-i", interface, "-w", path]
    process = try ChildProcess(words + filter.split(separator: " ").map(String.init), in: namespace)
    let process = process
    try Interruption.wait(for: "tcpdump on \(interface)", atMost: .seconds(10)) { () throws(LabError) in
      if process.standardError.contains("listening on") { return true }
      guard process.isRunning else { throw .command(process.command, status: "ended", output: process.standardError) }
      return false
    }
  }

  /// Stop and keep the file. What is on its way gets a moment to arrive.
  public func stop() throws(LabError) {
    try Interruption.sleep(.milliseconds(150))
    process.signal(SIGINT)
    try process.wait(atMost: .seconds(5))
  }

  /// tshark's reading, a line per packet, tabs between fields, "|" between the values of a field that occurs more than once. Checksums are verified, LISP data is recognised by its port.
  public func fields(_ names: [String], filter: String? = nil) throws(LabError) -> [[String]] {
    var words = Self.tshark + ["-r", path, "-T", "fields", "-E", "aggregator=|"]
    for name in names { words += ["-e", name] }
    if let filter { words += ["-Y", filter] }
    return try ChildProcess.run(words, atMost: .seconds(60)).split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
  }

  /// tshark's full decoding of all packets that match.
  public func decoding(filter: String? = nil) throws(LabError) -> String {
    try ChildProcess.run(Self.tshark + ["-r", path, "-V"] + (filter.map { ["-Y", $0] } ?? []), atMost: .seconds(60))
  }

  private static let tshark = [
    // A zero UDP checksum over IPv6 is what RFC 6935 allows to tunnels, and rule E4 wants.
    "tshark", "-n", "-o", "udp.ignore_ipv6_zero_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o",
    "tcp.check_checksum:TRUE",
  ]
}
