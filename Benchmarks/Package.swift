// swift-tools-version:6.2
// SPDX-License-Identifier: Apache-2.0
//
// The benchmarks in Swift: a package of its own, so that the router is built without them. `make bench` runs them.

import PackageDescription

let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v15)],  // as in the router's manifest
  products: [.executable(name: "engine", targets: ["EngineBenchmark"])],
  dependencies: [.package(name: "xtr", path: "..")],
  targets: [
    .executableTarget(
      name: "EngineBenchmark",
      dependencies: ["CEngine", .product(name: "DataPlane", package: "xtr")]),
    // The engine once more, in C: what Swift is measured against. The processor's baseline for both.
    .target(name: "CEngine", cSettings: [.unsafeFlags(["-O3", "-Wall", "-Wextra"])]),
  ],
  swiftLanguageModes: [.v6]
)
