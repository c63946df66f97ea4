// SPDX-License-Identifier: Apache-2.0
//
// The report of the demo for people: what passed between the sites, and what the routers say about it.

extension DemoReport {
  /// Everything but the verdict.
  var text: String {
    var lines = ["Without the routers: \(isolation.passed.isEmpty ? "no way from site to site" : "REACHABLE: \(isolation.passed)")", ""]
    lines += Self.aligned([Self.exchangeTitles] + exchanges.map(\.cells))
    lines.append("")
    lines += Self.aligned([Self.routerTitles] + routers.map(\.cells))
    lines += [""] + routers.map { "Ports of \($0.name): \($0.ports.joined(separator: ", "))" }
    lines += [""] + routers.map { "Drops of \($0.name): \(Self.reasons($0))" }
    let failures = exchanges.flatMap { exchange in
      exchange.failures.map { "FAILED instance \(exchange.instance), \(exchange.eidFamily) over \(exchange.rlocFamily): \($0)" }
    }
    if !failures.isEmpty { lines += [""] + failures }
    return lines.joined(separator: "\n") + "\n"
  }

  private static let exchangeTitles = [
    "instance", "EIDs", "RLOCs", "ping", "TCP, SHA-256 compared", "UDP", "encapsulated", "decapsulated", "",
  ]
  private static let routerTitles = [
    "router", "received", "transmitted", "dropped", "punted", "no room", "packets conserved", "frames conserved",
  ]

  private static func reasons(_ router: Router) -> String {
    let reasons = router.totals.drops.map { "\($0.reason) \($0.packets)" }
    return reasons.isEmpty ? "none" : reasons.joined(separator: ", ")
  }

  /// Columns by spaces, two between them; the last is not padded.
  static func aligned(_ rows: [[String]]) -> [String] {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      let cells = row.enumerated().map { $1 + String(repeating: " ", count: widths[$0] - $1.count) }
      return "  " + cells.joined(separator: "  ").trimmedAtEnd
    }
  }

  /// One decimal.
  static func decimal(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }
}

extension DemoReport.Exchange {
  fileprivate var cells: [String] {
    [
      "\(instance)", eidFamily, rlocFamily, pingCell, tcpCell, udpCell, "\(encapsulated)", "\(decapsulated)",
      failures.isEmpty ? "ok" : "FAILED",
    ]
  }

  private var pingCell: String {
    guard let ping else { return "–" }
    let time = ping.averageMilliseconds.map { ", \(DemoReport.decimal($0 * 1000)) µs" } ?? ""
    return "\(ping.received)/\(ping.sent)\(time)"
  }

  private var tcpCell: String {
    guard let tcp else { return "–" }
    let verdict = tcp.sha256Sent == tcp.sha256Received ? "same" : "DIFFERENT"
    return "\(tcp.bytes >> 20) MiB, \(DemoReport.decimal(tcp.megabitsPerSecond)) Mb/s, \(verdict)"
  }

  private var udpCell: String {
    guard let udp else { return "–" }
    return "\(udp.sent) sent, \(udp.lost) lost, \(Int(udp.packetsPerSecond.rounded()))/s"
  }
}

extension DemoReport.Router {
  fileprivate var cells: [String] {
    [
      name, "\(totals.received.packets)", "\(totals.transmitted.packets)", "\(totals.dropped)", "\(totals.punted)", "\(lostBeforeRings)",
      packetsConserved ? "yes" : "NO", framesConserved ? "yes, all \(framesTotal)" : "NO",
    ]
  }
}

extension String {
  fileprivate var trimmedAtEnd: Substring { self[..<(lastIndex { $0 != " " }.map { index(after: $0) } ?? startIndex)] }
}
