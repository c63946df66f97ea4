// SPDX-License-Identifier: Apache-2.0
//
// Turns the readiness of kernel descriptors (netlink, TUN, the workers' punt counter) into calls on the slow path's event
// loop, which itself knows sockets only. One thread that sleeps in epoll.

import CLinux
import Glibc
import NIOCore

/// Thread: `init` and `stop` on any; handlers run on the event loop.
final class DescriptorWatcher: @unchecked Sendable {
  private let epoll: CInt
  private let stopDescriptor: CInt
  private let eventLoop: any EventLoop
  private let handlers: [CInt: @Sendable () -> Void]
  private var thread = pthread_t()

  /// Watches until `stop`. A descriptor is watched again when its handler has returned. nil when the system has no
  /// descriptor or thread left.
  init?(_ handlers: [CInt: @Sendable () -> Void], eventLoop: any EventLoop) {
    self.handlers = handlers
    self.eventLoop = eventLoop
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    stopDescriptor = eventfd(0, CInt(EFD_NONBLOCK) | CInt(EFD_CLOEXEC))
    guard epoll >= 0, stopDescriptor >= 0, arm(stopDescriptor, EPOLL_CTL_ADD) else { return nil }
    for descriptor in handlers.keys { guard arm(descriptor, EPOLL_CTL_ADD) else { return nil } }
    let context = Unmanaged.passRetained(self)
    let code = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        _ = clinux_name_thread("xtr-watch")
        Unmanaged<DescriptorWatcher>.fromOpaque(context).takeRetainedValue().watch()
        return nil
      }, context.toOpaque())
    guard code == 0 else {
      context.release()
      return nil
    }
  }

  deinit {
    close(epoll)
    close(stopDescriptor)
  }

  /// Ends the thread. No handler is called afterwards, except those already on their way to the loop.
  func stop() {
    eventfd_write(stopDescriptor, 1)
    pthread_join(thread, nil)
  }

  private func arm(_ descriptor: CInt, _ operation: CInt) -> Bool {
    var event = epoll_event(
      events: EPOLLIN.rawValue | EPOLLONESHOT.rawValue, data: epoll_data_t(fd: descriptor))
    return epoll_ctl(epoll, operation, descriptor, &event) == 0
  }

  private func watch() {
    var events = [epoll_event](repeating: epoll_event(), count: 8)
    while true {
      let count = epoll_wait(epoll, &events, Int32(events.count), -1)
      for event in events.prefix(max(0, Int(count))) {
        let descriptor = event.data.fd
        guard descriptor != stopDescriptor else { return }
        guard let handler = handlers[descriptor] else { continue }
        eventLoop.execute { [self] in
          handler()
          _ = arm(descriptor, EPOLL_CTL_MOD)
        }
      }
    }
  }
}
