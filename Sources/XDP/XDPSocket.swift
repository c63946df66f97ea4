// SPDX-License-Identifier: Apache-2.0
//
// An AF_XDP socket on one queue of one interface, with its four rings. The router opens them when it starts (after the
// steering program is attached: some drivers want it so) and hands each to the worker that owns the queue.
//
// Every socket registers the whole FrameMemory as a umem of its own. Sockets that share one umem would all inherit
// copy or zero-copy mode from the first; with one registration each, a zero-copy card and a veth work on the same frames.

import Glibc

/// One (interface, queue). Thread: one at a time: who opens it, then its worker. `statistics()` from any.
public struct XDPSocket: ~Copyable, Sendable {
  public var fill: FillRing
  public var completion: CompletionRing
  public var receive: ReceiveRing
  public var transmit: TransmitRing
  /// For the XSKMAP, and to poll(2) on. Closed with the socket.
  public let fileDescriptor: CInt
  /// The mode in force, as the kernel says.
  public let mode: SocketMode
  /// When zero-copy was tried and copy mode is in force: why (an errno value, in words by `zeroCopyRefusal`).
  let refusedWith: CInt?
  public let interfaceName: String
  public let queue: Int
  /// nil over plain rings.
  private let handle: SocketHandle?

  /// Open and bind. Waits up to 1.5 s for a queue that is still being released by its last owner.
  ///
  /// - Parameters:
  ///   - interface: as `Interface.named` gives it; must be up
  ///   - queue: 0 ..< `interface.queueCount`
  ///   - memory: kept until the socket is closed
  public init(
    interface: Interface, queue: Int, memory: FrameMemory, configuration: SocketConfiguration = SocketConfiguration()
  ) throws(XDPError) {
    let explain = SocketExplanation(interface: interface, queue: queue, memory: memory)
    try explain.check(configuration)
    let opened: Opened
    do {
      opened = try Opened(explain, configuration)
    } catch {
      throw explain.error(error)
    }
    fill = opened.handle.fill
    completion = opened.handle.completion
    receive = opened.handle.receive
    transmit = opened.handle.transmit
    fileDescriptor = opened.handle.fileDescriptor
    mode = opened.mode
    refusedWith = opened.refusedWith
    interfaceName = interface.name
    self.queue = queue
    handle = consume opened.handle
  }

  /// Over plain memory: tests. The two wake-ups are an empty send and an empty receive on `fileDescriptor`, which stays the caller's:
  /// on one end of a pair of datagram sockets the other end sees the sends and can have the receives answered.
  public init(over rings: PlainRings, fileDescriptor: CInt, interfaceName: String = "", queue: Int = 0) {
    fill = FillRing(over: rings.fill)
    completion = CompletionRing(over: rings.completion)
    receive = ReceiveRing(over: rings.receive)
    transmit = TransmitRing(over: rings.transmit)
    self.fileDescriptor = fileDescriptor
    mode = .copy
    refusedWith = nil
    self.interfaceName = interfaceName
    self.queue = queue
    handle = nil
  }

  /// Close now: the queue is free for another socket a moment later (the kernel finishes in the background). Take the
  /// socket out of the XSKMAP first, or detach the program. Frames that were in its rings are lost to their pool.
  public consuming func close() {}

  /// Make the kernel send what is in the transmit ring: when `transmit.needsWakeup`, after `submit()`. In copy mode one
  /// call sends at most 128 packets, 32 before Linux 6.17: call until `transmit.pendingCount` is 0, but bound the attempts, for a slow receiver
  /// answers `.again` for as long as it is slow. Safe at any time, also when nothing is pending. Thread: the worker.
  public func wakeTransmit() -> WakeResult { Self.wakeTransmit(fileDescriptor) }

  /// The same by descriptor, for a socket that is borrowed from memory: calling a method would copy its rings.
  public static func wakeTransmit(_ descriptor: CInt) -> WakeResult { WakeResult(errno: kickTransmit(descriptor)) }

