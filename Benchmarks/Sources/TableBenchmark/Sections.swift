// SPDX-License-Identifier: Apache-2.0
//
// The sections of the benchmark, in the order in which they are printed; each adds its rows.

import CDPDK
import Glibc
import Measuring
import PrefixTable
import Wire

func run() -> Int32 {
  guard let options = Options(Array(CommandLine.arguments.dropFirst())) else {
    print("usage: table [--rounds N] [--prefixes FILE] [--only \(sections.map(\.name).joined(separator: "|"))] [--output FILE]")
    return 2
  }
  do {
    let report = try measure(options)
    if let path = options.output, !report.write(to: path) {
      print("cannot write \(path)")
      return 1
    }
    return 0
  } catch {
    print("table: \(error)")
    return 1
  }
}

typealias Section = @Sendable (Prefixes, Options, inout Report) throws -> Void

/// In the order in which they are measured.
let sections: [(name: String, add: Section)] = [
  ("load", addLoad), ("single", addSingle), ("hot", addHot), ("updates", addUpdates), ("memory", addMemory), ("growth", addGrowth),
  ("race", addRace),
]

private func measure(_ options: Options) throws -> Report {
  pin(to: 1)
  var report = Report("table", command: (["swift run -c release table"] + CommandLine.arguments.dropFirst()).joined(separator: " "))
  let prefixes = Prefixes.internet(path: options.path)
  print("\(prefixes.source): \(prefixes.ipv4.count) IPv4, \(prefixes.ipv6.count) IPv6")
  for (name, add) in sections where options.only.isEmpty || options.only == name {
    try add(prefixes, options, &report)
    fflush(nil)
  }
  report.after = Calibration()
  let bars = report.rows.filter { $0.isMet != nil }
  print("\(bars.count { $0.isMet == true }) of \(bars.count) bars met")
  for row in bars where row.isMet == false {
    print("  missed: \(row.name), \(row.metric): \(thousandths(row.value)) \(row.unit), ratio \(thousandths(row.ratio))")
  }
  print("\(Report.value(of: "model name", in: "/proc/cpuinfo")), \(thousandths(report.before.gigahertz)) GHz")
  return report
}

private func addLoad(_ prefixes: Prefixes, _ options: Options, _ report: inout Report) throws {
  var seconds: [Double] = []
  var megabytes = 0.0
  for _ in 0..<max(3, options.rounds / 6) {
    let ours = try OurTable(prefixes)
    seconds.append(ours.loadSeconds)
    megabytes = Double(Memory.total(ours.table)) / 1e6
  }
  let timing = Timing(seconds)
  print("bulk load: \(thousandths(timing.minimum)) s at least, \(thousandths(timing.median)) s in the median; \(tenths(megabytes)) MB")
  report.rows += [
    Row(name: "table/load", metric: "all prefixes, median", unit: "s", value: timing.median, bar: .value(Bars.loadSeconds)),
    Row(
      name: "table/memory", metric: "both families, with free blocks and the writer's states", unit: "MB", value: megabytes,
      bar: .value(Bars.megabytes)),
  ]
}

private func addSingle(_ prefixes: Prefixes, _ options: Options, _ report: inout Report) throws {
  let addresses = Addresses(prefixes, .uniform, seed: 2)
  var ours = try OurTable(prefixes)
  let noMask = UInt32(CommandLine.arguments.count) &>> 16  // 0, and the compiler does not know
  let scale = report.before.gigahertz / Bars.gigahertz
  for (mask, how) in [(nil, "one after the other"), (noMask, "each waiting for the one before")] {
    let samples = sample(&ours, options.rounds) { ours, family in
      switch family {
      case .ipv4: _ = ours.lookUpSingly(ipv4: addresses.ipv4, count: Addresses.count, mask: mask)
      case .ipv6: _ = ours.lookUpSingly(ipv6: addresses.wireIPv6, count: Addresses.count, mask: mask)
      }
    }
    for (family, name, bar) in [(AddressFamily.ipv4, "IPv4", Bars.singleIPv4), (.ipv6, "IPv6", Bars.singleIPv6)] {
      let timing = Timing(samples[family] ?? [])
      print("single \(name) lookups, \(how): \(tenths(timing.minimum)) ns at least, \(tenths(timing.median)) in the median")
      report.rows += [
        Row(name: "table/single/\(name)", metric: "median time per lookup, \(how)", unit: "ns", value: timing.median),
        Row(
          name: "table/single/\(name)", metric: "least time per lookup, \(how), scaled by the clock to \(Bars.gigahertz) GHz", unit: "ns",
          value: timing.minimum * scale, bar: mask == nil ? .value(bar) : nil),
      ]
    }
  }
}

