// SPDX-License-Identifier: Apache-2.0
//
// A pthread with a result. Namespaces belong to threads, and Swift's tasks wander between threads: what must stay in a namespace
// runs on one of these.

import Glibc

/// Invariant I1: `result` is written by the thread before it ends and read only after `pthread_join`.
public final class NamespaceThread<Value: Sendable>: @unchecked Sendable {
  private final class Work: @unchecked Sendable {
    let body: @Sendable () throws -> Value
    var result: Result<Value, any Error>?
    init(_ body: @escaping @Sendable () throws -> Value) { self.body = body }
  }

  private let work: Work
  private var thread = pthread_t()
  private var isJoined = false
  private let startError: Int32

  init(_ body: @escaping @Sendable () throws -> Value) {
    work = Work(body)
    let start = StartBox { [work] in work.result = Result { try work.body() } }
    let pointer = Unmanaged.passRetained(start)
    startError = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<StartBox>.fromOpaque(argument).takeRetainedValue().run() }
        return nil
      }, pointer.toOpaque())
    if startError != 0 { pointer.release() }
  }

  deinit {
    if !isJoined, startError == 0 { pthread_detach(thread) }
  }

  /// Wait for the end; what `body` returned or threw. Called once.
  public func join() throws -> Value {
    guard startError == 0 else { throw LabError.system("pthread_create", errno: startError) }
    if !isJoined { pthread_join(thread, nil) }
    isJoined = true
    guard let result = work.result else { throw LabError.timedOut("the thread ended without a result") }  // I1
    return try result.get()
  }
}

/// What a C function pointer can carry of a Swift closure.
private final class StartBox: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