  /// Make the driver look at the fill ring: when `fill.needsWakeup`, after `submit()`. With busy polling: at every turn,
  /// since this call is what receives. Thread: the worker.
  public func wakeReceive() -> WakeResult { Self.wakeReceive(fileDescriptor) }

  /// The same by descriptor.
  public static func wakeReceive(_ descriptor: CInt) -> WakeResult { WakeResult(errno: kickReceive(descriptor)) }

  /// The kernel's counters. Thread: any.
  public func statistics() -> SocketStatistics { readStatistics(fileDescriptor) }

  /// Why zero-copy was not to be had, for the log; nil when it is in force or was not wanted.
  public var zeroCopyRefusal: String? {
    guard let refusedWith else { return nil }
    return errnoText(refusedWith)
  }
}

extension WakeResult {
  /// From what sendto or recvfrom said.
  @inline(__always)
  init(errno code: CInt) {
    switch code {
    case 0: self = .done
    case EAGAIN, EBUSY, ENOBUFS, EINTR: self = .again
    case ENETDOWN, ENXIO, ENODEV: self = .interfaceDown
    default: self = .failed(code)
    }
  }
}

/// A bound socket that can send, and the mode it is in.
private struct Opened: ~Copyable {
  let handle: SocketHandle
  let mode: SocketMode
  let refusedWith: CInt?

  init(_ target: SocketExplanation, _ configuration: SocketConfiguration) throws(SocketFailure) {
    switch configuration.mode {
    case .zeroCopy:
      self = try Opened(target, configuration, .zeroCopy, waitingFor: releaseTime, refusedWith: nil)
    case .copy:
      self = try Opened(target, configuration, .copy, waitingFor: releaseTime, refusedWith: nil)
    case .auto:
      do {
        self = try Opened(target, configuration, .zeroCopy, waitingFor: releaseTime, refusedWith: nil)
      } catch  where error.call == "xsk_umem__create" {
        throw error
      } catch {
        // A queue that stays busy for zero-copy is as a rule busy for copy too: then one attempt says so.
        let patience: Duration = error.code == EBUSY ? .zero : releaseTime
        self = try Opened(target, configuration, .copy, waitingFor: patience, refusedWith: error.code)
      }
    }
  }

  private init(
    _ target: SocketExplanation, _ configuration: SocketConfiguration, _ wanted: SocketMode, waitingFor patience: Duration,
    refusedWith: CInt?
  ) throws(SocketFailure) {
    let handle = try target.open(configuration.rings, wanted, patience: patience)
    var mode = wanted
    let code = readMode(handle.fileDescriptor, into: &mode)
    if code != 0 { throw SocketFailure(call: "XDP_OPTIONS", code: code) }
    if let poll = configuration.busyPoll, let failure = enableBusyPoll(handle.fileDescriptor, poll) { throw failure }
    if mode == .copy {
      // Every packet under way counts against the send buffer, whose default is less than a ring of them.
      growSendBuffer(handle.fileDescriptor, to: Int(configuration.rings.transmit) * target.memory.chunkSize)
      // A batch then leaves with one system call instead of two.
      raiseTransmitBudget(handle.fileDescriptor, to: min(128, configuration.rings.transmit))
    }
    // Some kernels accept a socket that they then refuse to send on: better known now than with the first packet.
    switch WakeResult(errno: kickTransmit(handle.fileDescriptor)) {
    case .done, .again: break
    case .interfaceDown: throw SocketFailure(call: "sendto", code: ENETDOWN)
    case .failed(let code): throw SocketFailure(call: "sendto", code: code)
    }
    self.handle = handle
    self.mode = mode
    self.refusedWith = refusedWith
  }
}

/// How long a queue may stay busy after its last owner is gone: the kernel releases it in a work queue, after a grace period.
private let releaseTime = Duration.milliseconds(1500)
