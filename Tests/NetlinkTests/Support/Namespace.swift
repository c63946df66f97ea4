// SPDX-License-Identifier: Apache-2.0
//
// A network namespace for one test. Used by every suite here that needs the kernel.

import CLinux
import Foundation
import Glibc
import Testing

/// Whether namespaces can be made here.
let isRoot = geteuid() == 0
let needsRoot: Comment = "needs root: makes network namespaces"

/// Runs a command line and returns what it prints; a failure is an issue of the test.
@discardableResult
func shell(_ command: String, mayFail: Bool = false) -> String {
  guard let pipe = popen("{ \(command)\n} 2>&1", "r") else {
    Issue.record("popen failed")
    return ""
  }
  var output: [UInt8] = []
  var chunk = [UInt8](repeating: 0xA5, count: 4096)
  while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { output += chunk[..<count] }
  let status = pclose(pipe)
  let text = String(decoding: output, as: UTF8.self)
  if status != 0, !mayFail { Issue.record("`\(command)` failed: \(text)") }
  return text
}

/// A namespace of its own name, deleted with the last reference.
final class Namespace: Sendable {
  let name: String
  private let thread: NamespaceThread

  private static let counter = Counter()

  init() {
    name = "netlink-\(getpid())-\(Self.counter.next())"
    shell("ip netns add \(name) && ip -n \(name) link set lo up")
    thread = NamespaceThread(namespace: name)
  }

  deinit {
    thread.stop()
    shell("ip netns delete \(name)")
  }

  /// `ip ARGUMENTS` in the namespace.
  @discardableResult
  func ip(_ arguments: String, mayFail: Bool = false) -> String { shell("ip -n \(name) \(arguments)", mayFail: mayFail) }

  /// `ip -j ARGUMENTS` as JSON objects.
  func json(_ arguments: String) -> [[String: Any]] {
    let text = ip("-j -d \(arguments)")
    let value = try? JSONSerialization.jsonObject(with: Data(text.utf8))
    guard let rows = value as? [[String: Any]] else {
      if !text.isEmpty { Issue.record("`ip -j \(arguments)` printed no list: \(text)") }
      return []
    }
    return rows.filter { !$0.isEmpty }
  }

  /// Writes one file under /proc/sys/net of the namespace.
  func set(_ setting: String, _ value: Int) {
    shell("ip netns exec \(name) sh -c 'echo \(value) > /proc/sys/net/\(setting)'")
  }

  /// Runs `body` inside the namespace, on its own thread.
  @discardableResult
  func run<Result: Sendable>(_ body: () throws -> Result) async throws -> Result {
    try await withTaskExecutorPreference(thread) { try body() }
  }
}

/// Numbers that no two tests share.
private final class Counter: @unchecked Sendable {
  private let lock = NSLock()
  private var value = 0

  func next() -> Int {
    lock.withLock {
      value += 1
      return value
    }
  }
}

/// Asks again until `condition` holds, for at most `seconds`.
func eventually(within seconds: Double = 5, _ condition: () throws -> Bool) rethrows -> Bool {
  let deadline = Date() + seconds
  repeat {
    if try condition() { return true }
    usleep(10_000)
  } while Date() < deadline
  return try condition()
}
