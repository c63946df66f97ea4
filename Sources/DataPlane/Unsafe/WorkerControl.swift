// SPDX-License-Identifier: Apache-2.0
//
// What the slow path and a worker say to each other besides packets and state: stop, wake up, there is something in the punt
// ring. Two eventfds and a flag.

import CLinux
import Glibc
import Synchronization
import XDP

/// Thread: `stop`, `wake`, and the punt descriptor by the slow path; the rest by the worker.
@safe public final class WorkerControl: Sendable {
  private let stopping = Atomic<Bool>(false)
  private let wakeDescriptor: CInt
  /// Becomes readable when the worker has punted something. Non-blocking. Shared by all workers of a router.
  private let puntDescriptor: CInt

  /// `puntDescriptor` is an eventfd that stays the caller's. nil when the process has no descriptor left.
  public init?(puntDescriptor: CInt) {
    wakeDescriptor = eventfd(0, CInt(EFD_NONBLOCK) | CInt(EFD_CLOEXEC))
    self.puntDescriptor = puntDescriptor
    guard wakeDescriptor >= 0 else { return nil }
  }

  deinit { close(wakeDescriptor) }

  var isStopping: Bool { @inline(__always) get { stopping.load(ordering: .relaxed) } }

  /// Ends the worker's loop soon.
  public func stop() {
    stopping.store(true, ordering: .relaxed)
    wake()
  }

  /// Ends the worker's sleep.
  public func wake() { _ = eventfd_write(wakeDescriptor, 1) }

  func notifySlowPath() { _ = eventfd_write(puntDescriptor, 1) }

  @inline(__always) func pause() { clinux_pause() }

  /// A millisecond.
  func nap() { usleep(1000) }

  /// Until a packet, a wake-up or the time has come.
  @inline(never)
  func sleep(_ queues: borrowing QueueList, milliseconds: Int32) {
    var descriptors = [pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)]
    for i in 0..<queues.count {
      descriptors.append(pollfd(fd: queues[i].socket.fileDescriptor, events: Int16(POLLIN), revents: 0))
    }
    _ = unsafe poll(&descriptors, nfds_t(descriptors.count), milliseconds)
    if descriptors[0].revents != 0 {
      var value: eventfd_t = 0
      _ = unsafe eventfd_read(wakeDescriptor, &value)
    }
  }
}
