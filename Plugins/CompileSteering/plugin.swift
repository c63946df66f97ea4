// SPDX-License-Identifier: Apache-2.0
//
// Makes `swift build` compile the steering program: bpf/steer.bpf.c becomes a Swift source of module XDP that holds the
// object's bytes. The work is SteerCompiler's; here is only when it must be done again.

import Foundation
import PackagePlugin

@main struct CompileSteering: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
    let bpf = context.package.directoryURL.appending(path: "bpf")
    let source = bpf.appending(path: "steer.bpf.c")
    let header = bpf.appending(path: "steer.h")
    let object = context.pluginWorkDirectoryURL.appending(path: "steer.bpf.o")
    let output = context.pluginWorkDirectoryURL.appending(path: "SteeringObject.swift")
    // The compiler's name is an argument so that another one compiles anew.
    let clang = ProcessInfo.processInfo.environment["CLANG"] ?? ""
    return [
      .buildCommand(
        displayName: "Compiling bpf/steer.bpf.c",
        executable: try context.tool(named: "SteerCompiler").url,
        arguments: [clang, source.path(), object.path(), output.path()],
        inputFiles: [source, header],
        outputFiles: [output])
    ]
  }
}
