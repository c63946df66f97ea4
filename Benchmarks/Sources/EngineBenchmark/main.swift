// SPDX-License-Identifier: Apache-2.0
//
// `engine`: the engine in memory, Swift beside C. Called by `make bench`.
//
//     engine [--samples N] [--only TEXT] [--output FILE]     measure, print the table, write the rows
//     engine --digest yes [--only TEXT]                      compare the two only, and print a digest of what they do
//     engine --count swift|c --only NAME [--passes N]        run one engine alone (for callgrind)

import CEngine
import Glibc

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

/// Cycles per nanosecond, from a chain of multiplications and additions of four cycles each.
func gigahertz() -> Double {
  var best = Double.infinity
  for _ in 0..<20 {
    let start = Bench.now()
    _ = cengine_calibrate(200_000)
    best = min(best, Double(Bench.now() - start) / 200_000)
  }
  return 4 / best
}

func measure(_ options: Options, _ cases: [Case]) throws -> Report {
  var report = Report(
    command: (["swift run -c release --package-path Benchmarks engine"] + CommandLine.arguments.dropFirst()).joined(separator: " "),
    machine: "\(Report.processor()), \(thousandths(gigahertz())) GHz by the calibration loop")
  print("\(report.machine); \(options.samples) interleaved samples of \(FramePlan.frameCount) packets, batch \(Bench.batchSize)")
  print(
    "case".padded(30) + cell("Swift min", 12) + cell("median", 9) + cell("C min", 9) + cell("median", 9) + cell("ratio", 8)
      + cell("ratio", 8))
  for shape in cases {
    var bench = try Bench(shape, seed: 0x5EED)
    try bench.compare()
    let (swift, c) = bench.measure(sampleCount: options.samples)
    for (metric, value, reference) in [
      ("least time per packet", swift.minimum, c.minimum), ("median time per packet", swift.median, c.median),
    ] {
      report.rows.append(
        Row(name: shape.name, metric: metric, unit: "ns", value: value, reference: "the same loop in C", referenceValue: reference))
    }
    print(
      shape.name.padded(30) + cell(tenths(swift.minimum), 12) + cell(tenths(swift.median), 9) + cell(tenths(c.minimum), 9)
        + cell(tenths(c.median), 9) + cell(thousandths(swift.minimum / c.minimum), 8) + cell(thousandths(swift.median / c.median), 8))
    fflush(nil)
  }
  print("clock after: \(thousandths(gigahertz())) GHz")
  return report
}

extension String {
  func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
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
