// SPDX-License-Identifier: Apache-2.0
//
// `engine`: the engine in memory, Swift beside C. Called by `make bench`.
//
//     engine [--samples N] [--only TEXT] [--output FILE]     measure, print the table, write the rows
//     engine --digest yes [--only TEXT]                      compare the two only, and print a digest of what they do
//     engine --count swift|c --only NAME [--passes N]        run one engine alone (for callgrind)

import CEngine
import Glibc
import Measuring

struct Options {
  var samples = 4000
  var only = ""
  var output: String?
  var count: Language?
  var digest = false
  var passes = 200

  /// nil when the arguments make no sense.
  init?(_ arguments: [String]) {
    var rest = arguments[...]
    while let name = rest.popFirst() {
      guard let value = rest.popFirst() else { return nil }
      switch name {
      case "--samples": samples = Int(value) ?? 0
      case "--only": only = value
      case "--digest": digest = value == "yes"
      case "--output": output = value
      case "--passes": passes = Int(value) ?? 0
      case "--count":
        guard let language = Language(rawValue: value) else { return nil }
        count = language
      default: return nil
      }
    }
    guard samples > 0, passes > 0 else { return nil }
  }
}

/// What is asked of the engine: Swift within 5 % of C in every case, and 25 ns a packet at one prefix on a core of 2.5 GHz; 35 ns at
/// 10,000 prefixes and 60 ns at the table of the Internet.
enum Bars {
  static let ratio = 1.05
  static let nanosecondsAtOnePrefix = 25.0
  static let gigahertz = 2.5

  static let withManyPrefixes = "median time per packet with many prefixes"

  /// In nanoseconds, of small packets.
  static func median(_ shape: Case) -> Double? {
    guard shape.sizes == .small else { return nil }
    return shape.isInternet ? 60 : shape.prefixCount == 10_000 ? 35 : nil
  }
}

func measure(_ options: Options, _ cases: [Case]) throws -> Report {
  var report = Report("engine", command: (["swift run -c release engine"] + CommandLine.arguments.dropFirst()).joined(separator: " "))
  print("\(options.samples) interleaved samples of \(FramePlan.frameCount) packets in batches of \(Bench.batchSize), ns per packet")
  print("case".padded(32) + ["Swift least", "median", "C least", "median", "ratio", "of medians"].map { $0.rightAligned(12) }.joined())
  for shape in cases {
    var bench = try Bench(shape, seed: 0x5EED)
    try bench.compare()
    let (swift, c, paired) = bench.measure(sampleCount: options.samples)
    let reference = "the same loop in C"
    report.rows += [
      Row(
        name: shape.name, metric: "least time per packet", unit: "ns", value: swift.minimum, reference: reference,
        referenceValue: c.minimum, ratio: swift.minimum / c.minimum),
      Row(
        name: shape.name, metric: "median time per packet", unit: "ns", value: swift.median, reference: reference,
        referenceValue: c.median, ratio: paired, bar: .ratio(Bars.ratio)),
    ]
    if let bar = Bars.median(shape) {
      report.rows.append(
        Row(name: shape.name, metric: Bars.withManyPrefixes, unit: "ns", value: swift.median, bar: .value(bar)))
    }
    if shape.prefixCount == 1 {
      let scale = report.before.gigahertz / Bars.gigahertz
      report.rows.append(
        Row(
          name: shape.name, metric: "least time per packet, scaled by the clock to \(Bars.gigahertz) GHz", unit: "ns",
          value: swift.minimum * scale, reference: reference, referenceValue: c.minimum * scale, ratio: swift.minimum / c.minimum,
          bar: .value(Bars.nanosecondsAtOnePrefix)))
    }
    let cells = [
      tenths(swift.minimum), tenths(swift.median), tenths(c.minimum), tenths(c.median), thousandths(swift.minimum / c.minimum),
      thousandths(paired),
    ]
    print(shape.name.padded(32) + cells.map { $0.rightAligned(12) }.joined())
    fflush(nil)
  }
  let after = Calibration()
  report.after = after
  let ratios = report.rows.filter { if case .ratio = $0.bar { true } else { false } }
  let times = report.rows.filter { if case .value(Bars.nanosecondsAtOnePrefix) = $0.bar { true } else { false } }
  let others = report.rows.filter { $0.metric == Bars.withManyPrefixes }
  print("every verdict and byte the same")
  print(
    "ratio of medians ≤ \(Bars.ratio): \(ratios.count { $0.isMet == true }) of \(ratios.count) cases, the largest "
      + thousandths(ratios.map(\.ratio).max() ?? 1))
  print(
    "one prefix, scaled by the clock to \(Bars.gigahertz) GHz, ≤ \(Bars.nanosecondsAtOnePrefix) ns: \(times.count { $0.isMet == true }) of "
      + "\(times.count) cases, \(tenths(times.map(\.value).min() ?? 0)) to \(tenths(times.map(\.value).max() ?? 0)) ns")
  print("many prefixes: \(others.count { $0.isMet == true }) of \(others.count) cases within 35 ns (10,000), 60 ns (the Internet)")
  for row in others where row.isMet == false { print("  missed: \(row.name): \(tenths(row.value)) ns") }
  print(
    "\(Report.value(of: "model name", in: "/proc/cpuinfo")), \(thousandths(report.before.gigahertz)) GHz; calibration "
      + "\(thousandths(report.before.median)) ns before, \(thousandths(after.median)) after")
  return report
}

func run() -> Int32 {
  guard let options = Options(Array(CommandLine.arguments.dropFirst())) else {
    print("usage: engine [--samples N] [--only TEXT] [--output FILE] | --digest yes | --count swift|c --only NAME [--passes N]")
    return 2
  }
  let cases = Case.all.filter { options.only.isEmpty || $0.name.contains(options.only) }
  do {
    if let language = options.count {
      guard let shape = cases.first else { return 2 }
      var bench = try Bench(shape, seed: 0x5EED)
      bench.run(language, passes: options.passes)
      return 0
    }
    if options.digest {
      for shape in cases {
        var bench = try Bench(shape, seed: 0x5EED)
        print(shape.name.padded(30) + String(try bench.compare(), radix: 16))
      }
      return 0
    }
    let report = try measure(options, cases)
    if let path = options.output, !report.write(to: path) {
      print("cannot write \(path)")
      return 1
    }
    return 0
  } catch {
    print("engine: \(error)")
    return 1
  }
}

exit(run())
