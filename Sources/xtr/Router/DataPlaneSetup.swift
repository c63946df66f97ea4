// SPDX-License-Identifier: Apache-2.0
//
// Takes the interfaces and starts the workers; at the end stops them and gives everything back, in the opposite order.

import CLinux
import DataPlane
import Glibc
import Logging
import XDP

/// The ports, workers and rings of a running router. Thread: slow path.
final class DataPlaneSetup {
  let publisher: ForwardingPublisher
  let ports: [Port]
  /// Readable when a worker has punted something.
  let puntDescriptor: CInt
  private(set) var workers: [RunningWorker] = []

  /// A worker and what the slow path shares with it.
  struct RunningWorker {
    var thread: WorkerThread
    var counters: WorkerCounters
    var puntRing: PuntRing
    /// The first queue it owns, the same on every port.
    var queue: Int
  }

  /// Takes every interface of the configuration and starts the workers. Nothing is lifted until the ports have rules.
  init(_ configuration: Configuration, log: Logger) throws {
    guard configuration.interfaces.count <= 16 else {
      throw CommandFailure.failed("\(configuration.interfaces.count) interfaces are configured, 16 is the limit")
    }
    publisher = try ForwardingPublisher()
    puntDescriptor = eventfd(0, CInt(EFD_NONBLOCK) | CInt(EFD_CLOEXEC))
    guard puntDescriptor >= 0 else { throw CommandFailure.failed("no file descriptor left: raise the limit (ulimit -n)") }
    let interfaces = try configuration.interfaces.map { try Interface.named($0.name) }
    for interface in interfaces { try Self.checkMTU(of: interface) }
    let workerCount = try Self.workerCount(configuration.router.workers, interfaces)
    var ports: [Port] = []
    for (number, interface) in interfaces.enumerated() {
      let port = try Port(number: number, interface: interface, configuration: configuration.interfaces[number])
      log.info("\(interface.name): steering attached (\(port.attachMode)), \(interface.queueCount) queues, driver \(interface.driver)")
      if let refusal = port.nativeRefusal { log.warning("\(interface.name): generic mode, which is slow: \(refusal)") }
      for change in port.changedOffloads { log.info("\(interface.name): \(change) is off while the router runs") }
      for offload in port.unchangeableOffloads {
        log.warning("\(interface.name): \(offload) cannot be switched off: packets that it changes are not forwarded as they were sent")
      }
      ports.append(port)
    }
    self.ports = ports
    do {
      try startWorkers(workerCount, interfaces, configuration, log: log)
    } catch {
      stop()
      throw error
    }
  }

  deinit { close(puntDescriptor) }

  /// A received packet has to fit into one chunk, behind the headroom that the kernel keeps (XDP_PACKET_HEADROOM): without this check the
  /// kernel would drop the longer ones without a word.
  private static func checkMTU(of interface: Interface) throws(XDPError) {
    let largest = 4096 - 256 - 18  // Ethernet header and one VLAN tag
    guard interface.mtu > largest else { return }
    throw .interface(
      name: interface.name, problem: "MTU \(interface.mtu) is too large: one frame holds packets of at most \(largest) bytes",
      cure: "`ip link set dev \(interface.name) mtu \(largest)`")
  }

  /// One worker per queue that every port has, or fewer if the configuration says so.
  private static func workerCount(_ wanted: Configuration.Workers, _ interfaces: [Interface]) throws -> Int {
    let queues = interfaces.map(\.queueCount).min() ?? 1
    switch wanted {
    case .auto: return min(queues, ForwardingLimits.workers)
    case .count(let count):
      guard count <= queues else {
        let poorest = interfaces.min { $0.queueCount < $1.queueCount }?.name ?? ""
        throw CommandFailure.failed(
          "router.workers is \(count) but \(poorest) has \(queues) queues: set workers to \(queues) or give it more queues"
            + " (ethtool -L \(poorest) combined \(count))")
      }
      return count
    }
  }

  private func startWorkers(_ count: Int, _ interfaces: [Interface], _ configuration: Configuration, log: Logger) throws {
    let perQueue = configuration.router.framesPerQueue
    let queuesOf = (0..<count).map { worker in
      interfaces.indices.flatMap { port in
        stride(from: worker, to: interfaces[port].queueCount, by: count).map { (port: port, queue: $0) }
      }
    }
    guard let most = queuesOf.map(\.count).max(), most <= QueueList.capacity else {
      throw CommandFailure.failed(
        "a worker would have more than \(QueueList.capacity) queues: set router.workers higher, or give the interfaces fewer queues"
          + " (ethtool -L)")
    }
    let memory = try FrameMemory(frameCount: perQueue * queuesOf.reduce(0) { $0 + $1.count })
    var firstFrame = 0
    for worker in 0..<count {
      let frames = firstFrame..<firstFrame + perQueue * queuesOf[worker].count
      firstFrame = frames.upperBound
      try startWorker(worker, queuesOf[worker], interfaces, memory, frames, configuration, log: log)
    }
  }

  private func startWorker(
    _ number: Int, _ queues: [(port: Int, queue: Int)], _ interfaces: [Interface], _ memory: FrameMemory, _ frames: Range<Int>,
    _ configuration: Configuration, log: Logger
  ) throws {
    guard let counters = WorkerCounters(), let puntRing = PuntRing(), let reader = publisher.quiescentState.register(),
      let control = WorkerControl(puntDescriptor: puntDescriptor)
    else { throw CommandFailure.failed("no address space or file descriptors left for worker \(number) (ulimit -v, ulimit -n)") }
    var list = QueueList()
    for (port, queue) in queues {
      let wanted = configuration.interfaces[port]
      let busyPoll = wanted.busyPoll.map { BusyPoll(microseconds: UInt16(clamping: $0.microseconds), budget: UInt16(clamping: $0.budget)) }
      let socket = try XDPSocket(
        interface: interfaces[port], queue: queue, memory: memory,
        configuration: SocketConfiguration(mode: wanted.mode.requested, busyPoll: busyPoll))
      try ports[port].register(socket: socket.fileDescriptor, queue: queue)
      ports[port].queues.append(QueueHandle(queue: queue, worker: number, mode: socket.mode, descriptor: socket.fileDescriptor))
      let reason = socket.zeroCopyRefusal.map { " (zero-copy refused: \($0))" } ?? ""
      log.info("\(wanted.name): queue \(queue) in \(socket.mode) mode\(reason), worker \(number)")
      list.append(PortQueue(socket: socket, port: port, busyPolls: busyPoll != nil))
    }
    let worker = Worker(
      queues: list, frames: FramePool(memory: memory, frames: frames), memory: memory, root: publisher.root, reader: reader,
      counters: counters, puntRing: puntRing, control: control, policy: configuration.router.poll == .busy ? .busy : .adaptive)
    let core = configuration.router.pin ? number % max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) : nil
    guard let thread = WorkerThread(worker, name: "xtr-worker-\(number)", core: core) else {
      throw CommandFailure.failed("no thread left for worker \(number) (ulimit -u)")
    }
    workers.append(RunningWorker(thread: thread, counters: counters, puntRing: puntRing, queue: number))
  }

  /// Detaches and lets the workers finish what they have. Their punt rings and counters are still there.
  func quiesce() {
    for port in ports { port.detach() }
    for worker in workers { worker.thread.stop() }
  }

  /// Closes the sockets and restores the interfaces. After `quiesce`.
  func release() {
    workers = []
    for port in ports { port.restore() }
  }

  private func stop() {
    quiesce()
    release()
  }
}

/// Limits that more than one place must keep.
enum ForwardingLimits {
  static let workers = 32
}
