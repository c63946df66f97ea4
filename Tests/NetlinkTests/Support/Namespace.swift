// SPDX-License-Identifier: Apache-2.0
//
// A network namespace for one test, and the pthread that works in it. Used by every suite here that needs the kernel.

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
  guard let pipe = popen("{ \(command) ; } 2>&1", "r") else {
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

  private static let counter = Counter()

  init() {
    name = "netlink-\(getpid())-\(Self.counter.next())"
    shell("ip netns add \(name) && ip -n \(name) link set lo up")
  }

  deinit { shell("ip netns delete \(name)") }

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

  /// Runs `body` on a pthread of its own inside the namespace and waits for it.
  func run(_ body: @escaping () throws -> Void) {
    let work = Work(namespace: name, body: body)
    var thread = pthread_t()
    let created = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Work>.fromOpaque(argument!).takeUnretainedValue().perform()
        return nil
      }, Unmanaged.passUnretained(work).toOpaque())
    guard created == 0 else {
      Issue.record("pthread_create: \(created)")
      return
    }
    pthread_join(thread, nil)
    withExtendedLifetime(work) {}
    if let problem = work.problem { Issue.record("\(problem)") }
  }

  private final class Work {
    let namespace: String
    let body: () throws -> Void
    private(set) var problem: String?

    init(namespace: String, body: @escaping () throws -> Void) {
      self.namespace = namespace
      self.body = body
    }

    func perform() {
      let descriptor = open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
      defer { close(descriptor) }
      guard descriptor >= 0, clinux_enter_network_namespace(descriptor) == 0 else {
        problem = "cannot enter \(namespace): \(String(cString: strerror(errno)))"
        return
      }
      do { try body() } catch { problem = "\(error)" }
    }
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
