// SPDX-License-Identifier: Apache-2.0
//
// Tells on the event loop that one of a changing set of sockets can be read. ControlSockets has one.
//
//     socket ──▶ epoll of ours ──▶ DescriptorWatcher's thread ──▶ event loop: `body`
//
// DescriptorWatcher watches what it was given at its start; an epoll descriptor is readable when one of its own is, so ours is all that it
// has to be given.

import CLinux
import Glibc
import NIOCore

/// Thread: the event loop.
final class SocketReadiness {
  private let epoll: CInt
  private let watcher: DescriptorWatcher
  /// Sockets told of in one turn; others are told of in the next. A host has a few addresses.
  private static let eventLimit = 16

  /// Calls `body` as long as a socket can be read, until `stop`. nil when the system has no descriptor or thread left.
  init?(eventLoop: any EventLoop, _ body: @escaping @Sendable () -> Void) {
    let epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
    guard epoll >= 0 else { return nil }
    guard let watcher = DescriptorWatcher([epoll: body], eventLoop: eventLoop) else {
      close(epoll)
      return nil
    }
    self.epoll = epoll
    self.watcher = watcher
  }

  deinit { close(epoll) }

  /// Ends the thread; `body` is called once more at most.
  func stop() { watcher.stop() }

  /// Watches a socket for as long as it is open; throws the errno.
  func add(_ descriptor: CInt) throws(ErrnoError) {
    var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(fd: descriptor))
    guard epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 else { throw ErrnoError(errno) }
  }

  /// The sockets that can be read now.
  func ready() -> Set<CInt> {
    var events = [epoll_event](repeating: epoll_event(), count: Self.eventLimit)
    let count = epoll_wait(epoll, &events, CInt(events.count), 0)
    return Set(events.prefix(max(0, Int(count))).map(\.data.fd))
  }
}
