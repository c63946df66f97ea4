// SPDX-License-Identifier: Apache-2.0
//
// Compiles the steering program for the kernel and writes the object as a Swift source. Run by the build-tool plugin
// CompileSteering during `swift build`:
//
//   SteerCompiler CLANG SOURCE OBJECT OUTPUT
//
// CLANG is the environment's CLANG, or empty: then it is /usr/bin/clang, or the first clang on PATH.
//
// The bytes become hexadecimal digits in a StaticString and not an array literal: for this object of 35 KB swiftc takes 0.08 s
// over the string, 4.6 s (-Onone) and 8.8 s (-O) over the array.

import Foundation

/// One line on standard error, which `swift build` shows, and the end.
func fail(_ line: String) -> Never {
  FileHandle.standardError.write(Data("error: \(line)\n".utf8))
  exit(1)
}

/// The compiler to use: what the user named, the distribution's, whatever is on PATH (a Swift toolchain brings one along).
func findClang(named: String) -> String {
  let manager = FileManager.default
  let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
  func onPath(_ name: String) -> String? {
    directories.map { "\($0)/\(name)" }.first(where: manager.isExecutableFile(atPath:))
  }
  if !named.isEmpty {
    let found = named.contains("/") ? (manager.isExecutableFile(atPath: named) ? named : nil) : onPath(named)
    guard let found else { fail("CLANG names \(named), which is no program; name a clang 14 or newer, or unset CLANG") }
    return found
  }
  let distribution = "/usr/bin/clang"
  guard let found = manager.isExecutableFile(atPath: distribution) ? distribution : onPath("clang") else {
    fail("no clang to compile the steering program with; install one (Debian: apt install clang) or set CLANG")
  }
  return found
}

/// Where Debian keeps <asm/types.h>; empty where the compiler finds it without help.
func architectureHeaders() -> [String] {
  #if arch(x86_64)
    let directory = "/usr/include/x86_64-linux-gnu"
  #elseif arch(arm64)
    let directory = "/usr/include/aarch64-linux-gnu"
  #else
    let directory = ""
  #endif
  return FileManager.default.fileExists(atPath: directory + "/asm/types.h") ? ["-I" + directory] : []
}

/// Runs clang; what it complains about goes where ours goes.
func compile(with clang: String, source: String, object: String) {
  for (header, package) in [("bpf/bpf_helpers.h", "libbpf-dev"), ("linux/bpf.h", "linux-libc-dev")]
  where !["/usr/include", "/usr/local/include"].contains(where: { FileManager.default.fileExists(atPath: "\($0)/\(header)") }) {
    fail("<\(header)>, which the steering program includes, is not installed; install it (Debian: apt install \(package))")
  }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: clang)
  process.arguments =
    ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-target", "bpf", "-mcpu=v3"] + architectureHeaders()
    + ["-fdebug-compilation-dir=.", "-c", source, "-o", object]
  do {
    try process.run()
  } catch {
    fail("cannot run \(clang): \(error.localizedDescription)")
  }
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    fail("\(clang) could not compile \(source); clang 14 or newer with the BPF target is needed (Debian: apt install clang)")
  }
}

/// The Swift source that holds `bytes`.
func swiftSource(_ bytes: Data, from source: String) -> String {
  let digits = Array("0123456789abcdef".utf8)
  var text: [UInt8] = []
  text.reserveCapacity(2 * bytes.count)
  for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
  return """
    // Made from bpf/\(URL(fileURLWithPath: source).lastPathComponent) by SteerCompiler during the build. Do not edit.

    /// The steering program as an ELF object of \(bytes.count) bytes, two hexadecimal digits each.
    enum SteeringObject {
      static let hexadecimal: StaticString = "\(String(decoding: text, as: UTF8.self))"
    }

    """
}

let arguments = CommandLine.arguments
guard arguments.count == 5 else { fail("usage: SteerCompiler CLANG SOURCE OBJECT OUTPUT") }
let (source, object, output) = (arguments[2], arguments[3], arguments[4])
let clang = findClang(named: arguments[1])
compile(with: clang, source: source, object: object)
guard let bytes = FileManager.default.contents(atPath: object) else { fail("\(clang) wrote no \(object)") }
do {
  try swiftSource(bytes, from: source).write(toFile: output, atomically: true, encoding: .utf8)
} catch {
  fail("cannot write \(output): \(error.localizedDescription)")
}
