// SPDX-License-Identifier: Apache-2.0
//
// SIGINT, SIGTERM and SIGHUP as an error instead of an end: once installed, the first of them sets a flag that every wait in this
// module looks at, so that `defer` clears the lab away on the normal way out, also while children run.

import Glibc
import Synchronization

public enum Interruption {
  /// The signal that came, 0 while none did. Partner: the handler, which only stores.
  private static let pending = Atomic<Int32>(0)

  /// Catch the signals from now on. Any thread; a second call changes nothing. Children of `ChildProcess` get the defaults back.
  public static func install() {
    _ = pending.load(ordering: .relaxed)  // the handler must not be the one who initialises the static
    for signal in [SIGINT, SIGTERM, SIGHUP] {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { Interruption.pending.store($0, ordering: .relaxed) }
      sigaction(signal, &action, nil)
    }
    signal(SIGPIPE, SIG_IGN)
  }

  public static var signalNumber: Int32? {
    let signal = pending.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }

  /// Throws when one of the signals has come.
  public static func check() throws(LabError) {
    if let signalNumber { throw .interrupted(signal: signalNumber) }
  }

  /// Sleep, but not through a signal.
  public static func sleep(_ duration: Duration) throws(LabError) {
    let end = ContinuousClock.now + duration
    while true {
      try check()
      let left = end - ContinuousClock.now
      if left <= .zero { return }
      pause(min(left, .milliseconds(20)))
    }
  }

  /// Ask `condition` every few milliseconds until it holds.
  public static func wait(
    for what: String, atMost limit: Duration, every interval: Duration = .milliseconds(10),
    until condition: () throws(LabError) -> Bool
  ) throws(LabError) {
    let end = ContinuousClock.now + limit
    while try !condition() {
      if ContinuousClock.now >= end { throw .timedOut(what) }
      try sleep(interval)
    }
  }

  static func pause(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    nanosleep(&time, nil)
  }
}
