// SPDX-License-Identifier: Apache-2.0
//
// What XDPSocket was asked to open, and the words for why it could not: the kernel's errno values mean different things
// at each step, and each has its cure.

import CLinux
import Glibc

/// The target of one XDPSocket. Set-up only.
struct SocketExplanation {
  let interface: Interface
  let queue: Int
  let memory: FrameMemory

  /// What can be said before asking the kernel, which would say EINVAL to all of it, or nothing at all.
  func check(_ configuration: SocketConfiguration) throws(XDPError) {
    let name = interface.name
    guard queue >= 0, queue < interface.queueCount else {
      throw .interface(
        name: name, problem: "no receive queue \(queue): there are \(interface.queueCount), counted from 0",
        cure: "use fewer workers, or give it more queues (`ethtool -L \(name) combined \(queue + 1)`; a veth gets them when made)")
    }
    guard queue < interface.transmitQueueCount else {
      throw .interface(
        name: name, problem: "receive queue \(queue) has no transmit queue beside it: there are \(interface.transmitQueueCount)",
        cure: "give it as many of both (`ethtool -L \(name)`; a veth gets them when made)")
    }
    guard interface.isUp else { throw isDown }
    if let problem = configuration.rings.problem {
      throw .system(call: "rings", errno: EINVAL, where: "\(name) queue \(queue): \(problem)", cure: "choose other ring sizes")
    }
  }

  /// Open and bind; a queue that is busy is tried again for up to `patience`.
  func open(_ rings: RingSizes, _ mode: SocketMode, patience: Duration) throws(SocketFailure) -> SocketHandle {
    let clock = ContinuousClock()
    let end = clock.now + patience
    var pause: UInt32 = 5_000  // microseconds
    while true {
      do {
        return try SocketHandle.open(
          interface: interface.name, queue: UInt32(queue), memory: memory, rings: rings,
          bindFlags: mode == .zeroCopy ? XDP_ZEROCOPY : XDP_COPY)
      } catch {
        guard error.code == EBUSY, clock.now < end else { throw error }
      }
      usleep(pause)
      pause = min(pause * 2, 100_000)
    }
  }

  /// The error to show for a failed step.
  func error(_ failure: SocketFailure) -> XDPError {
    let place = "\(interface.name) queue \(queue)"
    switch (failure.call, failure.code) {
    case (_, EPERM), (_, EACCES):
      return .noPrivilege(doing: "open an AF_XDP socket on \(place)")
    case ("xsk_umem__create", EAFNOSUPPORT), ("xsk_umem__create", EPROTONOSUPPORT):
      return .kernelTooOld(feature: "AF_XDP sockets (CONFIG_XDP_SOCKETS)", needs: "4.18")
    case ("xsk_umem__create", ENOBUFS), ("xsk_umem__create", ENOMEM):
      return .system(
        call: failure.call, errno: failure.code, where: place,
        cure: "allow more locked memory (`ulimit -l unlimited`, LimitMEMLOCK=infinity), or configure fewer frames")
    case (_, ENETDOWN):
      return isDown
    case (_, ENODEV), (_, ENXIO):
      return .interface(name: interface.name, problem: "the interface is gone", cure: "")
    case ("xsk_socket__create", EBUSY):
      return .interface(
        name: interface.name, problem: "queue \(queue) belongs to another AF_XDP socket",
        cure: "end the program that holds it (`ss --xdp -ap` names it), or use another interface")
    case ("xsk_socket__create", EOPNOTSUPP):
      return .interface(
        name: interface.name, problem: "its driver (\(interface.driver)) has no zero-copy AF_XDP", cure: "choose copy mode, or auto")
    case ("xsk_socket__create", EINVAL):
      return .interface(
        name: interface.name,
        problem: "the driver refuses queue \(queue) with an MTU of \(interface.mtu) and frames of \(memory.chunkSize) bytes",
        cure: "lower the MTU, use frames of 4096 bytes, or choose copy mode")
    case ("sendto", EOPNOTSUPP):
      return .interface(
        name: interface.name, problem: "the kernel binds queue \(queue) and then refuses to send on it",
        cure: "choose copy mode, or another kernel or driver")
    case ("SO_PREFER_BUSY_POLL", _):
      return .kernelTooOld(feature: "preferred busy polling", needs: "5.11")
    default:
      return .system(call: failure.call, errno: failure.code, where: place, cure: "")
    }
  }

  private var isDown: XDPError {
    .interface(name: interface.name, problem: "the interface is down", cure: "`ip link set dev \(interface.name) up`")
  }
}
