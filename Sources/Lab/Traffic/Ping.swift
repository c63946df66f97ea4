// SPDX-License-Identifier: Apache-2.0
//
// Echo requests by the system's `ping`: the simplest proof that two hosts reach each other.

import Wire

public struct Ping: Sendable {
  public var destination: IPAddress
  public var count = 3
  public var interval = Duration.milliseconds(50)
  /// How long the last answer may take.
  public var patience = Duration.seconds(1)
  public var payloadByteCount: Int?
  public var timeToLive: Int?
  /// The whole TOS or traffic-class octet.
  public var trafficClass: Int?
  /// False sends with DF clear (IPv4), true refuses to fragment; nil leaves it to the system.
  public var doNotFragment: Bool?

  public init(to destination: IPAddress, count: Int = 3) {
    self.destination = destination
    self.count = count
  }

  public struct Result: Sendable {
    public var sent = 0
    public var received = 0
    public var averageMilliseconds: Double?
    public var output = ""
    public var isComplete: Bool { sent > 0 && sent == received }
  }

  /// Ping from `namespace`. Missing answers are a result, not an error.
  public func run(from namespace: Namespace) throws(LabError) -> Result {
    var words = ["ping", "-n", "-c", "\(count)", "-i", Self.seconds(interval), "-W", Self.seconds(patience)]
    if let payloadByteCount { words += ["-s", "\(payloadByteCount)"] }
    if let timeToLive { words += ["-t", "\(timeToLive)"] }
    if let trafficClass { words += ["-Q", "\(trafficClass)"] }
    if let doNotFragment { words += ["-M", doNotFragment ? "do" : "dont"] }
    let process = try ChildProcess(words + ["\(destination)"], in: namespace)
    let status = try process.wait(atMost: interval * count + patience + .seconds(10))
    var result = Self.parse(process.standardOutput)
    result.output = process.standardOutput + process.standardError
    // 0: answers came; 1: none did; 2: ping itself could not work.
    guard status == .exited(0) || status == .exited(1) else {
      throw .command(process.command, status: status.description, output: result.output)
    }
    return result
  }

  /// "3 packets transmitted, 3 received, 0% packet loss" and "rtt min/avg/max/mdev = 0.1/0.2/0.3/0.0 ms".
  static func parse(_ text: String) -> Result {
    var result = Result()
    for line in text.split(separator: "\n") {
      if line.contains("packets transmitted") {
        let numbers = line.split(separator: ",").map { $0.split(separator: " ").compactMap { Int($0) }.first ?? 0 }
        result.sent = numbers.first ?? 0
        result.received = numbers.dropFirst().first ?? 0
      } else if line.hasPrefix("rtt "), let values = line.split(separator: "=").last {
        let parts = values.split(separator: "/")
        if parts.count > 1 { result.averageMilliseconds = Double(parts[1]) }
      }
    }
    return result
  }

  private static func seconds(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let thousandths = Int(attoseconds / 1_000_000_000_000_000)
    return "\(seconds)." + String(repeating: "0", count: 3 - String(thousandths).count) + "\(thousandths)"
  }
}
