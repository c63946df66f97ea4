// swift-tools-version:6.2
// SPDX-License-Identifier: Apache-2.0
//
// The house. The modules and their allowed imports are explained in docs/architecture.md; `make lint` checks the imports.

import PackageDescription

/// On x86-64 the program asks for what processors have had since 2013 (x86-64-v3: counting bits, three-operand shifts). It checks at
/// its start (clinux_processor.c), and says so when they are not there.
#if arch(x86_64)
  let processor: [SwiftSetting] = [.unsafeFlags(["-Xcc", "-march=x86-64-v3"])]
#else
  let processor: [SwiftSetting] = []
#endif

/// Packet-path modules: every unsafe use is written down, and an unmarked one is an error.
let strict: [SwiftSetting] =
  processor + [
    .strictMemorySafety(),
    .treatWarning("StrictMemorySafety", as: .error),
    .enableExperimentalFeature("Lifetimes"),
  ]

let package = Package(
  name: "xtr",
  platforms: [.macOS(.v15)],  // what `Synchronization` asks of a manifest; xtr itself runs on Linux
  products: [
    .executable(name: "xtr", targets: ["xtr"]),
    .library(name: "DataPlane", targets: ["DataPlane", "PrefixTable", "Wire"]),  // for Benchmarks, a package of its own
    .library(name: "MapCache", targets: ["MapCache"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
  ],
  targets: [
    .target(
      name: "CLinux",
      cSettings: [.unsafeFlags(["-O2"])],
      linkerSettings: [.linkedLibrary("xdp"), .linkedLibrary("bpf"), .linkedLibrary("mnl")]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .target(name: "Wire", swiftSettings: strict),
    .target(name: "PrefixTable", dependencies: ["CLinux", "Wire"], swiftSettings: strict),
    .target(
      name: "XDP", dependencies: ["CLinux", "Wire"], swiftSettings: strict,
      plugins: ["CompileSteering"]),
    .target(name: "DataPlane", dependencies: ["CLinux", "Wire", "PrefixTable", "XDP"], swiftSettings: strict),
    .target(name: "Netlink", dependencies: ["CLinux", "Wire"], swiftSettings: strict),
    .target(name: "MapCache", dependencies: ["Wire", "PrefixTable"]),
    .target(name: "ControlPlane", dependencies: ["Wire", "MapCache", .product(name: "Crypto", package: "swift-crypto")]),
    .target(name: "ControlAPI", dependencies: ["Wire"]),
    // Network namespaces, traffic endpoints and captures, for `xtr demo`, the namespace tests and the benchmarks.
    .target(name: "Lab", dependencies: ["CLinux", "Wire", "ControlAPI"]),
    .executableTarget(
      name: "xtr",
      dependencies: [
        "CLinux", "CSQLite", "Wire", "PrefixTable", "XDP", "DataPlane", "Netlink", "MapCache", "ControlPlane", "ControlAPI", "Lab",
        "TOMLKit",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ]),

    // The steering program is C for the kernel: this tool runs clang for it during `swift build`.
    .executableTarget(name: "SteerCompiler"),
    .plugin(name: "CompileSteering", capability: .buildTool(), dependencies: ["SteerCompiler"]),

    .target(name: "TestSupport", path: "Tests/TestSupport"),
    .target(name: "ControlSamples", dependencies: ["ControlAPI"], path: "Tests/ControlSamples"),
    .testTarget(name: "WireTests", dependencies: ["Wire", "TestSupport"], exclude: ["Fixtures"]),
    .testTarget(name: "PrefixTableTests", dependencies: ["PrefixTable", "TestSupport"]),
    .testTarget(name: "XDPTests", dependencies: ["XDP", "CLinux", "TestSupport"]),
    .testTarget(
      name: "DataPlaneTests", dependencies: ["DataPlane", "XDP", "PrefixTable", "Wire", "CLinux", "TestSupport"],
      exclude: ["Fixtures"]),
    .testTarget(name: "NetlinkTests", dependencies: ["Netlink", "Wire", "CLinux", "TestSupport"]),
    .testTarget(name: "MapCacheTests", dependencies: ["MapCache", "Wire", "TestSupport"]),
    .testTarget(name: "ControlPlaneTests", dependencies: ["ControlPlane", "MapCache", "Wire", "TestSupport"]),
    .testTarget(name: "ControlAPITests", dependencies: ["ControlAPI", "ControlSamples", "TestSupport"]),
    .testTarget(name: "xtrTests", dependencies: ["xtr", "ControlAPI", "ControlSamples", "TestSupport"]),
    .testTarget(name: "LabTests", dependencies: ["Lab", "Wire"]),
    .testTarget(name: "Netns", dependencies: ["CLinux", "Wire", "ControlAPI", "Lab", "xtr"]),
  ],
  swiftLanguageModes: [.v6]
)
