// SPDX-License-Identifier: Apache-2.0
//
// What the demo found out: values that become JSON as they are, and a table for people.

import ControlAPI
import Lab

struct DemoReport: Codable, Sendable {
  /// Without routers nothing may pass.
  struct Isolation: Codable, Sendable {
    var tried = 0
    /// Pairs that reached each other although nothing should carry them.
    var passed: [String] = []
  }

  struct PingResult: Codable, Sendable {
    var sent: Int
    var received: Int
    var averageMilliseconds: Double?
  }

  struct TCPResult: Codable, Sendable {
    var bytes: Int
    var megabitsPerSecond: Double
    var sha256Sent: String
    var sha256Received: String
  }

  struct UDPResult: Codable, Sendable {
    var sent: Int
    var received: Int
    var lost: Int
    var reordered: Int
    var duplicated: Int
    var damaged: Int
    var packetsPerSecond: Double
  }

  /// One instance, one EID family, one RLOC family.
  struct Exchange: Codable, Sendable {
    var instance: Int
    var eidFamily: String
    var rlocFamily: String
    var ping: PingResult?
    var tcp: TCPResult?
    var udp: UDPResult?
    /// Packets by router A's, router B's and the core's own count.
    var encapsulated: UInt64 = 0
    var decapsulated: UInt64 = 0
    var carriedByCore = 0
    var checks = 0
    /// "UDP: 3 lost …"
    var failures: [String] = []

    init(instance: Int, eidFamily: String, rlocFamily: String) {
      self.instance = instance
      self.eidFamily = eidFamily
      self.rlocFamily = rlocFamily
    }

    /// Run one check: it returns what is wrong, or nil. A lab error is a failed check, but a signal ends the demo.
    mutating func note(_ name: String, _ check: (inout Exchange) throws -> String?) throws {
      checks += 1
      do {
        if let wrong = try check(&self) { failures.append("\(name): \(wrong)") }
      } catch let error as LabError {
        if case .interrupted = error { throw error }
        failures.append("\(name): \(error)")
      }
    }
  }

  /// One router at the end.
  struct Router: Codable, Sendable {
    var name: String
    /// Per port: "core native copy".
    var ports: [String]
    var totals: TrafficTotals
    /// Packets that the kernel had no room for in our rings, over all queues: the router was too slow for the load.
    var lostBeforeRings: UInt64
    var framesTotal: Int
    var packetsConserved: Bool
    var framesConserved: Bool

    init(_ router: RouterProcess) throws(LabError) {
      let status = try router.quietStatus()
      name = router.name
      let interfaces = try router.interfaces()
      ports = interfaces.map { port in
        "\(port.name) \(port.attachMode) \(Set(port.queues.map(\.socketMode)).sorted().joined(separator: "+"))"
      }
      lostBeforeRings = interfaces.flatMap(\.queues).reduce(0) {
        $0 + $1.kernel.rxDropped + $1.kernel.rxRingFull + $1.kernel.rxFillRingEmpty
      }
      totals = status.totals
      framesTotal = status.workers.reduce(0) { $0 + $1.frames.total }
      packetsConserved = status.packetsConserved
      framesConserved = status.framesConserved
    }
  }

  var isolation = Isolation()
  var exchanges: [Exchange] = []
  var routers: [Router] = []

  /// 0: the demo passed. Set by `conclude`.
  var failedChecks = 0

  /// Count what failed: 1 for isolation, those of the exchanges, 2 per router.
  mutating func conclude() {
    failedChecks =
      (isolation.passed.isEmpty ? 0 : 1) + exchanges.reduce(0) { $0 + $1.failures.count }
      + routers.reduce(0) { $0 + ($1.packetsConserved ? 0 : 1) + ($1.framesConserved ? 0 : 1) }
  }

  var verdict: String {
    switch failedChecks {
    case 0: "demo: all checks passed"
    case 1: "demo: 1 check failed"
    case let count: "demo: \(count) checks failed"
    }
  }
}
