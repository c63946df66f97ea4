// swift-tools-version:6.2
// SPDX-License-Identifier: Apache-2.0
//
// The benchmarks in Swift: a package of its own, so that the router is built without them. `make bench` runs them.

import PackageDescription

/// As in the router's manifest, and the same for C.
#if arch(x86_64)
  let processorC = ["-march=x86-64-v3"]
  let processor: [SwiftSetting] = [.unsafeFlags(["-Xcc", "-march=x86-64-v3"])]
#else
  let processorC: [String] = []
  let processor: [SwiftSetting] = []
#endif

let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v15)],  // as in the router's manifest
  products: [
    .executable(name: "engine", targets: ["EngineBenchmark"]), .executable(name: "table", targets: ["TableBenchmark"]),
    .executable(name: "mapcache", targets: ["MapCacheBenchmark"]),
  ],
  dependencies: [.package(name: "xtr", path: "..")],
  targets: [
    .executableTarget(
      name: "EngineBenchmark",
      dependencies: ["CEngine", "Measuring", .product(name: "DataPlane", package: "xtr")], swiftSettings: processor),
    .executableTarget(
      name: "TableBenchmark",
      dependencies: ["CDPDK", "Measuring", .product(name: "DataPlane", package: "xtr")], swiftSettings: processor),
    .executableTarget(
      name: "MapCacheBenchmark",
      dependencies: ["Measuring", .product(name: "DataPlane", package: "xtr"), .product(name: "MapCache", package: "xtr")],
      swiftSettings: processor),
    // Rows, samples, prefixes, the machine: what all benchmarks in Swift share.
    .target(name: "Measuring", dependencies: ["CMeasuring", .product(name: "DataPlane", package: "xtr")]),
    .target(name: "CMeasuring", cSettings: [.unsafeFlags(["-O2"])]),
    // The tables of DPDK: what the prefix table is measured against. Debian's dpdk-dev.
    .target(
      name: "CDPDK",
      cSettings: [
        .unsafeFlags(["-O3", "-march=native", "-include", "rte_config.h", "-I/usr/include/dpdk", "-I/usr/include/x86_64-linux-gnu/dpdk"])
      ],
      linkerSettings: ["rte_lpm", "rte_fib", "rte_rib", "rte_eal"].map { .linkedLibrary($0) }),
    // The engine once more, in C: what Swift is measured against. For the same processor.
    .target(name: "CEngine", cSettings: [.unsafeFlags(["-O3", "-Wall", "-Wextra"] + processorC)]),
  ],
  swiftLanguageModes: [.v6]
)