private func addHot(_ prefixes: Prefixes, _ options: Options, _ report: inout Report) throws {
  let some = prefixes.sample(10000, seed: 3)
  let addresses = Addresses(some, .uniform, seed: 4)
  var ours = try OurTable(some)
  let samples = sample(&ours, options.rounds) { ours, family in
    switch family {
    case .ipv4: _ = ours.lookUp(ipv4: addresses.wireIPv4, count: Addresses.count)
    case .ipv6: _ = ours.lookUp(ipv6: addresses.wireIPv6, count: Addresses.count)
    }
  }
  for (family, name) in [(AddressFamily.ipv4, "IPv4"), (.ipv6, "IPv6")] {
    let timing = Timing(samples[family] ?? [])
    print("10,000 \(name) prefixes, hot: \(tenths(timing.minimum)) ns at least, \(tenths(timing.median)) in the median")
    report.rows.append(
      Row(name: "table/hot/\(name)", metric: "median time per batched lookup", unit: "ns", value: timing.median, bar: .value(Bars.hot)))
  }
}

/// Nanoseconds per lookup, the families in turn.
private func sample(
  _ ours: inout OurTable, _ rounds: Int, _ lookUp: (inout OurTable, AddressFamily) -> Void
) -> [AddressFamily: [Double]] {
  var samples: [AddressFamily: [Double]] = [:]
  for _ in 0..<rounds {
    for family in AddressFamily.allCases {
      let start = now()
      lookUp(&ours, family)
      samples[family, default: []].append(Double(now() - start) / Double(Addresses.count))
    }
  }
  return samples
}

private func addUpdates(_ prefixes: Prefixes, _ options: Options, _ report: inout Report) throws {
  let addresses = Addresses(prefixes, .uniform, seed: 5)
  for transaction in [1, 100] {
    let ours = try OurTable(prefixes)
    let result = try Updates.measure(ours.table, prefixes, addresses.wireIPv4, transaction: transaction, rounds: max(3, options.rounds / 3))
    print(
      "updates, \(transaction) a transaction: \(Int(result.updatesPerSecond / 1000)) k/s; the reader does "
        + "\(tenths(result.readerRate / 1e6)) M lookups/s, \(thousandths(result.readerRatio)) of its rate without")
    let name = "table/updates/\(transaction)"
    report.rows += [
      Row(name: name, metric: "updates per second", unit: "1/s", value: result.updatesPerSecond, bar: .valueAtLeast(Bars.updatesPerSecond)),
      Row(
        name: name, metric: "lookups per second of a reader meanwhile", unit: "1/s", value: result.readerRate,
        reference: "the same without updates", referenceValue: result.readerRate / result.readerRatio, ratio: result.readerRatio,
        bar: .ratioAtLeast(Bars.readerRatio)),
    ]
    pin(to: 1)
  }
}

