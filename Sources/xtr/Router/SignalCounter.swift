// SPDX-License-Identifier: Apache-2.0
//
// Signals as a readable descriptor: the handler notes the number and writes to an eventfd, the event loop does the work. Not
// Dispatch, whose thread pool would start beside the workers.

import CLinux
import Glibc
import Synchronization

/// Signals of the process. One at a time: handlers are the process's. Thread: any.
final class SignalCounter: Sendable {
  /// Readable when a signal has come.
  let descriptor: CInt
  private let numbers: [CInt]

  /// Catches `numbers` (below 32) from now on; nil when no descriptor is left.
  init?(_ numbers: [CInt]) {
    let descriptor = eventfd(0, CInt(EFD_NONBLOCK) | CInt(EFD_CLOEXEC))
    guard descriptor >= 0 else { return nil }
    self.descriptor = descriptor
    self.numbers = numbers
    caught.store(0, ordering: .relaxed)
    announcement.store(descriptor, ordering: .sequentiallyConsistent)
    for number in numbers {
      signal(number) { number in
        // Async-signal-safe: two atomics that exist already, and write(2).
        caught.bitwiseOr(1 << UInt32(number), ordering: .relaxed)
        eventfd_write(announcement.load(ordering: .relaxed), 1)
      }
    }
  }

  deinit {
    for number in numbers { signal(number, SIG_DFL) }
    close(descriptor)
  }

  /// What has come since the last call, each once.
  func take() -> [CInt] {
    var value: eventfd_t = 0
    eventfd_read(descriptor, &value)
    let seen = caught.exchange(0, ordering: .relaxed)
    return numbers.filter { seen >> UInt32($0) & 1 == 1 }
  }
}

private let caught = Atomic<UInt32>(0)
private let announcement = Atomic<CInt>(-1)
