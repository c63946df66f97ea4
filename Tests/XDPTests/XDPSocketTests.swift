// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import XDP

/// Real sockets on veth pairs, which have copy mode only.
@Suite(.enabled(if: canUseNamespaces, needsRoot), .serialized) struct XDPSocketTests {
  static let smallRings = RingSizes(receive: 64, transmit: 64, fill: 128, completion: 64)

  private func open(
    _ name: String, queue: Int = 0, mode: RequestedSocketMode = .auto, memory: FrameMemory? = nil, rings: RingSizes = smallRings,
    busyPoll: BusyPoll? = nil
  ) throws -> XDPSocket {
    try XDPSocket(
      interface: try Interface.named(name), queue: queue, memory: try memory ?? FrameMemory(frameCount: 256),
      configuration: SocketConfiguration(mode: mode, rings: rings, busyPoll: busyPoll))
  }

  /// What opening fails with, in its words.
  private func refusal(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test func `copy mode is bound and reported`() throws {
    try inNamespace {
      try makePair()
      let socket = try open("left", mode: .copy)
      let (mode, refusal) = (socket.mode, socket.zeroCopyRefusal)
      #expect(mode == .copy)
      #expect(refusal == nil)
      let sizes = [socket.fill.size, socket.completion.size, socket.receive.size, socket.transmit.size]
      #expect(sizes == [128, 64, 64, 64])
      #expect(socket.fileDescriptor >= 0)
    }
  }

  @Test func `auto takes copy mode where zero-copy is not to be had, and says why`() throws {
    try inNamespace {
      try makePair()
      let socket = try open("left", mode: .auto)
      let (mode, refusal) = (socket.mode, socket.zeroCopyRefusal)
      #expect(mode == .copy)
      #expect(refusal?.contains("EOPNOTSUPP") == true)
    }
  }

  @Test func `zero-copy on a driver without it is an error that names driver and cure`() throws {
    try inNamespace {
      try makePair()
      let words = refusal { _ = try open("left", mode: .zeroCopy) }
      #expect(words == "left: its driver (veth) has no zero-copy AF_XDP; choose copy mode, or auto")
    }
  }

  @Test func `a queue that another socket holds is an error after the wait`() throws {
    try inNamespace {
      try makePair()
      let holder = try open("left")
      let clock = ContinuousClock()
      let begin = clock.now
      let words = refusal { _ = try open("left", mode: .copy) }
      let waited = clock.now - begin
      #expect(words?.hasPrefix("left: queue 0 belongs to another AF_XDP socket") == true)
      #expect(waited > .milliseconds(1400) && waited < .seconds(4))
      holder.close()
    }
  }

  @Test func `a queue that becomes free while waiting is taken`() throws {
    try inNamespace {
      try makePair()
      let holder = HeldSocket(try open("left"))
      let closer = TestThread {
        usleep(300_000)
        holder.close()
      }
      let mode = try open("left").mode
      closer.join()
      #expect(mode == .copy)
    }
  }

  @Test func `binding again at once after closing succeeds`() throws {
    try inNamespace {
      try makePair()
      let memory = try FrameMemory(frameCount: 256)
      for _ in 0..<5 {
        let socket = try open("left", memory: memory)
        socket.close()
      }
      let other = try open("left", mode: .copy, memory: memory)
      #expect(other.fileDescriptor >= 0)
    }
  }

  @Test func `a failed open leaves no descriptor behind`() throws {
    try inNamespace {
      try makePair()
      let before = countEntries(of: "/proc/self/fd", startingWith: "")
      for _ in 0..<20 { _ = refusal { _ = try open("left", mode: .zeroCopy) } }
      let after = countEntries(of: "/proc/self/fd", startingWith: "")
      #expect(after < before + 10)  // other suites open files meanwhile
    }
  }

  @Test func `a queue beyond the device is refused with the cure`() throws {
    try inNamespace {
      try makePair(queues: 2)
      let words = refusal { _ = try open("left", queue: 2) }
      #expect(words?.contains("left: no receive queue 2: there are 2") == true)
      #expect(words?.contains("ethtool -L left combined 3") == true)
      let negative = refusal { _ = try open("left", queue: -1) }
      #expect(negative?.contains("no receive queue -1") == true)
    }
  }

  @Test func `a receive queue without a transmit queue is refused`() throws {
    try inNamespace {
      try shell("ip link add left numrxqueues 2 numtxqueues 1 type veth peer name right && ip link set left up && ip link set right up")
      let words = refusal { _ = try open("left", queue: 1) }
      #expect(words?.contains("receive queue 1 has no transmit queue beside it") == true)
    }
  }

  @Test func `an interface that is down is refused with the cure`() throws {
    try inNamespace {
      try makePair()
      try shell("ip link set left down")
      let words = refusal { _ = try open("left") }
      #expect(words == "left: the interface is down; `ip link set dev left up`")
    }
  }

  @Test(arguments: [0, 1, 3, 100, 1 << 21] as [UInt32]) func `ring sizes that the kernel would refuse are refused`(size: UInt32) throws {
    try inNamespace {
      try makePair()
      for rings in [
        RingSizes(receive: size), RingSizes(transmit: size), RingSizes(fill: size), RingSizes(completion: size),
      ] {
        let words = refusal { _ = try open("left", rings: rings) }
        #expect(words?.contains("ring's size \(size) is not a power of two") == true)
      }
    }
  }

  @Test func `without the capability for packet sockets it is impossible here`() throws {
    try inNamespace {
      try makePair()
      withoutCapabilities(capabilityNetRaw) {
        #expect(throws: XDPError.noPrivilege(doing: "open an AF_XDP socket on left queue 0")) { _ = try open("left") }
      }
      #expect(XDPError.noPrivilege(doing: "").isImpossibleHere)
    }
  }

  @Test func `locked memory beyond the limit is an error that names the limit`() throws {
    try inNamespace {
      try makePair()
      var limit = rlimit()
      getrlimit(8, &limit)  // RLIMIT_MEMLOCK, an enum that Swift does not see
      let frames = Int(limit.rlim_cur) / 4096 + 256
      guard limit.rlim_cur < 64 << 20 else { return }  // no limit to run into
      let memory = try FrameMemory(frameCount: frames)
      let words = withoutCapabilities(capabilityIPCLock) { refusal { _ = try open("left", memory: memory) } }
      #expect(words?.contains("allow more locked memory") == true)
    }
  }

  @Test func `a socket whose interface goes down or away says so when woken`() throws {
    try inNamespace {
      try makePair()
      let socket = try open("left")
      let up = socket.wakeTransmit()
      try shell("ip link set left down")
      let down = (socket.wakeTransmit(), socket.wakeReceive())
      try shell("ip link set left up")
      let upAgain = socket.wakeTransmit()
      try shell("ip link del left")
      let gone = socket.wakeTransmit()
      #expect(up == .done)
      #expect(down.0 == .interfaceDown && down.1 == .interfaceDown)
      #expect(upAgain == .done)
      #expect(gone == .interfaceDown)
    }
  }

  @Test func `busy polling can be switched on`() throws {
    try inNamespace {
      try makePair()
      let socket = try open("left", busyPoll: BusyPoll(microseconds: 10, budget: 32))
      let answer = socket.wakeReceive()
      #expect(answer == .done)
    }
  }

  @Test func `descriptors outside the memory or across a frame's end are counted and skipped`() throws {
    try inNamespace {
      try makePair()
      var socket = try open("left")
      for descriptor in [Descriptor(address: 256 * 4096, length: 64), Descriptor(address: 4000, length: 200)] {
        _ = socket.transmit.transmit(descriptor)
      }
      socket.transmit.submit()
      // Each ends its system call with success. Newer kernels (seen: 6.18) complete such a frame, older ones keep it.
      for _ in 0..<10 where socket.transmit.pendingCount > 0 { _ = socket.wakeTransmit() }
      let (statistics, pending) = (socket.statistics(), socket.transmit.pendingCount)
      #expect(statistics.transmitInvalidDescriptors == 2)
      #expect(pending == 0)
    }
  }

  @Test func `copy mode always wants to be woken for transmission`() throws {
    try inNamespace {
      try makePair()
      let socket = try open("left")
      let wants = socket.transmit.needsWakeup
      #expect(wants)
    }
  }
}

/// A socket that another thread may close.
private final class HeldSocket: @unchecked Sendable {
  private var socket: XDPSocket?
  init(_ socket: consuming XDPSocket) { self.socket = consume socket }
  func close() { socket = nil }
}
