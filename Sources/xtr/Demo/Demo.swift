// SPDX-License-Identifier: Apache-2.0
//
// The demo from beginning to end, as a list: build the lab, prove that the sites cannot reach each other, start the map-server and the
// routers, then for each RLOC family let both tenants talk in both EID families. No mapping is given to anybody: the first packets miss, and
// when the sites change their RLOCs they tell each other. `DemoCommand` calls it.

import Lab
import Wire

/// How much is sent.
struct DemoSize {
  var pings: Int
  var transferByteCount: Int
  var packetsPerSecond: Int
  var udpDuration: Duration

  static let full = DemoSize(pings: 5, transferByteCount: 16 << 20, packetsPerSecond: 20_000, udpDuration: .seconds(1))
  static let quick = DemoSize(pings: 2, transferByteCount: 1 << 20, packetsPerSecond: 5_000, udpDuration: .milliseconds(300))
}

struct Demo {
  private static let seed: UInt64 = 0x115B
  let binary: String
  let size: DemoSize
  let progress: DemoProgress

  /// `atTheEnd` sees the report while the lab is still up. Whatever happens, the lab is gone when this returns.
  func run(_ atTheEnd: (DemoLab, DemoReport) -> Void) throws -> DemoReport {
    progress.total = 3 + 8
    progress.step("building namespaces")
    let lab = try DemoLab(binary: binary)
    defer { lab.tearDown() }
    do {
      var report = DemoReport()
      progress.step("looking for ways around the routers")
      report.isolation = try checkIsolation(lab)
      progress.step("starting a map-server and two routers")
      try lab.start()
      let payload = try Payload(byteCount: size.transferByteCount, seed: Self.seed)
      for rlocFamily in AddressFamily.allCases {
        if rlocFamily != .ipv4 { try lab.change(to: rlocFamily) }
        for instance in [1, 2] {
          for eidFamily in AddressFamily.allCases {
            let exchange = DemoExchange(instance: instance, eidFamily: eidFamily, rlocFamily: rlocFamily, lab: lab, size: size)
            progress.step(exchange.title)
            report.exchanges.append(try exchange.run(payload))
          }
        }
      }
      report.routers = try lab.routers.map { try DemoReport.Router($0) }
      report.conclude()
      atTheEnd(lab, report)
      return report
    } catch let error as LabError {
      throw error
    } catch {
      throw LabError.wrongData("\(error)")
    }
  }

  /// Before the routers run nothing may get through, in no instance and no family.
  private func checkIsolation(_ lab: DemoLab) throws -> DemoReport.Isolation {
    var isolation = DemoReport.Isolation()
    let sites = lab.sites
    for host in sites.siteA.hosts {
      for family in AddressFamily.allCases {
        var ping = Ping(to: sites.siteB.host(family), count: 1)
        ping.patience = .milliseconds(200)
        isolation.tried += 1
        if try ping.run(from: host).received > 0 { isolation.passed.append("\(host.name) by \(family)") }
      }
    }
    return isolation
  }
}
