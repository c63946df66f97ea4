// SPDX-License-Identifier: Apache-2.0
//
// A worker's thread: a pthread, because a poll loop would starve a pool that others share. Named, pinned, and joined.

import CLinux
import Glibc
import Synchronization

/// Runs a worker until it is stopped. Thread: made, stopped and joined on the slow path.
@safe public final class WorkerThread: @unchecked Sendable {
  /// Owns the worker on its thread. The loop runs in one call, so the class is entered once.
  private final class Body {
    var worker: Worker
    let name: String
    let core: Int?
    let pinned: Atomic<Int32>

    init(_ worker: consuming Worker, name: String, core: Int?) {
      self.worker = worker
      self.name = name
      self.core = core
      pinned = Atomic(-1)
    }

    func main() {
      _ = unsafe clinux_name_thread(name)
      _ = clinux_adopt_nice()
      if let core, clinux_pin_thread(Int32(core)) == 0 { pinned.store(Int32(core), ordering: .relaxed) }
      worker.run()
    }
  }

  private let thread: pthread_t
  private let control: WorkerControl
  private let body: Body

  /// `name` has at most 15 bytes. nil when the system has no thread left.
  public init?(_ worker: consuming Worker, name: String, core: Int?) {
    control = worker.control
    body = Body(worker, name: name, core: core)
    var thread = pthread_t()
    let context = unsafe Unmanaged.passRetained(body).toOpaque()
    let code = unsafe pthread_create(
      &thread, nil,
      { context in
        // SAFETY: the retained body; released when the thread ends.
        guard let context = unsafe context else { return nil }
        unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().main()
        return nil
      }, context)
    guard code == 0 else {
      unsafe Unmanaged<Body>.fromOpaque(context).release()
      return nil
    }
    self.thread = thread
  }

  /// The core the thread is pinned to; nil when it is not, or not yet.
  public var core: Int? {
    let core = body.pinned.load(ordering: .relaxed)
    return core < 0 ? nil : Int(core)
  }

  /// Stops the worker and waits for it. Its sockets close when this object goes.
  public func stop() {
    control.stop()
    _ = pthread_join(thread, nil)
  }
}
