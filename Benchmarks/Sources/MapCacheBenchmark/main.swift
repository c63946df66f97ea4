// SPDX-License-Identifier: Apache-2.0
//
// `mapcache`: a million learned mappings in the slow path: their memory, what it takes to set and find one, and how long the slow
// path is kept from other work while all of them expire. Called by `make bench`.
//
//     mapcache [--prefixes FILE] [--output FILE]

import Glibc
import MapCache
import Measuring
import Wire

/// What is asked of it.
enum Bars {
  static let megabytes = 400.0
  static let sliceMilliseconds = 1.0
}

let entryCount = 1_000_000
/// Sites, each with two locators and a router of its own that answers for it.
let siteCount = 4096

func run(_ arguments: [String]) -> Int32 {
  var (path, output): (String?, String?)
  var rest = arguments[...]
  while let name = rest.popFirst() {
    guard let value = rest.popFirst(), ["--prefixes", "--output"].contains(name) else {
      print("usage: mapcache [--prefixes FILE] [--output FILE]")
      return 2
    }
    if name == "--prefixes" { path = value } else { output = value }
  }
  pin(to: 1)
  var report = Report("mapcache", command: (["swift run -c release mapcache"] + arguments).joined(separator: " "))
  do { try measure(Prefixes.internet(path: path), &report) } catch {
    print("mapcache: \(error)")
    return 1
  }
  report.after = Calibration()
  for row in report.rows {
    let bar = row.isMet.map { $0 ? "met" : "MISSED" } ?? ""
    print("\(row.name.padded(24))\(row.metric.padded(64))\(thousandths(row.value).rightAligned(10)) \(row.unit.padded(6))\(bar)")
  }
  guard let output, !report.write(to: output) else { return 0 }
  print("cannot write \(output)")
  return 1
}

/// Everything, in order: the structures fill, are asked, and empty.
func measure(_ prefixes: Prefixes, _ report: inout Report) throws {
  var random = SplitMix64(seed: 4)
  let start = ContinuousClock.now
  let mappings = makeMappings(prefixes, &random, start)
  print("\(prefixes.source): \(mappings.count) mappings of \(siteCount) sites")
  let residentBefore = residentBytes()
  var slowPath = try SlowPath(maximumLearned: mappings.count)

  var time = processorNow()
  for (i, mapping) in mappings.enumerated() {
    try slowPath.set(mapping)
    if i % 1000 == 999 { slowPath.publisher.publish() }
  }
  slowPath.publisher.publish()
  let perSet = Double(processorNow() - time) / Double(mappings.count)
  let resident = Double(residentBytes() - residentBefore) / 1e6

  time = processorNow()
  var found = 0
  for mapping in mappings
  where slowPath.cache.longestMatch(EIDPrefix(mapping.eid.instanceID, IPPrefix(host: mapping.eid.prefix.address))) != nil {
    found += 1
  }
  let perMatch = Double(processorNow() - time) / Double(mappings.count)
  guard found == mappings.count else { return print("mapcache: only \(found) mappings found") }

  let bytesPerEntry = Double(slowPath.cache.byteCount) / Double(mappings.count)
  let walk = try withExtendedLifetime(mappings) { try expireAll(&slowPath, at: start + .seconds(86_400)) }
  report.rows += [
    Row(
      name: "mapcache/memory", metric: "resident, map-cache and forwarding state", unit: "MB", value: resident, bar: .value(Bars.megabytes)),
    Row(name: "mapcache/memory", metric: "of the map-cache alone, per entry", unit: "bytes", value: bytesPerEntry),
    Row(name: "mapcache/set", metric: "a new mapping, compiled, published by the thousand", unit: "ns", value: perSet),
    Row(name: "mapcache/match", metric: "the longest match of an address", unit: "ns", value: perMatch),
    Row(name: "mapcache/expire", metric: "a mapping, in slices, published by the slice", unit: "ns", value: walk.perEntry),
    Row(
      name: "mapcache/expire", metric: "the longest slice while all expire, processor time", unit: "ms", value: walk.longestOfProcessor,
      bar: .value(Bars.sliceMilliseconds)),
    Row(name: "mapcache/expire", metric: "the longest slice, others on the processor included", unit: "ms", value: walk.longest),
  ]
}

/// Learned mappings in random order, as misses come.
func makeMappings(_ prefixes: Prefixes, _ random: inout SplitMix64, _ start: ContinuousClock.Instant) -> [Mapping] {
  (prefixes.ipv4 + prefixes.ipv6).shuffled(using: &random).prefix(entryCount).map { prefix in
    let site = UInt32(random.next() % UInt64(siteCount))
    let locators = (0..<2).map { Locator(address: .v4(IPv4Address(rawValue: 0x0A00_0000 + 2 * site + $0))) }
    let answerer = IPAddress.v4(IPv4Address(rawValue: 0x0A00_0000 + 2 * site))
    return Mapping(
      eid: EIDPrefix(.zero, prefix), target: Mapping.Target(locators), source: .learned(from: answerer),
      ttlMinutes: UInt32(1 + random.next() % 1440), now: start)
  }
}

/// Of the slices until everything has expired: nanoseconds per entry, and milliseconds of the longest, in time and in processor time.
struct Walk {
  var perEntry: Double
  var longest: Double
  var longestOfProcessor: Double
}

func expireAll(_ slowPath: inout SlowPath, at end: ContinuousClock.Instant) throws -> Walk {
  var walk = Walk(perEntry: 0, longest: 0, longestOfProcessor: 0)
  var (total, count, isDone) = (0, 0, false)
  while !isDone {
    let (time, processorTime) = (now(), processorNow())
    let slice = try slowPath.expire(at: end)
    let duration = processorNow() - processorTime
    walk.longest = max(walk.longest, Double(now() - time) / 1e6)
    walk.longestOfProcessor = max(walk.longestOfProcessor, Double(duration) / 1e6)
    total += duration
    count += slice.count
    isDone = slice.isDone
  }
  walk.perEntry = Double(total) / Double(count)
  return walk
}

/// Nanoseconds that this thread has run: on a shared machine others run in between.
func processorNow() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// What the process has in memory now.
func residentBytes() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 128)
  guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
  let fields = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
  return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(getpagesize())
}

exit(run(Array(CommandLine.arguments.dropFirst())))
