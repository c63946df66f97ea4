// SPDX-License-Identifier: Apache-2.0
//
// A pthread inside a network namespace, as a task executor: the test's own task moves there and back, so that its expectations
// remain the test's. Used by Namespace.

import CLinux
import Foundation
import Glibc

/// Runs jobs in order on one thread that has entered a namespace.
final class NamespaceThread: TaskExecutor, @unchecked Sendable {
  private let condition = NSCondition()
  private var jobs: [UnownedJob] = []
  private var isStopped = false

  init(namespace: String) {
    let thread = Thread { [self] in
      let descriptor = open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
      // Work outside the namespace could change the machine: better none at all.
      guard descriptor >= 0, clinux_setns_network(descriptor) == 0 else {
        fatalError("cannot enter \(namespace): \(String(cString: strerror(errno)))")
      }
      close(descriptor)
      while let job = nextJob() { job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
    thread.start()
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    condition.withLock {
      jobs.append(job)
      condition.signal()
    }
  }

  /// Ends the thread once it is idle; no job may be enqueued afterwards.
  func stop() {
    condition.withLock {
      isStopped = true
      condition.signal()
    }
  }

  private func nextJob() -> UnownedJob? {
    condition.withLock {
      while jobs.isEmpty, !isStopped { condition.wait() }
      return jobs.isEmpty ? nil : jobs.removeFirst()
    }
  }
}
