// SPDX-License-Identifier: Apache-2.0
//
// Status values for people: what `xtr show` prints without --json.

import ControlAPI

enum StatusPrinter {
  // MARK: show status

  static func text(_ status: RouterStatus) -> String {
    [head(status), workers(status.workers), frames(status.workers), totals(status)].joined(separator: "\n\n")
  }

  private static func head(_ status: RouterStatus) -> String {
    """
    xtr \(status.version), process \(status.pid): \(status.state.rawValue) for \(duration(seconds: status.uptimeSeconds)), \
    configuration \(status.configuration)
    \(counted(status.mappings, "mapping")) over \(counted(status.locators, "locator")), \
    \(counted(status.databasePrefixes, "own EID-prefix", plural: "own EID-prefixes")), generation \(grouped(status.generation))
    """
  }

  private static func workers(_ workers: [WorkerStatus]) -> String {
    var table = TextTable(
      ("WORKER", .right), ("QUEUE", .right), ("CORE", .right), ("BUSY %", .right), ("LOOPS", .right), ("SLEEPS", .right),
      ("RECEIVED", .right), ("TRANSMITTED", .right), ("DROPPED", .right), ("PUNTED", .right))
    for worker in workers {
      table.add(
        "\(worker.index)", "\(worker.queue)", worker.core.map { "\($0)" } ?? "any", tenths(worker.busyPercent),
        grouped(worker.loops), grouped(worker.sleeps), grouped(worker.received), grouped(worker.transmitted),
        grouped(worker.dropped), grouped(worker.punted))
    }
    return table.text(empty: "no workers")
  }

  private static func frames(_ workers: [WorkerStatus]) -> String {
    var table = TextTable(
      ("FRAMES OF WORKER", .right), ("FREE", .right), ("IN FILL", .right), ("RECEIVED", .right), ("IN TRANSMIT", .right),
      ("TOTAL", .right), ("VIOLATIONS", .right))
    for worker in workers {
      let frames = worker.frames
      table.add(
        "\(worker.index)", grouped(frames.free), grouped(frames.fill), grouped(frames.received), grouped(frames.transmit),
        grouped(frames.total), grouped(frames.violations))
    }
    return table.text(empty: "no frames")
  }

  private static func totals(_ status: RouterStatus) -> String {
    let totals = status.totals
    var lines = [
      "received     \(grouped(totals.received.packets)) packets, \(grouped(totals.received.bytes)) bytes",
      "transmitted  \(grouped(totals.transmitted.packets)) packets, \(grouped(totals.transmitted.bytes)) bytes "
        + "(\(grouped(totals.encapsulated)) encapsulated, \(grouped(totals.decapsulated)) decapsulated)",
      "dropped      \(grouped(totals.dropped)) packets" + reasons(totals.drops),
      "punted       \(grouped(totals.punted)) packets" + reasons(totals.punts),
    ]
    let exception = status.exception
    lines.append(
      "to kernel    \(grouped(exception.injected)) packets, \(grouped(exception.failed)) refused, "
        + "\(grouped(exception.overflowed)) lost for a full ring")
    return lines.joined(separator: "\n")
  }

  private static func reasons(_ reasons: [ReasonCount]) -> String {
    reasons.isEmpty ? "" : ": " + reasons.map { "\($0.reason) \(grouped($0.packets))" }.joined(separator: ", ")
  }

  // MARK: show interfaces

  static func text(_ interfaces: [InterfaceStatus]) -> String {
    var table = TextTable(
      ("INTERFACE", .left), ("ROLE", .left), ("LINK", .left), ("DRIVER", .left), ("ATTACHED", .left), ("QUEUES", .right),
      ("MTU (BYTES)", .right), ("MAC", .left), ("RX PACKETS", .right), ("RX BYTES", .right), ("TX PACKETS", .right),
      ("TX BYTES", .right))
    for row in interfaces {
      table.add(
        row.name, row.role, row.up ? "up" : "down", row.driver, row.attachMode, "\(row.queues.count)", "\(row.mtu)", row.mac,
        grouped(row.received.packets), grouped(row.received.bytes), grouped(row.transmitted.packets),
        grouped(row.transmitted.bytes))
    }
    let notes = interfaces.flatMap { row -> [String] in
      var notes: [String] = []
      if !row.rlocs.isEmpty { notes.append("\(row.name): RLOCs \(row.rlocs.joined(separator: ", "))") }
      if !row.changedOffloads.isEmpty {
        notes.append("\(row.name): changed while the router runs: \(row.changedOffloads.joined(separator: ", "))")
      }
      return notes
    }
    return ([table.text(empty: "no interfaces"), queues(interfaces)] + (notes.isEmpty ? [] : [notes.joined(separator: "\n")]))
      .joined(separator: "\n\n")
  }

  private static func queues(_ interfaces: [InterfaceStatus]) -> String {
    var table = TextTable(
      ("INTERFACE", .left), ("QUEUE", .right), ("WORKER", .right), ("SOCKET", .left), ("RX DROPPED", .right),
      ("RX RING FULL", .right), ("FILL RING EMPTY", .right), ("RX INVALID", .right), ("TX INVALID", .right),
      ("TX RING EMPTY", .right))
    for row in interfaces {
      for queue in row.queues {
        let kernel = queue.kernel
        table.add(
          row.name, "\(queue.queue)", "\(queue.worker)", queue.socketMode, grouped(kernel.rxDropped), grouped(kernel.rxRingFull),
          grouped(kernel.rxFillRingEmpty), grouped(kernel.rxInvalidDescriptors), grouped(kernel.txInvalidDescriptors),
          grouped(kernel.txRingEmpty))
      }
    }
    return table.text(empty: "no queues")
  }

  // MARK: show neighbours, drops, database, peers

  static func text(_ neighbours: [NeighbourStatus]) -> String {
    var table = TextTable(("INTERFACE", .left), ("ADDRESS", .left), ("MAC", .left), ("STATE", .left), ("USED BY", .left))
    for row in neighbours {
      table.add(row.interface, row.address, row.mac ?? "", row.state, row.usedBy.joined(separator: ", "))
    }
    return table.text(empty: "no neighbours in use")
  }

  /// Reasons that never occurred are left out unless `all` are wanted.
  static func text(_ drops: [DropStatus], all: Bool) -> String {
    var table = TextTable(("PACKETS", .right), ("REASON", .left), ("DIRECTION", .left), ("MEANING", .left))
    for row in drops where all || row.packets > 0 {
      table.add(grouped(row.packets), row.reason, row.direction?.rawValue ?? "", row.meaning)
    }
    return table.text(empty: "no packet was dropped")
  }

  static func text(_ database: [DatabaseEntry]) -> String {
    var table = TextTable(("INSTANCE", .right), ("EID-PREFIX", .left), ("KERNEL TABLE", .left))
    for row in database { table.add("\(row.instanceID)", row.eidPrefix, row.table.map { "\($0)" } ?? "main") }
    return table.text(empty: "no EID-prefixes of our own")
  }

  static func text(_ peers: [PeerStatus]) -> String {
    var table = TextTable(("RLOC", .left), ("SECONDS AGO", .right))
    for row in peers { table.add(row.rloc, "\(row.secondsAgo)") }
    return table.text(empty: "no peer sent data in the last minute")
  }

  /// One decimal, without Foundation.
  private static func tenths(_ number: Double) -> String {
    guard number.isFinite else { return "" }
    let tenths = Int((min(max(number, 0), 1e6) * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }
}
