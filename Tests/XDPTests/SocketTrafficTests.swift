// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import XDP

/// Real frames between sockets on the two ends of a veth pair, over one FrameMemory.
@Suite(.enabled(if: canUseNamespaces, needsRoot), .serialized) struct SocketTrafficTests {
  /// Two ports with one pool, as a worker has them: `left` is port 0, `right` port 1.
  private struct Lab: ~Copyable {
    let memory: FrameMemory
    var pool: FramePool
    var left: XDPSocket
    var right: XDPSocket
    let leftProgram: RedirectProgram
    let rightProgram: RedirectProgram

    init(queues: Int = 1, queue: Int = 0, chunkSize: Int = 4096) throws {
      try makePair(queues: queues)
      let ends = (left: try Interface.named("left"), right: try Interface.named("right"))
      let rings = SocketConfiguration(mode: .copy, rings: RingSizes(receive: 256, transmit: 256, fill: 512, completion: 256))
      let memory = try FrameMemory(frameCount: 2048, chunkSize: chunkSize)
      // In the order of the router: program, socket, registration.
      let leftProgram = try RedirectProgram(interfaceIndex: ends.left.index)
      let rightProgram = try RedirectProgram(interfaceIndex: ends.right.index)
      let left = try XDPSocket(interface: ends.left, queue: queue, memory: memory, configuration: rings)
      let right = try XDPSocket(interface: ends.right, queue: queue, memory: memory, configuration: rings)
      try leftProgram.register(left.fileDescriptor, queue: queue)
      try rightProgram.register(right.fileDescriptor, queue: queue)
      self.leftProgram = leftProgram
      self.rightProgram = rightProgram
      self.left = left
      self.right = right
      self.memory = memory
      pool = FramePool(memory: memory, frames: 512..<1536)
    }

    mutating func fillBoth(_ count: Int) {
      for _ in 0..<count {
        if let address = pool.takeForFill(port: 0) { _ = left.fill.fill(address) }
        if let address = pool.takeForFill(port: 1) { _ = right.fill.fill(address) }
      }
      left.fill.submit()
      right.fill.submit()
    }

    /// Stage a frame with `number` in it on `left`; its length tells it too.
    mutating func stage(_ number: UInt8) throws {
      let taken = pool.takeReceived()
      let address = try #require(taken) + 256
      let bytes = try #require(memory.bytes(at: address, count: 60 + Int(number)))
      bytes.initializeMemory(as: UInt8.self, repeating: number)
      bytes.storeBytes(of: 0x02, as: UInt8.self)  // to a unicast address, from one, of an experimental type
      bytes.storeBytes(of: 0x02, toByteOffset: 6, as: UInt8.self)
      bytes.storeBytes(of: 0xB588, toByteOffset: 12, as: UInt16.self)
      let marked = pool.transmitting(address, port: 0)
      let staged = left.transmit.transmit(Descriptor(address: address, length: UInt32(bytes.count)))
      #expect(marked && staged)
    }

    /// Send until nothing is pending, and give the sent frames back to the pool.
    mutating func sendLeft() { Self.send(&left, &pool, port: 0) }
    mutating func sendRight() { Self.send(&right, &pool, port: 1) }

    private static func send(_ socket: inout XDPSocket, _ pool: inout FramePool, port: UInt8) {
      socket.transmit.submit()
      for _ in 0..<2000 where socket.transmit.pendingCount > 0 || pool.counts.inTransmit > 0 {
        _ = socket.wakeTransmit()
        while let address = socket.completion.complete() { pool.completed(address, port: port) }
        socket.completion.release()
        if socket.transmit.pendingCount == 0 { usleep(1000) }
      }
    }

    /// Up to `count` packets that arrive within a second.
    static func collect(_ socket: inout XDPSocket, _ count: Int) -> [Descriptor] {
      var packets: [Descriptor] = []
      for _ in 0..<200 where packets.count < count {
        while let descriptor = socket.receive.receive() { packets.append(descriptor) }
        socket.receive.release()
        if packets.count < count { usleep(5000) }
      }
      return packets
    }
  }

  @Test(arguments: [2048, 4096]) func `two hundred frames arrive whole and in order, 32 to a wake-up`(chunkSize: Int) throws {
    try inNamespace {
      var lab = try Lab(chunkSize: chunkSize)
      lab.fillBoth(256)
      for number in 0..<200 as Range<UInt8> { try lab.stage(number) }
      lab.sendLeft()
      let pending = lab.left.transmit.pendingCount
      #expect(pending == 0)
      let packets = Lab.collect(&lab.right, 200)
      #expect(packets.map(\.length) == (0..<200).map { UInt32(60 + $0) })
      for (number, packet) in packets.enumerated() {
        let received = lab.pool.received(packet.address, port: 1)
        let bytes = try #require(lab.memory.bytes(at: packet.address, count: Int(packet.length)))
        #expect(received && bytes[59] == UInt8(number))
        #expect(packet.address % FrameAddress(chunkSize) >= 256)  // the headroom that encapsulation needs
        lab.pool.release(packet.address)
      }
      let (violations, broken, counts) = (lab.pool.violations, lab.pool.checkInvariants(), lab.pool.counts)
      #expect(violations == 0)
      #expect(broken == [])
      #expect(counts == FrameCounts(free: 1024 - 512 + 200, inFill: 512 - 200, received: 0, inTransmit: 0))
    }
  }

  @Test func `a frame received on one port is sent from another without being copied`() throws {
    try inNamespace {
      var lab = try Lab()
      lab.fillBoth(8)
      try lab.stage(7)
      lab.sendLeft()
      let there = Lab.collect(&lab.right, 1)
      let packet = try #require(there.first)
      let (received, sent) = (lab.pool.received(packet.address, port: 1), lab.pool.transmitting(packet.address, port: 1))
      #expect(received && sent)
      _ = lab.right.transmit.transmit(packet)
      lab.sendRight()
      let back = Lab.collect(&lab.left, 1)
      #expect(back.map(\.length) == [67])
      let returned = try #require(back.first)
      #expect(lab.memory.bytes(at: returned.address, count: 67)?[20] == 7)
      let home = lab.pool.received(returned.address, port: 0)
      let violations = lab.pool.violations
      #expect(home && violations == 0)
    }
  }

  @Test func `the second queue of a pair has its own traffic`() throws {
    try inNamespace {
      var lab = try Lab(queues: 2, queue: 1)
      lab.fillBoth(8)
      try lab.stage(3)
      lab.sendLeft()
      let packets = Lab.collect(&lab.right, 1)
      #expect(packets.map(\.length) == [63])
    }
  }

  @Test func `packets that find no frame are counted, and after a refill they arrive`() throws {
    try inNamespace {
      var lab = try Lab()
      try lab.stage(1)
      lab.sendLeft()
      let none = Lab.collect(&lab.right, 1)
      #expect(none == [])
      let statistics = lab.right.statistics()
      #expect(statistics.fillRingEmpty == 1)
      lab.fillBoth(4)
      try lab.stage(2)
      lab.sendLeft()
      let packets = Lab.collect(&lab.right, 1)
      #expect(packets.map(\.length) == [62])
    }
  }

  @Test func `after a close a new socket on the same queue receives`() throws {
    try inNamespace {
      var lab = try Lab()
      lab.fillBoth(64)
      let right = try Interface.named("right")
      try Self.rebind(&lab, right)
      for _ in 0..<8 {
        let taken = lab.pool.takeForFill(port: 1)
        _ = lab.right.fill.fill(try #require(taken))
      }
      lab.right.fill.submit()
      try lab.stage(9)
      lab.sendLeft()
      let packets = Lab.collect(&lab.right, 1)
      #expect(packets.map(\.length) == [69])
      let broken = lab.pool.checkInvariants()
      #expect(broken == [])
    }
  }

  /// Put a new socket on right's queue: through a socket elsewhere, as there is no empty XDPSocket to leave behind.
  private static func rebind(_ lab: inout Lab, _ right: Interface) throws {
    try shell("ip link add spare type veth peer name eraps && ip link set spare up && ip link set eraps up")
    let configuration = SocketConfiguration(mode: .copy, rings: XDPSocketTests.smallRings)
    lab.right = try XDPSocket(interface: try Interface.named("spare"), queue: 0, memory: lab.memory, configuration: configuration)
    lab.right = try XDPSocket(interface: right, queue: 0, memory: lab.memory, configuration: configuration)
    try lab.rightProgram.register(lab.right.fileDescriptor, queue: 0)
  }
}
