// SPDX-License-Identifier: Apache-2.0
//
// Runs tasks on the slow path's event loop, so that Swift's global pool, a thread per core, is never started beside the workers.

import NIOCore

/// A task executor over one event loop. Thread: any.
final class EventLoopTaskExecutor: TaskExecutor {
  private let eventLoop: any EventLoop

  init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    eventLoop.execute { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