private func addMemory(_ prefixes: Prefixes, _ options: Options, _ report: inout Report) throws {
  let (churnCount, instanceCount) = (10_000_000, 100_000)
  let ours = try OurTable(prefixes)
  let (before, after) = try Memory.churn(ours.table, prefixes, count: churnCount)
  let free = Double(after.free) / Double(after.used + after.free)
  print(
    "after \(churnCount) changes: \(before.used) bytes before, \(after.used) after, \(after.free) free between them (\(thousandths(free)))")
  let perInstance = try Memory.instances(instanceCount)
  print("\(instanceCount) instances of ten prefixes: \(Int(perInstance)) bytes each")
  report.rows += [
    Row(
      name: "table/churn", metric: "bytes in use after ten million changes, over those before", unit: "byte", value: Double(after.used),
      reference: "before", referenceValue: Double(before.used), ratio: Double(after.used) / Double(before.used), bar: .ratio(1)),
    Row(name: "table/churn", metric: "share of the memory that is free between blocks", unit: "", value: free),
    Row(
      name: "table/instances", metric: "bytes per instance of ten prefixes", unit: "byte", value: perInstance,
      bar: .value(Bars.bytesPerInstance)),
  ]
}

private func addGrowth(_ prefixes: Prefixes, _ options: Options, _ report: inout Report) throws {
  print("random prefixes".padded(24) + ["ns/lookup", "ns/insertion", "bytes/prefix"].map { $0.rightAligned(14) }.joined())
  for family in AddressFamily.allCases {
    for count in Growth.counts {
      let point = try Growth.measure(family, count, rounds: max(3, options.rounds / 6))
      let name = "\(family == .ipv4 ? "IPv4" : "IPv6") \(point.prefixCount)"
      let cells = [point.nanosecondsPerLookup, point.nanosecondsPerInsertion, point.bytesPerPrefix]
      print(name.padded(24) + cells.map { tenths($0).rightAligned(14) }.joined())
      report.rows += zip(["least time per batched lookup", "time per insertion", "memory per prefix"], zip(["ns", "ns", "byte"], cells)).map
      {
        Row(name: "table/growth/\(name)", metric: $0, unit: $1.0, value: $1.1)
      }
    }
  }
}

private func addRace(_ prefixes: Prefixes, _ options: Options, _ report: inout Report) throws {
  var race = try Race(prefixes)
  pin(to: 1)
  for (name, popularity) in [("uniform", Popularity.uniform), ("zipf", .zipf)] {
    let addresses = Addresses(prefixes, popularity, seed: 6)
    try race.compare(addresses)
    let samples = race.measure(addresses, rounds: options.rounds)
    print("\(name) addresses, ns per lookup, least and median of \(options.rounds) rounds")
    for contestant in race.contestants {
      let timing = Timing(samples[contestant] ?? [])
      print("  " + contestant.rawValue.padded(22) + [timing.minimum, timing.median].map { tenths($0).rightAligned(8) }.joined())
    }
    for (ours, others) in Contestant.comparisons {
      guard let fastest = Contestant.fastest(of: others, in: samples) else { continue }
      report.rows += rows("table/\(name)/\(ours.isIPv6 ? "IPv6" : "IPv4")", ours, fastest, others, samples)
    }
  }
}

private func rows(
  _ name: String, _ ours: Contestant, _ fastest: Contestant, _ others: [Contestant], _ samples: [Contestant: [Double]]
) -> [Row] {
  let (own, its) = (samples[ours] ?? [], samples[fastest] ?? [])
  let (ownTiming, itsTiming) = (Timing(own), Timing(its))
  let paired = Timing(zip(own, its).map { $0 / $1 }).median
  let beside = others.count > 1 ? "beside the fastest of \(others.map(\.rawValue).joined(separator: ", "))" : "beside \(fastest.rawValue)"
  let rows = [
    Row(
      name: name, metric: "median time per batched lookup, \(beside)", unit: "ns", value: ownTiming.median,
      reference: fastest.rawValue,
      referenceValue: itsTiming.median, ratio: paired, bar: .ratio(ours.isIPv6 ? Bars.ratioIPv6 : Bars.ratioIPv4)),
    Row(
      name: name, metric: "least time per batched lookup, \(beside)", unit: "ns", value: ownTiming.minimum, reference: fastest.rawValue,
      referenceValue: itsTiming.minimum, ratio: ownTiming.minimum / itsTiming.minimum),
  ]
  print("  \(name): \(thousandths(paired)) of \(fastest.rawValue) (\(thousandths(rows[1].ratio)) of the least times)")
  return rows
}
