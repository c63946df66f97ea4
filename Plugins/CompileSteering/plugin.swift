// SPDX-License-Identifier: Apache-2.0
import PackagePlugin
@main struct CompileSteering: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] { [] }
}
